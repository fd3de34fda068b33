/**
 * Provider keys where a prefix begins, plain or with something between their characters.
 */
import {
  isRegular,
  lettersAt,
  type Squeezed,
  squeeze,
  withoutGlue,
  withoutSeparator,
  withoutSpaces
} from "./Join.ts"
import type { Report } from "./Report.ts"
import { classes, isKeyBody, isPlaceholder, wordiness } from "./randomness.ts"
import { hasChecksum, type Token } from "./tokens.ts"
import type { View } from "./View.ts"

const isAlnum = (unit: number): boolean =>
  (unit >= 48 && unit <= 57) || (unit >= 65 && unit <= 90) || (unit >= 97 && unit <= 122)

/** Whether a key may begin at `at`: behind no letter or digit, but behind an escaped line break. */
const isStart = (text: string, at: number): boolean => {
  const ahead = text.charCodeAt(at - 1)
  if (!isAlnum(ahead)) return true
  return text.charCodeAt(at - 2) === 92 && (ahead === 110 || ahead === 114 || ahead === 116)
}

/** Where the body of a key ends whose prefix begins at `at`; -1: there is no such key. */
const bodyEnd = (token: Token, text: string, at: number): number => {
  if (!text.startsWith(token.prefix, at)) return -1
  token.body.lastIndex = at + token.prefix.length
  return token.body.test(text) ? token.body.lastIndex : -1
}

/** The end of the key in `text` whose prefix begins at `at`, or -1. */
const keyEnd = (token: Token, text: string, at: number): number => {
  const end = bodyEnd(token, text, at)
  return end >= 0 && token.check(text.slice(at, end)) ? end : -1
}

/** The longest key is a JSON web token; the others are much shorter. */
const longest = (token: Token): number => (token.id === "jwt" ? 4096 : 340)

/** After how many of its pieces a key may end, when what follows seems to belong to it. */
const CUTS = 4

/**
 * How much of a stretch that was no key is passed over before the next try: hostile text begins a key at every
 * third character, and a stretch read eight times is read in linear time.
 */
const SHARE = 8

/** Whether a checksum tells a key of this shape from anything else. */
const hasSum = (token: Token): boolean => token.check === hasChecksum

const GAPS = /[^A-Za-z0-9]+/g

/** Whether pieces were cut on purpose: most are single characters, or most gaps are the same. Code is neither. */
const isCut = (lengths: ReadonlyArray<number>, text: string): boolean => {
  if (lengths.filter((length) => length === 1).length > lengths.length * 0.6) return true
  const gaps = text.match(GAPS) ?? []
  const [first = ""] = gaps
  return gaps.filter((gap) => gap === first).length > gaps.length * 0.7
}

/** Whether letters and digits that came in pieces are a key and no sentence. */
const isSqueezedKey = (token: Token, text: string, at: number, squeezed: Squeezed): boolean => {
  const key = squeezed.text
  const body = key.slice(token.letters.length)
  if (squeezed.pieces < 4 || body.length < token.least || body.length < 16) return false
  if (!key.startsWith(token.prefix.replace(/[^A-Za-z0-9]/g, ""))) return false
  const whole = text.slice(at, squeezed.end)
  if (!isRegular(squeezed.lengths) && (squeezed.words > 0.45 || !isCut(squeezed.lengths, whole))) return false
  if (classes(body) < 2 || !isKeyBody(body) || whole.includes("\ufffd")) return false
  return !hasSum(token) || token.check(key)
}

const NEXT_PIECE = /[^A-Za-z0-9]{1,8}([A-Za-z0-9]+)/y

/** Where a key in pieces ends whose first part ends at `from`: before a word, or another gap than before. */
const lastPiece = (text: string, from: number, widest: number): number => {
  let end = from
  while (end < from + 2000) {
    NEXT_PIECE.lastIndex = end
    const match = NEXT_PIECE.exec(text)
    const piece = match?.[1] ?? ""
    if (match === null || match[0].length - piece.length > widest) break
    if (piece.length > 2 && wordiness(piece) > 0.9) break
    end = NEXT_PIECE.lastIndex
  }
  return end
}

/** Looks for each of `tokens` at `at`, where their letters may begin. */
export const readKey = (view: View, report: Report, tokens: ReadonlyArray<Token>, at: number): void => {
  const { text } = view
  if (!isStart(text, at)) return
  if (at >= report.keysFrom) {
    for (const token of tokens) {
      const end = bodyEnd(token, text, at)
      if (end < 0) continue
      if (token.check(text.slice(at, end))) {
        report.add(view, token.id, at, end, text.slice(at, end))
        report.keysFrom = end
        return
      }
      report.keysFrom = (at + (end - at) / SHARE) | 0
    }
  }
  if (at < report.brokenFrom) return
  for (const token of tokens)
    if (lettersAt(text, at, token.letters) >= 0 && readBrokenKey(view, report, token, at)) return
}

const readBrokenKey = (view: View, report: Report, token: Token, at: number): boolean => {
  const { text } = view
  const limit = longest(token)
  for (const join of [withoutGlue, withoutSeparator, withoutSpaces]) {
    if (!join(text, at, token.prefix.length + 8).text.startsWith(token.prefix)) continue
    const joined = join(text, at, limit)
    report.brokenFrom = Math.max(report.brokenFrom, (at + (joined.end - at) / SHARE) | 0)
    if (joined.pieces < 2) continue
    for (let k = 0; k <= Math.min(joined.cuts.length, CUTS); k++) {
      const text = k === 0 ? joined.text : joined.text.slice(0, joined.cuts[k])
      const end = keyEnd(token, text, 0)
      if (end < 0) continue
      report.brokenFrom = join(view.text, at, end).end
      report.add(view, token.id, at, report.brokenFrom, text.slice(0, end))
      return true
    }
  }
  if (token.letters.length < 4 && !hasSum(token)) return false
  const squeezed = squeeze(text, at, token.letters.length + Math.max(token.least, 16))
  if (!isSqueezedKey(token, text, at, squeezed)) return false
  const fixed = token.body.source.endsWith(")")
  report.brokenFrom = fixed ? squeezed.end : lastPiece(text, squeezed.end, squeezed.widest)
  report.add(view, token.id, at, report.brokenFrom, squeezed.text)
  return true
}

const AZURE = /[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~-]|\.[A-Za-z0-9])/y

const azureEnd = (text: string, at: number): number => {
  AZURE.lastIndex = at
  return AZURE.test(text) && !isPlaceholder(text.slice(at, AZURE.lastIndex)) ? AZURE.lastIndex : -1
}

/** How far before its `~` a secret of an Entra application may begin when something stands between its characters. */
const AZURE_LEAD = 40

/** The secrets of Entra applications have `Q~` in fifth place; `at` is where the `~` stands. */
export const readAzureSecret = (view: View, report: Report, at: number): void => {
  const { text } = view
  let q = at - 1
  while (q > at - 6 && !isAlnum(text.charCodeAt(q))) q--
  if (text.charCodeAt(q) !== 81) return
  if (at >= 5 && isStart(text, at - 5)) {
    const end = azureEnd(text, at - 5)
    if (end >= 0) {
      report.add(view, "azure-client-secret", at - 5, end, text.slice(at - 5, end))
      return
    }
  }
  if (at < report.brokenFrom || !/[\s"'`*<\\]/.test(text.slice(Math.max(0, at - AZURE_LEAD), at + 44))) return
  report.brokenFrom = at + 8
  for (const from of new Set([
    fifthBefore(text, at, /[A-Za-z0-9_.~-]/),
    fifthBefore(text, at, /[A-Za-z0-9]/)
  ])) {
    if (from < 0 || !isStart(text, from)) continue
    for (const join of [withoutGlue, withoutSeparator, withoutSpaces]) {
      const joined = join(text, from, 44)
      const end = azureEnd(joined.text, 0)
      if (joined.pieces < 2 || end < 0) continue
      report.add(view, "azure-client-secret", from, join(text, from, end).end, joined.text.slice(0, end))
      return
    }
  }
}

/** Where the fifth character of a kind before `at` stands, or -1. */
const fifthBefore = (text: string, at: number, kind: RegExp): number => {
  let left = 5
  for (let i = at - 1; i >= Math.max(0, at - AZURE_LEAD); i--) {
    if (kind.test(text.charAt(i)) && --left === 0) return i
  }
  return -1
}
