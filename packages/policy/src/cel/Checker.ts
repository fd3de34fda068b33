/**
 * Types and names of a tree.
 *
 * Fills in where names lead and what type each node has, and lists what does not fit. In lenient mode nothing
 * is refused: what cannot be typed is `dyn` and fails, if at all, when it is evaluated.
 */
import type { Bind, Call, Comp, Ident, ListNode, MapNode, Node, Select, Target } from "./Ast.ts"
import { declarations, type Overload } from "./Declarations.ts"
import type { Environment } from "./Environment.ts"
import { Fault, type Issue, issueAt, nearest } from "./Issue.ts"
import { library } from "./Library.ts"
import { matcher } from "./Regex.ts"
import {
  assignable,
  BOOL,
  DYN,
  format,
  INT,
  instantiate,
  isDyn,
  isNumeric,
  isOpen,
  join,
  list,
  map,
  OPEN,
  optional,
  prune,
  type Trail,
  type Type,
  type TypeVar,
  typeOf,
  undo,
  variable
} from "./Type.ts"

/** What checking a tree gives. */
export interface Checked {
  readonly issues: ReadonlyArray<Issue>
  /** Slots for local variables. */
  readonly slots: number
  readonly type: Type
}

export interface CheckOptions {
  /** Refuse nothing. */
  readonly lenient?: boolean
}

/** Checks a tree in place. */
export const check = (node: Node, source: string, env: Environment, options: CheckOptions = {}): Checked => {
  const checker = new Checker(source, env, options.lenient ?? false)
  const type = checker.visit(node)
  return { issues: checker.issues, slots: checker.slots, type }
}

interface Local {
  readonly name: string
  readonly slot: number
  readonly type: Type
}

const TYPES: Readonly<Record<string, Type>> = Object.fromEntries(
  [
    ["null_type", "null"],
    ...["bool", "int", "uint", "double", "string", "bytes"].map((n) => [n, n]),
    ["google.protobuf.Timestamp", "timestamp"],
    ["google.protobuf.Duration", "duration"],
    ["net.IP", "ip"],
    ["net.CIDR", "cidr"]
  ].map(([name, k]) => [name, typeOf({ k: k === "null" ? "null_type" : k } as Type)])
)
const GENERIC: Readonly<Record<string, Type>> = {
  list: typeOf(list(DYN)),
  map: typeOf(map(DYN, DYN)),
  type: typeOf(typeOf(DYN)),
  optional_type: typeOf(optional(DYN))
}

/** What other languages call it. */
const SIZE = "`size(x)`"
const HAS = "`x.exists(e, …)`, or `e in x`; for a part of a text `text.contains(part)`"
const ELSEWHERE: Readonly<Record<string, string>> = {
  len: SIZE,
  length: SIZE,
  count: SIZE,
  includes: HAS,
  some: HAS,
  any: HAS,
  every: "`x.all(e, …)`",
  test: "`text.matches(pattern)`",
  match: "`text.matches(pattern)`",
  toLowerCase: "`text.lowerAscii()`",
  toUpperCase: "`text.upperAscii()`"
}

const ADAPTS = new Set(["_+_", "_-_", "_*_", "_/_"])
const READ_NOW = new Set(["timestamp", "duration", "ip", "cidr"])
const OPERATOR = /^(?:_(.+)_|(.)_|@(in)|_(\[\??_\]))$/

class Checker {
  readonly issues: Array<Issue> = []
  slots = 0
  private readonly scope: Array<Local> = []
  private readonly trail: Trail = []
  private readonly source: string
  private readonly env: Environment
  private readonly lenient: boolean

  constructor(source: string, env: Environment, lenient: boolean) {
    this.source = source
    this.env = env
    this.lenient = lenient
  }

  visit(node: Node): Type {
    node.type = this.typeFor(node)
    return node.type
  }

  private typeFor(node: Node): Type {
    switch (node.k) {
      case "lit":
        return node.type
      case "ident":
        return this.ident(node)
      case "select":
        return this.select(node)
      case "call":
        return this.call(node)
      case "and":
      case "or":
        for (const arg of node.args) this.want(BOOL, arg, `\`${node.k === "and" ? "&&" : "||"}\``)
        return BOOL
      case "cond":
        return this.cond(node.test, node.yes, node.no, node.pos)
      case "list":
        return this.list(node)
      case "map":
        return this.map(node)
      case "comp":
        return this.comp(node)
      case "bind":
        return this.bind(node)
    }
  }

  private refuse(code: Issue["code"], message: string, pos: number): Type {
    if (!this.lenient) this.issues.push(issueAt(this.source, code, message, pos))
    return DYN
  }

  private want(type: Type, node: Node, by: string): void {
    const got = this.visit(node)
    if (!assignable(type, got, this.trail)) {
      this.refuse("type", `${by} wants a ${format(type)}, and this is a ${format(got)}`, node.pos)
    }
  }

  // ---- names

  private ident(node: Ident): Type {
    if (!node.name.startsWith(".")) {
      const local = this.local(node.name)
      if (local !== undefined) {
        node.target = { to: "slot", slot: local.slot }
        return local.type
      }
    }
    const found = this.global(node.name)
    if (found !== undefined) {
      node.target = found.target
      return found.type
    }
    const name = node.name.replace(/^\./, "")
    node.target = { to: "unknown", name }
    return this.refuse("undeclared", this.unknownName(name), node.pos)
  }

  private unknownName(name: string): string {
    const near = nearest(name, [...this.env.variables.keys(), ...this.scope.map((l) => l.name)])
    if (near !== undefined) return `unknown name \`${name}\`; did you mean \`${near}\`?`
    return `unknown name \`${name}\`; there are ${[...this.env.variables.keys()].map((n) => `\`${n}\``).join(", ")}; text stands in quotes`
  }

  private local(name: string): Local | undefined {
    for (let i = this.scope.length - 1; i >= 0; i--) {
      const local = this.scope[i]
      if (local?.name === name) return local
    }
    return undefined
  }

  /** A variable or type, looked up in the container from inside out. */
  private global(name: string): { readonly target: Target; readonly type: Type } | undefined {
    for (const candidate of this.candidates(name)) {
      const field = this.env.variables.get(candidate)
      if (field !== undefined) {
        return { target: { to: "variable", name: candidate, fallback: field.fallback }, type: field.type }
      }
      const type = Object.hasOwn(TYPES, candidate)
        ? TYPES[candidate]
        : Object.hasOwn(GENERIC, candidate)
          ? GENERIC[candidate]
          : undefined
      if (type !== undefined) return { target: { to: "type", name: candidate }, type }
    }
    return undefined
  }

  private candidates(name: string): ReadonlyArray<string> {
    if (name.startsWith(".")) return [name.slice(1)]
    const out: Array<string> = []
    let container = this.env.container
    while (container !== "") {
      out.push(`${container}.${name}`)
      container = container.slice(0, Math.max(0, container.lastIndexOf(".")))
    }
    return [...out, name]
  }

  /** `a.b.c` as one name, when its root is no local variable. */
  private qualified(node: Node): string | undefined {
    if (node.k === "ident") {
      return !node.name.startsWith(".") && this.local(node.name) !== undefined ? undefined : node.name
    }
    if (node.k !== "select" || node.test || node.opt) return undefined
    const operand = this.qualified(node.operand)
    return operand === undefined ? undefined : `${operand}.${node.field}`
  }

  /** Whether a chain can be one name: not when it begins with a variable and no variable has a dot. */
  private mayBeName(node: Select): boolean {
    let root: Node = node
    while (root.k === "select") root = root.operand
    if (root.k !== "ident") return false
    return this.env.dotted || !this.env.variables.has(root.name)
  }

  private select(node: Select): Type {
    if (!node.test && !node.opt && this.mayBeName(node)) {
      const name = this.qualified(node)
      const found = name === undefined ? undefined : this.global(name)
      if (found !== undefined) {
        node.target = found.target
        return found.type
      }
    }
    const operand = prune(this.visit(node.operand))
    const inner = operand.k === "optional" ? prune(operand.of) : operand
    const type = this.fieldType(inner, node)
    if (node.test) return BOOL
    return operand.k === "optional" || node.opt ? optional(type) : type
  }

  private fieldType(of: Type, node: Select): Type {
    switch (of.k) {
      case "dyn":
        return of
      case "var":
        return DYN
      case "map":
        return of.value
      case "object": {
        const field = Object.hasOwn(of.fields, node.field) ? of.fields[node.field] : undefined
        if (field !== undefined) return field.type
        const near = nearest(node.field, Object.keys(of.fields))
        const hint =
          near !== undefined
            ? `did you mean \`${near}\`?`
            : `it has ${Object.keys(of.fields).sort().join(", ")}`
        return this.refuse("undeclared", `\`${of.name}\` has no field \`${node.field}\`; ${hint}`, node.pos)
      }
      default:
        return this.refuse(
          "type",
          `a ${format(of)} has no fields such as \`${node.field}\`${node.field === "length" ? `; write ${SIZE}` : ""}`,
          node.pos
        )
    }
  }

  // ---- calls

  private call(node: Call): Type {
    if (node.target !== undefined) {
      const space = this.qualified(node.target)
      const name = space === undefined ? undefined : `${space.replace(/^\./, "")}.${node.fn}`
      if (name !== undefined && this.overloads(name) !== undefined) {
        node.fn = name
        node.target = undefined
      }
    }
    const args = node.target === undefined ? node.args : [node.target, ...node.args]
    const types = args.map((arg) => this.visit(arg))
    const overloads = this.overloads(node.fn)
    if (overloads === undefined) return this.unknownFunction(node)
    this.literals(node)
    return this.special(node, types) ?? this.resolve(node, overloads, types)
  }

  private overloads(name: string): ReadonlyArray<Overload> | undefined {
    const at = name.replace(/^\./, "")
    return this.env.functions.get(at) ?? declarations().get(at)
  }

  private unknownFunction(node: Call): Type {
    const other = Object.hasOwn(ELSEWHERE, node.fn) ? ELSEWHERE[node.fn] : undefined
    if (other !== undefined)
      return this.refuse("undeclared", `unknown function \`${node.fn}\`; write ${other}`, node.pos)
    const near = nearest(
      node.fn,
      [...declarations().keys()].filter((n) => !/[@_]/.test(n))
    )
    const hint = near === undefined ? "" : `; did you mean \`${near}\`?`
    return this.refuse("undeclared", `unknown function \`${node.fn}\`${hint}`, node.pos)
  }

  /** Literals that are read when the expression is created: patterns, times, addresses. */
  private literals(node: Call): void {
    if (this.lenient) return
    const last = node.args[node.args.length - 1]
    if (last?.k !== "lit" || typeof last.value !== "string") return
    if (node.fn === "matches") {
      const found = matcher(last.value)
      if (!("test" in found))
        this.refuse(found.reason === "engine" ? "engine" : "regex", found.message, last.pos)
    } else if (READ_NOW.has(node.fn)) {
      const value = library.get(node.fn)?.(FREE, last.value, undefined, undefined, undefined)
      if (value instanceof Fault) this.refuse("type", value.message, last.pos)
    }
  }

  /** The rules that are no plain overloads. */
  private special(node: Call, types: ReadonlyArray<Type>): Type | undefined {
    const [a, b] = types
    if (a === undefined) return undefined
    if (b === undefined) return node.fn === "-_" && isOpen(a) ? OPEN : undefined
    if ((node.fn === "_==_" || node.fn === "_!=_") && isNumeric(a) && isNumeric(b)) return BOOL
    if (ADAPTS.has(node.fn) && adapts(node)) return OPEN
    if ((node.fn === "math.greatest" || node.fn === "math.least") && types.length > 2) {
      const odd = types.findIndex((t) => !isNumeric(t) && !isDyn(t))
      if (odd >= 0)
        return this.refuse("type", `\`${node.fn}\` wants numbers`, node.args[odd]?.pos ?? node.pos)
      return types.every((t) => prune(t).k === prune(a).k) ? a : DYN
    }
    return undefined
  }

  private resolve(node: Call, overloads: ReadonlyArray<Overload>, types: ReadonlyArray<Type>): Type {
    const key = this.env.functions.size === 0 ? resolutionKey(node, types) : undefined
    const known = key === undefined ? undefined : resolved.get(key)
    if (known !== undefined) return known
    const before = this.issues.length
    const type = this.choose(node, overloads, types)
    // Only what was accepted, and has no holes of this tree, is the same for every tree.
    if (key !== undefined && this.issues.length === before && !this.lenient && !hasHoles(type))
      resolved.set(key, type)
    return type
  }

  private choose(node: Call, overloads: ReadonlyArray<Overload>, types: ReadonlyArray<Type>): Type {
    const method = node.target !== undefined
    const fitting: Array<Overload> = []
    const results: Array<Type> = []
    for (const overload of overloads) {
      if (overload.method !== method || overload.params.length !== types.length) continue
      const mark = this.trail.length
      const result = this.attempt(overload, types)
      undo(this.trail, mark)
      if (result === undefined) continue
      fitting.push(overload)
      results.push(overload.result)
    }
    const [only] = fitting
    if (only === undefined) return this.noOverload(node, overloads, types)
    const first = results[0] ?? DYN
    if (fitting.length === 1) return this.attempt(only, types) ?? DYN
    const shown = format(first)
    if (shown !== "dyn" && results.every((r) => format(r) === shown) && !hasHoles(first)) return first
    return types.some(isOpen) ? OPEN : DYN
  }

  private attempt(overload: Overload, types: ReadonlyArray<Type>): Type | undefined {
    const holes = new Map<string, TypeVar>()
    const fits = overload.params.every((param, i) =>
      assignable(instantiate(param, holes), types[i] ?? DYN, this.trail)
    )
    return fits ? instantiate(overload.result, holes) : undefined
  }

  private noOverload(node: Call, overloads: ReadonlyArray<Overload>, types: ReadonlyArray<Type>): Type {
    const m = OPERATOR.exec(node.fn)
    const shown = types.map((t) => format(t))
    if (m !== null) {
      const op = m[1] ?? m[2] ?? m[3] ?? "[]"
      return this.refuse(
        "type",
        `\`${op}\` does not go with ${shown.join(" and ")}${this.hint(node, types)}`,
        node.pos
      )
    }
    const method = node.target !== undefined
    const style = overloads.filter((o) => o.method === method)
    const [one] = style
    if (one === undefined) {
      const how = method ? `${node.fn}(x)` : `x.${node.fn}()`
      return this.refuse("type", `\`${node.fn}\` is called as \`${how}\``, node.pos)
    }
    const wants = style.slice(0, 3).map((o) => signature(node.fn, o))
    const inList =
      node.fn === "contains" && prune(types[0] ?? DYN).k === "list" ? "; in a list write `e in x`" : ""
    return this.refuse(
      "type",
      `\`${node.fn}\` does not go with (${shown.join(", ")}); there is ${wants.join(", ")}${inList}`,
      node.pos
    )
  }

  private hint(node: Call, types: ReadonlyArray<Type>): string {
    const [a, b] = types.map(prune)
    if (a === undefined || b === undefined) return ""
    if (a.k === "null_type" || b.k === "null_type") return "; ask with `has(…)` whether a field is there"
    if (isNumeric(a) && isNumeric(b)) {
      const literal = node.args.find((x) => x.k === "lit" && prune(x.type).k === "int")
      if (literal?.k === "lit") return `; write \`${String(literal.value)}.0\``
      return "; convert one with double(…) or int(…)"
    }
    if (node.fn === "@in" && a.k === "string" && b.k === "string")
      return "; part of a text is `text.contains(part)`"
    return ""
  }

  // ---- structure

  private cond(test: Node, yes: Node, no: Node, pos: number): Type {
    this.want(BOOL, test, "`? :`")
    const a = this.visit(yes)
    const b = this.visit(no)
    const joined = join(a, b, this.trail)
    if (prune(joined).k === "dyn" && !isDyn(a) && !isDyn(b)) {
      return this.refuse(
        "type",
        `both sides of \`:\` must be of one type, not ${format(a)} and ${format(b)}`,
        pos
      )
    }
    return isOpen(a) || isOpen(b) ? OPEN : joined
  }

  private list(node: ListNode): Type {
    let of: Type = variable("elem")
    node.items.forEach((item, i) => {
      const type = this.element(item, node.optional[i] ?? false)
      of = i === 0 ? type : join(of, type, this.trail)
    })
    return list(of)
  }

  private element(node: Node, isOptional: boolean): Type {
    const type = this.visit(node)
    if (!isOptional) return type
    const inner = variable("optional")
    if (!assignable(optional(inner), type, this.trail)) {
      return this.refuse("type", `\`?\` wants an optional, and this is a ${format(type)}`, node.pos)
    }
    return inner
  }

  private map(node: MapNode): Type {
    let key: Type = variable("key")
    let value: Type = variable("value")
    node.entries.forEach((entry, i) => {
      const k = this.visit(entry.key)
      if (!["string", "bool", "int", "uint", "dyn", "var"].includes(prune(k).k)) {
        this.refuse("type", `a ${format(k)} cannot be a key`, entry.key.pos)
      }
      const v = this.element(entry.value, entry.optional)
      key = i === 0 ? k : join(key, k, this.trail)
      value = i === 0 ? v : join(value, v, this.trail)
    })
    return map(key, value)
  }

  private within<A>(locals: ReadonlyArray<readonly [string, Type]>, slot: number, run: () => A): A {
    const before = this.scope.length
    locals.forEach(([name, type], i) => {
      this.scope.push({ name, type, slot: slot + i })
    })
    this.slots = Math.max(this.slots, slot + locals.length)
    const result = run()
    this.scope.length = before
    return result
  }

  private nextSlot(): number {
    const last = this.scope[this.scope.length - 1]
    return last === undefined ? 0 : last.slot + 1
  }

  private comp(node: Comp): Type {
    const [first, second] = this.elements(prune(this.visit(node.range)), node)
    node.slot = this.nextSlot()
    const locals: Array<readonly [string, Type]> =
      node.v2 === undefined
        ? [[node.v1, prune(node.range.type).k === "map" ? first : second]]
        : [
            [node.v1, first],
            [node.v2, second]
          ]
    return this.within(locals, node.slot, () => {
      if (node.guard !== undefined) this.want(BOOL, node.guard, `the condition of \`${node.macro}\``)
      return this.compResult(node, locals)
    })
  }

  private compResult(node: Comp, locals: ReadonlyArray<readonly [string, Type]>): Type {
    switch (node.macro) {
      case "all":
      case "exists":
      case "exists_one":
        this.want(BOOL, node.body, `\`${node.macro}\``)
        return BOOL
      case "filter":
        this.want(BOOL, node.body, "`filter`")
        return list(locals[0]?.[1] ?? DYN)
      case "map":
      case "transformList":
        return list(this.visit(node.body))
      case "transformMap":
        return map(locals[0]?.[1] ?? DYN, this.visit(node.body))
      case "transformMapEntry": {
        const body = map(variable("key"), variable("value"))
        this.want(body, node.body, "`transformMapEntry`")
        return body
      }
    }
  }

  /** Types of index or key, and of element or value. */
  private elements(range: Type, node: Comp): readonly [Type, Type] {
    switch (range.k) {
      case "list":
        return [INT, range.of]
      case "map":
        return [range.key, range.value]
      case "dyn":
        return [DYN, range]
      case "var":
        return [DYN, DYN]
      default:
        this.refuse(
          "type",
          `\`${node.macro}\` walks over a list or a map, and this is a ${format(range)}`,
          node.pos
        )
        return [DYN, DYN]
    }
  }

  private bind(node: Bind): Type {
    let type = this.visit(node.init)
    if (node.how !== "bind") {
      const inner = variable("value")
      if (!assignable(optional(inner), type, this.trail)) {
        this.refuse("type", `\`${node.how}\` wants an optional, and this is a ${format(type)}`, node.init.pos)
      }
      type = inner
    }
    node.slot = this.nextSlot()
    const body = this.within([[node.name, type]], node.slot, () => this.visit(node.body))
    return node.how === "optMap" ? optional(body) : body
  }
}

/** What calls with simple arguments resolved to; as many entries as there are signatures. */
const resolved = new Map<string, Type>()

/** The key of a call whose arguments have no parameters; undefined for other calls. */
const resolutionKey = (node: Call, types: ReadonlyArray<Type>): string | undefined => {
  let key = node.target === undefined ? node.fn : `~${node.fn}`
  for (const type of types) {
    const t = prune(type)
    if (t.k === "dyn") key += t.open ? " open" : " dyn"
    else if (SIMPLE.has(t.k)) key += ` ${t.k}`
    else return undefined
  }
  return key
}

const SIMPLE: ReadonlySet<string> = new Set(
  "null_type bool int uint double string bytes timestamp duration ip cidr".split(" ")
)

/** Nothing is counted while an expression is created. */
const FREE = { spend: () => {} }

const hasHoles = (type: Type): boolean => {
  const t = prune(type)
  if (t.k === "var") return true
  if (t.k === "map") return hasHoles(t.key) || hasHoles(t.value)
  return t.k === "list" || t.k === "optional" || t.k === "type" ? hasHoles(t.of) : false
}

const signature = (name: string, o: Overload): string => {
  const shown = o.params.map((p) => (p.k === "var" ? p.name : format(p)))
  if (!o.method) return `${name}(${shown.join(", ")})`
  return `${shown[0]}.${name}(${shown.slice(1).join(", ")})`
}

const isIntLiteral = (node: Node | undefined): boolean => node?.k === "lit" && typeof node.value === "bigint"

/** Arithmetic between a value out of JSON and an integer literal: the literal adapts. */
export const adapts = (node: Call): boolean => {
  const [a, b] = node.args
  if (!ADAPTS.has(node.fn) || a === undefined || b === undefined) return false
  return (isOpen(a.type) && isIntLiteral(b)) || (isOpen(b.type) && isIntLiteral(a))
}
