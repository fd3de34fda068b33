/**
 * The functions of strings. Positions count Unicode code points, as the language has it.
 */
import { type Fault, fault } from "./Issue.ts"
import { formatDuration, formatTimestamp } from "./Time.ts"
import {
  codePoints,
  Duration,
  fromInput,
  keysOf,
  kindOf,
  lookup,
  type Meter,
  Timestamp,
  TypeValue,
  typeName,
  Uint
} from "./Value.ts"

const ASTRAL = /[\ud800-\udfff]/

const outOfRange = (): Fault => fault("index_out_of_range", "the index is outside of the text")

/** The UTF-16 offset of a code point index; undefined outside of 0 … length. */
const offset = (text: string, index: bigint): number | undefined => {
  if (index < 0n || index > BigInt(text.length)) return undefined
  const n = Number(index)
  if (!ASTRAL.test(text)) return n
  let at = 0
  for (let i = 0; i < n; i++) {
    if (at >= text.length) return undefined
    at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
  }
  return at
}

/** Code points before a UTF-16 offset. */
const indexAt = (text: string, at: number): bigint => BigInt(at < 0 ? -1 : codePoints(text.slice(0, at)))

export const charAt = (text: string, index: bigint): string | Fault => {
  const at = offset(text, index)
  if (at === undefined) return outOfRange()
  const c = text.codePointAt(at)
  return c === undefined ? "" : String.fromCodePoint(c)
}

export const indexOf = (text: string, part: string, from = 0n): bigint | Fault => {
  const at = offset(text, from)
  return at === undefined ? outOfRange() : indexAt(text, text.indexOf(part, at))
}

export const lastIndexOf = (text: string, part: string, from?: bigint): bigint | Fault => {
  if (from === undefined) return indexAt(text, text.lastIndexOf(part))
  const at = offset(text, from)
  return at === undefined ? outOfRange() : indexAt(text, text.lastIndexOf(part, at))
}

export const substring = (text: string, from: bigint, to?: bigint): string | Fault => {
  const start = offset(text, from)
  const end = to === undefined ? text.length : offset(text, to)
  if (start === undefined) return outOfRange()
  if (end === undefined) return outOfRange()
  if (end < start) return fault("index_out_of_range", "the part ends before it starts")
  return text.slice(start, end)
}

export const lowerAscii = (text: string): string => text.replace(/[A-Z]+/g, (s) => s.toLowerCase())
export const upperAscii = (text: string): string => text.replace(/[a-z]+/g, (s) => s.toUpperCase())

export const split = (text: string, by: string, limit: bigint): Array<string> => {
  if (limit === 0n) return []
  const parts = by === "" ? Array.from(text) : text.split(by)
  if (limit < 0n || parts.length <= limit) return parts
  const n = Number(limit)
  return [...parts.slice(0, n - 1), parts.slice(n - 1).join(by)]
}

// Unicode's White_Space, which is not JavaScript's: U+0085 belongs, U+FEFF does not.
const SPACE = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
const OTHER_SPACE = new RegExp(`[${SPACE}]`)
const isSpace = (c: number): boolean =>
  c < 128 ? c === 32 || (c >= 9 && c <= 13) : OTHER_SPACE.test(String.fromCharCode(c))

export const trim = (text: string): string => {
  let start = 0
  let end = text.length
  while (start < end && isSpace(text.charCodeAt(start))) start++
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

export const reverse = (text: string): string => Array.from(text).reverse().join("")

const QUOTED: Readonly<Record<string, string>> = {
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\u000b": "\\v",
  "\\": "\\\\",
  '"': '\\"'
}

const SPECIAL = new RegExp(`["\\\\${String.fromCharCode(7)}-${String.fromCharCode(13)}]`, "g")

export const quote = (text: string): string =>
  `"${text.toWellFormed().replace(SPECIAL, (c) => QUOTED[c] ?? c)}"`

/** Text of a double as the language writes it. */
export const formatDouble = (v: number): string => {
  return Object.is(v, -0) ? "-0" : String(v)
}

const CLAUSE = /%(?:\.(\d{1,3}))?([a-zA-Z%])|%/g

/** `"%s has %d".format([…])`. */
export const format = (text: string, args: ReadonlyArray<unknown>, meter: Meter): string | Fault => {
  let next = 0
  let problem: Fault | undefined
  const out = text.replace(CLAUSE, (all, precision: string | undefined, verb: string | undefined) => {
    if (problem !== undefined) return ""
    if (all === "%%") return "%"
    if (verb === undefined || verb === "%" || !"sdfexXbo".includes(verb)) {
      problem = fault(
        "invalid_argument",
        "format has no such clause; there are %s, %d, %f, %e, %x, %X, %b, %o and %%"
      )
      return ""
    }
    if (next >= args.length) {
      problem = fault("index_out_of_range", `format wants more than ${args.length} arguments`)
      return ""
    }
    meter.spend(1)
    const digits = precision === undefined ? 6 : Number(precision)
    const made = clause(verb, fromInput(args[next++]), Math.min(digits, 100), meter)
    if (typeof made === "string") return made
    problem = made
    return ""
  })
  return problem ?? out
}

const clause = (verb: string, v: unknown, digits: number, meter: Meter): string | Fault => {
  const made =
    verb === "s"
      ? show(v, meter, 0)
      : verb === "d"
        ? decimal(v)
        : verb === "f" || verb === "e"
          ? floating(v, verb, digits)
          : based(v, verb, meter)
  return made ?? fault("invalid_argument", `format cannot write a ${typeName(v)} with \`%${verb}\``)
}

const special = (v: number): string => (Number.isNaN(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity")

const integer = (v: unknown): bigint | undefined =>
  typeof v === "bigint" ? v : v instanceof Uint ? v.value : undefined

const decimal = (v: unknown): string | undefined => {
  if (typeof v === "number") return Number.isFinite(v) ? formatDouble(v) : special(v)
  return integer(v)?.toString()
}

const floating = (v: unknown, verb: string, digits: number): string | undefined => {
  const n = typeof v === "number" ? v : integer(v)
  if (n === undefined) return undefined
  const x = Number(n)
  if (!Number.isFinite(x)) return special(x)
  if (verb === "e") return x.toExponential(digits).replace(/e([+-])(\d)$/, "e$10$2")
  return toFixedEven(x, digits)
}

/** `toFixed` with ties to even, as the language rounds: 2.5 is "2". */
const toFixedEven = (x: number, digits: number): string => {
  const text = x.toFixed(digits)
  if (digits > 15 || Math.abs(x) > 1e15) return text
  const scaled = Math.abs(x) * 10 ** digits
  const whole = Math.floor(scaled)
  if (scaled - whole !== 0.5 || whole % 2 !== 0) return text
  return `${x < 0 ? "-" : ""}${(whole / 10 ** digits).toFixed(digits)}`
}

const RADIX: Readonly<Record<string, number>> = { b: 2, o: 8, x: 16, X: 16 }

const HEX = Array.from({ length: 256 }, (_, b) => b.toString(16).padStart(2, "0"))

const hex = (bytes: Uint8Array): string => {
  let out = ""
  for (const b of bytes) out += HEX[b]
  return out
}

const based = (v: unknown, verb: string, meter: Meter): string | undefined => {
  const n = integer(v) ?? (verb === "b" && typeof v === "boolean" ? BigInt(v) : undefined)
  let text = n?.toString(RADIX[verb])
  if (text === undefined && (verb === "x" || verb === "X")) {
    if (typeof v === "string" || v instanceof Uint8Array) meter.spend(v.length >> 2)
    const bytes =
      typeof v === "string" ? new TextEncoder().encode(v) : v instanceof Uint8Array ? v : undefined
    if (bytes !== undefined) text = hex(bytes)
  }
  return verb === "X" ? text?.toUpperCase() : text
}

const show = (v: unknown, meter: Meter, depth: number): string | undefined => {
  meter.spend(1)
  if (depth > 32) return undefined
  switch (kindOf(v)) {
    case "string":
      meter.spend((v as string).length >> 5)
      return v as string
    case "double":
      return Number.isFinite(v) ? formatDouble(v as number) : special(v as number)
    case "bytes":
      meter.spend((v as Uint8Array).length >> 4)
      return new TextDecoder().decode(v as Uint8Array)
    case "list":
      return showList(v as ReadonlyArray<unknown>, meter, depth)
    case "map":
      return showMap(v, meter, depth)
    case "null_type":
    case "bool":
      return String(v)
    default:
      if (v instanceof TypeValue) return v.name
      if (v instanceof Timestamp) return formatTimestamp(v)
      if (v instanceof Duration) return formatDuration(v)
      return integer(v)?.toString()
  }
}

const showList = (items: ReadonlyArray<unknown>, meter: Meter, depth: number): string | undefined => {
  const parts = items.map((x) => show(fromInput(x), meter, depth + 1))
  return parts.includes(undefined) ? undefined : `[${parts.join(", ")}]`
}

const showMap = (m: unknown, meter: Meter, depth: number): string | undefined => {
  const keys = keysOf(m)
  // They are sorted.
  meter.spend(keys.length)
  const parts = keys.map(
    (key) => [show(key, meter, depth + 1), show(lookup(m, key), meter, depth + 1)] as const
  )
  if (parts.some(([k, v]) => k === undefined || v === undefined)) return undefined
  return `{${parts
    .map(([k, v]) => `${k}: ${v}`)
    .sort()
    .join(", ")}}`
}
