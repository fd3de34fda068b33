/**
 * A text seen through a disguise: what it says once folded or decoded, and where in the original every character of
 * it came from.
 */

/** A text on top of another view. */
export interface View {
  readonly text: string
  /** The view below; the original text has none. */
  readonly under: View | undefined
  /**
   * How the text lies on the view below, three numbers for every stretch: where it begins here, and there, and where
   * all of it ends there (-1: it stands there unchanged, unit by unit).
   */
  readonly stretches: Int32Array
}

const NONE = new Int32Array(0)

/** The view that is the text itself. */
export const raw = (text: string): View => ({ text, under: undefined, stretches: NONE })

/** The index of the stretch in which unit `at` lies. */
const stretchAt = (stretches: Int32Array, at: number): number => {
  let low = 0
  let high = stretches.length / 3 - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((stretches[middle * 3] ?? 0) <= at) low = middle
    else high = middle - 1
  }
  return low * 3
}

/** Where in the original unit `at` of a view begins. */
export const startOf = (view: View, at: number): number => {
  const { under, stretches } = view
  if (under === undefined) return at
  const k = stretchAt(stretches, at)
  const from = stretches[k + 1] ?? 0
  return startOf(under, stretches[k + 2] === -1 ? from + at - (stretches[k] ?? 0) : from)
}

/** Where in the original the unit before `to` of a view ends. */
export const endOf = (view: View, to: number): number => {
  const { under, stretches } = view
  if (under === undefined) return to
  const k = stretchAt(stretches, to - 1)
  const end = stretches[k + 2] ?? 0
  return endOf(under, end === -1 ? (stretches[k + 1] ?? 0) + to - (stretches[k] ?? 0) : end)
}

const PIECE = 1024

/** Up to here units are copied one by one; joining many short strings costs more. */
const SHORT = 48

/** Writes a view on top of another one, in order. */
export class ViewBuilder {
  /** With the last builder a full collection drops their shape, and all that was compiled for it: one stays. */
  protected static readonly kept = new ViewBuilder(raw(""))

  private readonly under: View
  private text = ""
  /** New units that are not in `text` yet. */
  private readonly units: Array<number> = []
  private stretches = new Int32Array(192)
  private used = 0
  private length = 0
  /** Whether the last stretch goes unit by unit, and how far the view below is ahead in it. */
  private inStep = false
  private shift = 0

  constructor(under: View) {
    this.under = under
  }

  /** Appends `unit`, which stands for `[from, to)` of the view below. */
  put(unit: number, from: number, to: number): void {
    this.note(from, to - from === 1 ? -1 : to)
    this.push(unit)
  }

  /** Appends `[from, to)` of the view below unchanged. */
  keep(from: number, to: number): void {
    if (to <= from) return
    this.note(from, -1)
    const { text } = this.under
    if (to - from < SHORT) for (let i = from; i < to; i++) this.push(text.charCodeAt(i))
    else {
      this.flush()
      this.text += text.slice(from, to)
      this.length += to - from
    }
  }

  build(): View {
    this.flush()
    return { text: this.text, under: this.under, stretches: this.stretches.subarray(0, this.used) }
  }

  private push(unit: number): void {
    this.length++
    if (this.units.push(unit) === PIECE) this.flush()
  }

  private note(from: number, to: number): void {
    if (to === -1 && this.inStep && from - this.length === this.shift) return
    this.inStep = to === -1
    this.shift = from - this.length
    if (this.used + 3 > this.stretches.length) {
      const more = new Int32Array(this.stretches.length * 2)
      more.set(this.stretches)
      this.stretches = more
    }
    this.stretches[this.used++] = this.length
    this.stretches[this.used++] = from
    this.stretches[this.used++] = to
  }

  private flush(): void {
    if (this.units.length === 0) return
    this.text += String.fromCharCode(...this.units)
    this.units.length = 0
  }
}
