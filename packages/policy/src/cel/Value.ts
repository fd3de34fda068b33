/**
 * CEL values as JavaScript values.
 *
 * | CEL | JavaScript |
 * | --- | --- |
 * | int | `bigint` (between nodes of static type int also a safe integer as `number`) |
 * | uint | `Uint` |
 * | double | `number` |
 * | string, bool, null | themselves |
 * | bytes | `Uint8Array` |
 * | list | `Array` |
 * | map | a plain object (JSON), or `CelMap` |
 * | timestamp, duration | `Timestamp`, `Duration` |
 * | optional, type | `Optional`, `TypeValue` |
 *
 * A JSON number is therefore a double unless its place is declared an int. Objects are read by their own
 * properties only: what a prototype carries does not exist here.
 */
import { type Fault, fault } from "./Issue.ts"

export const INT_MAX = 9223372036854775807n
export const INT_MIN = -9223372036854775808n
export const UINT_MAX = 18446744073709551615n

/** An unsigned 64-bit integer. */
export class Uint {
  readonly value: bigint
  constructor(value: bigint) {
    this.value = value
  }
}

/** A point in time, nanoseconds since 1970. */
export class Timestamp {
  readonly ns: bigint
  constructor(ns: bigint) {
    this.ns = ns
  }
}

/** A length of time in nanoseconds. */
export class Duration {
  readonly ns: bigint
  constructor(ns: bigint) {
    this.ns = ns
  }
}

/** A value that may be absent. */
export class Optional {
  readonly present: boolean
  readonly value: unknown
  constructor(present: boolean, value: unknown) {
    this.present = present
    this.value = value
  }
}

export const NONE = new Optional(false, undefined)
export const some = (value: unknown): Optional => new Optional(true, value)

/** The type of a value, itself a value. */
export class TypeValue {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/** An address of the network, four or sixteen bytes. */
export class Ip {
  readonly bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

/** A block of addresses. */
export class Cidr {
  readonly ip: Ip
  readonly prefix: number
  constructor(ip: Ip, prefix: number) {
    this.ip = ip
    this.prefix = prefix
  }
}

type Key = string | boolean | bigint

/** What a key is looked up by: equal numbers are one key, whatever their type. Undefined: no possible key. */
export const keyOf = (key: unknown): Key | undefined => {
  switch (typeof key) {
    case "string":
    case "boolean":
    case "bigint":
      return key
    case "number":
      return Number.isInteger(key) ? BigInt(key) : undefined
    default:
      return key instanceof Uint ? key.value : undefined
  }
}

/** A map built by an expression, or with keys that are not strings. */
export class CelMap {
  private readonly entries = new Map<Key, readonly [unknown, unknown]>()
  get size(): number {
    return this.entries.size
  }
  /** Adds an entry; false when the key is there already. */
  add(key: unknown, value: unknown): boolean {
    const k = keyOf(key)
    if (k === undefined || this.entries.has(k)) return false
    this.entries.set(k, [key, value])
    return true
  }
  get(key: unknown): unknown {
    const k = keyOf(key)
    return k === undefined ? undefined : this.entries.get(k)?.[1]
  }
  has(key: unknown): boolean {
    const k = keyOf(key)
    return k !== undefined && this.entries.has(k)
  }
  keys(): Array<unknown> {
    return Array.from(this.entries.values(), (e) => e[0])
  }
}

export type Json = { readonly [key: string]: unknown }

/** The CEL kind of a value; undefined for what is no CEL value. */
export const kindOf = (v: unknown): string | undefined => {
  switch (typeof v) {
    case "string":
      return "string"
    case "number":
      return "double"
    case "boolean":
      return "bool"
    case "bigint":
      return "int"
    case "object":
      return kindOfObject(v)
    default:
      return undefined
  }
}

const kindOfObject = (v: object | null): string | undefined => {
  if (v === null) return "null_type"
  if (Array.isArray(v)) return "list"
  if (v instanceof CelMap) return "map"
  if (v instanceof Uint) return "uint"
  if (v instanceof Timestamp) return "timestamp"
  if (v instanceof Duration) return "duration"
  if (v instanceof Optional) return "optional"
  if (v instanceof TypeValue) return "type"
  if (v instanceof Uint8Array) return "bytes"
  if (v instanceof Ip) return "ip"
  if (v instanceof Cidr) return "cidr"
  return "map"
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  timestamp: "google.protobuf.Timestamp",
  duration: "google.protobuf.Duration",
  optional: "optional_type",
  ip: "net.IP",
  cidr: "net.CIDR"
}

/** The name that `type(v)` shows. */
export const typeName = (v: unknown): string => {
  const kind = kindOf(v) ?? "unknown"
  return TYPE_NAMES[kind] ?? kind
}

const NS_PER_MS = 1_000_000n

/** A value as it comes out of an input: dates become timestamps; what CEL has no word for becomes undefined. */
export const fromInput = (v: unknown): unknown => {
  if (typeof v !== "object" || v === null) {
    if (typeof v === "bigint" && (v > INT_MAX || v < INT_MIN)) return undefined
    return typeof v === "function" || typeof v === "symbol" ? undefined : v
  }
  if (v instanceof Date) {
    const ms = v.getTime()
    return Number.isNaN(ms) ? undefined : new Timestamp(BigInt(ms) * NS_PER_MS)
  }
  if (v instanceof Map) return fromMap(v)
  return v
}

const fromMap = (v: ReadonlyMap<unknown, unknown>): CelMap => {
  const out = new CelMap()
  for (const [key, value] of v) out.add(key, value)
  return out
}

/** An own property as a CEL value; undefined when it is absent. */
export const own = (o: Json, field: string): unknown => {
  const v = o[field]
  if (v === undefined || !Object.hasOwn(o, field)) return undefined
  return typeof v === "object" && v !== null
    ? fromInput(v)
    : typeof v === "function" || typeof v === "symbol"
      ? undefined
      : v
}

/** The entry of a map under a key; undefined when it is absent. */
export const lookup = (m: unknown, key: unknown): unknown => {
  if (m instanceof CelMap) {
    const v = m.get(key)
    return typeof v === "object" ? fromInput(v) : v
  }
  return typeof key === "string" ? own(m as Json, key) : undefined
}

/** Whether a map has a key. */
export const hasKey = (m: unknown, key: unknown): boolean =>
  m instanceof CelMap ? m.has(key) : typeof key === "string" && own(m as Json, key) !== undefined

/** The keys of a map. */
export const keysOf = (m: unknown): Array<unknown> =>
  m instanceof CelMap ? m.keys() : Object.keys(m as Json).filter((key) => own(m as Json, key) !== undefined)

/** The number of entries. */
export const sizeOfMap = (m: unknown): number => (m instanceof CelMap ? m.size : keysOf(m).length)

/** A number as something that JavaScript compares exactly. */
export const numeric = (v: unknown): number | bigint | undefined => {
  if (typeof v === "number" || typeof v === "bigint") return v
  return v instanceof Uint ? v.value : undefined
}

/** Counts the work of operations whose cost grows with their operands. */
export interface Meter {
  /** Spends operations; throws `OutOfBudget` when there are none left. */
  spend(operations: number): void
}

/** Deeper values than this are not compared. */
const MAX_DEPTH = 200

/** CEL's equality: numbers by value, other kinds only with their own; NaN equals nothing. */
export const equals = (a: unknown, b: unknown, meter: Meter, depth = 0): boolean | Fault => {
  if (typeof a === "object" && a !== null && typeof b === "object" && b !== null) {
    return equalObjects(a, b, meter, depth)
  }
  if (typeof a === "string" && typeof b === "string") return sameText(a, b, meter)
  if (a === b) return true
  const x = numeric(a)
  const y = numeric(b)
  return x !== undefined && y !== undefined && sameNumber(x, y)
}

/** Equality of texts; long ones of one length are paid for. */
export const sameText = (a: string, b: string, meter: Meter): boolean => {
  if (a.length !== b.length) return false
  if (a.length > 256) meter.spend(a.length >> 6)
  return a === b
}

/** What looking for a part of a text costs, at the worst. */
export const searchCost = (text: string, part: string): number =>
  (text.length >> 6) * (1 + (part.length >> 8))

/** Equality of numbers by value; comparing a bigint with a number is exact in JavaScript. */
const sameNumber = (x: number | bigint, y: number | bigint): boolean => x <= y && x >= y

const equalObjects = (a: object, b: object, meter: Meter, depth: number): boolean | Fault => {
  if (depth > MAX_DEPTH) return fault("invalid_argument", `values are nested deeper than ${MAX_DEPTH} levels`)
  meter.spend(1)
  const kind = kindOf(a)
  if (kind !== kindOf(b)) return false
  switch (kind) {
    case "list":
      return equalLists(a as ReadonlyArray<unknown>, b as ReadonlyArray<unknown>, meter, depth)
    case "map":
      return equalMaps(a, b, meter, depth)
    case "uint":
      return (a as Uint).value === (b as Uint).value
    case "timestamp":
    case "duration":
      return (a as Timestamp).ns === (b as Timestamp).ns
    case "type":
      return (a as TypeValue).name === (b as TypeValue).name
    case "bytes":
      return sameBytes(a as Uint8Array, b as Uint8Array, meter)
    case "ip":
      return sameBytes((a as Ip).bytes, (b as Ip).bytes, meter)
    case "cidr":
      return (
        (a as Cidr).prefix === (b as Cidr).prefix &&
        sameBytes((a as Cidr).ip.bytes, (b as Cidr).ip.bytes, meter)
      )
    default:
      return equalOptionals(a as Optional, b as Optional, meter, depth)
  }
}

const equalOptionals = (a: Optional, b: Optional, meter: Meter, depth: number): boolean | Fault =>
  a.present && b.present ? equals(a.value, b.value, meter, depth + 1) : a.present === b.present

const sameBytes = (a: Uint8Array, b: Uint8Array, meter: Meter): boolean => {
  if (a.length !== b.length) return false
  meter.spend(a.length >> 4)
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

const equalLists = (
  a: ReadonlyArray<unknown>,
  b: ReadonlyArray<unknown>,
  meter: Meter,
  depth: number
): boolean | Fault => {
  if (a.length !== b.length) return false
  meter.spend(a.length)
  for (let i = 0; i < a.length; i++) {
    const same = equals(fromInput(a[i]), fromInput(b[i]), meter, depth + 1)
    if (same !== true) return same
  }
  return true
}

const equalMaps = (a: unknown, b: unknown, meter: Meter, depth: number): boolean | Fault => {
  const keys = keysOf(a)
  meter.spend(keys.length)
  if (keys.length !== sizeOfMap(b)) return false
  for (const key of keys) {
    if (!hasKey(b, key)) return false
    const same = equals(lookup(a, key), lookup(b, key), meter, depth + 1)
    if (same !== true) return same
  }
  return true
}

/** Order of two strings by code points: −1, 0 or 1. */
const compareText = (a: string, b: string): number => {
  const n = Math.min(a.length, b.length)
  for (let i = 0; i < n; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    // A surrogate stands for a code point above every other unit.
    const sx = x >= 0xd800 && x <= 0xdfff
    const sy = y >= 0xd800 && y <= 0xdfff
    if (sx !== sy) return sx ? 1 : -1
    return x < y ? -1 : 1
  }
  return a.length === b.length ? 0 : a.length < b.length ? -1 : 1
}

const compareBytes = (a: Uint8Array, b: Uint8Array): number => {
  const n = Math.min(a.length, b.length)
  for (let i = 0; i < n; i++) {
    const d = (a[i] ?? 0) - (b[i] ?? 0)
    if (d !== 0) return d < 0 ? -1 : 1
  }
  return a.length === b.length ? 0 : a.length < b.length ? -1 : 1
}

const sign = (a: number | bigint, b: number | bigint): number =>
  a < b ? -1 : a > b ? 1 : a >= b ? 0 : Number.NaN

/** An int beside a double is ordered as a double, as the language has it (equality is exact). */
const signMixed = (a: number | bigint, b: number | bigint): number =>
  typeof a === typeof b ? sign(a, b) : sign(Number(a), Number(b))

/** Order of two values: −1, 0, 1, NaN when a NaN is among them, undefined when they have no order. */
export const order = (a: unknown, b: unknown, meter: Meter): number | undefined => {
  const x = numeric(a)
  const y = numeric(b)
  if (x !== undefined && y !== undefined) return signMixed(x, y)
  if (typeof a === "string" && typeof b === "string") {
    meter.spend(Math.min(a.length, b.length) >> 6)
    return compareText(a, b)
  }
  if (typeof a === "boolean" && typeof b === "boolean") return sign(Number(a), Number(b))
  if (a instanceof Timestamp && b instanceof Timestamp) return sign(a.ns, b.ns)
  if (a instanceof Duration && b instanceof Duration) return sign(a.ns, b.ns)
  if (a instanceof Uint8Array && b instanceof Uint8Array) return compareBytes(a, b)
  return undefined
}

/** Code points of a text. */
export const codePoints = (text: string): number => {
  let n = text.length
  for (let i = 0; i < text.length - 1; i++) {
    const c = text.charCodeAt(i)
    if (c >= 0xd800 && c <= 0xdbff) {
      const d = text.charCodeAt(i + 1)
      if (d >= 0xdc00 && d <= 0xdfff) {
        n--
        i++
      }
    }
  }
  return n
}
