/**
 * Walks over lists and maps: `all`, `exists`, `exists_one`, `map`, `filter`, `transformList`, `transformMap`,
 * `transformMapEntry`. Each step spends as many operations as its body has nodes, so nested walks over long
 * lists end with the budget.
 */
import type { Comp } from "./Ast.ts"
import type { Fn, Frame } from "./Frame.ts"
import { Fault, fault } from "./Issue.ts"
import { CelMap, fromInput, keysOf, kindOf, lookup } from "./Value.ts"

/** The compiled parts of a walk. */
export interface Parts {
  readonly range: Fn
  readonly guard: Fn | undefined
  readonly body: Fn
  /** Operations that one step spends. */
  readonly cost: number
}

/** Receives what the body answered; anything but undefined ends the walk with it. */
type Step = (value: unknown, c: Frame) => unknown

export const compileComp = (node: Comp, parts: Parts): Fn => {
  switch (node.macro) {
    case "all":
    case "exists":
      return quantifier(node, parts, node.macro === "exists")
    case "exists_one":
      return existsOne(node, parts)
    case "filter":
      return filter(node, parts)
    case "map":
    case "transformList":
      return collect(node, parts)
    default:
      return transformMap(node, parts)
  }
}

/** Calls the body for each element, with the variables set. */
const walk = (c: Frame, node: Comp, parts: Parts, range: unknown, step: Step): unknown => {
  if (range instanceof Fault) return range
  const isList = Array.isArray(range)
  if (!isList && kindOf(range) !== "map") {
    return fault(
      "no_such_overload",
      `\`${node.macro}\` walks over a list or a map, not a ${kindOf(range) ?? "value"}`,
      node.pos
    )
  }
  const keys: ReadonlyArray<unknown> = isList ? range : keysOf(range)
  if (!isList) c.spend(keys.length)
  const { slot } = node
  const two = node.v2 !== undefined
  for (let i = 0; i < keys.length; i++) {
    c.spend(1 + parts.cost)
    const key = keys[i]
    if (!two) c.slots[slot] = isList ? element(key, node) : key
    else {
      c.slots[slot] = isList ? BigInt(i) : key
      c.slots[slot + 1] = isList ? element(key, node) : lookup(range, key)
    }
    const end = step(parts.body(c), c)
    if (end !== undefined) return end
  }
  return undefined
}

const element = (v: unknown, node: Comp): unknown => {
  const made = fromInput(v)
  return made === undefined
    ? fault("wrong_type", "the list holds something that is no value", node.pos)
    : made
}

const notBool = (v: unknown, node: Comp): Fault =>
  v instanceof Fault
    ? v
    : fault("not_a_boolean", `\`${node.macro}\` wants a bool from its body`, node.body.pos)

const quantifier =
  (node: Comp, parts: Parts, stop: boolean): Fn =>
  (c) => {
    let problem: Fault | undefined
    const end = walk(c, node, parts, parts.range(c), (v) => {
      if (v === stop) return stop
      if (v !== !stop && problem === undefined) problem = notBool(v, node)
      return undefined
    })
    return end ?? problem ?? !stop
  }

const existsOne =
  (node: Comp, parts: Parts): Fn =>
  (c) => {
    let count = 0
    const end = walk(c, node, parts, parts.range(c), (v) => {
      if (v === true) count++
      return typeof v === "boolean" ? undefined : notBool(v, node)
    })
    return end ?? count === 1
  }

const filter =
  (node: Comp, parts: Parts): Fn =>
  (c) => {
    const out: Array<unknown> = []
    const end = walk(c, node, parts, parts.range(c), (v) => {
      if (v === true) out.push(c.slots[node.slot])
      return typeof v === "boolean" ? undefined : notBool(v, node)
    })
    return end ?? out
  }

/** The guard's answer: true, false, or the fault. */
const guarded = (c: Frame, node: Comp, parts: Parts): boolean | Fault => {
  if (parts.guard === undefined) return true
  const v = parts.guard(c)
  return typeof v === "boolean" ? v : notBool(v, node)
}

/** A walk whose guard is asked before its body. */
const walkGuarded = (c: Frame, node: Comp, parts: Parts, range: unknown, step: Step): unknown => {
  const body: Fn = (frame) => {
    const ok = guarded(frame, node, parts)
    return ok === true ? parts.body(frame) : ok === false ? SKIP : ok
  }
  return walk(c, node, { ...parts, body }, range, step)
}

const SKIP = Symbol("skip")

const collect =
  (node: Comp, parts: Parts): Fn =>
  (c) => {
    const out: Array<unknown> = []
    const end = walkGuarded(c, node, parts, parts.range(c), (v) => {
      if (v instanceof Fault) return v
      if (v !== SKIP) out.push(v)
      return undefined
    })
    return end ?? out
  }

const transformMap =
  (node: Comp, parts: Parts): Fn =>
  (c) => {
    const out = new CelMap()
    const put = (key: unknown, v: unknown): Fault | undefined =>
      out.add(key, v)
        ? undefined
        : fault("invalid_argument", `\`${node.macro}\` made one key twice`, node.pos)
    const end = walkGuarded(c, node, parts, parts.range(c), (v, frame) => {
      if (v instanceof Fault) return v
      if (v === SKIP) return undefined
      if (node.macro === "transformMap") return put(frame.slots[node.slot], v)
      if (kindOf(v) !== "map") return fault("no_such_overload", "`transformMapEntry` wants a map", node.pos)
      for (const key of keysOf(v)) {
        const problem = put(key, lookup(v, key))
        if (problem !== undefined) return problem
      }
      return undefined
    })
    return end ?? out
  }
