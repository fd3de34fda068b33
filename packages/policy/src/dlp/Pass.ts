/**
 * The one pass over a view: looks at every character once, calls a detector only where its evidence stands, and
 * notes which further views are worth a look.
 */
import { nameEndings, readAssignment } from "./assignments.ts"
import { commandStarts, readCommand, readRun, readTelegram, readWeb } from "./credentials.ts"
import { hexByte, isEscape, probePairs, probeRun, type Runs } from "./Decode.ts"
import { readDigits } from "./digits.ts"
import { readEmail, readSpelled } from "./emails.ts"
import { GAP, lettersAt } from "./Join.ts"
import { readAzureSecret, readKey } from "./keys.ts"
import { readJwk, readPem, readPutty } from "./pem.ts"
import type { Report } from "./Report.ts"
import { isConcat, isInnerComment } from "./Strip.ts"
import { type Token, tokens } from "./tokens.ts"
import { readBrokenUri, readOracle, readUri, schemeLetters } from "./uris.ts"
import type { View } from "./View.ts"

/** What a pass found out about the disguises in a view. */
export interface Needs {
  /** There are characters that may look like others. */
  fold: boolean
  /** There is mark-up inside words. */
  strip: boolean
  /** There are escapes. */
  escapes: boolean
  /** Encoded runs. */
  readonly runs: Runs
}

/** Lower case of a letter or digit, 0 for anything else. */
const LOWER = new Uint8Array(128)
for (let i = 48; i < 58; i++) LOWER[i] = i
for (let i = 97; i < 123; i++) LOWER[i] = LOWER[i - 32] = i

/** How characters other than letters and digits are treated; 0: they only end a word. */
const MARK = new Uint8Array(128)
const IN_RUN = 1
const SIGN = 2
for (const character of "+/-") MARK[character.charCodeAt(0)] = IN_RUN
for (const character of "_@~%\\&<([{:*\u001b\"'`") MARK[character.charCodeAt(0)] = SIGN

const gramOf = (letters: string): number =>
  (letters.charCodeAt(0) << 16) | (letters.charCodeAt(1) << 8) | letters.charCodeAt(2)

const HASH = 0x9e3779b1
const slotOf = (gram: number): number => Math.imul(gram, HASH) >>> 18

interface Start {
  readonly tokens: Array<Token>
  readonly schemes: Array<string>
  pem: boolean
  dot: boolean
  /** The letters of a command or another word, read as they stand. */
  word: string
}

const starts = new Map<number, Start>()
const SLOTS = new Uint8Array(16384)
const STARTS = 1
const NAMES = 2

const startAt = (letters: string): Start => {
  const gram = gramOf(letters)
  const found = starts.get(gram) ?? { tokens: [], schemes: [], pem: false, dot: false, word: "" }
  starts.set(gram, found)
  SLOTS[slotOf(gram)] = (SLOTS[slotOf(gram)] ?? 0) | STARTS
  return found
}

for (const token of tokens) {
  if (token.letters.length > 2) startAt(token.letters.slice(0, 3)).tokens.push(token)
  else
    for (const third of "abcdefghijklmnopqrstuvwxyz0123456789")
      startAt(token.letters + third).tokens.push(token)
}
for (const scheme of schemeLetters) startAt(scheme.slice(0, 3)).schemes.push(scheme)
startAt("key").pem = true
startAt("dot").dot = true
for (const word of [...commandStarts, "jdb", "tty", "kty"]) startAt(word).word = word
const names = new Set(nameEndings.map(gramOf))
for (const gram of names) SLOTS[slotOf(gram)] = (SLOTS[slotOf(gram)] ?? 0) | NAMES

/** Punctuation that no disguise is made of. */
const isPlainSign = (unit: number): boolean =>
  (unit >= 0x2018 && unit <= 0x201f) ||
  (unit >= 0x2190 && unit <= 0x21ff) ||
  (unit >= 0x2500 && unit <= 0x25ff) ||
  unit === 0x2026 ||
  unit === 0x2022 ||
  unit === 0xa0 ||
  unit === 0xb7 ||
  unit === 0xa9 ||
  unit === 0xae ||
  unit === 0xb0 ||
  unit === 0xab ||
  unit === 0xbb ||
  unit === 0x20ac ||
  unit === 0x2122 ||
  unit === 0xa7 ||
  unit === 0x2713 ||
  unit === 0x2714 ||
  unit === 0xfe0f

const isLower = (unit: number): boolean => unit >= 97 && unit <= 122

/** Whether the character at `at`, which is not ASCII, may be part of a disguise. */
const isSuspicious = (text: string, at: number, unit: number): boolean => {
  if (isPlainSign(unit)) return false
  if (unit >= 0x2010 && unit <= 0x2015) {
    const ahead = text.charCodeAt(at - 1)
    const behind = text.charCodeAt(at + 1)
    if (!(ahead > 32) || !(behind > 32)) return false
    return !(isLower(ahead) && isLower(behind)) || text.slice(Math.max(0, at - 40), at).includes("@")
  }
  if (unit === 0xd83e) return text.charCodeAt(at + 1) >= 0xdff0
  if (unit === 0xd83d) return false
  return !(unit >= 0xdc00 && unit <= 0xdfff)
}

/** Whether a sign behind a closing quote may join it to another string. */
const isJoint = (unit: number): boolean =>
  unit <= 32 ||
  unit === 43 ||
  unit === 46 ||
  unit === 38 ||
  unit === 124 ||
  unit === 92 ||
  unit === 126 ||
  unit === 60

const isDigit = (unit: number): boolean => unit >= 48 && unit <= 57

/** Whether the tag that opens at `at` stands inside a word, or behind a digit and a space. */
const isInnerTag = (text: string, at: number): boolean => {
  if (at === 0) return false
  if (text.charCodeAt(at - 1) <= 32 && !(text.charCodeAt(at - 1) === 32 && isDigit(text.charCodeAt(at - 2))))
    return false
  let i = at
  for (let k = 0; k < 6 && text.charCodeAt(i) === 60; k++) {
    const close = text.slice(i + 1, i + 122).indexOf(">")
    if (close < 0) return false
    i += close + 2
  }
  const behind = text.charCodeAt(i)
  return (
    (behind < 128 && LOWER[behind] !== 0) || (behind >= 43 && behind <= 58) || behind === 95 || behind === 64
  )
}

const RUN_MIN = 14
const PAIRS_MIN = 9
const DIGITS_MIN = 9
/** A table of numbers is read in parts, so that its memory is bounded; a part begins with the end of the one before. */
const DIGITS_MAX = 512
const DIGITS_MARK = 472

/** One pass; `report` takes what it finds. */
export const pass = (view: View, report: Report): Needs => {
  const { text } = view
  const { length } = text
  const needs: Needs = { fold: false, strip: false, escapes: false, runs: [] }
  let gram = 0
  let digitsFrom = 0
  let digitsLast = -1
  let digits = 0
  let digitsMark = 0
  let runFrom = 0
  let pairsFrom = 0
  let pairs = 0
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i)
    const letter = unit < 128 ? (LOWER[unit] as number) : 0
    if (letter !== 0) {
      gram = ((gram << 8) | letter) & 0xffffff
      if (letter < 58) {
        if (digits === 0 || i - digitsLast > GAP) {
          if (digits >= DIGITS_MIN) readDigits(view, report, digitsFrom, digitsLast + 1)
          digitsFrom = i
          digits = 0
        }
        digitsLast = i
        if (++digits === DIGITS_MARK) digitsMark = i
        else if (digits === DIGITS_MAX) {
          readDigits(view, report, digitsFrom, i + 1)
          digitsFrom = digitsMark
          digits = DIGITS_MAX - DIGITS_MARK
        }
      } else if (digits !== 0) {
        if (digits >= DIGITS_MIN) readDigits(view, report, digitsFrom, digitsLast + 1)
        digits = 0
      }
      if (((SLOTS[Math.imul(gram, HASH) >>> 18] as number) & STARTS) !== 0) atStart(view, report, gram, i)
      continue
    }
    if (((SLOTS[Math.imul(gram, HASH) >>> 18] as number) & NAMES) !== 0 && names.has(gram)) {
      if (i > 0 && (LOWER[text.charCodeAt(i - 1)] ?? 0) !== 0) readAssignment(view, report, i)
    }
    const mark = unit < 128 ? (MARK[unit] as number) : 0
    if (mark === IN_RUN) continue
    if (mark !== 0) {
      atMark(view, report, needs, unit, i)
      if (unit === 95) continue
    } else if (unit >= 128 && !needs.fold) needs.fold = isSuspicious(text, i, unit)
    const run = i - runFrom
    if (run >= RUN_MIN) {
      if (run > 22) readRun(view, report, runFrom, i)
      probeRun(text, runFrom, i, needs.runs)
    }
    if (run === 2 || run === 4) {
      if (hexByte(text, i - 2) >= 0 && (run === 2 || (text.charCodeAt(i - 3) | 32) === 120)) {
        if (pairs++ === 0) pairsFrom = runFrom
        runFrom = i + 1
        if (unit <= 32 || unit === 44 || unit === 58 || unit === 59 || unit === 46) continue
        if (pairs >= PAIRS_MIN) probePairs(text, pairsFrom, needs.runs)
        pairs = 0
        continue
      }
    }
    if (run > 0) {
      if (pairs >= PAIRS_MIN) probePairs(text, pairsFrom, needs.runs)
      pairs = 0
    }
    runFrom = i + 1
  }
  if (digits >= DIGITS_MIN) readDigits(view, report, digitsFrom, digitsLast + 1)
  if (length - runFrom >= RUN_MIN) {
    readRun(view, report, runFrom, length)
    probeRun(text, runFrom, length, needs.runs)
  }
  if (length - runFrom === 2) pairs++
  if (pairs >= PAIRS_MIN) probePairs(text, pairsFrom, needs.runs)
  return needs
}

/** Three letters that begin something have been read; the last stands at `at`. */
const atStart = (view: View, report: Report, gram: number, at: number): void => {
  const start = starts.get(gram)
  if (start === undefined) return
  const { text } = view
  if (start.pem && text.charCodeAt(at) === 89) readPem(view, report, at)
  if (start.dot && text.charCodeAt(at + 1) <= 32 && text.charCodeAt(at - 3) <= 32) atDot(view, report, at - 3)
  if (start.word !== "") atWord(view, report, start.word, at)
  if (start.tokens.length === 0 && start.schemes.length === 0) return
  let from = at
  for (let left = 2; left > 0 && from > 0 && at - from <= 2 * GAP; ) {
    from--
    const unit = text.charCodeAt(from)
    if (unit < 128 && LOWER[unit] !== 0) left--
  }
  if (start.tokens.length > 0) readKey(view, report, start.tokens, from)
  for (const scheme of start.schemes) {
    const end = lettersAt(text, from, scheme)
    if (end < 0 || (end - from === scheme.length && text.startsWith("://", end))) continue
    if (
      text.slice(end, end + 48).includes(":") &&
      (from === 0 || LOWER[text.charCodeAt(from - 1) & 127] === 0)
    ) {
      readBrokenUri(view, report, from)
    }
  }
}

const atWord = (view: View, report: Report, word: string, at: number): void => {
  if (word === "tty") readPutty(view, report, at)
  else if (word === "kty") readJwk(view, report, at)
  else if (word === "jdb") readOracle(view, report, at - 2)
  else readCommand(view, report, word, at - 2)
}

/** A spelled-out or bracketed dot begins at `at`: is there an `at` before it? */
const atDot = (view: View, report: Report, at: number): void => {
  const from = Math.max(0, at - 80)
  const found = view.text.slice(from, at).toLowerCase().lastIndexOf(" at ")
  if (found >= 0) readSpelled(view, report, from + found)
}

/** A sign that may mean something stands at `at`. */
const atMark = (view: View, report: Report, needs: Needs, unit: number, at: number): void => {
  const { text } = view
  switch (unit) {
    case 64:
      if (text.charCodeAt(at + 1) === 32 && text.charCodeAt(at - 1) === 32) readSpelled(view, report, at)
      readEmail(view, report, at)
      return
    case 58:
      if (text.charCodeAt(at + 1) === 65) readTelegram(view, report, at)
      else if (text.charCodeAt(at + 1) === 47 && text.charCodeAt(at + 2) === 47) {
        readUri(view, report, at)
        readWeb(view, report, at)
      }
      return
    case 37:
    case 38:
    case 92:
      needs.escapes ||= isEscape(text, at)
      return
    case 126:
      readAzureSecret(view, report, at)
      return
    case 95:
      if (text.startsWith("at_", at + 1)) readSpelled(view, report, at)
      return
    case 27:
      needs.strip = true
      return
    case 34:
    case 39:
    case 96:
      if (!needs.strip && isJoint(text.charCodeAt(at + 1))) needs.strip = isConcat(text, at)
      return
    case 42:
      if (!needs.strip && text.charCodeAt(at - 1) === 47) needs.strip = isInnerComment(text, at - 1)
      return
    case 60:
      needs.strip ||= isInnerTag(text, at)
      atBracket(view, report, at)
      return
    default:
      atBracket(view, report, at)
  }
}

const atBracket = (view: View, report: Report, at: number): void => {
  const { text } = view
  const next = text.charCodeAt(at + 1) === 32 ? at + 2 : at + 1
  const unit = text.charCodeAt(next)
  if (unit === 64 || (unit | 32) === 97 || unit === 228) readSpelled(view, report, at)
  else if (unit === 46 || (unit | 32) === 100) atDot(view, report, at)
}
