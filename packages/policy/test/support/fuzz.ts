/**
 * Random expressions over what a policy sees, random inputs, and the three ways to decide them: the flat program
 * of a set, the closures, and the oracle.
 */
import { Cel, PolicySet } from "@agion/policy"
import { celEnv, isCelError, parse, plan } from "@bufbuild/cel"
import { strings } from "@bufbuild/cel/ext"
import { fromOracle, same } from "./conformance.ts"

/** A seeded source of choices. */
class Random {
  private state: number
  constructor(seed: number) {
    this.state = seed | 0
  }
  /** 0 ≤ n < limit. */
  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % limit
  }
  pick<A>(items: ReadonlyArray<A>): A {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error("nothing to pick from")
    return item
  }
  chance(percent: number): boolean {
    return this.below(100) < percent
  }
}

type Kind = "bool" | "int" | "double" | "text" | "list"

const TEXTS = ["", "a", "active", "prod", "é", "sk-1", "10", "ab😀c"]
const INTS = [
  "0",
  "1",
  "2",
  "-1",
  "7",
  "100",
  "9007199254740993",
  "9223372036854775807",
  "-9223372036854775808"
]
const DOUBLES = ["0.0", "1.0", "2.5", "-0.5", "100.0", "1e300", "60.0"]

/** Writes expressions; `x` and `y` are names bound by macros. */
class Grammar {
  private readonly r: Random
  private locals: ReadonlyArray<readonly [string, Kind]> = []

  constructor(r: Random) {
    this.r = r
  }

  any(kind: Kind, depth: number): string {
    // Now and then something of another kind, to meet failures.
    const k = this.r.chance(4) ? this.r.pick<Kind>(["bool", "int", "double", "text", "list"]) : kind
    const local = this.locals.filter(([, lk]) => lk === k)
    if (local.length > 0 && this.r.chance(40)) return this.r.pick(local)[0]
    if (depth <= 0) return this.leaf(k)
    switch (k) {
      case "bool":
        return this.bool(depth - 1)
      case "int":
        return this.int(depth - 1)
      case "double":
        return this.double(depth - 1)
      case "text":
        return this.text(depth - 1)
      case "list":
        return this.list(depth - 1)
    }
  }

  private leaf(kind: Kind): string {
    const { r } = this
    switch (kind) {
      case "bool":
        return r.pick([
          "true",
          "false",
          "context.flag",
          "has(context.n)",
          "has(actor.location)",
          "metadata.ok"
        ])
      case "int":
        return r.chance(60) ? r.pick(INTS) : r.pick(["request.tokens", "resource.trust_tier_required"])
      case "double":
        return r.chance(40)
          ? r.pick(DOUBLES)
          : r.pick(["actor.trust_score", "context.n", "request.cost", "context.m.n"])
      case "text":
        return r.chance(40)
          ? JSON.stringify(r.pick(TEXTS))
          : r.pick([
              "resource.status",
              "actor.location",
              "context.s",
              "request.content",
              "actor.id",
              "metadata.s"
            ])
      case "list":
        return r.pick([
          "actor.roles",
          "resource.tags",
          "context.list",
          "['a', 'prod']",
          "[]",
          "context.texts"
        ])
    }
  }

  private bool(d: number): string {
    const { r } = this
    switch (r.below(13)) {
      case 0:
      case 1:
        return `(${this.any("bool", d)} && ${this.any("bool", d)})`
      case 2:
      case 3:
        return `(${this.any("bool", d)} || ${this.any("bool", d)})`
      case 4:
        return `!${this.wrap(this.any("bool", d))}`
      case 5:
        return `(${this.any("bool", d)} ? ${this.any("bool", d)} : ${this.any("bool", d)})`
      case 6: {
        const kind = r.pick<Kind>(["int", "double", "text"])
        return `(${this.any(kind, d)} ${r.pick(["<", "<=", ">", ">="])} ${this.any(kind, d)})`
      }
      case 7: {
        const kind = r.pick<Kind>(["int", "double", "text", "bool", "list"])
        return `(${this.any(kind, d)} ${r.pick(["==", "!="])} ${this.any(kind, d)})`
      }
      case 8:
        return `(${this.any("double", d)} ${r.pick(["<", "<=", ">", ">=", "==", "!="])} ${this.any("int", d)})`
      case 9:
        return `(${this.any("text", d)} in ${this.any("list", d)})`
      case 10:
        return `${this.wrap(this.any("text", d))}.${r.pick(["contains", "startsWith", "endsWith"])}(${this.any("text", d)})`
      case 11:
        return this.walk(d)
      default:
        return `${this.wrap(this.any("text", d))}.matches(${JSON.stringify(r.pick(["a", "^a.*e$", "[0-9]+", "(a|b)+c?$", "\\bprod\\b"]))})`
    }
  }

  private walk(d: number): string {
    const range = this.wrap(this.any("list", d))
    const name = `x${this.locals.length}`
    const before = this.locals
    this.locals = [...before, [name, "text"]]
    const body = this.any("bool", d)
    this.locals = before
    return `${range}.${this.r.pick(["all", "exists", "exists_one"])}(${name}, ${body})`
  }

  private int(d: number): string {
    const { r } = this
    switch (r.below(6)) {
      case 0:
        return `(${this.any("bool", d)} ? ${this.any("int", d)} : ${this.any("int", d)})`
      case 1:
        return `size(${this.any(r.pick<Kind>(["text", "list"]), d)})`
      case 2:
        return `int(${this.any(r.pick<Kind>(["double", "int"]), d)})`
      default:
        // Operands of arithmetic are typed for certain: a literal beside an open number adapts here and fails there.
        return `(${this.sure("int")} ${r.pick(["+", "-", "*", "/", "%"])} ${this.sure("int")})`
    }
  }

  private double(d: number): string {
    const { r } = this
    switch (r.below(4)) {
      case 0:
        return `(${this.any("bool", d)} ? ${this.any("double", d)} : ${this.any("double", d)})`
      case 1:
        return `double(${this.any(r.pick<Kind>(["double", "int"]), d)})`
      default:
        return `(${this.sure("double")} ${r.pick(["+", "-", "*", "/"])} ${this.sure("double")})`
    }
  }

  private sure(kind: "int" | "double"): string {
    return this.leaf(kind)
  }

  private text(d: number): string {
    const { r } = this
    switch (r.below(5)) {
      case 0:
        return `(${this.any("text", d)} + ${this.any("text", d)})`
      case 1:
        return `(${this.any("bool", d)} ? ${this.any("text", d)} : ${this.any("text", d)})`
      case 2:
        return `string(${this.any(r.pick<Kind>(["int", "bool", "text"]), d)})`
      case 3:
        return `${this.wrap(this.any("text", d))}.${r.pick(["lowerAscii()", "upperAscii()", "trim()"])}`
      default:
        return `${this.wrap(this.any("list", d))}[${r.below(3)}]`
    }
  }

  private list(d: number): string {
    const { r } = this
    switch (r.below(4)) {
      case 0:
        return `(${this.any("list", d)} + ${this.any("list", d)})`
      case 1:
        return `[${this.any("text", d)}, ${this.any("text", d)}]`
      case 2: {
        const range = this.wrap(this.any("list", d))
        const name = `x${this.locals.length}`
        const before = this.locals
        this.locals = [...before, [name, "text"]]
        const body = r.chance(50)
          ? `filter(${name}, ${this.any("bool", d)})`
          : `map(${name}, ${this.any("text", d)})`
        this.locals = before
        return `${range}.${body}`
      }
      default:
        return `(${this.any("bool", d)} ? ${this.any("list", d)} : ${this.any("list", d)})`
    }
  }

  private wrap(text: string): string {
    return /^[-!]/.test(text) ? `(${text})` : text
  }
}

type Json = { readonly [key: string]: unknown }

/** An input in which things are missing now and then. */
const inputOf = (r: Random): Json => {
  const maybe = (o: Record<string, unknown>): Record<string, unknown> =>
    Object.fromEntries(Object.entries(o).filter(() => !r.chance(12)))
  const text = (): string => r.pick(TEXTS)
  const number = (): number => r.pick([0, 1, 2.5, -3, 60, 100, 1e300, 0.1])
  const texts = (): ReadonlyArray<string> => Array.from({ length: r.below(4) }, text)
  return {
    actor: maybe({ id: text(), trust_score: number(), location: text(), roles: texts() }),
    resource: maybe({ status: text(), tags: texts(), trust_tier_required: r.below(101) }),
    request: { ...maybe({ tokens: r.pick([0, 1, 5, 9007199254740991]), cost: number() }), content: text() },
    context: maybe({
      n: number(),
      s: text(),
      flag: r.chance(50),
      list: r.pick<unknown>([[1, 2, "a"], ["a", "prod"], [[1], { a: 1 }], [], [null, true]]),
      texts: texts(),
      m: { n: number() }
    }),
    metadata: maybe({ ok: r.pick<unknown>([true, false, "x"]), s: r.pick<unknown>([text(), 5, null]) })
  }
}

const INTEGER = new Set(["tokens", "trust_tier_required"])

/** The input for the oracle: maps for objects, bigint where an int is declared. */
const toOracle = (v: unknown, field = ""): unknown => {
  if (Array.isArray(v)) return v.map((x) => toOracle(x))
  if (typeof v === "number" && INTEGER.has(field)) return BigInt(v)
  if (typeof v !== "object" || v === null) return v
  return new Map(Object.entries(v).map(([k, x]) => [k, toOracle(x, k)]))
}

const environment = celEnv({ funcs: strings })

const FAILED = Symbol("failed")

const byOracle = (source: string, input: Json): unknown => {
  const bindings = Object.fromEntries(Object.entries(input).map(([k, v]) => [k, toOracle(v)]))
  try {
    const v = plan(environment, parse(source))(bindings as never)
    return isCelError(v) ? FAILED : fromOracle(v)
  } catch {
    return FAILED
  }
}

const ADAPTED = /(?:context|metadata)[\w.]* [-+*/] -?\d+\b(?!\.)|(?<![\w.])\d+ [-+*/] (?:context|metadata)/

const show = (v: unknown): string => (v === FAILED ? "failure" : JSON.stringify(Cel.toJson(v)))

/** Differences between closures and oracle for some expressions of one seed. */
export const againstOracle = (seed: number, count: number): ReadonlyArray<string> => {
  const r = new Random(seed)
  const out: Array<string> = []
  for (let i = 0; i < count; i++) {
    const source = new Grammar(r).any(r.pick<Kind>(["bool", "bool", "int", "double", "text", "list"]), 4)
    const input = inputOf(r)
    const made = Cel.compile(source, { lenient: true })
    if (!made.ok) {
      out.push(`refused: ${source}: ${made.issues[0]?.message}`)
      continue
    }
    const v = made.program.evaluate(input)
    // The oracle reads any text as a double (NaN) and an empty one as the int 0; the language fails.
    if (v instanceof Cel.Fault && /^the text is no (?:double|int)$/.test(v.message)) continue
    // It folds a double negation away before it looks at what is negated; ours fails on what is no bool.
    if (v instanceof Cel.Fault && v.message.startsWith("`!` does not go with")) continue
    const ours = v instanceof Cel.Fault ? FAILED : v
    const theirs = byOracle(source, input)
    // Our extension of the type rules: an integer literal adapts to a number of an open part.
    if (theirs === FAILED && ADAPTED.test(source)) continue
    const agree = ours === FAILED || theirs === FAILED ? ours === theirs : same(ours, theirs)
    if (!agree)
      out.push(
        `${source}\n  on ${JSON.stringify(input)}\n  ours ${v instanceof Cel.Fault ? v.message : show(v)}, oracle ${show(theirs)}`
      )
  }
  return out
}

/** What one policy of a set decided. */
const decided = (verdict: PolicySet.Verdict, id: number): string => {
  const reason = verdict.matched.find((m) => m.id === id)
  return reason === undefined ? "false" : (reason.error?.code ?? "true")
}

/** Differences between the flat program of a set and the closures of its policies. */
export const flatAgainstClosures = (
  seed: number,
  policies: number,
  inputs: number
): { readonly cases: number; readonly differences: ReadonlyArray<string> } => {
  const r = new Random(seed)
  const out: Array<string> = []
  const list: Array<PolicySet.Policy> = []
  while (list.length < policies) {
    const expr = new Grammar(r).any("bool", 4)
    if (Cel.condition(expr).ok)
      list.push({ id: list.length, name: "p", enforcement: "deny", expr, priority: r.below(5) })
  }
  const made = PolicySet.compileSync(list)
  if (!made.ok) throw new Error("the set does not compile")
  const programs = list.map((p) => Cel.condition(p.expr))
  for (let i = 0; i < inputs; i++) {
    const input = inputOf(r)
    const verdict = made.set.evaluate(input)
    programs.forEach((p, id) => {
      if (!p.ok) return
      const v = p.program.evaluate(input)
      const closure = v instanceof Cel.Fault ? v.code : typeof v === "boolean" ? String(v) : "not_a_boolean"
      if (decided(verdict, id) !== closure) {
        out.push(
          `${p.program.source}\n  on ${JSON.stringify(input)}\n  flat ${decided(verdict, id)}, closure ${closure}`
        )
      }
    })
  }
  return { cases: policies * inputs, differences: out }
}
