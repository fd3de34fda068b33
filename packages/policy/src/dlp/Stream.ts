/**
 * A text that arrives in chunks. The last characters are held back until what follows them is known, so a secret
 * that a border cuts in two is found before any of it has left.
 */
import { clean, type Finding, findingAt, type ScanResult } from "./scan.ts"

/** How a stream is watched. */
export interface StreamOptions {
  /** Characters held back: the longest pattern. Default: 4096. */
  readonly holdBack?: number
  /** What a finding that blocks does: end the stream (the default) or be replaced like any other. */
  readonly onBlock?: "stop" | "redact"
}

/** What stands for a part of a stream; offsets count from the beginning of the stream. */
export interface Replacement {
  readonly start: number
  readonly end: number
  /** The placeholder; empty for the rest of a finding that has its placeholder already. */
  readonly text: string
}

/** What one chunk led to. */
export interface StreamStep {
  /** What may go on now, redacted; empty once blocked. */
  readonly emit: string
  /** What was replaced in what goes on now, in order: `emit` is the text with these in it. */
  readonly replaced: ReadonlyArray<Replacement>
  /** What was decided with this step; offsets count from the beginning of the stream. */
  readonly findings: ReadonlyArray<Finding>
  /** Whether the stream has ended because of a finding. */
  readonly blocked: boolean
}

/** A stream under watch. */
export interface DlpStream {
  /** Takes the next chunk. */
  readonly push: (chunk: string) => StreamStep
  /** Lets go of what is held back, or finds it, where more is not to be waited for; more may come all the same. */
  readonly flush: () => StreamStep
  /** Takes the end: what was held back goes on, or is found. */
  readonly end: () => StreamStep
  /** How many characters of what was pushed have gone on, redacted or not. */
  readonly released: () => number
}

/** How much of what has left is kept to read what follows it in context. */
const CONTEXT = 256

/** How much more must arrive before the held text is read again: bounds the work of many small chunks. */
const strideOf = (holdBack: number): number => Math.min(1024, Math.max(64, holdBack >> 2))

/** How long a finding may grow while its end is awaited (a JSON web token); a longer one is a private key. */
const LONGEST = 16_384

const none: ReadonlyArray<never> = Object.freeze([])
const nothing: StreamStep = Object.freeze({ emit: "", replaced: none, findings: none, blocked: false })
const ended: StreamStep = Object.freeze({ emit: "", replaced: none, findings: none, blocked: true })

const shifted = (finding: Finding, by: number): Finding =>
  findingAt(finding, finding.start + by, finding.end + by)

type Scan = (text: string) => ScanResult
type Hide = (text: string, findings: ReadonlyArray<Finding>) => string

/** What stands for findings from `from` on; those that overlap have one placeholder, in what is left of them. */
const replacements = (
  text: string,
  findings: ReadonlyArray<Finding>,
  from: number,
  hide: Hide
): ReadonlyArray<Replacement> => {
  const made: Array<Replacement> = []
  const sorted = [...findings].sort((a, b) => a.start - b.start || b.end - a.end)
  for (let i = 0; i < sorted.length; ) {
    const group: Array<Finding> = []
    let end = 0
    for (
      let next = sorted[i];
      next !== undefined && (group.length === 0 || next.start < end);
      next = sorted[++i]
    ) {
      group.push(next)
      end = Math.max(end, next.end)
    }
    const start = group[0]?.start ?? 0
    const own = group.map((finding) => shifted(finding, -start))
    made.push({ start: Math.max(start, from), end, text: hide(text.slice(start, end), own) })
  }
  return made
}

/** A part of `text` with what stands for findings in it. */
const replacedIn = (text: string, all: ReadonlyArray<Replacement>, from: number, to: number): string => {
  let out = ""
  let at = from
  for (const one of all) {
    out += text.slice(at, one.start) + one.text
    at = one.end
  }
  return out + text.slice(at, Math.max(at, to))
}

/** The part of a stream that has not left, with some context before it. */
class Held {
  /** With the last one a full collection drops their shape, and all that was compiled for it: one stays. */
  protected static readonly kept = new Held(
    () => clean,
    (text) => text,
    0,
    true
  )

  private text = ""
  /** How many characters of `text` have left or are swallowed. */
  private left = 0
  /** Where `text` would begin in the stream. */
  private origin = 0
  /** Whether a finding that is already replaced goes on at `left`. */
  private inside = false
  private readonly scan: Scan
  private readonly hide: Hide
  private readonly holdBack: number
  private readonly stop: boolean

  constructor(scan: Scan, hide: Hide, holdBack: number, stop: boolean) {
    this.scan = scan
    this.hide = hide
    this.holdBack = holdBack
    this.stop = stop
  }

  get waiting(): number {
    return this.text.length - this.left
  }

  /** How many characters of the stream have left or are swallowed. */
  get released(): number {
    return this.origin + this.left
  }

  /** Takes more, and lets go of what may go: all that is known to be clean, or all there is. */
  take(more: string, upTo: "border" | "flush" | "end"): StreamStep {
    this.text += more
    const { text, origin, released } = this
    const found = this.scan(text).findings
    const isOver = !this.inside || this.skip(found, upTo === "end")
    const swallowed = this.released === released ? none : [{ start: released, end: this.released, text: "" }]
    if (!isOver) return { ...nothing, replaced: swallowed }
    const open = found.filter(({ end }) => end > this.left)
    if (this.stop && open.some(({ action }) => action === "block"))
      return { ...ended, findings: open.map((finding) => shifted(finding, origin)) }
    const border = upTo === "border" ? this.border(open) : text.length
    const done = open.filter(({ start }) => start < border)
    const hidden = done.filter(({ action }) => action !== "warn")
    const replaced = replacements(text, hidden, this.left, this.hide)
    const emit = replacedIn(text, replaced, this.left, border)
    this.leave(border, upTo === "end" ? undefined : hidden.find(({ end }) => end === text.length))
    return {
      emit,
      replaced: [
        ...swallowed,
        ...replaced.map(({ start, end, text }) => ({ start: start + origin, end: end + origin, text }))
      ],
      findings: done.map((finding) => shifted(finding, origin)),
      blocked: false
    }
  }

  /** Passes over the rest of a finding that is replaced already; whether its end has come. */
  private skip(found: ReadonlyArray<Finding>, last: boolean): boolean {
    const rest = found.find(({ start, end }) => start < this.left && end > this.left)
    if (rest !== undefined && !last && rest.end === this.text.length) {
      this.leave(this.text.length, rest)
      return false
    }
    this.left = rest?.end ?? this.left
    this.inside = false
    return true
  }

  /** How far the text may leave: not the held-back end, and not half of a finding, unless that never ends. */
  private border(open: ReadonlyArray<Finding>): number {
    const { text, left } = this
    let upTo = Math.max(left, text.length - this.holdBack)
    if (upTo > left && (text.charCodeAt(upTo - 1) & 0xfc00) === 0xd800) upTo--
    for (const { start, end } of open) {
      if (start >= upTo || end <= upTo) continue
      if (end === text.length && end - start > Math.max(LONGEST, this.holdBack)) return text.length
      upTo = Math.max(left, start)
    }
    return upTo
  }

  /** Forgets what has left but for its last characters, or for both ends of a finding that goes on. */
  private leave(upTo: number, growing: Finding | undefined): void {
    const { text } = this
    this.inside = growing !== undefined && upTo === text.length
    const from = Math.max(0, upTo - CONTEXT)
    const head =
      this.inside && growing !== undefined
        ? text.slice(growing.start, Math.min(from, growing.start + CONTEXT))
        : ""
    this.text = head + text.slice(from)
    this.origin += from - head.length
    this.left = upTo - from + head.length
  }
}

/** Watches a stream with `scan`; `hide` replaces findings. */
export const stream = (scan: Scan, hide: Hide, options: StreamOptions = {}): DlpStream => {
  const holdBack = Math.max(0, options.holdBack ?? 4096)
  const stride = strideOf(holdBack)
  const held = new Held(scan, hide, holdBack, options.onBlock !== "redact")
  let fresh: Array<string> = []
  let length = 0
  let blocked = false
  const step = (upTo: "border" | "flush" | "end"): StreamStep => {
    const result = held.take(fresh.join(""), upTo)
    fresh = []
    length = 0
    blocked = result.blocked
    return result
  }
  return {
    push: (chunk) => {
      if (blocked) return ended
      fresh.push(chunk)
      length += chunk.length
      return length >= stride && held.waiting + length >= holdBack + stride ? step("border") : nothing
    },
    flush: () => (blocked ? ended : held.waiting + length === 0 ? nothing : step("flush")),
    end: () => (blocked ? ended : step("end")),
    released: () => held.released
  }
}
