/**
 * All conditions of a set as one flat program.
 *
 * The conditions are cut at `&&`, `||`, `!` and `? :` into atoms. Equal atoms are one, evaluated at most once for
 * an input; equal paths are one, read at most once. What is left of a condition is a list of jumps: decide an
 * atom, go on where its answer leads. An atom that fails, or a condition that uses up its budget, hands the
 * whole condition to its closure, which has the exact semantics of failures.
 *
 * No text is evaluated as code; the program is a few arrays of integers.
 */
import type * as Cel from "../Cel.ts"
import type { Node } from "../cel/Ast.ts"
import { boxed, type Code, compile, pathOf } from "../cel/Compiler.ts"
import { type Fn, Frame } from "../cel/Frame.ts"
import { Fault, fault, OutOfBudget } from "../cel/Issue.ts"
import { prune } from "../cel/Type.ts"
import { nodeKey } from "./Key.ts"
import type { PolicyInput } from "./Policy.ts"

/** Where a jump ends. */
const YES = -1
const NO = -2

/** Answers of an atom, in the two low bits of its state. */
const FALSE = 0
const TRUE = 1
const FAILED = 2

/** How an atom is decided: by comparing a path with a number or a text, or by a closure. */
const CLOSURE = 0
const LESS = 1
const AT_MOST = 2
const MORE = 3
const AT_LEAST = 4
const SAME = 5
const OTHER = 6
const TRUTH = 7

const RELATIONS: Readonly<Record<string, number>> = {
  "_<_": LESS,
  "_<=_": AT_MOST,
  "_>_": MORE,
  "_>=_": AT_LEAST,
  "_==_": SAME,
  "_!=_": OTHER
}

/** An atom that compares a path with a constant. */
interface Simple {
  readonly kind: number
  readonly path: number
  readonly constant: unknown
}

/** Rounds are counted up to here before all state is forgotten. */
const LAST_ROUND = 0x1fffffff

export class FlatProgram {
  private readonly programs: ReadonlyArray<Cel.Program>
  private readonly budget: number
  private readonly frame: Frame

  // Conditions: where each begins; instructions: an atom and two ways on.
  private readonly entries: Int32Array
  private readonly code: Int32Array

  // Atoms.
  private readonly kinds: Uint8Array
  private readonly operands: Int32Array
  private readonly constants: ReadonlyArray<unknown>
  private readonly closures: ReadonlyArray<Fn>
  private readonly states: Int32Array
  private readonly costs: Int32Array

  // Paths.
  private readonly reads: ReadonlyArray<Fn>
  private readonly values: Array<unknown>
  private readonly stamps: Int32Array
  /** The slots that hold a value of the input: so many of the first entries. */
  private readonly held: Int32Array
  private holding = 0

  private readonly fallbacks: Array<Fn | undefined>
  private round = 0

  constructor(programs: ReadonlyArray<Cel.Program>, budget: number) {
    const builder = new Builder((slot) => (c) => this.value(slot, c))
    this.programs = programs
    this.budget = budget
    this.frame = new Frame(programs.reduce((n, p) => Math.max(n, p.slots), 0))
    this.entries = Int32Array.from(programs, (p) => builder.condition(p.node))
    this.code = Int32Array.from(builder.code)
    this.kinds = Uint8Array.from(builder.atoms, (a) => a.simple?.kind ?? CLOSURE)
    this.operands = Int32Array.from(builder.atoms, (a) => a.simple?.path ?? 0)
    this.constants = builder.atoms.map((a) => a.simple?.constant)
    this.closures = builder.atoms.map((a) => a.closure)
    this.states = new Int32Array(builder.atoms.length)
    this.costs = new Int32Array(builder.atoms.length)
    this.reads = builder.reads
    this.values = new Array<unknown>(builder.reads.length).fill(undefined)
    this.stamps = new Int32Array(builder.reads.length)
    this.held = new Int32Array(builder.reads.length)
    this.fallbacks = new Array<Fn | undefined>(programs.length).fill(undefined)
  }

  /** How many atoms and paths the conditions share. */
  get shape(): { readonly atoms: number; readonly paths: number; readonly instructions: number } {
    return { atoms: this.kinds.length, paths: this.stamps.length, instructions: this.code.length / 3 }
  }

  /** Takes an input; nothing that was known of the last one holds. */
  begin(input: PolicyInput): void {
    // An input whose getter threw has not been let go of.
    if (this.holding > 0) this.end()
    this.frame.take(input as Cel.Input)
    if (++this.round > LAST_ROUND) {
      this.round = 1
      this.states.fill(0)
      this.stamps.fill(0)
    }
  }

  /** Lets go of the input. */
  end(): void {
    this.frame.vars = NOTHING
    for (let i = 0; i < this.holding; i++) this.values[this.held[i] as number] = undefined
    this.holding = 0
  }

  /** Decides one condition: true, false, or the failure. */
  decide(at: number): boolean | Fault {
    const { code, states, costs, round } = this
    let pc = this.entries[at] as number
    let used = 0
    while (pc >= 0) {
      const atom = code[pc] as number
      let state = states[atom] as number
      if (state >> 2 !== round) state = this.atom(atom)
      const answer = state & 3
      used += costs[atom] as number
      if (answer === FAILED) return this.exactly(at)
      pc = code[pc + 1 + (1 - answer)] as number
    }
    return used > this.budget ? this.exactly(at) : pc === YES
  }

  private atom(atom: number): number {
    const kind = this.kinds[atom]
    const answer = kind === CLOSURE ? this.closure(atom) : this.simple(atom, kind as number)
    const state = (this.round << 2) | answer
    this.states[atom] = state
    return state
  }

  private simple(atom: number, kind: number): number {
    const slot = this.operands[atom] as number
    const v = this.stamps[slot] === this.round ? this.values[slot] : this.value(slot, this.frame)
    const k = this.constants[atom]
    if (typeof v !== typeof k) return this.closure(atom)
    switch (kind) {
      case SAME:
      case TRUTH:
        return v === k ? TRUE : FALSE
      case OTHER:
        return v !== k ? TRUE : FALSE
      case LESS:
        return (v as number) < (k as number) ? TRUE : FALSE
      case AT_MOST:
        return (v as number) <= (k as number) ? TRUE : FALSE
      case MORE:
        return (v as number) > (k as number) ? TRUE : FALSE
      default:
        return (v as number) >= (k as number) ? TRUE : FALSE
    }
  }

  private closure(atom: number): number {
    const { frame, budget } = this
    frame.left = budget
    try {
      const v = (this.closures[atom] as Fn)(frame)
      this.costs[atom] = budget - frame.left
      return v === true ? TRUE : v === false ? FALSE : FAILED
    } catch (problem) {
      if (problem instanceof OutOfBudget) return FAILED
      throw problem
    }
  }

  /** The value of a path, read once for an input. */
  private value(slot: number, c: Frame): unknown {
    if (this.stamps[slot] === this.round) return this.values[slot]
    const v = (this.reads[slot] as Fn)(c)
    this.stamps[slot] = this.round
    this.values[slot] = v
    this.held[this.holding++] = slot
    return v
  }

  /** A condition by its closure, with everything that a failure means. */
  private exactly(at: number): boolean | Fault {
    const { frame } = this
    const fn = this.fallbacks[at] ?? boxed(compile((this.programs[at] as Cel.Program).node))
    this.fallbacks[at] = fn
    frame.left = this.budget
    try {
      const v = fn(frame)
      return typeof v === "boolean" || v instanceof Fault ? v : NOT_BOOL
    } catch (problem) {
      if (problem instanceof OutOfBudget) return OUT_OF_BUDGET
      throw problem
    }
  }
}

const NOTHING: Cel.Input = {}
const NOT_BOOL = fault("not_a_boolean", "the condition is no bool")
const OUT_OF_BUDGET = fault(
  "budget_exceeded",
  "the expression needs too many operations; make it or its lists shorter"
)

interface Atom {
  readonly closure: Fn
  readonly simple: Simple | undefined
}

/** Cuts conditions into atoms and jumps. */
class Builder {
  readonly code: Array<number> = []
  readonly atoms: Array<Atom> = []
  readonly reads: Array<Fn> = []
  private readonly atomIds = new Map<string, number>()
  private readonly pathIds = new Map<string, number>()
  private readonly shared: (slot: number) => Fn

  constructor(shared: (slot: number) => Fn) {
    this.shared = shared
  }

  /** Adds a condition and answers where it begins. */
  condition(node: Node): number {
    return this.jump(node, YES, NO)
  }

  private jump(node: Node, yes: number, no: number): number {
    switch (node.k) {
      case "and":
        return node.args.reduceRight((next, arg) => this.jump(arg, next, no), yes)
      case "or":
        return node.args.reduceRight((next, arg) => this.jump(arg, yes, next), no)
      case "cond":
        return this.jump(node.test, this.jump(node.yes, yes, no), this.jump(node.no, yes, no))
      case "lit":
        if (typeof node.value === "boolean") return node.value ? yes : no
        break
      case "call":
        if (node.fn === "!_" && node.args[0] !== undefined) return this.jump(node.args[0], no, yes)
    }
    this.code.push(this.atom(node), yes, no)
    return this.code.length - 3
  }

  private atom(node: Node): number {
    const key = nodeKey(node)
    const known = this.atomIds.get(key)
    if (known !== undefined) return known
    const closure = boxed(compile(node, { path: (path, read) => this.path(path, read) }))
    this.atoms.push({ closure, simple: this.simple(node) })
    this.atomIds.set(key, this.atoms.length - 1)
    return this.atoms.length - 1
  }

  private path(path: string, read: Code): Code {
    const known = this.pathIds.get(path)
    if (known !== undefined) return { fn: this.shared(known), raw: read.raw }
    this.reads.push(read.fn)
    this.pathIds.set(path, this.reads.length - 1)
    return { fn: this.shared(this.reads.length - 1), raw: read.raw }
  }

  /** `path op constant` for numbers and texts, a bare bool path. */
  private simple(node: Node): Simple | undefined {
    if (node.k !== "call") return this.comparison(node, TRUTH, true)
    const kind = RELATIONS[node.fn]
    const [a, b] = node.args
    if (kind === undefined || a === undefined || b?.k !== "lit") return undefined
    const constant = typeof b.value === "bigint" ? small(b.value) : b.value
    if (typeof constant === "number") return this.comparison(a, kind, constant)
    const isText = typeof constant === "string" || typeof constant === "boolean"
    return isText && (kind === SAME || kind === OTHER) ? this.comparison(a, kind, constant) : undefined
  }

  private comparison(node: Node, kind: number, constant: unknown): Simple | undefined {
    const path = pathOf(node)
    const id = path === undefined ? undefined : this.pathIds.get(path)
    if (id === undefined || prune(node.type).k === "object") return undefined
    return { kind, path: id, constant }
  }
}

const small = (n: bigint): number | undefined => {
  const v = Number(n)
  return Number.isSafeInteger(v) ? v : undefined
}
