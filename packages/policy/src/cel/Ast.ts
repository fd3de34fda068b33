/**
 * The tree of an expression.
 *
 * Macros are nodes of their own (`comp`, `bind`) instead of folds, `&&` and `||` hold all their operands, so
 * a long chain is wide and not deep. The checker writes `type` and the slots of names.
 */
import type { Type } from "./Type.ts"

interface Base {
  /** Offset into the source. */
  readonly pos: number
  /** How many levels stand below, this one included. */
  depth: number
  /** Where its text begins and ends in the source. */
  start: number
  end: number
  type: Type
}

export interface Lit extends Base {
  readonly k: "lit"
  readonly value: unknown
}

/** Where a name leads: a local's slot, an input variable, a type, or nowhere. */
export type Target =
  | { readonly to: "slot"; readonly slot: number }
  | { readonly to: "variable"; readonly name: string; readonly fallback: unknown }
  | { readonly to: "type"; readonly name: string }
  | { readonly to: "unknown"; readonly name: string }

export interface Ident extends Base {
  readonly k: "ident"
  /** With a leading dot when it was written absolutely. */
  readonly name: string
  target: Target | undefined
}

export interface Select extends Base {
  readonly k: "select"
  readonly operand: Node
  readonly field: string
  /** `has(a.b)` */
  readonly test: boolean
  /** `a.?b` */
  readonly opt: boolean
  /** The checker found that the whole chain is one name. */
  target: Target | undefined
}

export interface Call extends Base {
  readonly k: "call"
  /** Operators are `_+_`, `-_`, `_[_]`, `@in`, … */
  fn: string
  target: Node | undefined
  readonly args: ReadonlyArray<Node>
}

export interface Logic extends Base {
  readonly k: "and" | "or"
  readonly args: ReadonlyArray<Node>
}

export interface Cond extends Base {
  readonly k: "cond"
  readonly test: Node
  readonly yes: Node
  readonly no: Node
}

export interface ListNode extends Base {
  readonly k: "list"
  readonly items: ReadonlyArray<Node>
  /** Which items are `?item`. */
  readonly optional: ReadonlyArray<boolean>
}

export interface MapEntry {
  readonly key: Node
  readonly value: Node
  readonly optional: boolean
}

export interface MapNode extends Base {
  readonly k: "map"
  readonly entries: ReadonlyArray<MapEntry>
}

export type Macro =
  | "all"
  | "exists"
  | "exists_one"
  | "map"
  | "filter"
  | "transformList"
  | "transformMap"
  | "transformMapEntry"

export interface Comp extends Base {
  readonly k: "comp"
  readonly macro: Macro
  readonly range: Node
  /** The element, or index/key when `v2` is present. */
  readonly v1: string
  readonly v2: string | undefined
  /** The condition of `map` and `transform*`. */
  readonly guard: Node | undefined
  readonly body: Node
  slot: number
}

export interface Bind extends Base {
  readonly k: "bind"
  readonly how: "bind" | "optMap" | "optFlatMap"
  readonly name: string
  readonly init: Node
  readonly body: Node
  slot: number
}

export type Node = Lit | Ident | Select | Call | Logic | Cond | ListNode | MapNode | Comp | Bind

/** The nodes directly below. */
export const children = (node: Node): ReadonlyArray<Node> => {
  switch (node.k) {
    case "lit":
    case "ident":
      return []
    case "select":
      return [node.operand]
    case "call":
      return node.target === undefined ? node.args : [node.target, ...node.args]
    case "and":
    case "or":
      return node.args
    case "cond":
      return [node.test, node.yes, node.no]
    case "list":
      return node.items
    case "map":
      return node.entries.flatMap((e) => [e.key, e.value])
    case "comp":
      return node.guard === undefined ? [node.range, node.body] : [node.range, node.guard, node.body]
    case "bind":
      return [node.init, node.body]
  }
}
