/**
 * A checked tree into closures: no text is evaluated, no prototype is read.
 *
 * A closure answers a value or a `Fault`. Closures marked `raw` answer an int as a `number` while it is a safe
 * integer, and as a `bigint` beyond; every other closure answers values as `Value.ts` has them. Comparisons
 * take either, since comparing by value is exact in JavaScript.
 */
import {
  type Bind,
  type Call,
  type Cond,
  children,
  type ListNode,
  type Logic,
  type MapNode,
  type Node,
  type Select
} from "./Ast.ts"
import { adapts } from "./Checker.ts"
import { compileComp } from "./Comprehension.ts"
import { declarations } from "./Declarations.ts"
import { type Get, getter } from "./Fields.ts"
import type { Fn, Frame } from "./Frame.ts"
import { Fault, fault } from "./Issue.ts"
import { type Impl, isMapKey, library } from "./Library.ts"
import { reader } from "./Read.ts"
import { matcher } from "./Regex.ts"
import { prune } from "./Type.ts"
import {
  CelMap,
  equals,
  hasKey,
  kindOf,
  lookup,
  NONE,
  Optional,
  order,
  own,
  sameText,
  searchCost,
  some,
  TypeValue
} from "./Value.ts"

/** A compiled node and whether its ints may be numbers. */
export interface Code {
  readonly fn: Fn
  readonly raw: boolean
}

/** Lets a caller share the reads of paths between expressions. */
export interface Hooks {
  /** Called for every path such as `actor.id`; the answer takes the place of the read. */
  readonly path?: (path: string, read: Code) => Code
}

/** Compiles a checked tree. */
export const compile = (node: Node, hooks: Hooks = {}): Code => new Compiler(hooks).code(node)

/** A closure whose ints are all `bigint`. */
export const boxed = (code: Code): Fn => {
  if (!code.raw) return code.fn
  const { fn } = code
  return (c) => {
    const v = fn(c)
    return typeof v === "number" ? BigInt(v) : v
  }
}

const plain = (fn: Fn): Code => ({ fn, raw: false })
const raw = (fn: Fn): Code => ({ fn, raw: true })

const READ_NOW = new Set(["timestamp", "duration", "ip", "cidr"])

/** The dotted path of a chain of fields from a variable; undefined for anything else. */
export const pathOf = (node: Node): string | undefined => {
  if (node.k !== "ident" && node.k !== "select") return undefined
  if (node.target !== undefined) return node.target.to === "variable" ? node.target.name : undefined
  if (node.k !== "select" || node.test || node.opt) return undefined
  const operand = pathOf(node.operand)
  return operand === undefined ? undefined : `${operand}.${node.field}`
}

class Compiler {
  private readonly hooks: Hooks

  constructor(hooks: Hooks) {
    this.hooks = hooks
  }

  code(node: Node): Code {
    switch (node.k) {
      case "lit":
        return literal(node.value)
      case "ident":
        return this.path(node)
      case "select":
        return node.test ? plain(this.test(node)) : this.path(node)
      case "call":
        return this.call(node)
      case "and":
      case "or":
        return plain(logic(this.all(node.args), node))
      case "cond":
        return this.cond(node)
      case "list":
        return plain(this.list(node))
      case "map":
        return plain(this.map(node))
      case "comp":
        return plain(
          compileComp(node, {
            range: this.value(node.range),
            guard: node.guard === undefined ? undefined : this.value(node.guard),
            body: this.value(node.body),
            cost: countNodes(node.body) + (node.guard === undefined ? 0 : countNodes(node.guard))
          })
        )
      case "bind":
        return this.bind(node)
    }
  }

  value(node: Node): Fn {
    return boxed(this.code(node))
  }

  private all(nodes: ReadonlyArray<Node>): ReadonlyArray<Fn> {
    return nodes.map((n) => this.value(n))
  }

  // ---- names and fields

  private path(node: Extract<Node, { k: "ident" | "select" }>): Code {
    const read = node.k === "ident" || node.target !== undefined ? target(node) : this.field(node)
    const path = this.hooks.path === undefined ? undefined : pathOf(node)
    return path === undefined || this.hooks.path === undefined ? read : this.hooks.path(path, read)
  }

  private field(node: Select): Code {
    const operand = this.value(node.operand)
    const type = prune(node.operand.type)
    const { field, pos } = node
    const shown = pathOf(node) ?? field
    const absent = fault("no_such_field", `\`${shown.slice(0, 120)}\` is absent`, pos)
    if (type.k === "object") {
      const declared = type.fields[field] ?? { type: node.type }
      const code = declaredField(operand, field, declared, absent)
      const root = node.operand.k === "ident" ? node.operand.target : undefined
      return root?.to === "variable" ? direct(root.name, field, declared.type, code) : code
    }
    if (node.opt) return plain(optionalField(operand, field, pos))
    return plain(openField(operand, field, absent, pos))
  }

  private test(node: Select): Fn {
    const operand = this.value(node.operand)
    const { field, pos } = node
    const type = prune(node.operand.type)
    const declared = type.k === "object" ? type.fields[field] : undefined
    if (declared?.fallback !== undefined && declared.fallback === "") return () => true
    const nullIsAbsent = type.k === "object"
    return (c) => {
      const o = operand(c)
      if (o instanceof Fault) return o
      const v = o instanceof Optional ? (o.present ? o.value : undefined) : o
      if (v === undefined) return false
      if (kindOf(v) !== "map") return noField(v, field, pos)
      return hasKey(v, field) && !(nullIsAbsent && lookup(v, field) === null)
    }
  }

  // ---- calls

  private call(node: Call): Code {
    const args = node.target === undefined ? node.args : [node.target, ...node.args]
    const special = this.special(node, args)
    if (special !== undefined) return special
    const name = node.fn.replace(/^\./, "")
    const impl = library.get(name)
    if (impl === undefined || !isDeclared(name, node, args.length)) {
      const missing = fault(
        "no_such_overload",
        `there is no \`${name}\` with ${args.length} arguments`,
        node.pos
      )
      return plain(strict(this.all(args), () => missing, node))
    }
    const code = plain(strict(this.all(args), impl, node))
    return READ_NOW.has(name) && args.every((a) => a.k === "lit") ? folded(code) : code
  }

  private special(node: Call, args: ReadonlyArray<Node>): Code | undefined {
    const [a, b] = args
    if (a === undefined) return undefined
    if (b === undefined)
      return node.fn === "!_"
        ? plain(not(this.value(a), node))
        : node.fn === "size"
          ? size(this.value(a), node)
          : undefined
    if (node.fn === "math.greatest" || node.fn === "math.least") {
      const impl = library.get(node.fn)
      return impl === undefined ? undefined : plain(gathered(this.all(args), impl, node))
    }
    if (args.length !== 2) return undefined
    switch (node.fn) {
      case "_==_":
      case "_!=_":
        return plain(equality(this.code(a), this.code(b), node))
      case "_<_":
      case "_<=_":
      case "_>_":
      case "_>=_":
        return plain(relation(this.code(a), this.code(b), node))
      case "_+_":
      case "_-_":
      case "_*_":
        return this.arithmetic(node, a, b)
      case "_/_":
        return adapts(node) ? this.arithmetic(node, a, b) : undefined
      case "@in":
        return plain(membership(this.value(a), b, this.value(b), node))
      case "matches":
        return pattern(this.value(a), b, node)
      case "or":
      case "orValue":
        return node.target === undefined ? undefined : plain(otherwise(this.value(a), this.value(b), node))
      default:
        return TEXT_TESTS[node.fn] !== undefined && node.target !== undefined
          ? plain(textTest(this.value(a), this.value(b), node))
          : undefined
    }
  }

  private arithmetic(node: Call, a: Node, b: Node): Code | undefined {
    const adapt = adapts(node)
    const left = this.code(a)
    const right = this.code(b)
    if (adapt) return plain(adapting(left, right, node))
    const impl = library.get(node.fn)
    if (impl === undefined) return undefined
    if (!left.raw || !right.raw) return plain(strict([boxed(left), boxed(right)], impl, node))
    return raw(integers(left.fn, right.fn, impl, node))
  }

  // ---- structure

  private cond(node: Cond): Code {
    const test = this.value(node.test)
    const yes = this.code(node.yes)
    const no = this.code(node.no)
    const bothRaw = yes.raw && no.raw
    const [y, n] = bothRaw ? [yes.fn, no.fn] : [boxed(yes), boxed(no)]
    const fn: Fn = (c) => {
      const v = test(c)
      if (v === true) return y(c)
      if (v === false) return n(c)
      return notBool(v, node.test.pos)
    }
    return { fn, raw: bothRaw }
  }

  private list(node: ListNode): Fn {
    const items = this.all(node.items)
    if (node.items.every((n) => n.k === "lit") && !node.optional.includes(true)) {
      const fixed = Object.freeze(node.items.map((n) => (n.k === "lit" ? n.value : undefined)))
      return () => fixed
    }
    return (c) => {
      const out: Array<unknown> = []
      for (let i = 0; i < items.length; i++) {
        const v = items[i]?.(c)
        if (v instanceof Fault) return v
        if (node.optional[i] !== true) out.push(v)
        else if (!(v instanceof Optional)) return noOverload("[?_]", node.pos)
        else if (v.present) out.push(v.value)
      }
      return out
    }
  }

  private map(node: MapNode): Fn {
    const keys = this.all(node.entries.map((e) => e.key))
    const values = this.all(node.entries.map((e) => e.value))
    return (c) => {
      const out = new CelMap()
      for (let i = 0; i < keys.length; i++) {
        const key = keys[i]?.(c)
        if (key instanceof Fault) return key
        const v = values[i]?.(c)
        if (v instanceof Fault) return v
        const problem = addEntry(out, key, v, node.entries[i]?.optional ?? false, node.pos)
        if (problem !== undefined) return problem
      }
      return out
    }
  }

  private bind(node: Bind): Code {
    const init = this.value(node.init)
    const body = this.value(node.body)
    const { slot, how, pos } = node
    if (how === "bind") {
      return plain((c) => {
        const v = init(c)
        // A fault is bound too: a body that does not need the name does not fail.
        c.slots[slot] = v
        return body(c)
      })
    }
    return plain((c) => {
      const v = init(c)
      if (v instanceof Fault) return v
      if (!(v instanceof Optional)) return noOverload(how, pos)
      if (!v.present) return NONE
      c.slots[slot] = v.value
      const r = body(c)
      if (r instanceof Fault) return r
      if (how === "optMap") return some(r)
      return r instanceof Optional ? r : noOverload(how, pos)
    })
  }
}

// ---- leaves

const literal = (value: unknown): Code => {
  if (
    typeof value === "bigint" &&
    value >= BigInt(Number.MIN_SAFE_INTEGER) &&
    value <= BigInt(Number.MAX_SAFE_INTEGER)
  ) {
    const n = Number(value)
    return constant(n, true)
  }
  return constant(value, typeof value === "bigint")
}

/** The value of a constant closure, so that others can be made around it. */
const constants = new WeakMap<Fn, { readonly value: unknown }>()

const constant = (value: unknown, isRaw: boolean): Code => {
  const fn: Fn = () => value
  constants.set(fn, { value })
  return { fn, raw: isRaw }
}

const target = (node: Extract<Node, { k: "ident" | "select" }>): Code => {
  const t = node.target
  if (t?.to === "slot") {
    const { slot } = t
    return plain((c) => c.slots[slot])
  }
  if (t?.to === "type") return constant(new TypeValue(t.name), false)
  if (t?.to !== "variable") {
    const name = t?.name ?? (node.k === "ident" ? node.name : node.field)
    const missing = fault("no_such_variable", `\`${name}\` is no variable`, node.pos)
    return plain(() => missing)
  }
  const { name, fallback } = t
  const absent = fault("no_such_field", `\`${name}\` is absent`, node.pos)
  return rootField(name, node.type, fallback, absent)
}

type Fields = { readonly [field: string]: unknown }

/** How `typeof` shows a value that needs no further reading. */
const SHOWN: Readonly<Record<string, string>> = { string: "string", double: "number", bool: "boolean" }

const declaredField = (
  operand: Fn,
  field: string,
  declared: { readonly type: Node["type"]; readonly fallback?: unknown },
  absent: Fault
): Code => {
  const read = reader(declared.type)
  const none = declared.fallback === undefined ? absent : declared.fallback
  const k = prune(declared.type).k
  const get = getter(field)
  const slow = (o: unknown, v: unknown): unknown => {
    if (o instanceof Fault) return o
    if (v === undefined || !Object.hasOwn(o as Fields, field)) return none
    const made = read(v)
    if (made === undefined) return none
    return made instanceof Fault ? misread(made, absent) : made
  }
  const expected = SHOWN[k] ?? "none"
  const fn: Fn = (c) => {
    const o = operand(c) as Fields | null | undefined
    if (typeof o !== "object" || o === null) return none
    const v = get(o)
    return typeof v === expected && Object.hasOwn(o, field) ? v : slow(o, v)
  }
  return { fn, raw: k === "int" }
}

/** A field of a variable in one step when all is as expected, by the long way when it is not. */
const direct = (root: string, field: string, type: Node["type"], long: Code): Code => {
  const expected = prune(type).k === "int" ? "number" : (SHOWN[prune(type).k] ?? "none")
  if (expected === "none") return long
  const isInt = prune(type).k === "int"
  const rootOf = getter(root)
  const get = getter(field)
  const { fn } = long
  return {
    raw: long.raw,
    fn: (c) => {
      const o = rootOf(c.vars) as Fields | null | undefined
      if (typeof o === "object" && o !== null && isOwnVariable(c, rootOf, root)) {
        const v = get(o)
        if (typeof v === expected && Object.hasOwn(o, field) && (!isInt || Number.isSafeInteger(v))) return v
      }
      return fn(c)
    }
  }
}

/** Whether a variable that was read is the input's own. */
const isOwnVariable = (c: Frame, rootOf: Get, root: string): boolean =>
  c.plain ? rootOf(PROTOTYPE) === undefined : Object.hasOwn(c.vars, root)

const PROTOTYPE: Fields = Object.assign(Object.prototype)

/** The fault of a read, with the name of the field. */
const misread = (made: Fault, absent: Fault): Fault =>
  new Fault(made.code, `${absent.message.replace(/ is absent$/, "")}: ${made.message}`, absent.pos)

/** The input's variables; one that is an object is handed on as it is. */
const rootField = (name: string, type: Node["type"], fallback: unknown, absent: Fault): Code => {
  const k = prune(type).k
  if (k !== "object" && k !== "map") return declaredField((c) => c.vars, name, { type, fallback }, absent)
  const whole = declaredField((c) => c.vars, name, { type, fallback }, absent).fn
  const get = getter(name)
  const isOpen = k === "map" && readsAsIs(type)
  const fn: Fn = (c) => {
    const o = get(c.vars)
    const plain =
      typeof o === "object" && o !== null && (isOpen ? Object.getPrototypeOf(o) === Object.prototype : true)
    return plain && Object.hasOwn(c.vars, name) ? o : whole(c)
  }
  return { fn, raw: false }
}

/** Whether the values of a map need no reading. */
const readsAsIs = (type: Node["type"]): boolean => {
  const t = prune(type)
  return t.k === "map" && prune(t.value).k === "dyn"
}

const openField = (operand: Fn, field: string, absent: Fault, pos: number): Fn => {
  const get = getter(field)
  return (c) => {
    const o = operand(c)
    if (typeof o === "object" && o !== null && !(o instanceof Fault)) {
      const v = Object.hasOwn(o, field) ? get(o as Fields) : undefined
      // Texts, numbers and bools of plain objects need no further look.
      if (typeof v === "string" || typeof v === "number" || typeof v === "boolean") {
        if (Object.getPrototypeOf(o) === Object.prototype) return v
      }
    }
    return openSlow(o, field, absent, pos)
  }
}

const openSlow = (o: unknown, field: string, absent: Fault, pos: number): unknown => {
  if (o instanceof Fault) return o
  if (o instanceof Optional) return optionalOf(o, field, pos)
  if (kindOf(o) !== "map") return noField(o, field, pos)
  const v = o instanceof CelMap ? lookup(o, field) : own(o as Fields, field)
  return v === undefined ? absent : v
}

const optionalField =
  (operand: Fn, field: string, pos: number): Fn =>
  (c) => {
    const o = operand(c)
    return o instanceof Fault ? o : optionalOf(o instanceof Optional ? o : some(o), field, pos)
  }

const optionalOf = (o: Optional, field: string, pos: number): unknown => {
  if (!o.present) return NONE
  if (kindOf(o.value) !== "map") return noField(o.value, field, pos)
  const v = lookup(o.value, field)
  return v === undefined ? NONE : some(v)
}

const noField = (v: unknown, field: string, pos: number): Fault =>
  fault(
    "no_such_overload",
    `a ${kindOf(v) ?? "value of another kind"} has no field \`${field.slice(0, 64)}\``,
    pos
  )

/** A fault for a value that should have been a bool. */
const notBool = (v: unknown, pos: number): Fault =>
  v instanceof Fault
    ? v
    : fault("not_a_boolean", `this is a ${kindOf(v) ?? "value of another kind"}, not a bool`, pos)

const noOverload = (name: string, pos: number): Fault =>
  fault("no_such_overload", `\`${name}\` does not go with these values`, pos)

const countNodes = (node: Node): number => {
  let n = 0
  const todo: Array<Node> = [node]
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    n++
    todo.push(...children(next))
  }
  return n
}

// ---- calls

const isDeclared = (name: string, node: Call, argc: number): boolean =>
  declarations()
    .get(name)
    ?.some((o) => o.method === (node.target !== undefined) && o.params.length === argc) ?? false

const finish = (r: unknown, name: string, args: ReadonlyArray<unknown>, pos: number): unknown => {
  if (r === undefined) {
    const kinds = args.map((a) => kindOf(a) ?? "unknown").join(", ")
    return fault("no_such_overload", `\`${operatorName(name)}\` does not go with (${kinds})`, pos)
  }
  if (r instanceof Fault && r.pos < 0) r.pos = pos
  return r
}

const operatorName = (name: string): string => (/^[_@!-]/.test(name) ? name.replace(/[_@]/g, "") : name)

/** Evaluates all arguments and calls; the first fault is the result. */
const strict = (args: ReadonlyArray<Fn>, impl: Impl, node: Call): Fn => {
  const { fn: name, pos } = node
  const [f, g, h, i] = args
  if (f === undefined)
    return (c) => finish(impl(c, undefined, undefined, undefined, undefined), name, [], pos)
  if (g === undefined) {
    return (c) => {
      const a = f(c)
      if (a instanceof Fault) return a
      return finish(impl(c, a, undefined, undefined, undefined), name, [a], pos)
    }
  }
  if (h === undefined) {
    return (c) => {
      const a = f(c)
      if (a instanceof Fault) return a
      const b = g(c)
      if (b instanceof Fault) return b
      return finish(impl(c, a, b, undefined, undefined), name, [a, b], pos)
    }
  }
  return (c) => {
    const v: Array<unknown> = []
    for (const arg of args) {
      const x = arg(c)
      if (x instanceof Fault) return x
      v.push(x)
    }
    return finish(impl(c, v[0], v[1], v[2], i === undefined ? undefined : v[3]), name, v, pos)
  }
}

/** A call with any number of arguments, as one list. */
const gathered =
  (args: ReadonlyArray<Fn>, impl: Impl, node: Call): Fn =>
  (c) => {
    const v: Array<unknown> = []
    for (const arg of args) {
      const x = arg(c)
      if (x instanceof Fault) return x
      v.push(x)
    }
    return finish(impl(c, v, undefined, undefined, undefined), node.fn, v, node.pos)
  }

/** A call of literals, done once. */
const folded = (code: Code): Code => {
  let value: unknown
  return plain((c) => {
    if (value === undefined) value = code.fn(c)
    return value
  })
}

const not =
  (f: Fn, node: Call): Fn =>
  (c) => {
    const v = f(c)
    if (v === true) return false
    if (v === false) return true
    return v instanceof Fault ? v : finish(undefined, node.fn, [v], node.pos)
  }

const sizeImpl = library.get("size")

const size = (f: Fn, node: Call): Code =>
  raw((c) => {
    const v = f(c)
    if (Array.isArray(v)) return v.length
    if (v instanceof Fault) return v
    return finish(sizeImpl?.(c, v, undefined, undefined, undefined), node.fn, [v], node.pos)
  })

/** Int arithmetic that stays with numbers while the result is safe. */
const integers = (f: Fn, g: Fn, impl: Impl, node: Call): Fn => {
  const fast = FAST[node.fn]
  const big = (v: unknown): unknown => (typeof v === "number" ? BigInt(v) : v)
  return (c) => {
    const a = f(c)
    const b = g(c)
    if (typeof a === "number" && typeof b === "number" && fast !== undefined) {
      const r = fast(a, b)
      if (Number.isSafeInteger(r)) return r
    }
    if (a instanceof Fault) return a
    if (b instanceof Fault) return b
    return finish(impl(c, big(a), big(b), undefined, undefined), node.fn, [a, b], node.pos)
  }
}

const FAST: Readonly<Record<string, (a: number, b: number) => number>> = {
  "_+_": (a, b) => a + b,
  "_-_": (a, b) => a - b,
  // 0 * −1 is −0 in JavaScript, and an int has no −0.
  "_*_": (a, b) => a * b + 0
}

/** Arithmetic in which an integer literal becomes a double beside a double out of JSON. */
const adapting = (left: Code, right: Code, node: Call): Fn => {
  const impl = library.get(node.fn)
  const [f, g] = [boxed(left), boxed(right)]
  return (c) => {
    const a = f(c)
    if (a instanceof Fault) return a
    const b = g(c)
    if (b instanceof Fault) return b
    const x = typeof a === "bigint" && typeof b === "number" ? Number(a) : a
    const y = typeof b === "bigint" && typeof a === "number" ? Number(b) : b
    return finish(impl?.(c, x, y, undefined, undefined), node.fn, [x, y], node.pos)
  }
}

// ---- comparison

const equality = (left: Code, right: Code, node: Call): Fn => {
  const wanted = node.fn === "_==_"
  const fixed = constants.get(right.fn)
  const mirrored = constants.get(left.fn)
  if (fixed !== undefined) return equalsFixed(left, fixed.value, wanted)
  if (mirrored !== undefined) return equalsFixed(right, mirrored.value, wanted)
  const f = left.fn
  const g = right.fn
  return (c) => {
    const a = f(c)
    const b = g(c)
    if (typeof a === "string" && typeof b === "string") return sameText(a, b, c) === wanted
    return slowEquality(c, a, b, wanted)
  }
}

/** Ints that are numbers compare by value with everything numeric. */
const slowEquality = (c: Frame, a: unknown, b: unknown, wanted: boolean): unknown => {
  if (a instanceof Fault) return a
  if (b instanceof Fault) return b
  const r = equals(a, b, c)
  return typeof r === "boolean" ? r === wanted : r
}

const equalsFixed = (code: Code, k: unknown, wanted: boolean): Fn => {
  const { fn } = code
  if (typeof k === "string" || typeof k === "boolean" || k === null) {
    return (c) => {
      const a = fn(c)
      return a instanceof Fault ? a : (a === k) === wanted
    }
  }
  return (c) => {
    const a = fn(c)
    if (typeof a === "number" && typeof k === "number") return (a === k) === wanted
    return slowEquality(c, a, k, wanted)
  }
}

const RELATIONS: Readonly<Record<string, (r: number) => boolean>> = {
  "_<_": (r) => r < 0,
  "_<=_": (r) => r <= 0,
  "_>_": (r) => r > 0,
  "_>=_": (r) => r >= 0
}

const slowRelation = (c: Frame, a: unknown, b: unknown, node: Call): unknown => {
  if (a instanceof Fault) return a
  if (b instanceof Fault) return b
  const r = order(a, b, c)
  return finish(r === undefined ? undefined : RELATIONS[node.fn]?.(r), node.fn, [a, b], node.pos)
}

/** One closure for each operator: the engine sees plain comparisons of numbers. */
const relation = (left: Code, right: Code, node: Call): Fn => {
  const f = left.fn
  const g = right.fn
  const fixed = constants.get(g)
  if (typeof fixed?.value === "number") return relationToNumber(f, fixed.value, node)
  switch (node.fn) {
    case "_<_":
      return (c) => {
        const a = f(c)
        const b = g(c)
        return typeof a === "number" && typeof b === "number" ? a < b : slowRelation(c, a, b, node)
      }
    case "_<=_":
      return (c) => {
        const a = f(c)
        const b = g(c)
        return typeof a === "number" && typeof b === "number" ? a <= b : slowRelation(c, a, b, node)
      }
    case "_>_":
      return (c) => {
        const a = f(c)
        const b = g(c)
        return typeof a === "number" && typeof b === "number" ? a > b : slowRelation(c, a, b, node)
      }
    default:
      return (c) => {
        const a = f(c)
        const b = g(c)
        return typeof a === "number" && typeof b === "number" ? a >= b : slowRelation(c, a, b, node)
      }
  }
}

const relationToNumber = (f: Fn, k: number, node: Call): Fn => {
  switch (node.fn) {
    case "_<_":
      return (c) => {
        const a = f(c)
        return typeof a === "number" ? a < k : slowRelation(c, a, k, node)
      }
    case "_<=_":
      return (c) => {
        const a = f(c)
        return typeof a === "number" ? a <= k : slowRelation(c, a, k, node)
      }
    case "_>_":
      return (c) => {
        const a = f(c)
        return typeof a === "number" ? a > k : slowRelation(c, a, k, node)
      }
    default:
      return (c) => {
        const a = f(c)
        return typeof a === "number" ? a >= k : slowRelation(c, a, k, node)
      }
  }
}

const memberImpl = library.get("@in")

const membership = (f: Fn, list: Node, g: Fn, node: Call): Fn => {
  const slow = (c: Frame, a: unknown, b: unknown): unknown => {
    if (a instanceof Fault) return a
    return b instanceof Fault
      ? b
      : finish(memberImpl?.(c, a, b, undefined, undefined), node.fn, [a, b], node.pos)
  }
  if (
    list.k === "list" &&
    list.items.every((n) => n.k === "lit" && typeof n.value === "string") &&
    !list.optional.includes(true)
  ) {
    const set = new Set(list.items.map((n) => (n.k === "lit" ? n.value : undefined)))
    return (c) => {
      const a = f(c)
      return a instanceof Fault ? a : set.has(a)
    }
  }
  return (c) => {
    const a = f(c)
    const b = g(c)
    if (typeof a === "string" && Array.isArray(b)) {
      c.spend(b.length >> 2)
      return b.includes(a)
    }
    return slow(c, a, b)
  }
}

// ---- text

const TEXT_TESTS: Readonly<Record<string, (a: string, b: string) => boolean>> = {
  contains: (a, b) => a.includes(b),
  startsWith: (a, b) => a.startsWith(b),
  endsWith: (a, b) => a.endsWith(b)
}

const textTest = (f: Fn, g: Fn, node: Call): Fn => {
  const test = TEXT_TESTS[node.fn]
  return (c) => {
    const a = f(c)
    const b = g(c)
    if (typeof a === "string" && typeof b === "string" && test !== undefined) {
      c.spend(searchCost(a, b))
      return test(a, b)
    }
    if (a instanceof Fault) return a
    return b instanceof Fault ? b : finish(undefined, node.fn, [a, b], node.pos)
  }
}

const pattern = (f: Fn, literalNode: Node, node: Call): Code | undefined => {
  if (literalNode.k !== "lit" || typeof literalNode.value !== "string") return undefined
  const found = matcher(literalNode.value)
  if (!("test" in found)) {
    const problem = fault("invalid_argument", found.message, literalNode.pos)
    return plain((c) => {
      const a = f(c)
      return a instanceof Fault ? a : problem
    })
  }
  const { test, cost } = found
  return plain((c) => {
    const a = f(c)
    if (typeof a === "string") {
      c.spend(cost(a))
      return test(a)
    }
    return a instanceof Fault ? a : finish(undefined, node.fn, [a, ""], node.pos)
  })
}

// ---- logic

const otherwise =
  (f: Fn, g: Fn, node: Call): Fn =>
  (c) => {
    const a = f(c)
    if (a instanceof Fault) return a
    if (!(a instanceof Optional)) return noOverload(node.fn, node.pos)
    if (a.present) return node.fn === "or" ? a : a.value
    const b = g(c)
    if (b instanceof Fault || node.fn === "orValue") return b
    return b instanceof Optional ? b : noOverload(node.fn, node.pos)
  }

/** `&&` ends at a false whatever failed before it, `||` at a true. */
const logic = (args: ReadonlyArray<Fn>, node: Logic): Fn => {
  const stop = node.k === "or"
  const poss = node.args.map((a) => a.pos)
  const settle = (problem: unknown, pos: number): Fault => notBool(problem, pos)
  const [f, g] = args
  if (args.length === 2 && f !== undefined && g !== undefined) {
    return (c) => {
      const a = f(c)
      if (a === stop) return stop
      const b = g(c)
      if (b === stop) return stop
      if (a !== !stop) return settle(a, poss[0] ?? 0)
      return b === !stop ? !stop : settle(b, poss[1] ?? 0)
    }
  }
  return (c) => {
    let problem: Fault | undefined
    for (let i = 0; i < args.length; i++) {
      const v = args[i]?.(c)
      if (v === stop) return stop
      if (v !== !stop && problem === undefined) problem = settle(v, poss[i] ?? 0)
    }
    return problem ?? !stop
  }
}

/** Adds an entry to a map literal; the fault when it cannot. */
const addEntry = (
  m: CelMap,
  key: unknown,
  v: unknown,
  isOptional: boolean,
  pos: number
): Fault | undefined => {
  if (!isMapKey(key)) return fault("invalid_argument", `a ${kindOf(key) ?? "value"} cannot be a key`, pos)
  if (isOptional && !(v instanceof Optional)) return noOverload("{?_}", pos)
  const value = isOptional && v instanceof Optional ? (v.present ? v.value : undefined) : v
  if (value === undefined) return undefined
  return m.add(key, value) ? undefined : fault("invalid_argument", "the map has this key already", pos)
}
