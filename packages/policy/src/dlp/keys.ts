/**
 * Provider keys where a prefix begins, plain or with something between their characters.
 */
import { isRegular, lettersAt, squeeze, withoutGlue, withoutSeparator } from "./Join.ts"
import type { Report } from "./Report.ts"
import { classes, isKeyBody } from "./randomness.ts"
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

/** The end of the key in `text` whose prefix begins at `at`, or -1. */
const keyEnd = (token: Token, text: string, at: number): number => {
  if (!text.startsWith(token.prefix, at)) return -1
  token.body.lastIndex = at + token.prefix.length
  if (!token.body.test(text)) return -1
  const end = token.body.lastIndex
  return token.check(text.slice(at, end)) ? end : -1
}

const LONGEST = 4096

/** After how many of its pieces a key may end, when what follows seems to belong to it. */
const CUTS = 6

/** Whether a checksum tells a key of this shape from anything else. */
const hasSum = (token: Token): boolean => token.check === hasChecksum

/** Whether letters and digits that came in pieces are a key and no sentence. */
const isSqueezedKey = (token: Token, text: string, at: number): number => {
  const squeezed = squeeze(text, at, Math.min(LONGEST, token.letters.length + Math.max(token.least, 20)))
  const key = squeezed.text
  const body = key.slice(token.letters.length)
  if (squeezed.pieces < 4 || body.length < token.least || body.length < 16) return -1
  if (key.slice(0, token.letters.length) !== token.prefix.replace(/[^A-Za-z0-9]/g, "")) return -1
  if (!isRegular(squeezed.lengths) && squeezed.words > 0.45) return -1
  if (classes(body) < 2 || !isKeyBody(body)) return -1
  if (hasSum(token)) return token.check(key) ? squeezed.end : -1
  return squeezed.end
}

/** Looks for each of `tokens` at `at`, where their letters may begin. */
export const readKey = (view: View, report: Report, tokens: ReadonlyArray<Token>, at: number): void => {
  const { text } = view
  if (!isStart(text, at)) return
  for (const token of tokens) {
    const end = keyEnd(token, text, at)
    if (end < 0) continue
    report.add(view, token.id, at, end, text.slice(at, end))
    return
  }
  for (const token of tokens) {
    if (lettersAt(text, at, token.letters) < 0) continue
    if (readBrokenKey(view, report, token, at)) return
  }
}

const readBrokenKey = (view: View, report: Report, token: Token, at: number): boolean => {
  const { text } = view
  for (const joined of [withoutGlue(text, at, LONGEST), withoutSeparator(text, at, LONGEST)]) {
    if (joined.pieces < 2) continue
    for (let k = 0; k <= Math.min(joined.cuts.length, CUTS); k++) {
      const text = joined.text.slice(0, k === 0 ? LONGEST : joined.cuts[k])
      const end = keyEnd(token, text, 0)
      if (end < 0) continue
      report.add(view, token.id, at, joined.end, text.slice(0, end))
      return true
    }
  }
  if (token.letters.length < 4 && !hasSum(token)) return false
  const end = isSqueezedKey(token, text, at)
  if (end < 0) return false
  report.add(view, token.id, at, end, text.slice(at, end))
  return true
}
