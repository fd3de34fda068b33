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
}

/** How much of what has left is kept to read what follows it in context. */
const CONTEXT = 256

/** How much more must arrive before the held text is read again: bounds the work of many small chunks. */
const STRIDE = 1024

const nothing: StreamStep = Object.freeze({ emit: "", findings: Object.freeze([]), blocked: false })
const ended: StreamStep = Object.freeze({ emit: "", findings: Object.freeze([]), blocked: true })

const shifted = (finding: Finding, by: number): Finding => ({
  ...finding,
  start: finding.start + by,
  end: finding.end + by
})

/** Watches a stream with `scan`; `hide` replaces findings. */
export const stream = (
  scan: (text: string) => ScanResult,
  hide: (text: string, findings: ReadonlyArray<Finding>) => string,
  options: StreamOptions = {}
): DlpStream => {
  const holdBack = Math.max(0, options.holdBack ?? 4096)
  const stop = options.onBlock !== "redact"
  let held = ""
  let fresh: Array<string> = []
  let freshLength = 0
  /** How many of `held` have left already. */
  let left = 0
  /** Where `held` begins in the stream. */
  let origin = 0
  let blocked = false

  const step = (last: boolean): StreamStep => {
    if (fresh.length > 0) held += fresh.join("")
    fresh = []
    freshLength = 0
    const result = scan(held)
    const open = result.findings.filter(({ end }) => end > left)
    if (stop && open.some(({ action }) => action === "block")) {
      blocked = true
      held = ""
      return { emit: "", findings: open.map((finding) => shifted(finding, origin)), blocked }
    }
    let upTo = last ? held.length : Math.max(left, held.length - holdBack)
    if (!last && upTo > left && (held.charCodeAt(upTo - 1) & 0xfc00) === 0xd800) upTo--
    for (const { start, end } of open) if (start < upTo && end > upTo && !last) upTo = Math.max(left, start)
    const done = open.filter(({ end }) => end <= upTo)
    const emit = hide(
      held.slice(left, upTo),
      done
        .filter(({ action }) => action !== "warn")
        .map((finding) => {
          const { start, end } = shifted(finding, -left)
          return { ...finding, start: Math.max(0, start), end }
        })
    )
    const findings = done.map((finding) => shifted(finding, origin))
    const from = Math.max(0, upTo - CONTEXT)
    held = held.slice(from)
    origin += from
    left = upTo - from
    return { emit, findings, blocked: false }
  }

  return {
    push: (chunk) => {
      if (blocked) return ended
      fresh.push(chunk)
      freshLength += chunk.length
      return held.length - left + freshLength >= holdBack + STRIDE ? step(false) : nothing
    },
    end: () => (blocked ? ended : step(true))
  }
}
