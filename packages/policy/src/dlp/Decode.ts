/**
 * Encoded passages, replaced by what they say: percent, `\u`, `\x` and HTML escapes, base64 and hex runs. A run
 * is only taken for an encoding when what comes out of it is text; the rest of the view stays as it is.
 */
import { type View, ViewBuilder } from "./View.ts"

const NOT = 255
const SEXTETS = new Uint8Array(128).fill(NOT)
for (let i = 0; i < 26; i++) {
  SEXTETS[65 + i] = i
  SEXTETS[97 + i] = i + 26
}
for (let i = 0; i < 10; i++) SEXTETS[48 + i] = i + 52
SEXTETS[43] = SEXTETS[45] = 62
SEXTETS[47] = SEXTETS[95] = 63

/** The value of a hexadecimal digit, or -1. */
const hexDigit = (unit: number): number =>
  unit >= 48 && unit <= 57 ? unit - 48 : (unit | 32) >= 97 && (unit | 32) <= 102 ? (unit | 32) - 87 : -1

/** The byte that two hexadecimal digits at `at` spell, or -1. */
export const hexByte = (text: string, at: number): number => {
  const high = hexDigit(text.charCodeAt(at))
  const low = hexDigit(text.charCodeAt(at + 1))
  return high < 0 || low < 0 ? -1 : high * 16 + low
}

const putCode = (builder: ViewBuilder, code: number, from: number, to: number): void => {
  if (code < 0x10000) builder.put(code, from, to)
  else if (code <= 0x10ffff) {
    builder.put(0xd800 + ((code - 0x10000) >> 10), from, to)
    builder.put(0xdc00 + ((code - 0x10000) & 0x3ff), from, to)
  }
}

/** Takes bytes one at a time and writes the UTF-8 text that they are. */
class Utf8Sink {
  /** With the last sink a full collection drops their shape, and all that was compiled for it: one stays. */
  protected static readonly kept = new Utf8Sink(undefined)

  /** How many characters came out. */
  count = 0
  private code = 0
  private missing = 0
  private from = 0
  private builder: ViewBuilder | undefined

  constructor(builder: ViewBuilder | undefined) {
    this.builder = builder
  }

  /** Whether all of three bytes continue a text. */
  accepts(bytes: number): boolean {
    const { code, missing, from, count } = this
    const { builder } = this
    this.builder = undefined
    const good =
      this.put(bytes >> 16, 0, 0) && this.put((bytes >> 8) & 255, 0, 0) && this.put(bytes & 255, 0, 0)
    this.code = code
    this.missing = missing
    this.from = from
    this.count = count
    this.builder = builder
    return good
  }

  /** Whether `byte` continues a text; what stands in `[from, to)` encodes it. */
  put(byte: number, from: number, to: number): boolean {
    if (this.missing > 0) {
      if ((byte & 0xc0) !== 0x80) return false
      this.code = (this.code << 6) | (byte & 63)
      if (--this.missing === 0) this.write(this.code, this.from, to)
      return true
    }
    if (byte === 0) return this.count > 0
    if ((byte >= 32 && byte < 127) || byte === 10 || byte === 13 || byte === 9) {
      this.write(byte, from, to)
      return true
    }
    if (byte < 0xc2 || byte > 0xf4) return false
    this.missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3
    this.code = byte & (0x3f >> this.missing)
    this.from = from
    return true
  }

  private write(code: number, from: number, to: number): void {
    this.count++
    const { builder } = this
    if (builder === undefined) return
    putCode(builder, code, from, to)
  }
}

/** The shortest text worth decoding, in characters: a social security number. */
const SHORTEST = 9

/** What may stand between two characters of an encoded run: an end of line and what begins the next one. */
const afterBreak = (text: string, at: number): number => {
  let i = at
  if (text.charCodeAt(i) === 92) {
    // a line break that is itself escaped
    const letter = text.charCodeAt(i + 1)
    if (letter === 110) return i + 2
    if (letter === 114) return text.charCodeAt(i + 2) === 92 && text.charCodeAt(i + 3) === 110 ? i + 4 : i + 2
    i++
  }
  if (text.charCodeAt(i) === 13) i++
  if (text.charCodeAt(i) !== 10) return at
  i++
  const end = i + 16
  while (i < end && (text.charCodeAt(i) === 32 || text.charCodeAt(i) === 9 || text.charCodeAt(i) === 62)) i++
  return i
}

/** Whether the line at `at` continues an encoded run: nothing but it, or its end, stands there; `whole`: or more text. */
const goesOn = (text: string, at: number, whole: boolean): boolean => {
  let i = at
  while (i < at + 80 && text.charCodeAt(i) < 128 && SEXTETS[text.charCodeAt(i)] !== NOT) i++
  const unit = text.charCodeAt(i)
  return (
    i - at >= 2 &&
    unit !== 58 &&
    (unit !== 61 || SEXTETS[text.charCodeAt(i + 1) & 127] === NOT) &&
    (unit !== 32 || whole)
  )
}

/** Decodes base64 from `from` on until it is no text any more; the end, or -1 if too little text comes out. */
const base64 = (text: string, from: number, builder?: ViewBuilder): number => {
  const sink = new Utf8Sink(builder)
  const at = [0, 0, 0, 0]
  let bits = 0
  let held = 0
  let i = from
  let end = from
  for (;;) {
    const unit = text.charCodeAt(i)
    const sextet = unit < 128 ? (SEXTETS[unit] ?? NOT) : NOT
    if (sextet === NOT) {
      const next = afterBreak(text, i)
      if (next === i || !goesOn(text, next, held === 0 && i - from >= 16)) break
      i = next
      continue
    }
    at[held] = i++
    bits = (bits << 6) | sextet
    held = (held + 1) & 3
    if (held === 0) {
      const [a = 0, b = 0, c = 0, d = 0] = at
      if (!sink.accepts(bits & 0xffffff)) break
      sink.put((bits >> 16) & 255, a, b + 1)
      sink.put((bits >> 8) & 255, b, c + 1)
      sink.put(bits & 255, c, d + 1)
      bits = 0
      end = i
    }
  }
  const [a = 0, b = 0] = at
  if (held >= 2 && end <= a && (end === from || sink.count > 0)) {
    // the last characters stand for one or two bytes, and for the padding behind them
    end = i
    while (text.charCodeAt(end) === 61) end++
    if (held === 2) sink.put((bits >> 4) & 255, a, end)
    else if (sink.put((bits >> 10) & 255, a, b + 1)) sink.put((bits >> 2) & 255, b, end)
  }
  return sink.count >= SHORTEST ? end : -1
}

/** Decodes pairs of hexadecimal digits from `from` on, with or without `0x` and a separator between them. */
const hex = (text: string, from: number, builder?: ViewBuilder): number => {
  const sink = new Utf8Sink(builder)
  let i = from
  let end = from
  let apart = false
  for (;;) {
    if (text.charCodeAt(i) === 48 && (text.charCodeAt(i + 1) | 32) === 120) i += 2
    const byte = hexByte(text, i)
    if (byte < 0 || (apart && hexDigit(text.charCodeAt(i + 2)) >= 0) || !sink.put(byte, i, i + 2)) break
    i += 2
    end = i
    const line = afterBreak(text, i)
    if (line !== i) i = line
    else for (let s = 0; s < 3 && i < text.length && " ,:;-_.".includes(text.charAt(i)); s++) i++
    apart ||= i > end && line === end
  }
  return sink.count >= SHORTEST ? end : -1
}

const BASE64 = 0
const HEX = 1

/** Encoded runs of a view, in order: start, end and encoding, three numbers each. */
export type Runs = Array<number>

const isHexRun = (text: string, from: number, to: number): boolean => {
  const end = Math.min(to, from + 18)
  for (let i = from; i < end; i++) if (hexDigit(text.charCodeAt(i)) < 0) return false
  return true
}

/** Looks whether the run of base64 characters `[from, to)` says something, and notes it in `runs`. */
export const probeRun = (text: string, from: number, to: number, runs: Runs): void => {
  if (from < (runs[runs.length - 2] ?? 0)) return
  if (to - from >= 18 && isHexRun(text, from, to)) {
    for (let shift = 0; shift < 2; shift++) {
      const end = hex(text, from + shift)
      if (end >= 0) return void runs.push(from + shift, end, HEX)
    }
  }
  for (let shift = 0; shift < 4; shift++) {
    const end = base64(text, from + shift)
    if (end >= 0) return void runs.push(from + shift, end, BASE64)
  }
  probeParts(text, from, to, runs)
}

/** A run may begin with words: what stands behind a `/`, `-`, `_` or `+` of it is tried as well. */
const probeParts = (text: string, from: number, to: number, runs: Runs): void => {
  for (let i = from; i < to - 14; i++) {
    const unit = text.charCodeAt(i)
    if (unit !== 47 && unit !== 45 && unit !== 95 && unit !== 43) continue
    const end = base64(text, i + 1)
    if (end < 0) continue
    runs.push(i + 1, end, BASE64)
    i = end
  }
}

/** Notes pairs of hexadecimal digits with separators between them, if they say something. */
export const probePairs = (text: string, from: number, runs: Runs): void => {
  if (from < (runs[runs.length - 2] ?? 0)) return
  const end = hex(text, from)
  if (end >= 0) runs.push(from, end, HEX)
}

const NAMED = new Map(
  "amp& lt< gt> quot\" apos' commat@ period. lowbar_ colon: sol/ hyphen- dash- equals= plus+ num# percnt% bsol\\ semi; Tab\t NewLine\n"
    .split(" ")
    .map((pair) => [pair.slice(0, -1), pair.charCodeAt(pair.length - 1)])
)
for (const name of ["nbsp", "ensp", "emsp", "thinsp"]) NAMED.set(name, 32)
for (const name of ["shy", "zwj", "zwnj", "ZeroWidthSpace", "NoBreak"]) NAMED.set(name, 0xad)

const ENTITY = /&(?:#(\d{1,8})|#[xX]([0-9a-fA-F]{1,7})|([A-Za-z]{2,14}(?=;)));?/y
const BACKSLASH =
  /\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|([0-3][0-7]{2})|([nrt"'/\\]))/y
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9 }

/** Where the escape at `at` ends and which code point it means; `undefined`: there is none. */
const escapeAt = (text: string, at: number): readonly [end: number, code: number] | undefined => {
  const pattern = text.charCodeAt(at) === 38 ? ENTITY : BACKSLASH
  pattern.lastIndex = at
  const match = pattern.exec(text)
  if (match === null) return undefined
  const end = at + match[0].length
  if (pattern === ENTITY) {
    const [, decimal, hexadecimal, name] = match
    if (name !== undefined) {
      const code = NAMED.get(name)
      return code === undefined ? undefined : [end, Number(code)]
    }
    return [end, decimal === undefined ? Number.parseInt(hexadecimal ?? "0", 16) : Number(decimal)]
  }
  const [, braced, short, long, byte, octal, letter] = match
  if (octal !== undefined) return [end, Number.parseInt(octal, 8)]
  if (letter !== undefined) return [end, CONTROLS[letter] ?? letter.charCodeAt(0)]
  return [end, Number.parseInt(braced ?? short ?? long ?? byte ?? "0", 16)]
}

/** Whether the escape at `at` (a `%`, `&` or backslash) hides anything that matters. */
export const isEscape = (text: string, at: number): boolean => {
  const unit = text.charCodeAt(at)
  const next = text.charCodeAt(at + 1)
  if (unit === 37) return hexByte(text, at + 1) >= 0 || (next === 117 && hexByte(text, at + 2) >= 0)
  if (unit === 92)
    return next === 117 || next === 120 || next === 85 || next === 47 || (next >= 48 && next <= 51)
  if (next === 35) return escapeAt(text, at) !== undefined
  if ((next | 32) < 97 || (next | 32) > 122) return false
  const found = escapeAt(text, at)
  if (found === undefined) return false
  const [end, code] = found
  if (code === 38)
    return (
      text.charCodeAt(end) === 35 || ((text.charCodeAt(end) | 32) >= 97 && (text.charCodeAt(end) | 32) <= 122)
    )
  return code !== 60 && code !== 62 && code !== 34 && code !== 39 && code !== 32
}

/** Decodes the percent escapes from `at` on; the end. */
const percents = (text: string, at: number, builder: ViewBuilder): number => {
  const sink = new Utf8Sink(builder)
  let i = at
  while (text.charCodeAt(i) === 37) {
    const byte = hexByte(text, i + 1)
    if (byte < 0 || !sink.put(byte, i, i + 3)) break
    i += 3
  }
  if (i === at && text.charCodeAt(at + 1) === 117) {
    const high = hexByte(text, at + 2)
    const low = hexByte(text, at + 4)
    if (high >= 0 && low >= 0) {
      i = at + 6
      builder.put(high * 256 + low, at, i)
    }
  }
  return i
}

/** Whether it is worth trying to read an escape here. */
const isEscapeStart = (text: string, at: number, unit: number): boolean => {
  const next = text.charCodeAt(at + 1)
  if (unit === 37) return hexDigit(next) >= 0 || next === 117
  return unit === 92 || next === 35 || ((next | 32) >= 97 && (next | 32) <= 122)
}

/** Decodes the escape at `at` into `builder`; its end, or `at` if there is none. */
const decodeEscape = (text: string, at: number, unit: number, builder: ViewBuilder): number => {
  if (unit === 37) return percents(text, at, builder)
  const found = escapeAt(text, at)
  if (found === undefined) return at
  putCode(builder, found[1], at, found[0])
  return found[0]
}

/** The view with its encoded runs and escapes decoded, one layer of them. */
export const decode = (view: View, runs: Runs): View => {
  const { text } = view
  const builder = new ViewBuilder(view)
  let run = 0
  let kept = 0
  for (let i = 0; i < text.length; ) {
    while (run < runs.length && (runs[run] ?? 0) < i) run += 3
    const unit = text.charCodeAt(i)
    if (runs[run] === i) {
      builder.keep(kept, i)
      if (runs[run + 2] === HEX) hex(text, i, builder)
      else base64(text, i, builder)
      i = runs[run + 1] ?? i + 1
      kept = i
      continue
    }
    if (unit === 37 || unit === 38 || unit === 92) {
      if (isEscapeStart(text, i, unit)) {
        builder.keep(kept, i)
        const end = decodeEscape(text, i, unit, builder)
        kept = i
        if (end > i) kept = end
        i = Math.max(end, i + 1)
        continue
      }
    }
    i++
  }
  builder.keep(kept, text.length)
  return builder.build()
}
