/**
 * A text seen through a disguise: what it says once folded or decoded, and where in the original every
 * character of it came from.
 */

/** `starts[i]` and `ends[i]`: the span of the original that shows as code unit `i`; absent: the original itself. */
export interface View {
  readonly text: string
  readonly starts: Int32Array | undefined
  readonly ends: Int32Array | undefined
}

/** The view that is the text itself. */
export const raw = (text: string): View => ({ text, starts: undefined, ends: undefined })

/** Where in the original the span `[from, to)` of a view begins. */
export const startOf = (view: View, from: number): number => view.starts?.[from] ?? from

/** Where in the original the span `[from, to)` of a view ends. */
export const endOf = (view: View, to: number): number => view.ends?.[to - 1] ?? to

const PIECE = 1024

/** Writes a view on top of another one, code unit by code unit, in order. */
export class ViewBuilder {
  private text = ""
  /** New units that are not in `text` yet. */
  private readonly units: Array<number> = []
  /** Unchanged units of the view below that are not in `text` yet; at most one of the two is pending. */
  private keptFrom = 0
  private keptTo = 0
  private starts: Int32Array
  private ends: Int32Array
  private length = 0
  private readonly under: View

  constructor(under: View) {
    this.under = under
    const size = under.text.length + 16
    this.starts = new Int32Array(size)
    this.ends = new Int32Array(size)
  }

  /** Appends `unit`, which stands for `[from, to)` of the view below. */
  put(unit: number, from: number, to: number): void {
    if (this.keptTo > this.keptFrom) this.flush()
    if (this.units.push(unit) === PIECE) this.flush()
    this.note(from, to)
  }

  /** Appends the unit at `at` of the view below unchanged. */
  keep(at: number): void {
    if (this.units.length > 0) this.flush()
    if (this.keptTo !== at) {
      this.flush()
      this.keptFrom = at
    }
    this.keptTo = at + 1
    this.note(at, at + 1)
  }

  build(): View {
    this.flush()
    const { length } = this
    return { text: this.text, starts: this.starts.subarray(0, length), ends: this.ends.subarray(0, length) }
  }

  private note(from: number, to: number): void {
    const { starts, ends } = this.under
    if (this.length === this.starts.length) this.grow()
    this.starts[this.length] = starts === undefined ? from : (starts[from] ?? from)
    this.ends[this.length++] = ends === undefined ? to : (ends[to - 1] ?? to)
  }

  private flush(): void {
    if (this.units.length > 0) {
      this.text += String.fromCharCode(...this.units)
      this.units.length = 0
    }
    if (this.keptTo > this.keptFrom) this.text += this.under.text.slice(this.keptFrom, this.keptTo)
    this.keptFrom = 0
    this.keptTo = 0
  }

  private grow(): void {
    const starts = new Int32Array(this.starts.length * 2)
    const ends = new Int32Array(starts.length)
    starts.set(this.starts)
    ends.set(this.ends)
    this.starts = starts
    this.ends = ends
  }
}
