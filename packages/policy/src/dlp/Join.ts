/**
 * What a value says without what was put between its characters: separators, mark-up, line breaks, the quotes and
 * operators of a concatenation.
 */

import { wordiness } from "./randomness.ts"

/** A value read through what stands between its characters. */
export interface Joined {
  readonly text: string
  /** Where its last character ends in the text that it was read from. */
  readonly end: number
  /** How many pieces it came in. */
  readonly pieces: number
  /** Where in `text` a new piece begins. */
  readonly cuts: ReadonlyArray<number>
}

const isAlnum = (unit: number): boolean =>
  (unit >= 48 && unit <= 57) || (unit >= 65 && unit <= 90) || (unit >= 97 && unit <= 122)

const isQuote = (unit: number): boolean => unit === 34 || unit === 39 || unit === 96

/** The most that may stand between two characters of one value. */
export const GAP = 16

const BREAK = /(?:[ \t]*\\?(?:\r?\n|\r)[ \t]*(?:[>*#|][ \t]?|(?:\/\/|--)[ \t])*|\\\r?\\?n[ \t]*)+/y
const CONCAT =
  /\\?["'`]\)?(?:[^A-Za-z0-9"'`]{0,32}|[ \t]*;?\s{0,40}[\w.$]{1,40}[ \t]*\+=[ \t]*\(?)(?:[bBrRfFuUL]?|\/\*[^*]{0,40}\*\/[ \t]*)\\?["'`]/y
const MARKUP =
  /<[/!a-zA-Z][^<>]{0,120}>|\p{Cc}\[[0-9;]{0,12}[A-Za-z]|[*`]{1,3}|~~|\$\{\s*["'`]|["'`]\s*\}|\{\{|\}\}|\\-/uy

const tryAt = (pattern: RegExp, text: string, at: number): number => {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : at
}

/** The end of what may stand between two characters of a value; `at` if the value itself goes on. */
const glue = (text: string, at: number): number => {
  switch (text.charCodeAt(at)) {
    case 9:
    case 10:
    case 13:
    case 32:
      return tryAt(BREAK, text, at)
    case 92: {
      const end = tryAt(BREAK, text, at)
      return end > at ? end : tryAt(CONCAT, text, at)
    }
    case 34:
    case 39:
    case 96: {
      const end = tryAt(CONCAT, text, at)
      return end > at ? end : tryAt(MARKUP, text, at)
    }
    case 27:
    case 36:
    case 42:
    case 60:
    case 123:
    case 125:
    case 126:
      return tryAt(MARKUP, text, at)
    default:
      return at
  }
}

/** Whether a value's character may stand here: anything visible that neither quotes nor ends a sentence's clause. */
const isOwn = (unit: number): boolean =>
  unit > 32 && !isQuote(unit) && unit !== 60 && unit !== 62 && unit !== 44 && unit !== 59

/**
 * Drops line breaks, concatenation and mark-up from `at` on; ends at a space, a quote, a bracket, or where the unit
 * `once` comes again.
 */
export const withoutGlue = (text: string, at: number, limit: number, once = -1): Joined => {
  const cuts: Array<number> = []
  let out = ""
  let i = at
  let end = at
  let met = false
  while (out.length < limit && i < text.length) {
    const next = glue(text, i)
    if (next > i) {
      i = next
      cuts.push(out.length)
      continue
    }
    const unit = text.charCodeAt(i)
    if (!isOwn(unit) || (met && unit === once)) break
    met ||= unit === once
    out += text.charAt(i++)
    end = i
  }
  return { text: out, end, pieces: cuts.length + 1, cuts }
}

const NO_CUTS: ReadonlyArray<number> = []

/** What stands between the character at `at` and the next letter or digit. */
export const separatorAt = (text: string, at: number): string => {
  let first = at + 1
  while (first < at + GAP && first < text.length && !isAlnum(text.charCodeAt(first))) first++
  return text.slice(at + 1, first)
}

/**
 * Reads one character of the value, then a `separator`, and so on; by default that between the first two letters.
 * Ends where the unit `once` comes again.
 */
export const withoutSeparator = (
  text: string,
  at: number,
  limit: number,
  separator: string = separatorAt(text, at),
  once = -1
): Joined => {
  if (separator === "") return { text: "", end: at, pieces: 1, cuts: NO_CUTS }
  let out = ""
  let i = at
  let end = at
  let met = false
  while (out.length < limit && i < text.length) {
    const unit = text.charCodeAt(i)
    if (met && unit === once) break
    met ||= unit === once
    out += text.charAt(i++)
    end = i
    if (!text.startsWith(separator, i)) break
    i += separator.length
  }
  return { text: out, end, pieces: out.length, cuts: NO_CUTS }
}

const isSpace = (unit: number): boolean => unit === 32 || unit === 9 || unit === 10 || unit === 13

/** Drops white space from `at` on, if it cuts the value into pieces of one length. */
export const withoutSpaces = (text: string, at: number, limit: number): Joined => {
  const cuts: Array<number> = []
  const lengths: Array<number> = []
  let out = ""
  let i = at
  let end = at
  while (out.length < limit && i < text.length && isOwn(text.charCodeAt(i))) {
    const from = i
    while (i < text.length && out.length + i - from < limit && isOwn(text.charCodeAt(i))) i++
    if (lengths.length > 1 && i - from > (lengths[1] ?? 0)) break
    lengths.push(i - from)
    out += text.slice(from, i)
    end = i
    cuts.push(out.length)
    if (lengths.length > 2 && i - from < (lengths[1] ?? 0)) break
    const gap = i
    while (isSpace(text.charCodeAt(i)) && i - gap < 4) i++
  }
  return { text: out, end, pieces: isRegular(lengths.slice(1)) ? lengths.length : 1, cuts }
}

/** Letters and digits only, in pieces. */
export interface Squeezed extends Joined {
  /** The lengths of the pieces. */
  readonly lengths: ReadonlyArray<number>
  /** How much of it stands in pieces of three and more that read as words, 0–1. */
  readonly words: number
  /** The widest gap. */
  readonly widest: number
}

/** Keeps letters and digits from `at` on, whatever stands between them, up to `limit` of them. */
export const squeeze = (text: string, at: number, limit: number): Squeezed => {
  const lengths: Array<number> = []
  let out = ""
  let words = 0
  let from = at
  let gap = 0
  let widest = 0
  let i = at
  let end = at
  const close = (to: number) => {
    if (to > from) {
      lengths.push(to - from)
      if (to - from >= 3) words += (to - from) * wordiness(text.slice(from, to))
    }
  }
  for (; i < text.length && out.length < limit && gap <= GAP; i++) {
    if (isAlnum(text.charCodeAt(i))) {
      if (gap > 0) from = i
      widest = Math.max(widest, gap)
      out += text.charAt(i)
      end = i + 1
      gap = 0
    } else if (gap++ === 0) close(i)
  }
  if (gap === 0) close(i)
  return {
    text: out,
    end,
    pieces: lengths.length,
    cuts: NO_CUTS,
    lengths,
    widest,
    words: out === "" ? 1 : words / out.length
  }
}

/** Whether the pieces are cut to one length, as no sentence is. */
export const isRegular = (lengths: ReadonlyArray<number>): boolean => {
  const [first = 0] = lengths
  if (lengths.length < 4) return false
  for (let i = 1; i < lengths.length - 1; i++) if (lengths[i] !== first) return false
  return true
}

/** Whether `letters` (lower case) stand at `at`, with or without something between them; the position behind, or -1. */
export const lettersAt = (text: string, at: number, letters: string): number => {
  let i = at
  let gap = 0
  for (let k = 0; k < letters.length; ) {
    if (i >= text.length) return -1
    const unit = text.charCodeAt(i)
    if (!isAlnum(unit)) {
      if (++gap > GAP) return -1
    } else {
      if ((unit >= 65 ? unit | 32 : unit) !== letters.charCodeAt(k)) return -1
      k++
      gap = 0
    }
    i++
  }
  return i
}
