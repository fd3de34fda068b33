/**
 * Private keys in PEM armour, whole or cut: the armour is recognized by its letters, the body by its randomness.
 */
import { GAP } from "./Join.ts"
import type { Report } from "./Report.ts"
import { classes, entropy, isPlaceholder, wordiness } from "./randomness.ts"
import type { View } from "./View.ts"

const isAlnum = (unit: number): boolean =>
  (unit >= 48 && unit <= 57) || (unit >= 65 && unit <= 90) || (unit >= 97 && unit <= 122)

const isBody = (unit: number): boolean => isAlnum(unit) || unit === 43 || unit === 47 || unit === 61

const ARMOUR = 120
const LETTERS = "PRIVATEKEY"
const LEAD = /(BEGIN|END)([A-Z0-9]{0,24})$/

/** Going back from `at`: where the letters of `PRIVATE KEY` begin, or -1. */
const wordsStart = (text: string, at: number): number => {
  let gap = 0
  let k = LETTERS.length - 1
  for (let i = at; i >= 0; i--) {
    const unit = text.charCodeAt(i)
    if (!isAlnum(unit)) {
      if (++gap > GAP) return -1
      continue
    }
    if (unit !== LETTERS.charCodeAt(k)) return -1
    gap = 0
    if (k-- === 0) return i
  }
  return -1
}

/** Whether `body` is that of a key and no dots, words or placeholder. */
const isKey = (body: string, least: number): boolean =>
  body.length >= least &&
  classes(body) >= 2 &&
  entropy(body) > 3.2 &&
  wordiness(body) < 0.6 &&
  !isPlaceholder(body)

const HEADER = /\s*(?:[A-Z][A-Za-z-]{2,20}: ?[^\n\\]{0,200}(?:\r?\n|\\r?\\?n|\\n))/y
const END = /END[^\n]{0,60}?K[^\n]{0,16}?E[^\n]{0,16}?Y(?:[ _]?BLOCK)?[ \t]{0,2}[-\u2010-\u2015\u2212]{0,5}/y
const DASHES = /[-\u2010-\u2015\u2212_=~]{3}|(?:[-\u2010-\u2015\u2212][^A-Za-z0-9]{1,3}){3}/

interface Body {
  readonly text: string
  readonly end: number
}

const KEPT = 400

/** The base64 pieces from `from` on, up to a closing armour, words, or too wide a gap. */
const bodyFrom = (text: string, from: number): Body => {
  let body = ""
  let end = from
  let i = from
  while (i < text.length) {
    const gapFrom = i
    while (i < text.length && !isBody(text.charCodeAt(i)) && i - gapFrom <= GAP) i++
    const gap = text.slice(gapFrom, i)
    if (i - gapFrom > GAP || i >= text.length) break
    if (DASHES.test(gap)) {
      END.lastIndex = i
      if (END.test(text)) end = END.lastIndex
      break
    }
    const pieceFrom = i
    while (i < text.length && isBody(text.charCodeAt(i))) i++
    const piece = text.slice(pieceFrom, Math.min(i, pieceFrom + KEPT))
    if (
      /\s/.test(gap) &&
      piece.length > 1 &&
      piece.length < 20 &&
      wordiness(piece) > 0.9 &&
      !/^\d+$/.test(piece)
    )
      break
    if (body.length < KEPT) body += piece
    end = i
  }
  return { text: body, end }
}

/** The base64 pieces that end at `to`, with line breaks, spaces or the quotes of a concatenation between them. */
const bodyBefore = (text: string, to: number): { readonly text: string; readonly start: number } => {
  const floor = Math.max(0, to - 8192)
  let start = to
  let pieces = 0
  let at = to
  for (;;) {
    let end = at
    while (end > floor && at - end <= GAP && !isBody(text.charCodeAt(end - 1))) end--
    if (text.charCodeAt(end - 2) === 92) end -= 2
    if (text.charCodeAt(end - 2) === 92) end -= 2
    let from = end
    while (from > floor && isBody(text.charCodeAt(from - 1))) from--
    if (end - from < (pieces++ === 0 ? 2 : 16) || text.slice(end, at).includes("-")) break
    start = from
    at = from
  }
  const body = text.slice(Math.max(start, to - 2 * KEPT), to).replace(/\\[rn]|[^A-Za-z0-9+/]/g, "")
  return { text: body.slice(-KEPT), start }
}

/** Where an armour that has its letters before `at` begins, dashes included. */
const armourStart = (text: string, at: number, letters: number): number => {
  let i = at
  for (let left = letters; i > 0 && left > 0; i--) if (isAlnum(text.charCodeAt(i - 1))) left--
  const floor = Math.max(0, i - GAP)
  while (i > floor && !isAlnum(text.charCodeAt(i - 1)) && !/["'`\n]/.test(text.charAt(i - 1))) i--
  while (/[\s(:]/.test(text.charAt(i))) i++
  return i
}

const PUTTY = /-User-Key-File-\d:/y
const PUTTY_BODY = /Private-Lines:\s?\d{1,3}/
const JWK = /(?<![A-Za-z0-9])\\?["'](?:d|k)\\?["']\s?:\s?\\?["']([\w-]{22,1400})/
/** How far the lines of a key reach. */
const FILE = 4096

/** The file of a private key of PuTTY; `at` is where its name ends. */
export const readPutty = (view: View, report: Report, at: number): void => {
  const { text } = view
  PUTTY.lastIndex = at + 1
  if (at < report.commandsFrom || !PUTTY.test(text)) return
  report.commandsFrom = at + FILE / 8
  const lines = PUTTY_BODY.exec(text.slice(at, at + FILE))
  if (lines === null) return
  const body = bodyFrom(text, at + lines.index + lines[0].length)
  if (isKey(body.text, 24)) report.add(view, "private-key", at - 4, body.end, body.text)
}

/** A JSON web key with its private part; `at` is where `kty` ends. */
export const readJwk = (view: View, report: Report, at: number): void => {
  const { text } = view
  if (at < report.commandsFrom) return
  report.commandsFrom = at + FILE / 8
  const from = Math.max(0, at - FILE / 2)
  const match = JWK.exec(text.slice(from, at + FILE))
  const body = match?.[1] ?? ""
  if (match === null || !isKey(body, 22)) return
  const end = from + match.index + match[0].length
  report.add(view, "private-key", end - body.length, end, body)
}

/** Looks at a `KEY` whose last letter stands at `at`. */
export const readPem = (view: View, report: Report, at: number): void => {
  const { text } = view
  const words = wordsStart(text, at)
  if (words < 0) return
  const lead = LEAD.exec(text.slice(Math.max(0, words - ARMOUR), words).replace(/[^A-Za-z0-9]/g, ""))
  const begins = lead?.[1] === "BEGIN"
  if (lead?.[1] === "END") {
    const start = armourStart(text, words, lead[0].length)
    const body = bodyBefore(text, start)
    if (start - body.start > 32 && isKey(body.text, 32))
      report.add(view, "private-key", body.start, at + 1, body.text)
    return
  }
  let from = at + 1
  const after = /^\W{0,8}BLOCK/.exec(text.slice(from, from + 16))
  if (after !== null) from += after[0].length
  const dashes = text.slice(from, from + GAP)
  if (!begins && !DASHES.test(dashes)) return
  while (
    from < at + 3 * GAP &&
    from < text.length &&
    !isBody(text.charCodeAt(from)) &&
    text.charCodeAt(from) !== 10 &&
    text.charCodeAt(from) !== 92
  )
    from++
  for (let k = 0; k < 6; k++) {
    HEADER.lastIndex = from
    if (!HEADER.test(text)) break
    from = HEADER.lastIndex
  }
  const body = bodyFrom(text, from)
  if (!isKey(body.text, 24)) return
  report.add(
    view,
    "private-key",
    lead === null ? words : armourStart(text, words, lead[0].length),
    body.end,
    body.text
  )
}
