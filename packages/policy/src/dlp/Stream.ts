/**
 * A text that arrives in chunks. The last characters are held back until what follows them is known, so a secret
 * that a border cuts in two is found before any of it has left.
 */
import type { Finding, ScanResult } from "./scan.ts"

/** How a stream is watched. */
export interface StreamOptions {
  /** Characters held back: the longest pattern. Default: 4096. */
  readonly holdBack?: number
  /** What a finding that blocks does: end the stream (the default) or be replaced like any other. */
  readonly onBlock?: "stop" | "redact"
}

/** What one chunk led to. */
export interface StreamStep {
  /** What may go on now, redacted; empty once blocked. */
  readonly emit: string
  /** What was decided with this step; offsets count from the beginning of the stream. */
  readonly findings: ReadonlyArray<Finding>
  /** Whether the stream has ended because of a finding. */
  readonly blocked: boolean
}

/** A stream under watch. */
export interface DlpStream {
  /** Takes the next chunk. */
  readonly push: (chunk: string) => StreamStep
  /** Takes the end: what was held back goes on, or is found. */
  readonly end: () => StreamStep
  /** How many characters of what was pushed have gone on, redacted or not. */
  readonly released: () => number
}

/** How much of what has left is kept to read what follows it in context. */
const CONTEXT = 256

/** How much more must arrive before the held text is read again: bounds the work of many small chunks. */
const STRIDE = 1024

/** How long a finding may grow while its end is awaited (a JSON web token); a longer one is a private key. */
const LONGEST = 16_384

const nothing: StreamStep = Object.freeze({ emit: "", findings: Object.freeze([]), blocked: false })
const ended: StreamStep = Object.freeze({ emit: "", findings: Object.freeze([]), blocked: true })

const shifted = (finding: Finding, by: number): Finding => ({
  ...finding,
  start: finding.start + by,
  end: finding.end + by
})

type Scan = (text: string) => ScanResult
type Hide = (text: string, findings: ReadonlyArray<Finding>) => string

/** The part of a stream that has not left, with some context before it. */
class Held {
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

  take(more: string, last: boolean): StreamStep {
    this.text += more
    const { text, origin } = this
    const found = this.scan(text).findings
    if (this.inside && !this.skip(found, last)) return nothing
    const open = found.filter(({ end }) => end > this.left)
    if (this.stop && open.some(({ action }) => action === "block")) {
      return { emit: "", findings: open.map((finding) => shifted(finding, origin)), blocked: true }
    }
    const upTo = last ? text.length : this.border(open)
    const done = open.filter(({ start }) => start < upTo)
    const hidden = done
      .filter(({ action }) => action !== "warn")
      .map((finding) => shifted(finding, -this.left))
    const emit = this.hide(text.slice(this.left, upTo), hidden)
    const growing = last ? undefined : done.find(({ end }) => end === text.length)
    this.leave(upTo, growing)
    return { emit, findings: done.map((finding) => shifted(finding, origin)), blocked: false }
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
  const held = new Held(scan, hide, holdBack, options.onBlock !== "redact")
  let fresh: Array<string> = []
  let length = 0
  let blocked = false
  const step = (last: boolean): StreamStep => {
    const result = held.take(fresh.join(""), last)
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
      return length >= STRIDE && held.waiting + length >= holdBack + STRIDE ? step(false) : nothing
    },
    end: () => (blocked ? ended : step(true)),
    released: () => held.released
  }
}
