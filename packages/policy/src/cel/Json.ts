/**
 * CEL values for people and programs outside: JSON, in which an int beyond the safe integers is text, as in
 * protobuf's JSON, bytes are base64, times and durations their texts.
 */
import { formatCidr, formatIp } from "./Network.ts"
import { formatDouble } from "./Strings.ts"
import { formatDuration, formatTimestamp } from "./Time.ts"
import {
  type CelMap,
  Cidr,
  Duration,
  fromInput,
  Ip,
  type Json,
  keysOf,
  kindOf,
  lookup,
  Optional,
  Timestamp,
  TypeValue,
  Uint
} from "./Value.ts"

const MAX_DEPTH = 64

const integer = (n: bigint): number | string =>
  n >= BigInt(Number.MIN_SAFE_INTEGER) && n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n.toString()

/** A value as JSON; what lies deeper than 64 levels is null. */
export const toJson = (value: unknown, depth = 0): unknown => {
  const v = fromInput(value)
  if (depth > MAX_DEPTH || v === undefined) return null
  switch (typeof v) {
    case "string":
    case "boolean":
      return v
    case "bigint":
      return integer(v)
    case "number":
      return Number.isFinite(v) ? v : formatDouble(v)
    default:
      return v === null ? null : objectToJson(v as object, depth)
  }
}

const objectToJson = (v: object, depth: number): unknown => {
  if (Array.isArray(v)) return v.map((x) => toJson(x, depth + 1))
  if (v instanceof Uint) return integer(v.value)
  if (v instanceof Timestamp) return formatTimestamp(v)
  if (v instanceof Duration) return formatDuration(v)
  if (v instanceof Optional) return v.present ? toJson(v.value, depth + 1) : null
  if (v instanceof TypeValue) return v.name
  if (v instanceof Ip) return formatIp(v)
  if (v instanceof Cidr) return formatCidr(v)
  if (v instanceof Uint8Array) return base64(v)
  return kindOf(v) === "map" ? mapToJson(v as Json | CelMap, depth) : null
}

const mapToJson = (v: Json | CelMap, depth: number): Json => {
  // No prototype, so that a key such as `__proto__` is a key.
  const out: Record<string, unknown> = Object.create(null)
  for (const key of keysOf(v))
    out[key instanceof Uint ? key.value.toString() : String(key)] = toJson(lookup(v, key), depth + 1)
  return out
}

const base64 = (v: Uint8Array): string => {
  let binary = ""
  for (const b of v) binary += String.fromCharCode(b)
  return btoa(binary)
}
