/**
 * Texts made to keep a scanner busy, as long as one likes, and a measure of how the work grows.
 */
import type { Dlp } from "../../src/Dlp.ts"

const repeated =
  (part: string) =>
  (length: number): string =>
    part.repeat(Math.ceil(length / part.length)).slice(0, length)

const KEY = ["PRIV", "ATE KEY"].join("")
const base64 = (text: string): string => Buffer.from(text).toString("base64")

/** By name: a text of about `length` characters. */
export const hostile: Readonly<Record<string, (length: number) => string>> = {
  "lower case": repeated("a"),
  "upper case": repeated("A"),
  digits: repeated("4"),
  "digits apart": repeated("4 "),
  "groups of digits": repeated("4242-"),
  "almost social security numbers": repeated("123-45-67"),
  spaces: repeated(" "),
  "line breaks": repeated("\r\n "),
  "at signs": repeated("@"),
  "addresses without end": repeated("a@b."),
  "local parts": repeated(`${"a".repeat(70)}@b\n`),
  "broken addresses": repeated("1\n@"),
  "addresses between backslashes": repeated("1\\@\\"),
  "addresses between quotes": repeated("@'\n"),
  dashes: repeated("-"),
  armour: repeated(`-----BEGIN RSA ${KEY}-----\n`),
  "armour with a little body": repeated(`-----BEGIN ${KEY}-----\nMIIEab12`),
  "closing armour": repeated(`AAbb11cc\n-----END ${KEY}-----`),
  "base64 of text": repeated(base64("The quick brown fox jumps over the lazy dog. ")),
  "base64 that fails late": repeated(`${base64("looks like text a")}////`),
  "base64 of key prefixes": repeated(`${base64("sk-ant-sk-ant-sk-").slice(0, 20)}\n`),
  "hexadecimal text": repeated("6162"),
  "hexadecimal pairs": repeated("61 "),
  "percent escapes": repeated("%61"),
  "nested percent escapes": repeated("%25252561"),
  backslashes: repeated("\\"),
  "unicode escapes": repeated("\\u0061"),
  entities: repeated("&amp;#97;"),
  "key prefixes": repeated("sk-ant-"),
  "key prefixes apart": repeated("s k - a n t - "),
  "key prefixes in mark-up": repeated("s*k*-*"),
  "checksum prefixes": repeated("ghp_"),
  "token headers": repeated("eyJhbGciOiJIUzI1NiJ9."),
  "connection strings": repeated("postgres://a:b@"),
  "broken connection strings": repeated("mysql:\n//"),
  "query strings": repeated("jdbc:postgresql://h?"),
  names: repeated("password="),
  "names and values": repeated("password: aB3dE5fG7hI9jK1l "),
  settings: repeated("host=x password="),
  tags: repeated("a<b>"),
  "open tags": repeated("a<b "),
  quotes: repeated('a" + "b'),
  "spelled-out addresses": repeated("a at b dot "),
  "invisible characters": repeated("s\u200bk\u200b-"),
  "full-width letters": repeated("\uff41"),
  "mathematical letters": repeated("\u{1d41a}"),
  "tag characters": repeated("\u{e0061}"),
  "half surrogates": repeated("\ud800"),
  "combining marks": repeated("a\u0301"),
  tildes: repeated("8 Q~"),
  "escape sequences": repeated("\u001b["),
  "columns of numbers": repeated("4242\n"),
  "lists of digits": repeated("1,2,3,4,5,6,7,8,9,")
}

/** Processor time of `times` scans of `text`, in microseconds: what else the machine does hardly counts. */
const cost = (dlp: Dlp, text: string, times: number): number => {
  const before = process.cpuUsage()
  for (let i = 0; i < times; i++) dlp.scan(text)
  const { user, system } = process.cpuUsage(before)
  return user + system
}

const PROSE = repeated("The finance team approved three refund requests before lunch, without comment. ")

/**
 * How much more one scan of a text costs than four scans of a quarter of it: 1 where the work is linear. The least of
 * `runs`; what costs no more than harmless prose of five times that length counts as 1.
 */
export const growth = (dlp: Dlp, make: (length: number) => string, length: number, runs: number): number => {
  const prose = PROSE(length)
  const whole = make(length)
  const quarter = make(length / 4)
  let least = Number.POSITIVE_INFINITY
  for (let run = 0; run < runs && least > 1.25; run++) {
    const cheap = cost(dlp, prose, 5)
    const parts = cost(dlp, quarter, 4)
    const all = cost(dlp, whole, 1)
    least = Math.min(least, all <= cheap ? 1 : all / Math.max(parts, cheap))
  }
  return least
}

/**
 * How much more `text` costs than the same without at signs, or than sixty times as much prose; the least of some runs.
 */
export const timesWithout = (dlp: Dlp, text: string): number => {
  const prose = PROSE(text.length)
  const plain = text.replaceAll("@", "+")
  let least = Number.POSITIVE_INFINITY
  for (let run = 0; run < 8 && least > 2; run++)
    least = Math.min(least, cost(dlp, text, 2) / Math.max(1, cost(dlp, plain, 2), cost(dlp, prose, 10) * 12))
  return least
}

/** Short texts of the symbols at which detectors begin to look, each repeated up to `length`. */
export const motifs = function* (length: number): Generator<readonly [motif: string, text: string]> {
  const signs = [..."@a1\n\\'*"]
  for (const a of signs)
    for (const b of signs)
      for (const c of signs) {
        if (a === "@" || b === "@" || c === "@") yield [a + b + c, repeated(a + b + c)(length)]
      }
}
