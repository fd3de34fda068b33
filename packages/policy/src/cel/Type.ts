/**
 * The types of CEL as the checker knows them.
 *
 * `dyn` fits everything. An `open` dyn is a value out of JSON that nobody declared: it behaves as `dyn`, and
 * its numbers are doubles to which an integer literal adapts in arithmetic.
 */

/** Types without parameters. */
export type Simple =
  | "null_type"
  | "bool"
  | "int"
  | "uint"
  | "double"
  | "string"
  | "bytes"
  | "timestamp"
  | "duration"
  | "ip"
  | "cidr"

/** A field of a closed object. */
export interface Field {
  readonly type: Type
  /** What a read answers when the input lacks the field. */
  readonly fallback?: unknown
}

/** A type; `var` is a hole that the checker fills while it unifies. */
export type Type =
  | { readonly k: "dyn"; readonly open: boolean }
  | { readonly k: Simple }
  | { readonly k: "list"; readonly of: Type }
  | { readonly k: "map"; readonly key: Type; readonly value: Type }
  | { readonly k: "optional"; readonly of: Type }
  | { readonly k: "type"; readonly of: Type }
  | { readonly k: "object"; readonly name: string; readonly fields: Readonly<Record<string, Field>> }
  | { readonly k: "abstract"; readonly name: string; readonly of: ReadonlyArray<Type> }
  | TypeVar

/** A hole, filled at most once unless the checker undoes it. */
export interface TypeVar {
  readonly k: "var"
  readonly name: string
  ref: Type | undefined
}

const simple = (k: Simple): Type => ({ k })

/** Any value; the checker believes what is done with it. */
export const DYN: Type = { k: "dyn", open: false }
/** A value of JSON without a declared shape. */
export const OPEN: Type = { k: "dyn", open: true }
/** `null`. */
export const NULL = simple("null_type")
/** `true` and `false`. */
export const BOOL = simple("bool")
/** Signed integers of 64 bits. */
export const INT = simple("int")
/** Unsigned integers of 64 bits, such as `1u`. */
export const UINT = simple("uint")
/** IEEE 754 doubles. */
export const DOUBLE = simple("double")
/** Texts of Unicode code points. */
export const STRING = simple("string")
/** Bytes, such as `b"abc"`. */
export const BYTES = simple("bytes")
/** Points in time. */
export const TIMESTAMP = simple("timestamp")
/** Spans of time. */
export const DURATION = simple("duration")
/** Addresses of IPv4 and IPv6. */
export const IP = simple("ip")
/** Ranges of addresses. */
export const CIDR = simple("cidr")
/** Lists of one type. */
export const list = (of: Type): Type => ({ k: "list", of })
/** Maps of one type of keys to one of values. */
export const map = (key: Type, value: Type): Type => ({ k: "map", key, value })
/** A value that may be absent, as `a.?b` gives. */
export const optional = (of: Type): Type => ({ k: "optional", of })
/** The type of a type, as `type(x)` gives. */
export const typeOf = (of: Type): Type => ({ k: "type", of })
/** A closed object: only these fields exist. */
export const object = (name: string, fields: Readonly<Record<string, Field>>): Type => ({
  k: "object",
  name,
  fields
})
/** JSON with string keys and anything below. */
export const OPEN_MAP = map(STRING, OPEN)
/** A hole to be filled; `name` is for messages. */
export const variable = (name: string): TypeVar => ({ k: "var", name, ref: undefined })

/** The type behind filled holes. */
export const prune = (type: Type): Type => {
  let t = type
  while (t.k === "var" && t.ref !== undefined) t = t.ref
  return t
}

const SHOWN: Partial<Record<Type["k"], string>> = {
  null_type: "null",
  timestamp: "timestamp",
  ip: "net.IP",
  cidr: "net.CIDR"
}

/** A type as people write it; `full` writes optionals as the specification does. */
export const format = (type: Type, full = false): string => {
  const t = prune(type)
  switch (t.k) {
    case "dyn":
    case "var":
      return "dyn"
    case "list":
      return `list(${format(t.of, full)})`
    case "map":
      return `map(${format(t.key, full)}, ${format(t.value, full)})`
    case "optional":
      return `${full ? "optional_type" : "optional"}(${format(t.of, full)})`
    case "type":
      return `type(${format(t.of, full)})`
    case "object":
      return t.name
    case "abstract":
      return t.of.length === 0 ? t.name : `${t.name}(${t.of.map((x) => format(x, full)).join(", ")})`
    default:
      return SHOWN[t.k] ?? t.k
  }
}

const NUMERIC: ReadonlySet<string> = new Set(["int", "uint", "double"])

/** Int, uint or double. */
export const isNumeric = (type: Type): boolean => NUMERIC.has(prune(type).k)

/** Dyn, or a hole that nothing has filled. */
export const isDyn = (type: Type): boolean => {
  const k = prune(type).k
  return k === "dyn" || k === "var"
}

/** Dyn out of JSON. */
export const isOpen = (type: Type): boolean => {
  const t = prune(type)
  return t.k === "dyn" && t.open
}

/** The holes filled since a mark, so that a failed attempt can be undone. */
export type Trail = Array<TypeVar>

/** Empties the holes filled after `mark`. */
export const undo = (trail: Trail, mark: number): void => {
  while (trail.length > mark) {
    const hole = trail.pop()
    if (hole !== undefined) hole.ref = undefined
  }
}

const occurs = (hole: TypeVar, type: Type): boolean => {
  const t = prune(type)
  if (t === hole) return true
  switch (t.k) {
    case "list":
    case "optional":
    case "type":
      return occurs(hole, t.of)
    case "map":
      return occurs(hole, t.key) || occurs(hole, t.value)
    case "abstract":
      return t.of.some((x) => occurs(hole, x))
    default:
      return false
  }
}

const fill = (hole: TypeVar, type: Type, trail: Trail): boolean => {
  if (occurs(hole, type)) return false
  hole.ref = type
  trail.push(hole)
  return true
}

const NULLABLE: ReadonlySet<string> = new Set(["timestamp", "duration", "optional", "abstract"])

/** Whether a value of `from` may stand where `to` is wanted; fills holes of both. */
export const assignable = (to: Type, from: Type, trail: Trail): boolean => {
  const a = prune(to)
  const b = prune(from)
  if (a === b) return true
  if (a.k === "var") return fill(a, b, trail)
  if (b.k === "var") return fill(b, a, trail)
  if (a.k === "dyn" || b.k === "dyn") return true
  if (b.k === "null_type" && NULLABLE.has(a.k)) return true
  if (a.k !== b.k) return false
  return sameShape(a, b, trail)
}

const sameShape = (a: Type, b: Type, trail: Trail): boolean => {
  switch (a.k) {
    case "list":
    case "optional":
      return b.k === a.k && assignable(a.of, b.of, trail)
    case "map":
      return b.k === "map" && assignable(a.key, b.key, trail) && assignable(a.value, b.value, trail)
    case "object":
      return b.k === "object" && a.name === b.name
    case "abstract":
      return (
        b.k === "abstract" &&
        a.name === b.name &&
        a.of.length === b.of.length &&
        a.of.every((x, i) => assignable(x, b.of[i] ?? DYN, trail))
      )
    default:
      return true
  }
}

/** Whether a type is at least as general: `list(dyn)` is more general than `list(int)`. */
const general = (a: Type, b: Type): boolean => {
  const x = prune(a)
  const y = prune(b)
  if (x.k === "dyn") return true
  if (x.k === "var") return y.k === "var" || y.k === "dyn" ? y.k === "var" : false
  if (x.k !== y.k) return y.k === "null_type" && NULLABLE.has(x.k)
  if (x.k === "list" || x.k === "optional")
    return "of" in y && !Array.isArray(y.of) && general(x.of, y.of as Type)
  if (x.k === "map" && y.k === "map") return general(x.key, y.key) && general(x.value, y.value)
  if (x.k === "abstract" && y.k === "abstract") return x.of.every((t, i) => general(t, y.of[i] ?? DYN))
  return true
}

/** The type of a place that may hold either; dyn when they do not meet. */
export const join = (a: Type, b: Type, trail: Trail): Type => {
  const mark = trail.length
  if (general(a, b) && assignable(a, b, trail)) return a
  undo(trail, mark)
  if (general(b, a) && assignable(b, a, trail)) return b
  undo(trail, mark)
  if (assignable(a, b, trail)) return a
  undo(trail, mark)
  return DYN
}

/** A copy in which the named parameters are fresh holes. */
export const instantiate = (type: Type, holes: Map<string, TypeVar>): Type => {
  switch (type.k) {
    case "var": {
      let hole = holes.get(type.name)
      if (hole === undefined) {
        hole = variable(type.name)
        holes.set(type.name, hole)
      }
      return hole
    }
    case "list":
      return list(instantiate(type.of, holes))
    case "optional":
      return optional(instantiate(type.of, holes))
    case "type":
      return typeOf(instantiate(type.of, holes))
    case "map":
      return map(instantiate(type.key, holes), instantiate(type.value, holes))
    case "abstract":
      return { k: "abstract", name: type.name, of: type.of.map((x) => instantiate(x, holes)) }
    default:
      return type
  }
}
