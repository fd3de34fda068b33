/**
 * What a set decided about one input.
 *
 * The decision and the reasons are there at once; obligations, the list of what was evaluated and the explanation
 * are made when they are asked for, the latter two from the same input, which must not have changed since.
 */
import type { Explanation } from "./Explain.ts"
import type { Obligation } from "./Obligations.ts"
import type { Decision, Enforcement, Level, PolicyInput, PolicyRef } from "./Policy.ts"
import type { EvaluateOptions } from "./Set.ts"

/** A policy that decided something. */
export interface Reason extends PolicyRef {
  readonly priority: number
  readonly level: Level
  /** Absent: the policy is a requirement. */
  readonly enforcement: Enforcement | undefined
  /** What it amounts to at its level. */
  readonly effect: Enforcement
  /** For people: the policy's own message, else its name; for a failure "policy error: …". */
  readonly message: string
  /** Why the expression could not be evaluated. */
  readonly error: { readonly code: string; readonly message: string } | undefined
  /** A denial or wanted approval at level soft or above: it is recorded. */
  readonly violation: boolean
  /** A denial at level critical: it is alerted. */
  readonly alert: boolean
}

const NO_REASONS: ReadonlyArray<Reason> = Object.freeze([])
const NO_REFS: ReadonlyArray<PolicyRef> = Object.freeze([])

/** How a verdict asks its set for what is made on demand. */
export interface Source<Input, Options> {
  evaluatedIds(input: Input, options?: Options): ReadonlyArray<string | number>
  explain(input: Input, options?: Options): Explanation
  obligations(policies: ReadonlyArray<PolicyRef>): ReadonlyArray<Obligation>
}

const NOBODY: Source<PolicyInput, EvaluateOptions> = {
  evaluatedIds: () => [],
  explain: () => ({ policies: [] }),
  obligations: () => []
}

const STRENGTH: Readonly<Record<Decision, number>> = { allow: 0, warn: 1, require_approval: 2, deny: 3 }

/** The strongest effect, whatever the order (POLICY-3). */
const strongest = (reasons: ReadonlyArray<Reason>): Decision => {
  let best: Decision = "allow"
  for (const r of reasons) if (STRENGTH[r.effect] > STRENGTH[best]) best = r.effect
  return best
}

/** What a set decided on an input, and by which policies; what costs more is made when it is asked for. */
export class Verdict {
  /** With the last verdict a full collection drops their shape, and all that was compiled for it: one stays. */
  protected static readonly kept = new Verdict(undefined, undefined, 0, NOBODY, {}, undefined)

  /** `warn` is allowed, with warnings. */
  readonly decision: Decision
  /** Every policy that decided something, in priority order. */
  readonly matched: ReadonlyArray<Reason>
  /** Policies that apply and were left out, since they read facts that are not held (GOVERN-8). */
  readonly deferred: ReadonlyArray<PolicyRef>
  /** How many policies were evaluated. */
  readonly evaluated: number
  // Hidden, so that a verdict that is logged shows neither the set nor the input.
  readonly #source: Source<PolicyInput, EvaluateOptions>
  readonly #input: PolicyInput
  readonly #options: EvaluateOptions | undefined

  constructor(
    matched: ReadonlyArray<Reason> | undefined,
    deferred: ReadonlyArray<PolicyRef> | undefined,
    evaluated: number,
    source: Source<PolicyInput, EvaluateOptions>,
    input: PolicyInput,
    options: EvaluateOptions | undefined
  ) {
    this.matched = matched ?? NO_REASONS
    this.decision = matched === undefined ? "allow" : strongest(matched)
    this.deferred = deferred ?? NO_REFS
    this.evaluated = evaluated
    this.#source = source
    this.#input = input
    this.#options = options
  }

  /** Whether the call may go on: allow or warn. */
  get allowed(): boolean {
    return this.decision === "allow" || this.decision === "warn"
  }

  /** The policies that made the decision, in priority order. */
  get reasons(): ReadonlyArray<Reason> {
    return this.matched.length === 0 ? NO_REASONS : this.matched.filter((r) => r.effect === this.decision)
  }

  /** Everything that warns, in priority order. */
  get warnings(): ReadonlyArray<Reason> {
    return this.matched.length === 0 ? NO_REASONS : this.matched.filter((r) => r.effect === "warn")
  }

  /** What is to be recorded as a violation, those that only warn (soft) included. */
  get violations(): ReadonlyArray<Reason> {
    return this.matched.length === 0 ? NO_REASONS : this.matched.filter((r) => r.violation)
  }

  /** What the policies that decided something want done to a call that goes on, in priority order. */
  get obligations(): ReadonlyArray<Obligation> {
    return this.#source.obligations(this.matched)
  }

  /** The ids of the policies that were evaluated, in priority order. */
  evaluatedIds(): ReadonlyArray<string | number> {
    return this.#source.evaluatedIds(this.#input, this.#options)
  }

  /** Clause by clause, with the values that were seen. */
  explain(): Explanation {
    return this.#source.explain(this.#input, this.#options)
  }
}
