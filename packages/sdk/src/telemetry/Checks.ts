/** Spans of checks and what they tell of a decision. */
import { Effect, Effectable, Exit, Fiber } from "effect"
import type { Decision } from "../Decision.ts"
import type { CheckInput } from "../PermissionCache.ts"
import type { Attributes } from "./Names.ts"
import { type Sampling, wanted, within } from "./Spans.ts"

/** What a span tells of a decision. */
export const decisionAttributes = (decision: Decision): Attributes => ({
  "agion.decision.outcome": decision.allowed ? "allow" : "deny",
  "agion.decision.mode": decision.mode,
  "agion.decision.source": decision.source,
  "agion.decision.step": decision.denial?.step ?? "none",
  "agion.decision.rule": decision.rule ?? undefined,
  "agion.decision.id": decision.decisionId === "" ? undefined : decision.decisionId
})

const taken: Sampling = { ratio: 1, random: () => 0 }

/** How a check is looked up, and which are traced. */
interface Looking<E> {
  readonly sampling: Sampling
  readonly check: (input: CheckInput) => Effect.Effect<Decision, E>
  /** Hits that took no step. */
  inRow: number
  /**
   * One of each thing that a check makes. No other outlives its `yield*`, and with the last one a full collection
   * drops their shapes, and all that was compiled for them.
   */
  kept: ReadonlyArray<unknown>
}

/** A check that is looked up as it is run: one small object, since a hit costs little more than making it. */
class Check<E> extends Effectable.Class<Decision, E> {
  readonly looking: Looking<E>
  readonly input: CheckInput

  constructor(looking: Looking<E>, input: CheckInput) {
    super()
    this.looking = looking
    this.input = input
  }

  override asEffect(): Effect.Effect<Decision, E> {
    return Effect.withFiber((fiber) => look(this, fiber))
  }
}

/** What `yield*` gets of a decision that is there: an iterator that ends with it. */
class Answered<A> {
  readonly done = true
  readonly value: A

  constructor(value: A) {
    this.value = value
  }

  next(): this {
    return this
  }
}

/** In a span where its fiber is traced; elsewhere nothing is made for it. */
const look = <E>({ input, looking }: Check<E>, fiber: Fiber.Fiber<unknown, unknown>) =>
  wanted(looking.sampling, fiber) === undefined ? looking.check(input) : spannedCheck(input, looking.check)

const evaluated = Effectable.Prototype<Check<unknown>>({
  label: "PermissionCache.check",
  evaluate(fiber) {
    return look(this, fiber)
  }
})
const asStep = evaluated[Symbol.iterator]

/**
 * `yield*` in a running fiber looks up where it stands: a hit takes no step of the run loop, which costs more than the
 * look-up. One in 32 does, so that a loop of hits can be interrupted and lets others run. In a function that runs
 * eagerly it looks up as that is called.
 */
function atOnce(this: Check<unknown>): Effect.EffectIterator<Effect.Effect<Decision, unknown>> {
  const fiber = Fiber.getCurrent()
  if (fiber === undefined || (++this.looking.inRow & 31) === 0) return asStep.call(this)
  const found = look(this, fiber)
  return isDecision(found) ? new Answered(found.value) : found[Symbol.iterator]()
}

const isDecision = <E>(found: Effect.Effect<Decision, E>): found is Exit.Success<Decision, E> =>
  "_tag" in found && found._tag === "Success"

// Evaluated with the fiber at hand, and so without a step of its own.
Object.assign(Check.prototype, evaluated, { [Symbol.iterator]: atOnce })

/** Looks checks up as they are run. */
export const spannedChecks = <E>(
  sampling: Sampling,
  check: (input: CheckInput) => Effect.Effect<Decision, E>
): ((input: CheckInput) => Effect.Effect<Decision, E>) => {
  const looking: Looking<E> = { sampling, check, inRow: 0, kept: [] }
  looking.kept = [new Check(looking, { resourceId: "" }), new Answered(null)]
  return (input) => new Check(looking, input)
}

const spannedCheck = <E>(input: CheckInput, check: (input: CheckInput) => Effect.Effect<Decision, E>) =>
  within(
    taken,
    "PermissionCache.check",
    Effect.suspend(() => check(input)),
    {
      attributes: () => ({
        "agion.resource.id": input.resourceId,
        "agion.permission.type": input.permissionType ?? "use"
      }),
      told: (exit) => (Exit.isSuccess(exit) ? decisionAttributes(exit.value) : {})
    }
  )
