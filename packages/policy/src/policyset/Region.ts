/**
 * Where a condition is true, as far as it can be told by looking: a union of boxes, each a constraint for some
 * paths. Comparisons of a path with constants, `in` with a list of constants, bare bools, `has`, and `&&`, `||`,
 * `!` of them can be told; for anything else there is no region.
 *
 * A condition has a third region, where it cannot be evaluated: a field is absent or of another type, and no
 * `&&` or `||` does without it.
 */
import type { Call, Node } from "../cel/Ast.ts"
import { pathOf } from "../cel/Compiler.ts"
import { isDyn, prune, type Type } from "../cel/Type.ts"

/** What a path may hold. */
export type Constraint =
  | {
      readonly k: "number"
      readonly low: number
      readonly lowOpen: boolean
      readonly high: number
      readonly highOpen: boolean
      readonly not: ReadonlySet<number>
      readonly whole: boolean
    }
  | { readonly k: "text"; readonly only: ReadonlySet<string> | undefined; readonly not: ReadonlySet<string> }
  | { readonly k: "bool"; readonly value: boolean }
  | { readonly k: "present" }
  | { readonly k: "absent" }
  /** There, and of another type than the condition needs. */
  | { readonly k: "odd" }

/** A constraint for each path; an empty box holds every input. */
export type Box = ReadonlyMap<string, Constraint>
/** A union of boxes; an empty one holds nothing. */
export type Region = ReadonlyArray<Box>

const MAX_BOXES = 64
/** Operands of which the failures are told exactly. */
const MAX_EXACT = 8

/** The values that the contract allows for a field. */
const ENUMS: Readonly<Record<string, ReadonlySet<string>>> = {
  "resource.status": new Set(["active", "inactive", "pending", "error", "deprecated"]),
  "resource.health_status": new Set(["healthy", "degraded", "unhealthy", "unknown"]),
  "resource.risk_level": new Set(["low", "medium", "high", "critical"]),
  "resource.resource_type": new Set(
    "model_provider ai_model database api storage mcp_server tool webhook compute".split(" ")
  ),
  "actor.type": new Set(["agent", "user", "service"]),
  "actor.tier": new Set(["untrusted", "basic", "verified", "trusted", "privileged", "admin"])
}

const RANGES: Readonly<Record<string, readonly [number, number]>> = {
  "actor.trust_score": [0, 100],
  "resource.trust_tier_required": [0, 100],
  "request.tokens": [0, Number.POSITIVE_INFINITY],
  "request.cost": [0, Number.POSITIVE_INFINITY]
}

const NONE: ReadonlySet<never> = new Set()

const numbers = (path: string, type: Type): Constraint => {
  const [low, high] = RANGES[path] ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
  return {
    k: "number",
    low,
    lowOpen: false,
    high,
    highOpen: false,
    not: NONE,
    whole: prune(type).k === "int"
  }
}

const texts = (path: string): Constraint => ({ k: "text", only: ENUMS[path], not: NONE })

/** What is odd and this too. */
const beside = (c: Constraint): Constraint | undefined =>
  c.k === "odd" || c.k === "present" ? { k: "odd" } : undefined

/** Both at once; undefined when nothing is both. */
const both = (a: Constraint, b: Constraint): Constraint | undefined => {
  if (a.k === "odd" || b.k === "odd") return a.k === "odd" ? beside(b) : beside(a)
  if (a.k === "present") return b.k === "absent" ? undefined : b
  if (b.k === "present") return a.k === "absent" ? undefined : a
  if (a.k === "absent" || b.k === "absent") return a.k === b.k ? a : undefined
  if (a.k === "number" && b.k === "number") return someNumber(narrow(a, b))
  if (a.k === "text" && b.k === "text") return someText(a, b)
  if (a.k === "bool" && b.k === "bool") return a.value === b.value ? a : undefined
  return undefined
}

type Numbers = Extract<Constraint, { k: "number" }>
type Texts = Extract<Constraint, { k: "text" }>

const narrow = (a: Numbers, b: Numbers): Numbers => ({
  k: "number",
  low: Math.max(a.low, b.low),
  lowOpen: a.low === b.low ? a.lowOpen || b.lowOpen : a.low > b.low ? a.lowOpen : b.lowOpen,
  high: Math.min(a.high, b.high),
  highOpen: a.high === b.high ? a.highOpen || b.highOpen : a.high < b.high ? a.highOpen : b.highOpen,
  not: new Set([...a.not, ...b.not]),
  whole: a.whole || b.whole
})

/** Whole numbers have closed ends. */
const closed = (c: Numbers): Numbers => {
  if (!c.whole) return c
  const low = c.lowOpen && Number.isInteger(c.low) ? c.low + 1 : Math.ceil(c.low)
  const high = c.highOpen && Number.isInteger(c.high) ? c.high - 1 : Math.floor(c.high)
  return { ...c, low, high, lowOpen: false, highOpen: false }
}

const someNumber = (c: Numbers): Numbers | undefined => {
  const n = closed(c)
  return pickNumber(n) === undefined ? undefined : n
}

const someText = (a: Texts, b: Texts): Texts | undefined => {
  const not = new Set([...a.not, ...b.not])
  const some = a.only ?? b.only
  const left =
    some === undefined
      ? undefined
      : new Set([...some].filter((t) => (a.only?.has(t) ?? true) && (b.only?.has(t) ?? true) && !not.has(t)))
  return left?.size === 0 ? undefined : { k: "text", only: left, not }
}

/** A number within the constraint; undefined when there is none. */
const pickNumber = (c: Numbers): number | undefined => {
  const { low, high } = c
  const within = (n: number): boolean =>
    (c.lowOpen ? n > low : n >= low) &&
    (c.highOpen ? n < high : n <= high) &&
    !c.not.has(n) &&
    (!c.whole || Number.isSafeInteger(n)) &&
    Number.isFinite(n)
  const start = Number.isFinite(low) ? low : Number.isFinite(high) ? high : 0
  const width = Number.isFinite(low) && Number.isFinite(high) ? high - low : 1
  const candidates = [start, high, 0]
  for (let i = 0; i <= c.not.size + 2; i++) {
    candidates.push(start + i + 1, start - i - 1, start + width / (i + 2), start - width / (i + 2))
  }
  return candidates.find(within)
}

/** A value within a constraint; undefined for an absent one, a list for an odd one. */
export const pick = (c: Constraint): unknown => {
  switch (c.k) {
    case "number":
      return pickNumber(c)
    case "bool":
      return c.value
    case "absent":
      return undefined
    case "odd":
      return []
    case "present":
      return "x"
    case "text": {
      if (c.only !== undefined) return [...c.only][0]
      let text = "x"
      while (c.not.has(text)) text += "x"
      return text
    }
  }
}

/** The boxes common to both; undefined when there are too many. */
export const intersect = (a: Region, b: Region): Region | undefined => {
  if (a.length * b.length > MAX_BOXES * MAX_BOXES) return undefined
  const out: Array<Box> = []
  for (const x of a) {
    for (const y of b) {
      const box = meet(x, y)
      if (box !== undefined) out.push(box)
    }
  }
  return out.length > MAX_BOXES ? undefined : out
}

const meet = (a: Box, b: Box): Box | undefined => {
  const out = new Map(a)
  for (const [path, c] of b) {
    const old = out.get(path)
    const next = old === undefined ? c : both(old, c)
    if (next === undefined) return undefined
    out.set(path, next)
  }
  return out
}

const everything: Region = [new Map()]

const one = (path: string, c: Constraint | undefined): Region =>
  c === undefined ? [] : [new Map([[path, c]])]

/** Where a condition has an outcome; undefined when that cannot be told. */
export const regionOf = (node: Node, outcome: boolean): Region | undefined => {
  switch (node.k) {
    case "lit":
      return typeof node.value === "boolean" ? (node.value === outcome ? everything : []) : undefined
    case "and":
    case "or":
      return (node.k === "and") === outcome ? allOf(node.args, outcome) : anyOf(node.args, outcome)
    case "call":
      return node.fn === "!_" && node.args[0] !== undefined
        ? regionOf(node.args[0], !outcome)
        : call(node, outcome)
    case "select": {
      const path = pathOf({ ...node, test: false })
      if (path === undefined) return undefined
      if (node.test) return one(path, { k: outcome ? "present" : "absent" })
      return one(path, { k: "bool", value: outcome })
    }
    default:
      return undefined
  }
}

const allOf = (nodes: ReadonlyArray<Node>, outcome: boolean): Region | undefined => {
  let region: Region | undefined = everything
  for (const node of nodes) {
    const next = regionOf(node, outcome)
    if (next === undefined || region === undefined) return undefined
    region = intersect(region, next)
  }
  return region
}

const anyOf = (nodes: ReadonlyArray<Node>, outcome: boolean): Region | undefined => {
  const out: Array<Box> = []
  for (const node of nodes) {
    const next = regionOf(node, outcome)
    if (next === undefined) return undefined
    out.push(...next)
  }
  return out.length > MAX_BOXES ? undefined : out
}

const NEGATED: Readonly<Record<string, string>> = {
  "_<_": "_>=_",
  "_<=_": "_>_",
  "_>_": "_<=_",
  "_>=_": "_<_",
  "_==_": "_!=_",
  "_!=_": "_==_"
}
const MIRRORED: Readonly<Record<string, string>> = {
  "_<_": "_>_",
  "_<=_": "_>=_",
  "_>_": "_<_",
  "_>=_": "_<=_",
  "_==_": "_==_",
  "_!=_": "_!=_"
}

const call = (node: Call, outcome: boolean): Region | undefined => {
  const [a, b] = node.args
  if (a === undefined || b === undefined) return undefined
  if (node.fn === "@in") return membership(a, b, outcome)
  const op = b.k === "lit" ? node.fn : MIRRORED[node.fn]
  const [path, literal] = b.k === "lit" ? [a, b] : [b, a]
  if (op === undefined || literal.k !== "lit" || NEGATED[node.fn] === undefined) return undefined
  return comparison(path, outcome ? op : (NEGATED[op] ?? op), literal.value)
}

const comparison = (node: Node, op: string, value: unknown): Region | undefined => {
  const path = pathOf(node)
  // In an open part "not 5" is also any text.
  if (path === undefined || (op === "_!=_" && isDyn(node.type))) return undefined
  const v = typeof value === "bigint" ? Number(value) : value
  if (typeof v === "number")
    return Number.isSafeInteger(v) || typeof value === "number"
      ? oneNumber(path, node.type, op, v)
      : undefined
  if (typeof v === "boolean" && (op === "_==_" || op === "_!=_")) {
    return one(path, { k: "bool", value: (op === "_==_") === v })
  }
  if (typeof v !== "string" || (op !== "_==_" && op !== "_!=_")) return undefined
  const c: Constraint =
    op === "_==_"
      ? { k: "text", only: new Set([v]), not: NONE }
      : { k: "text", only: undefined, not: new Set([v]) }
  return one(path, both(texts(path), c))
}

const oneNumber = (path: string, type: Type, op: string, v: number): Region => {
  const base = numbers(path, type) as Numbers
  const all: Numbers = { ...base, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY }
  const c: Numbers =
    op === "_<_" || op === "_<=_"
      ? { ...all, high: v, highOpen: op === "_<_" }
      : op === "_>_" || op === "_>=_"
        ? { ...all, low: v, lowOpen: op === "_>_" }
        : op === "_==_"
          ? { ...all, low: v, high: v }
          : { ...all, not: new Set([v]) }
  return one(path, both(base, c))
}

/** `path in ["a", "b"]`. */
const membership = (node: Node, list: Node, outcome: boolean): Region | undefined => {
  const path = pathOf(node)
  if (path === undefined || list.k !== "list" || (!outcome && isDyn(node.type))) return undefined
  const values = list.items.map((item) => (item.k === "lit" ? item.value : undefined))
  if (!values.every((v) => typeof v === "string")) return undefined
  const set: ReadonlySet<string> = new Set(values)
  const c: Constraint = outcome
    ? { k: "text", only: set, not: NONE }
    : { k: "text", only: undefined, not: set }
  return one(path, set.size === 0 && outcome ? undefined : both(texts(path), c))
}

/** Where a condition cannot be evaluated, and perhaps more; undefined when that cannot be told. */
export const failuresOf = (node: Node): Region | undefined => {
  switch (node.k) {
    case "lit":
      return []
    case "and":
    case "or":
      return failuresAmong(node.args, node.k === "and")
    case "call":
      if (node.fn === "!_") return node.args[0] === undefined ? undefined : failuresOf(node.args[0])
      return unreadable(
        node.args.find((arg) => pathOf(arg) !== undefined),
        node.fn
      )
    case "select": {
      if (!node.test) return unreadable(node, "")
      // Nothing is asked of what is not there.
      const parent = pathOf(node.operand)
      if (parent === undefined) return undefined
      return parent.includes(".") ? [...one(parent, { k: "absent" }), ...one(parent, { k: "odd" })] : []
    }
    default:
      return undefined
  }
}

/** A field that is absent or of another type; in an open part, equality takes any type. */
const unreadable = (node: Node | undefined, fn: string): Region | undefined => {
  const path = node === undefined ? undefined : pathOf(node)
  if (node === undefined || path === undefined) return undefined
  // Absent, it is the empty text.
  const absent = path === "request.content" ? [] : one(path, { k: "absent" })
  const anyType = isDyn(node.type) && (fn === "_==_" || fn === "@in")
  return anyType ? absent : [...absent, ...one(path, { k: "odd" })]
}

/** One operand fails and no other decides; what is too much to tell exactly is told by the failures alone. */
const failuresAmong = (nodes: ReadonlyArray<Node>, goesOn: boolean): Region | undefined => {
  const failures: Array<Region> = []
  for (const node of nodes) {
    const region = failuresOf(node)
    if (region === undefined) return undefined
    failures.push(region)
  }
  const all = failures.flat()
  if (nodes.length > MAX_EXACT) return all
  const others = nodes.map((node) => regionOf(node, goesOn))
  const out = failures.flatMap((failure, i) => {
    let region: Region | undefined = failure
    for (const [j, other] of others.entries()) {
      if (i === j || region === undefined) continue
      region = other === undefined ? undefined : intersect(region, [...other, ...(failures[j] ?? [])])
    }
    return region ?? failure
  })
  return out.length > MAX_BOXES ? all : out
}
