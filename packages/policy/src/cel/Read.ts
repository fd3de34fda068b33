/**
 * Values of an input at the places that an environment declares: each is checked for its type when it is read,
 * null and absent are the same, and JSON's numbers and texts become what the declaration says.
 */
import { type Fault, fault } from "./Issue.ts"
import { parseTimestamp } from "./Time.ts"
import { format, prune, type Type } from "./Type.ts"
import { CelMap, fromInput, type Json, kindOf, Timestamp } from "./Value.ts"

/** Turns a present value into a value of the declared type. */
export type Reader = (v: unknown) => unknown

const wrong = (type: Type): Fault => fault("wrong_type", `the input has no ${format(type)} here`)

/** An int from JSON stays a number while it is a safe integer. */
const readInt = (v: unknown): unknown => {
  if (typeof v === "number") {
    if (Number.isSafeInteger(v)) return v
    return Number.isInteger(v) && Math.abs(v) < 2 ** 63 ? BigInt(v) : undefined
  }
  return typeof v === "bigint" ? fromInput(v) : undefined
}

const readTime = (v: unknown): unknown => {
  if (typeof v === "string") return parseTimestamp(v)
  if (typeof v === "number") return Number.isFinite(v) ? fromInput(new Date(v)) : undefined
  const t = fromInput(v)
  return t instanceof Timestamp ? t : undefined
}

const boxed = (v: unknown): unknown => (typeof v === "number" ? BigInt(v) : v)

const readList = (of: Type): Reader => {
  const k = prune(of).k
  if (k !== "int" && k !== "timestamp" && k !== "list" && k !== "map") {
    return (v) => (Array.isArray(v) ? v : undefined)
  }
  const each = readerOf(of)
  return (v) => {
    if (!Array.isArray(v)) return undefined
    const out = v.map((x) => boxed(each(x)))
    return out.includes(undefined) ? undefined : out
  }
}

const readMap = (value: Type): Reader => {
  const k = prune(value).k
  const asMap = (v: unknown): unknown => {
    const m = fromInput(v)
    return kindOf(m) === "map" ? m : undefined
  }
  if (k !== "int" && k !== "timestamp") return asMap
  const each = readerOf(value)
  return (v) => {
    const m = asMap(v)
    if (m === undefined || m instanceof CelMap) return m
    const out = new CelMap()
    for (const [key, x] of Object.entries(m as Json)) out.add(key, boxed(each(x)))
    return out
  }
}

const kind =
  (k: string): Reader =>
  (v) => {
    const made = fromInput(v)
    return kindOf(made) === k ? made : undefined
  }

const readerOf = (type: Type): Reader => {
  const t = prune(type)
  switch (t.k) {
    case "string":
      return (v) => (typeof v === "string" ? v : undefined)
    case "double":
      return (v) => (typeof v === "number" ? v : typeof v === "bigint" ? Number(v) : undefined)
    case "bool":
      return (v) => (typeof v === "boolean" ? v : undefined)
    case "int":
      return readInt
    case "timestamp":
      return readTime
    case "list":
      return readList(t.of)
    case "map":
      return readMap(t.value)
    case "object":
      return (v) => (kindOf(v) === "map" ? v : undefined)
    case "dyn":
    case "var":
    case "abstract":
      return fromInput
    default:
      return kind(t.k === "null_type" ? "null_type" : t.k)
  }
}

const isAny = (type: Type): boolean => {
  const k = prune(type).k
  return k === "dyn" || k === "var" || k === "abstract" || k === "null_type"
}

/** Reads a present value; a fault when it is of another type. Null reads as absent (undefined) where a type is declared. */
export const reader = (type: Type): Reader => {
  const read = readerOf(type)
  const problem = wrong(type)
  const any = isAny(type)
  return (v) => {
    if (v === null && !any) return undefined
    const made = read(v)
    return made === undefined ? problem : made
  }
}
