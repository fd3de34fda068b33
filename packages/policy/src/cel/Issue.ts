/**
 * What is wrong with an expression, and where.
 *
 * An `Issue` is found when an expression is created (syntax, types, limits); a `Fault` is what an evaluation
 * ends in instead of a value (a missing field, a division by zero). Both are plain values: neither carries a
 * stack, and neither repeats the data it met, so a message can be logged.
 */

/** A fault's kind, stable for programs; the message is for people. */
export type FaultCode =
  | "no_such_field"
  | "no_such_key"
  | "no_such_overload"
  | "no_such_variable"
  | "divide_by_zero"
  | "overflow"
  | "invalid_argument"
  | "index_out_of_range"
  | "wrong_type"
  | "not_a_boolean"
  | "budget_exceeded"

/** An evaluation that ended without a value. */
export class Fault {
  readonly code: FaultCode
  readonly message: string
  /** Offset into the source in UTF-16 units; −1 when no place is known. */
  pos: number
  constructor(code: FaultCode, message: string, pos = -1) {
    this.code = code
    this.message = message
    this.pos = pos
  }
}

/** Builds a fault. */
export const fault = (code: FaultCode, message: string, pos = -1): Fault => new Fault(code, message, pos)

/** Thrown when an evaluation has used its operations; no `||` absorbs it. Never leaves the engine. */
export class OutOfBudget {
  readonly _tag = "OutOfBudget"
}

/** What a creation refuses. */
export interface Issue {
  readonly code: "syntax" | "limit" | "undeclared" | "type" | "regex" | "engine"
  /** What is wrong and what to do, lower case, without the place. */
  readonly message: string
  /** From 1. */
  readonly line: number
  /** From 1, in UTF-16 units. */
  readonly column: number
  /** The source line with a caret below the place. */
  readonly excerpt: string
}

/** Thrown inside the parser only. */
export class SyntaxFault {
  readonly code: Issue["code"]
  readonly message: string
  readonly pos: number
  constructor(code: Issue["code"], message: string, pos: number) {
    this.code = code
    this.message = message
    this.pos = pos
  }
}

/** Line and column, both from 1, of an offset. */
export const place = (source: string, pos: number): { readonly line: number; readonly column: number } => {
  let line = 1
  let start = 0
  const end = Math.max(0, Math.min(pos, source.length))
  for (let i = 0; i < end; i++) {
    if (source.charCodeAt(i) === 10) {
      line++
      start = i + 1
    }
  }
  return { line, column: end - start + 1 }
}

const MAX_EXCERPT = 120

/** The line around an offset with a caret below it; a long line is cut around the place. */
export const excerpt = (source: string, pos: number): string => {
  const at = Math.max(0, Math.min(pos, source.length))
  let start = source.lastIndexOf("\n", at - 1) + 1
  let end = source.indexOf("\n", at)
  if (end < 0) end = source.length
  if (end - start > MAX_EXCERPT) {
    start = Math.max(start, at - MAX_EXCERPT / 2)
    end = Math.min(end, start + MAX_EXCERPT)
  }
  return `${source.slice(start, end).replace(/[\t\r]/g, " ")}\n${" ".repeat(at - start)}^`
}

/** An issue at an offset of a source. */
export const issueAt = (source: string, code: Issue["code"], message: string, pos: number): Issue => ({
  code,
  message,
  ...place(source, pos),
  excerpt: excerpt(source, pos)
})

/** `line:column: message` and the excerpt below it. */
export const formatIssue = (issue: Issue): string =>
  `${issue.line}:${issue.column}: ${issue.message}\n${issue.excerpt}`

/** The candidate nearest to a name by edits, when it is near enough to be meant. */
export const nearest = (name: string, candidates: Iterable<string>): string | undefined => {
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate, bestDistance)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

const editDistance = (a: string, b: string, limit: number): number => {
  if (Math.abs(a.length - b.length) >= limit || a.length > 64) return limit
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + same))
    }
    row = next
  }
  return row[b.length] ?? limit
}
