/** Spans of checks and what they tell of a decision. */
import { Effect, Exit } from "effect"
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

/** Looks a check up, in a span where its fiber is traced; elsewhere nothing is made for it. */
export const spannedChecks =
  <E>(sampling: Sampling, check: (input: CheckInput) => Effect.Effect<Decision, E>) =>
  (input: CheckInput): Effect.Effect<Decision, E> =>
    Effect.withFiber((fiber) =>
      wanted(sampling, fiber) === undefined ? check(input) : spannedCheck(input, check)
    )

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
