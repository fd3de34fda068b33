/**
 * A compiled set of policies: facts in, decision out, synchronously.
 *
 * ```ts
 * const made = PolicySet.compileSync(policies)
 * if (made.ok) made.set.evaluate({ actor, resource, request, context }).decision
 * ```
 *
 * A set is compiled whole or refused whole (POLICY-7), never throws while it evaluates, and holds no state but
 * counts of matches. Evaluating finds the policies whose scope applies by an index and runs them as one flat
 * program in which paths are read once and equal clauses are decided once.
 *
 * **Gotchas**: a verdict's `explain` and `evaluatedIds` look at the input again. One set evaluates one input at
 * a time, which in JavaScript is always so.
 */
import * as Cel from "../Cel.ts"
import { DEFAULT_BUDGET } from "../cel/Frame.ts"
import type { Fault } from "../cel/Issue.ts"
import { type Explanation, explainNode, type PolicyExplanation } from "./Explain.ts"
import { factsOf, touches } from "./Facts.ts"
import { type Obligation, Obligations } from "./Obligations.ts"
import {
  type Enforcement,
  invalidFields,
  type Level,
  type Policy,
  type PolicyError,
  type PolicyInput,
  type PolicyRef,
  traces,
  weaken
} from "./Policy.ts"
import { FlatProgram } from "./Program.ts"
import { FACETS, holds, Index, type Left, restricting } from "./Scopes.ts"
import { type Reason, Verdict } from "./Verdict.ts"

/** What the policies of a set may use. */
export interface CompileOptions {
  /** Operations that one policy may use for one input. Default 100,000. */
  readonly budget?: number
}

/**
 * A set, or everything that is wrong with its policies: one that does not compile is refused whole
 * (POLICY-7).
 */
export type Made =
  | { readonly ok: true; readonly set: PolicySet }
  | { readonly ok: false; readonly errors: ReadonlyArray<PolicyError> }

/** A policy and what was made of it. */
export interface Compiled {
  readonly policy: Policy
  readonly program: Cel.Program
  /** The facts it reads, sorted. */
  readonly reads: ReadonlyArray<string>
}

/** What is known about the input. */
export interface EvaluateOptions {
  /** Facts that are not held: policies that read them are left out and listed as deferred (GOVERN-8). */
  readonly unheld?: Unheld | undefined
}

interface Unsure {
  readonly at: number
  readonly lists: ReadonlyArray<Left>
}

/** Which policies of one set read facts that are not held; made by `set.unheld`. */
export class Unheld {
  /** By position in the set: 0 is evaluated, 1 is left out where it applies, 2 is looked up in `unsure`. */
  readonly mask: Uint8Array
  /** Policies whose scope itself needs such facts, with the lists that can be compared. */
  readonly unsure: ReadonlyArray<Unsure>
  /** The facts it was made for. */
  readonly facts: ReadonlyArray<string>
  constructor(mask: Uint8Array, unsure: ReadonlyArray<Unsure>, facts: ReadonlyArray<string>) {
    this.mask = mask
    this.unsure = unsure
    this.facts = facts
  }
}

/** Compiles policies, or says everything that is wrong with each of them (POLICY-5, POLICY-7). */
export const compileSync = (policies: ReadonlyArray<Policy>, options: CompileOptions = {}): Made => {
  const errors: Array<PolicyError> = []
  const compiled: Array<Compiled> = []
  const ids = new Set<string | number>()
  for (const policy of policies) {
    errors.push(...invalidFields(policy))
    if (ids.has(policy.id)) errors.push(twice(policy))
    ids.add(policy.id)
    if (typeof policy.expr !== "string") continue
    const made = Cel.condition(policy.expr, options)
    if (made.ok) compiled.push({ policy, program: made.program, reads: factsOf(made.program.node) })
    else {
      for (const issue of made.issues) {
        errors.push({ policyId: policy.id, policyName: policy.name, field: "expr", ...issue })
      }
    }
  }
  if (errors.length > 0) return { ok: false, errors }
  return { ok: true, set: new PolicySet(compiled, options.budget ?? DEFAULT_BUDGET) }
}

const twice = (policy: Policy): PolicyError => ({
  policyId: policy.id,
  policyName: policy.name,
  field: "id",
  code: "invalid",
  message: `the id \`${policy.id}\` stands twice in the set`,
  line: 0,
  column: 0,
  excerpt: ""
})

const refOf = (policy: Policy): PolicyRef => ({ id: policy.id, name: policy.name, version: policy.version })

/** A policy that decided, before it is told to anybody. */
interface Fired {
  readonly at: number
  readonly fault: Fault | undefined
}

const MAX_UNHELD = 64
const NOTHING: PolicyInput = {}
const NONE_UNSURE: ReadonlyArray<Unsure> = []

/** Compiled policies that are evaluated together; a set never changes, a change is another set (POLICY-7). */
export class PolicySet {
  /** All policies, the inactive ones too, in priority order. */
  readonly policies: ReadonlyArray<Policy>
  private readonly active: ReadonlyArray<Compiled>
  private readonly index: Index
  private readonly program: FlatProgram
  private readonly budget: number
  private readonly matches: Float64Array
  /** The outcome with which each policy decides nothing. */
  private readonly quiet: ReadonlyArray<boolean>
  private readonly masks = new Map<string, Unheld>()
  private readonly all: ReadonlyArray<Compiled>
  private readonly obliging: Obligations

  constructor(compiled: ReadonlyArray<Compiled>, budget: number) {
    const sorted = [...compiled].sort(byPriority)
    this.all = sorted
    this.policies = sorted.map((c) => c.policy)
    this.obliging = new Obligations(this.policies)
    this.active = sorted.filter((c) => (c.policy.status ?? "active") === "active")
    this.index = new Index(this.active.map((c) => c.policy.scope))
    this.budget = budget
    this.program = new FlatProgram(
      this.active.map((c) => c.program),
      budget
    )
    this.matches = new Float64Array(this.active.length)
    this.quiet = this.active.map((c) => c.policy.enforcement === undefined)
  }

  /** How many policies are evaluated when they apply. */
  get size(): number {
    return this.active.length
  }

  /** Decides one input. Never throws; what cannot be evaluated decides as POLICY-4 says. */
  evaluate(asked: PolicyInput, options?: EvaluateOptions): Verdict {
    // What came over a wire may be anything.
    const input = typeof asked === "object" && asked !== null ? asked : NOTHING
    const { index, program, quiet } = this
    const mask = options?.unheld?.mask
    const count = index.find(input)
    const { found } = index
    let fired: Array<Fired> | undefined
    let left: Array<number> | undefined
    let skipped = 0
    program.begin(input)
    for (let i = 0; i < count; i++) {
      const at = found[i] as number
      if (mask !== undefined && mask[at] !== 0) {
        skipped++
        if (mask[at] === 1) {
          left ??= []
          left.push(at)
        }
        continue
      }
      const outcome = program.decide(at)
      if (outcome === quiet[at]) continue
      fired ??= []
      fired.push({ at, fault: typeof outcome === "boolean" ? undefined : outcome })
    }
    program.end()
    for (const { at, lists } of options?.unheld?.unsure ?? NONE_UNSURE) {
      if (!holds(lists, input)) continue
      left ??= []
      left.push(at)
    }
    const matched = fired === undefined ? undefined : this.reasons(fired)
    const deferred = left === undefined ? undefined : this.refs(left)
    return new Verdict(matched, deferred, count - skipped, this, input, options)
  }

  private refs(left: Array<number>): ReadonlyArray<PolicyRef> {
    return left
      .sort((a, b) => a - b)
      .flatMap((at) => this.active[at]?.policy ?? [])
      .map(refOf)
  }

  /** Counts what decided, and tells it in priority order. */
  private reasons(fired: Array<Fired>): ReadonlyArray<Reason> {
    fired.sort((a, b) => a.at - b.at)
    return fired.flatMap(({ at, fault }) => {
      this.matches[at] = (this.matches[at] ?? 0) + 1
      const compiled = this.active[at]
      return compiled === undefined ? [] : [reasonOf(compiled.policy, fault)]
    })
  }

  /** The ids of the policies that `evaluate` would evaluate, in priority order. */
  evaluatedIds(input: PolicyInput, options?: EvaluateOptions): ReadonlyArray<string | number> {
    return this.evaluated(input, options).map((c) => c.policy.id)
  }

  private evaluated(input: PolicyInput, options: EvaluateOptions | undefined): ReadonlyArray<Compiled> {
    const mask = options?.unheld?.mask
    return [...this.index.found.subarray(0, this.index.find(input))]
      .filter((at) => mask === undefined || mask[at] === 0)
      .sort((a, b) => a - b)
      .flatMap((at) => this.active[at] ?? [])
  }

  /** Clause by clause, why each policy that applies decided as it did. */
  explain(input: PolicyInput, options?: EvaluateOptions): Explanation {
    return { policies: this.evaluated(input, options).map((c) => this.explainOne(c, input)) }
  }

  private explainOne({ policy, program }: Compiled, input: PolicyInput): PolicyExplanation {
    const value = program.evaluate(input as Cel.Input)
    const isRule = policy.enforcement !== undefined
    const outcome =
      value === true
        ? isRule
          ? "matched"
          : "holds"
        : value === false
          ? isRule
            ? "not_matched"
            : "violated"
          : "error"
    const clauses = explainNode(program.node, program.source, program.slots, input, this.budget)
    return { ...refOf(policy), outcome, clauses }
  }

  /**
   * Says which policies read any of these facts, so that `evaluate` leaves them to whoever holds the facts.
   * A fact is a path: `actor.trust_score`, `context.cost_today`, `resource`. A policy whose scope needs such a
   * fact (`resource.resource_type`, `resource.tags`) is left too. Cheap to ask again.
   */
  unheld(facts: Iterable<string>): Unheld {
    const list = [...new Set(facts)].sort()
    const key = list.join("\n")
    const known = this.masks.get(key)
    if (known !== undefined) return known
    const lacks = (read: string): boolean => list.some((fact) => touches(read, fact))
    const unsure: Array<Unsure> = []
    const mask = Uint8Array.from(this.active, (c, at) => {
      const lists = restricting(c.policy.scope)
      const held = lists.filter((l) => !lacks(FACETS[l.dimension]))
      if (held.length === lists.length) return c.reads.some(lacks) ? 1 : 0
      unsure.push({ at, lists: held })
      return 2
    })
    const made = new Unheld(mask, unsure, list)
    if (this.masks.size >= MAX_UNHELD) this.masks.clear()
    this.masks.set(key, made)
    return made
  }

  /** What these policies want done to a call that goes on, in their order; such as those that were deferred. */
  obligations(policies: ReadonlyArray<PolicyRef>): ReadonlyArray<Obligation> {
    return this.obliging.of(policies)
  }

  /** The facts that a policy reads, sorted; undefined when the set has no such policy. */
  reads(id: string | number): ReadonlyArray<string> | undefined {
    return this.all.find((c) => c.policy.id === id)?.reads
  }

  /** All facts that the active policies read, sorted. */
  facts(): ReadonlyArray<string> {
    return [...new Set(this.active.flatMap((c) => c.reads))].sort()
  }

  /** How often each active policy has decided something since the set was compiled; a rule at 0 was never seen alive. */
  matchCounts(): ReadonlyArray<PolicyRef & { readonly count: number }> {
    return this.active.map((c, at) => ({ ...refOf(c.policy), count: this.matches[at] ?? 0 }))
  }

  /** The compiled policies, the inactive ones too, in priority order. */
  compiled(): ReadonlyArray<Compiled> {
    return this.all
  }
}

const byPriority = (a: Compiled, b: Compiled): number => (b.policy.priority ?? 0) - (a.policy.priority ?? 0)

const messageOf = (policy: Policy, fault: Fault | undefined): string =>
  fault === undefined ? (policy.message ?? policy.name) : `policy error: ${fault.message}`

/** What a policy that fired says: POLICY-2 for its level, POLICY-4 for its failure. */
const reasonOf = (policy: Policy, fault: Fault | undefined): Reason => {
  const level: Level = policy.enforcementLevel ?? "hard"
  const wanted: Enforcement = policy.enforcement ?? "deny"
  const decided = fault !== undefined && wanted === "allow" ? "warn" : wanted
  const { violation, alert } = traces({ enforcement: decided, enforcementLevel: level })
  // Spelled out: the shape of a literal stays, that of a copy goes with the last one at a full collection, and with
  // it all that was compiled for it.
  return {
    id: policy.id,
    name: policy.name,
    version: policy.version,
    priority: policy.priority ?? 0,
    level,
    enforcement: policy.enforcement,
    effect: weaken(decided, level),
    message: messageOf(policy, fault),
    error: fault === undefined ? undefined : { code: fault.code, message: fault.message },
    violation,
    alert
  }
}
