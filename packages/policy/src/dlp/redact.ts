/**
 * Puts a placeholder where a finding stands.
 */
import type { Kind } from "./kinds.ts"
import type { Finding } from "./scan.ts"

/** A passage to replace, in UTF-16 code units. */
export interface Passage {
  readonly kind: Kind
  readonly start: number
  readonly end: number
  readonly hash?: string
}

/** The length of a value, rounded up to a power of two from 8: the exact length stays hidden. */
const lengthClass = (length: number): number => {
  let size = 8
  while (size < length) size *= 2
  return size
}

/** What stands for a value: `[email:16]` (its length class) or `[email:1a2b3c4d]` (its keyed hash). */
const placeholder = (passage: Passage, text: string, keyedHash?: (value: string) => string): string => {
  const { kind, start, end } = passage
  const hash = passage.hash ?? keyedHash?.(text.slice(start, end))
  return `[${kind}:${hash === undefined ? lengthClass(end - start) : hash.slice(0, 8)}]`
}

/** `text` with every passage replaced; passages that overlap are replaced as one, named after the first. */
export const redact = (
  text: string,
  passages: ReadonlyArray<Passage>,
  keyedHash?: (value: string) => string
): string => {
  if (passages.length === 0) return text
  const sorted = [...passages].sort((a, b) => a.start - b.start || b.end - a.end)
  let out = ""
  let at = 0
  for (let i = 0; i < sorted.length; ) {
    const first = sorted[i++]
    if (first === undefined) break
    let end = Math.min(first.end, text.length)
    for (let next = sorted[i]; next !== undefined && next.start < end; next = sorted[++i])
      end = Math.max(end, next.end)
    if (first.start < at) continue
    const whole = end === first.end ? first : { kind: first.kind, start: first.start, end }
    out += text.slice(at, first.start) + placeholder(whole, text, keyedHash)
    at = end
  }
  return out + text.slice(at)
}

/** Rounds of scanning and replacing after which a text is given up as it is. */
const ROUNDS = 4

/** `text` with everything replaced that `scan` finds and does not only warn of, until nothing is left. */
export const redactAll = (
  text: string,
  scan: (text: string) => { readonly findings: ReadonlyArray<Finding> },
  hide: (text: string, findings: ReadonlyArray<Finding>) => string
): string => {
  let safe = text
  for (let round = 0; round < ROUNDS; round++) {
    const findings = scan(safe).findings.filter(({ action }) => action !== "warn")
    if (findings.length === 0) break
    safe = hide(safe, findings)
  }
  return safe
}
