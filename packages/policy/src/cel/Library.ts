/**
 * What the functions do, each for all its overloads by the kinds of its arguments. An implementation answers
 * `undefined` when no overload fits, a `Fault` when it fits and fails. Work that grows with an argument is
 * spent on the meter.
 */
import { type Fault, fault } from "./Issue.ts"
import {
  containsCidr,
  containsIp,
  formatCidr,
  formatIp,
  ipQuestions,
  masked,
  parseCidr,
  parseIp
} from "./Network.ts"
import { matcher } from "./Regex.ts"
import * as Strings from "./Strings.ts"
import {
  datePart,
  durationOf,
  durationPart,
  epochSeconds,
  formatDuration,
  formatTimestamp,
  parseDuration,
  parseTimestamp,
  timestampOf
} from "./Time.ts"
import {
  Cidr,
  codePoints,
  Duration,
  equals,
  fromInput,
  hasKey,
  INT_MAX,
  INT_MIN,
  Ip,
  keyOf,
  kindOf,
  lookup,
  type Meter,
  NONE,
  numeric,
  Optional,
  order,
  searchCost,
  sizeOfMap,
  some,
  Timestamp,
  TypeValue,
  typeName,
  UINT_MAX,
  Uint
} from "./Value.ts"

/** An implementation; arguments beyond the written ones are undefined. */
export type Impl = (m: Meter, a: unknown, b: unknown, c: unknown, d: unknown) => unknown

const overflow = (): Fault => fault("overflow", "the number does not fit its type")
const byZero = (): Fault => fault("divide_by_zero", "division by zero")
const bad = (what: string): Fault => fault("invalid_argument", what)

/** An int, or the overflow. */
const int = (n: bigint): bigint | Fault => (n > INT_MAX || n < INT_MIN ? overflow() : n)
const uint = (n: bigint): Uint | Fault => (n > UINT_MAX || n < 0n ? overflow() : new Uint(n))

const isText = (v: unknown): v is string => typeof v === "string"
const isList = (v: unknown): v is ReadonlyArray<unknown> => Array.isArray(v)

type Arithmetic = (a: bigint, b: bigint) => bigint | Fault

/** Arithmetic of two ints, two uints or two doubles. */
const arithmetic =
  (exact: Arithmetic, real: ((a: number, b: number) => number) | undefined): Impl =>
  (_m, a, b) => {
    if (typeof a === "bigint" && typeof b === "bigint") {
      const r = exact(a, b)
      return typeof r === "bigint" ? int(r) : r
    }
    if (typeof a === "number" && typeof b === "number") return real?.(a, b)
    if (a instanceof Uint && b instanceof Uint) {
      const r = exact(a.value, b.value)
      return typeof r === "bigint" ? uint(r) : r
    }
    return undefined
  }

const plus = arithmetic(
  (a, b) => a + b,
  (a, b) => a + b
)
const minus = arithmetic(
  (a, b) => a - b,
  (a, b) => a - b
)

const outside = (what: string): Fault => fault("overflow", `the ${what} is out of range`)
const time = (ns: bigint): Timestamp | Fault => timestampOf(ns) ?? outside("timestamp")
const span = (ns: bigint): Duration | Fault => durationOf(ns) ?? outside("duration")

const add: Impl = (m, a, b, c, d) => {
  if (isText(a)) {
    if (!isText(b)) return undefined
    m.spend((a.length + b.length) >> 5)
    return a + b
  }
  if (isList(a) && isList(b)) {
    m.spend(a.length + b.length)
    return [...a, ...b]
  }
  if (a instanceof Duration) {
    if (b instanceof Duration) return span(a.ns + b.ns)
    return b instanceof Timestamp ? time(a.ns + b.ns) : undefined
  }
  if (a instanceof Timestamp) return b instanceof Duration ? time(a.ns + b.ns) : undefined
  if (a instanceof Uint8Array && b instanceof Uint8Array) return joinBytes(m, a, b)
  return plus(m, a, b, c, d)
}

const joinBytes = (m: Meter, a: Uint8Array, b: Uint8Array): Uint8Array => {
  m.spend((a.length + b.length) >> 5)
  const out = new Uint8Array(a.length + b.length)
  out.set(a)
  out.set(b, a.length)
  return out
}

const subtract: Impl = (m, a, b, c, d) => {
  if (a instanceof Timestamp) {
    if (b instanceof Timestamp) return differ(a, b)
    return b instanceof Duration ? time(a.ns - b.ns) : undefined
  }
  if (a instanceof Duration) return b instanceof Duration ? span(a.ns - b.ns) : undefined
  return minus(m, a, b, c, d)
}

/** The difference of two times must fit 64 bits of nanoseconds. */
const differ = (a: Timestamp, b: Timestamp): Duration | Fault => {
  const ns = a.ns - b.ns
  return ns > INT_MAX || ns < INT_MIN ? outside("duration") : span(ns)
}

const compare =
  (test: (order: number) => boolean): Impl =>
  (m, a, b) => {
    const r = order(a, b, m)
    return r === undefined ? undefined : test(r)
  }

const sizeOf: Impl = (m, v) => {
  if (isText(v)) {
    m.spend(v.length >> 6)
    return BigInt(codePoints(v))
  }
  if (isList(v) || v instanceof Uint8Array) return BigInt(v.length)
  if (kindOf(v) !== "map") return undefined
  const n = sizeOfMap(v)
  m.spend(n)
  return BigInt(n)
}

/** A list index that a number names; undefined when it names none. */
const listIndex = (v: unknown): number | undefined => {
  const n = numeric(v)
  if (n === undefined) return undefined
  const i = Number(n)
  return Number.isSafeInteger(i) ? i : -1
}

/** The element or entry; `undefined` inside a box when there is none. */
const at = (v: unknown, key: unknown): { readonly found: unknown } | Fault | undefined => {
  if (isList(v)) {
    const i = listIndex(key)
    if (i === undefined) return undefined
    const item = i >= 0 && i < v.length ? fromInput(v[i]) : undefined
    return { found: item }
  }
  return kindOf(v) === "map" ? { found: lookup(v, key) } : undefined
}

const index: Impl = (m, v, key) => {
  if (v instanceof Optional) return v.present ? optIndex(m, v.value, key, undefined, undefined) : NONE
  const entry = at(v, key)
  if (entry === undefined || !("found" in entry)) return entry
  if (entry.found !== undefined) return entry.found
  return isList(v)
    ? fault("index_out_of_range", "the list has no such index")
    : fault("no_such_key", "the map has no such key")
}

const optIndex: Impl = (_m, v, key) => {
  if (v instanceof Optional && !v.present) return NONE
  const entry = at(v instanceof Optional ? v.value : v, key)
  if (entry === undefined || !("found" in entry)) return entry
  return entry.found === undefined ? NONE : some(entry.found)
}

const member: Impl = (m, v, container) => {
  if (isList(container)) return listHas(m, container, v)
  return kindOf(container) === "map" ? hasKey(container, v) : undefined
}

const listHas = (m: Meter, items: ReadonlyArray<unknown>, v: unknown): boolean | Fault => {
  m.spend(items.length)
  let problem: Fault | undefined
  for (const item of items) {
    const same = equals(fromInput(item), v, m)
    if (same === true) return true
    if (same !== false) problem = same
  }
  return problem ?? false
}

// ---- conversions

const toInt: Impl = (_m, v) => {
  if (typeof v === "bigint") return v
  if (v instanceof Uint) return int(v.value)
  if (typeof v === "number") return Math.abs(v) < 2 ** 63 ? BigInt(Math.trunc(v)) : overflow()
  if (v instanceof Timestamp) return epochSeconds(v)
  return isText(v) ? (/^[+-]?\d{1,40}$/.test(v) ? int(BigInt(v)) : bad("the text is no int")) : undefined
}

const toUint: Impl = (_m, v) => {
  if (v instanceof Uint) return v
  if (typeof v === "bigint") return uint(v)
  if (typeof v === "number") return v > -1 && v < 2 ** 64 ? new Uint(BigInt(Math.trunc(v))) : overflow()
  return isText(v) ? (/^\d{1,40}$/.test(v) ? uint(BigInt(v)) : bad("the text is no uint")) : undefined
}

const REAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/

const toDouble: Impl = (_m, v) => {
  if (typeof v === "number") return v
  if (typeof v === "bigint") return Number(v)
  if (v instanceof Uint) return Number(v.value)
  if (!isText(v)) return undefined
  if (v.length < 400 && REAL.test(v)) return Number(v)
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(v)
  if (special === null) return bad("the text is no double")
  if (special[2]?.toLowerCase() === "nan") return Number.NaN
  return special[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
}

const toText: Impl = (m, v) => {
  switch (kindOf(v)) {
    case "string":
      return v
    case "bool":
    case "int":
      return String(v)
    case "double":
      return Strings.formatDouble(v as number)
    case "uint":
      return (v as Uint).value.toString()
    case "timestamp":
      return formatTimestamp(v as Timestamp)
    case "duration":
      return formatDuration(v as Duration)
    case "ip":
      return formatIp(v as Ip)
    case "cidr":
      return formatCidr(v as Cidr)
    case "bytes":
      return decodeUtf8(m, v as Uint8Array)
    default:
      return undefined
  }
}

const decodeUtf8 = (m: Meter, bytes: Uint8Array): string | Fault => {
  m.spend(bytes.length >> 4)
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return bad("the bytes are no UTF-8")
  }
}

const toBytes: Impl = (m, v) => {
  if (v instanceof Uint8Array) return v
  if (!isText(v)) return undefined
  m.spend(v.length >> 4)
  return new TextEncoder().encode(v)
}

const TRUE = new Set(["1", "t", "true", "TRUE", "True"])
const FALSE = new Set(["0", "f", "false", "FALSE", "False"])

const toBool: Impl = (_m, v) => {
  if (typeof v === "boolean") return v
  if (!isText(v)) return undefined
  return TRUE.has(v) ? true : FALSE.has(v) ? false : bad("the text is no bool")
}

const toTimestamp: Impl = (_m, v) => {
  if (v instanceof Timestamp) return v
  if (typeof v === "bigint") return time(v * 1_000_000_000n)
  return isText(v)
    ? (parseTimestamp(v) ?? bad("the text is no RFC 3339 timestamp in the years 1 to 9999"))
    : undefined
}

const toDuration: Impl = (_m, v) => {
  if (v instanceof Duration) return v
  return isText(v) ? (parseDuration(v) ?? bad("the text is no duration such as `1h30m`")) : undefined
}

// ---- strings

type TextImpl = (m: Meter, text: string, b: unknown, c: unknown) => unknown

const text =
  (f: TextImpl): Impl =>
  (m, a, b, c) => {
    if (!isText(a)) return undefined
    m.spend(a.length >> 5)
    return f(m, a, b, c)
  }

const withText = (f: (a: string, b: string) => unknown): Impl =>
  text((m, a, b) => {
    if (!isText(b)) return undefined
    m.spend(searchCost(a, b))
    return f(a, b)
  })

const isInt = (v: unknown): v is bigint => typeof v === "bigint"

const matches: Impl = (m, a, pattern) => {
  if (!isText(a) || !isText(pattern)) return undefined
  const found = matcher(pattern)
  // What is wrong is not told: the pattern may be data.
  if (!("test" in found)) return bad(found.reason === "engine" ? found.message : "the pattern is not RE2's")
  m.spend(found.price + found.cost(a))
  return found.test(a)
}

const joinTexts: Impl = (m, a, by = "") => {
  if (!isList(a) || !isText(by)) return undefined
  let length = 0
  for (const item of a) {
    if (!isText(item)) return undefined
    length += item.length + by.length
  }
  m.spend(a.length + length / 32)
  return a.join(by)
}

/** Pays for each place of a part before they are made. */
const payForPlaces = (m: Meter, a: string, part: string): void => {
  if (part === "") m.spend(a.length >> 1)
  else for (let i = a.indexOf(part); i >= 0; i = a.indexOf(part, i + part.length)) m.spend(1)
}

/** The places where the empty text stands: before each character and at the end, as many as wanted. */
const apart = (text: string, limit: bigint): Array<string> => {
  if (limit === 0n) return [text]
  const chars = ["", ...Array.from(text), ""]
  if (limit < 0n || limit >= chars.length - 1) return chars
  const n = Number(limit)
  return [...chars.slice(0, n), chars.slice(n).join("")]
}

/** Pays for what will be made before it is made: a short part may stand for a long one many times. */
const replaceText: Impl = (m, a, from, to, limit = -1n) => {
  if (!isText(a) || !isText(from) || !isText(to) || !isInt(limit)) return undefined
  m.spend(searchCost(a, from) + (a.length >> 5))
  payForPlaces(m, a, from)
  const parts = from === "" ? apart(a, limit) : Strings.split(a, from, limit < 0n ? -1n : limit + 1n)
  m.spend((to.length * (parts.length - 1)) / 32)
  return parts.join(to)
}

const splitText: TextImpl = (m, a, by, limit = -1n) => {
  if (!isText(by) || !isInt(limit)) return undefined
  m.spend(searchCost(a, by))
  payForPlaces(m, a, by)
  return Strings.split(a, by, limit)
}

const unitsAt = (text: string, i: number): number => ((text.codePointAt(i) ?? 0) > 0xffff ? 2 : 1)

/** `glob("web-*", text)`: `*` is any run of characters, `?` one; nothing else is special. Linear by backtracking to the last star only. */
export const globMatches = (pattern: string, s: string): boolean => {
  let p = 0
  let i = 0
  let star = -1
  let mark = 0
  while (i < s.length) {
    const c = pattern[p]
    if (c === "*") {
      star = p++
      mark = i
    } else if (c === "?") {
      p++
      i += unitsAt(s, i)
    } else if (c !== undefined && c === s[i]) {
      p++
      i++
    } else if (star >= 0) {
      p = star + 1
      mark += unitsAt(s, mark)
      i = mark
    } else return false
  }
  while (pattern[p] === "*") p++
  return p === pattern.length
}

const glob: Impl = (m, pattern, s) => {
  if (!isText(pattern) || !isText(s)) return undefined
  m.spend(1 + (pattern.length * s.length) / 16)
  return globMatches(pattern, s)
}

const encode64: Impl = (m, v) => {
  if (!(v instanceof Uint8Array)) return undefined
  m.spend(v.length >> 3)
  let binary = ""
  for (const b of v) binary += String.fromCharCode(b)
  return btoa(binary)
}

const decode64: Impl = (m, v) => {
  if (!isText(v)) return undefined
  m.spend(v.length >> 3)
  try {
    return Uint8Array.from(atob(v), (c) => c.charCodeAt(0))
  } catch {
    return bad("the text is no base64")
  }
}

// ---- math

const extreme =
  (sign: 1 | -1): Impl =>
  (m, a) => {
    if (!isList(a)) return numeric(a) === undefined ? undefined : a
    if (a.length === 0) return bad("math.greatest and math.least want at least one number")
    m.spend(a.length)
    let best: unknown = a[0]
    for (const v of a) {
      const r = order(v, best, m)
      if (r === undefined || numeric(v) === undefined) return undefined
      if (r * sign > 0) best = v
    }
    return best
  }

const real =
  (f: (v: number) => unknown): Impl =>
  (_m, v) =>
    typeof v === "number" ? f(v) : undefined

const bits =
  (f: (a: bigint, b: bigint) => bigint): Impl =>
  (_m, a, b) => {
    if (isInt(a) && isInt(b)) return BigInt.asIntN(64, f(a, b))
    return a instanceof Uint && b instanceof Uint
      ? new Uint(BigInt.asUintN(64, f(a.value, b.value)))
      : undefined
  }

const shift =
  (left: boolean): Impl =>
  (_m, a, by) => {
    const isUint = a instanceof Uint
    if (!(isInt(a) || isUint) || !isInt(by)) return undefined
    if (by < 0n) return bad("a shift by a negative number")
    // A right shift of an int is logical: the sign bit moves too.
    const raw = isUint ? a.value : BigInt.asUintN(64, a)
    const moved = by > 63n ? 0n : left ? raw << by : raw >> by
    return isUint ? new Uint(BigInt.asUintN(64, moved)) : BigInt.asIntN(64, moved)
  }

const absolute: Impl = (_m, v) => {
  if (typeof v === "number") return Math.abs(v)
  return isInt(v) ? int(v < 0n ? -v : v) : v instanceof Uint ? v : undefined
}

const signOf: Impl = (_m, v) => {
  if (typeof v === "number") return Math.sign(v)
  if (isInt(v)) return v < 0n ? -1n : v > 0n ? 1n : 0n
  return v instanceof Uint ? new Uint(v.value > 0n ? 1n : 0n) : undefined
}

const roundAway = (v: number): number => (v < 0 ? -1 : 1) * Math.round(Math.abs(v))

// ---- sets, optionals

const allIn = (m: Meter, whole: ReadonlyArray<unknown>, part: ReadonlyArray<unknown>): boolean | Fault => {
  for (const item of part) {
    const r = listHas(m, whole, fromInput(item))
    if (r !== true) return r
  }
  return true
}

const sets =
  (f: (m: Meter, a: ReadonlyArray<unknown>, b: ReadonlyArray<unknown>) => unknown): Impl =>
  (m, a, b) =>
    isList(a) && isList(b) ? f(m, a, b) : undefined

const intersects = (m: Meter, a: ReadonlyArray<unknown>, b: ReadonlyArray<unknown>): boolean | Fault => {
  for (const item of a) {
    const r = listHas(m, b, fromInput(item))
    if (r !== false) return r
  }
  return false
}

const isZero = (v: unknown): boolean => {
  const n = numeric(v)
  if (n !== undefined) return Number(n) === 0
  if (v === null || v === false || v === "") return true
  if (isList(v) || v instanceof Uint8Array) return v.length === 0
  if (v instanceof Timestamp || v instanceof Duration) return v.ns === 0n
  if (v instanceof Optional) return !v.present
  return kindOf(v) === "map" && sizeOfMap(v) === 0
}

// ---- time, network

const timePart =
  (part: string): Impl =>
  (m, v, zone = "UTC") => {
    if (v instanceof Duration) return durationPart(v, part)
    if (!(v instanceof Timestamp) || !isText(zone)) return undefined
    m.spend(zone === "UTC" ? 1 : 20)
    const n = datePart(v, part, zone)
    return n === undefined ? bad("the time zone is unknown") : BigInt(n)
  }

const ipOf = (v: unknown): Ip | Fault | undefined =>
  v instanceof Ip ? v : isText(v) ? (parseIp(v) ?? bad("the text is no IP address")) : undefined
const cidrOf = (v: unknown): Cidr | Fault | undefined =>
  v instanceof Cidr ? v : isText(v) ? (parseCidr(v) ?? bad("the text is no CIDR block")) : undefined

const onIp =
  (f: (ip: Ip) => unknown): Impl =>
  (_m, v) =>
    v instanceof Ip ? f(v) : undefined
const onCidr =
  (f: (cidr: Cidr, other: unknown) => unknown): Impl =>
  (_m, v, other) =>
    v instanceof Cidr ? f(v, other) : undefined
const ofText =
  (f: (text: string) => unknown): Impl =>
  (_m, v) =>
    isText(v) ? f(v) : undefined

const negate: Impl = (_m, v) => (isInt(v) ? int(-v) : typeof v === "number" ? -v : undefined)

const operators: Record<string, Impl> = {
  "_+_": add,
  "_-_": subtract,
  "_*_": arithmetic(
    (a, b) => a * b,
    (a, b) => a * b
  ),
  "_/_": arithmetic(
    (a, b) => (b === 0n ? byZero() : a / b),
    (a, b) => a / b
  ),
  "_%_": arithmetic((a, b) => (b === 0n ? byZero() : a % b), undefined),
  "-_": negate,
  "!_": (_m, v) => (typeof v === "boolean" ? !v : undefined),
  "_==_": (m, a, b) => equals(a, b, m),
  "_!=_": (m, a, b) => {
    const r = equals(a, b, m)
    return typeof r === "boolean" ? !r : r
  },
  "_<_": compare((r) => r < 0),
  "_<=_": compare((r) => r <= 0),
  "_>_": compare((r) => r > 0),
  "_>=_": compare((r) => r >= 0),
  "_[_]": index,
  "_[?_]": optIndex,
  "@in": member
}

const conversions: Record<string, Impl> = {
  int: toInt,
  uint: toUint,
  double: toDouble,
  string: toText,
  bytes: toBytes,
  bool: toBool,
  timestamp: toTimestamp,
  duration: toDuration,
  dyn: (_m, v) => v,
  type: (_m, v) => new TypeValue(typeName(v)),
  ip: (_m, v) => (v instanceof Cidr ? v.ip : isText(v) ? ipOf(v) : undefined),
  cidr: ofText(cidrOf)
}

const texts: Record<string, Impl> = {
  size: sizeOf,
  contains: withText((a, b) => a.includes(b)),
  startsWith: withText((a, b) => a.startsWith(b)),
  endsWith: withText((a, b) => a.endsWith(b)),
  matches,
  charAt: text((_m, a, i) => (isInt(i) ? Strings.charAt(a, i) : undefined)),
  indexOf: text((m, a, b, i = 0n) => {
    if (!isText(b) || !isInt(i)) return undefined
    m.spend(searchCost(a, b))
    return Strings.indexOf(a, b, i)
  }),
  lastIndexOf: text((m, a, b, i) => {
    if (!isText(b) || !(i === undefined || isInt(i))) return undefined
    m.spend(searchCost(a, b))
    return Strings.lastIndexOf(a, b, i)
  }),
  lowerAscii: text((_m, a) => Strings.lowerAscii(a)),
  upperAscii: text((_m, a) => Strings.upperAscii(a)),
  substring: text((_m, a, i, j) =>
    isInt(i) && (j === undefined || isInt(j)) ? Strings.substring(a, i, j) : undefined
  ),
  trim: text((_m, a) => Strings.trim(a)),
  reverse: text((m, a) => {
    m.spend(a.length >> 3)
    return Strings.reverse(a)
  }),
  split: text(splitText),
  replace: replaceText,
  format: text((m, a, args) => (isList(args) ? Strings.format(a, args, m) : undefined)),
  join: joinTexts,
  "strings.quote": text((_m, a) => Strings.quote(a)),
  glob,
  "base64.encode": encode64,
  "base64.decode": decode64
}

const maths: Record<string, Impl> = {
  "math.greatest": extreme(1),
  "math.least": extreme(-1),
  "math.ceil": real(Math.ceil),
  "math.floor": real(Math.floor),
  "math.round": real(roundAway),
  "math.trunc": real(Math.trunc),
  "math.isNaN": real(Number.isNaN),
  "math.isInf": real((v) => Math.abs(v) === Number.POSITIVE_INFINITY),
  "math.isFinite": real(Number.isFinite),
  "math.sqrt": (_m, v) => {
    const n = numeric(v)
    return n === undefined ? undefined : Math.sqrt(Number(n))
  },
  "math.abs": absolute,
  "math.sign": signOf,
  "math.bitAnd": bits((a, b) => a & b),
  "math.bitOr": bits((a, b) => a | b),
  "math.bitXor": bits((a, b) => a ^ b),
  "math.bitNot": (_m, v) =>
    isInt(v) ? ~v : v instanceof Uint ? new Uint(BigInt.asUintN(64, ~v.value)) : undefined,
  "math.bitShiftLeft": shift(true),
  "math.bitShiftRight": shift(false)
}

const collections: Record<string, Impl> = {
  "sets.contains": sets(allIn),
  "sets.intersects": sets(intersects),
  "sets.equivalent": sets((m, a, b) => {
    const r = allIn(m, a, b)
    return r === true ? allIn(m, b, a) : r
  }),
  "optional.of": (_m, v) => some(v),
  "optional.ofNonZeroValue": (_m, v) => (isZero(v) ? NONE : some(v)),
  "optional.none": () => NONE,
  hasValue: (_m, v) => (v instanceof Optional ? v.present : undefined),
  value: (_m, v) =>
    v instanceof Optional ? (v.present ? v.value : bad("the optional has no value; use orValue")) : undefined
}

const network: Record<string, Impl> = {
  isIP: ofText((s) => parseIp(s) !== undefined),
  isCIDR: ofText((s) => parseCidr(s) !== undefined),
  "ip.isCanonical": ofText((s) => {
    const ip = ipOf(s)
    return ip instanceof Ip ? formatIp(ip) === s : ip
  }),
  family: onIp((ip) => (ip.bytes.length === 4 ? 4n : 6n)),
  ...Object.fromEntries(Object.entries(ipQuestions).map(([name, f]) => [name, onIp(f)])),
  containsIP: onCidr((cidr, v) => {
    const ip = ipOf(v)
    return ip instanceof Ip ? containsIp(cidr, ip) : ip
  }),
  containsCIDR: onCidr((cidr, v) => {
    const other = cidrOf(v)
    return other instanceof Cidr ? containsCidr(cidr, other) : other
  }),
  masked: onCidr(masked),
  prefixLength: onCidr((cidr) => BigInt(cidr.prefix))
}

const times = Object.fromEntries(
  "getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds getMilliseconds"
    .split(" ")
    .map((part) => [part, timePart(part)])
)

/** Every implementation by function name. */
export const library: ReadonlyMap<string, Impl> = new Map(
  Object.entries({ ...operators, ...conversions, ...texts, ...maths, ...collections, ...network, ...times })
)

/** Whether a key may stand in a map literal. */
export const isMapKey = (key: unknown): boolean => typeof key !== "number" && keyOf(key) !== undefined
