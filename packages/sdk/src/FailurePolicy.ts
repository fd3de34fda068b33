/**
 * What happens to a call while the platform is away (OUTAGE-1 to OUTAGE-6): a value that a program swaps.
 *
 * ```ts
 * AgionSdk.layer(options).pipe(Layer.provide(FailurePolicy.layer(FailurePolicy.failClosed)))
 * ```
 *
 * Local policies and DLP have been asked before and apply always; a known denial and a limit known from the
 * entry stand under every policy. The default is `trustAware`; `failOpen` says so in the log and in `Health`.
 */
import * as Outage from "@agion/policy/outage"
import { Context, Layer } from "effect"
import { given } from "./internal/Given.ts"

/** How a call goes on, and which rule said so. */
export type FailureOutcome =
  | { readonly _tag: "Stale" | "Degraded"; readonly rule: string; readonly reason: string }
  | { readonly _tag: "Denied"; readonly rule: string; readonly reason: string }

/** A pure rule over what the agent still holds. */
export interface FailurePolicyShape {
  readonly name: string
  /** Lets calls through that nothing vouches for: it is reported as loudly as can be. */
  readonly loud: boolean
  readonly decide: (facts: Outage.OutageFacts) => FailureOutcome
}

/** The policy in force. */
export const FailurePolicy: Context.Reference<FailurePolicyShape> = Context.Reference<FailurePolicyShape>(
  "@agion/sdk/FailurePolicy",
  { defaultValue: () => trustAware() }
)

/** Puts a policy in force. */
export const layer = (policy: FailurePolicyShape): Layer.Layer<never> => Layer.succeed(FailurePolicy, policy)

/** Warm approvals are used, a trusted agent goes on within a small budget, all else is denied: the default. */
export const trustAware = (options: Partial<Outage.OutageOptions> = {}): FailurePolicyShape => {
  const full = { ...Outage.defaults, ...given(options) }
  return { name: "trust-aware", loud: false, decide: (facts) => Outage.decide(facts, full) }
}

/** Nothing runs without the platform's word. */
export const failClosed: FailurePolicyShape = {
  name: "fail-closed",
  loud: false,
  decide: () => ({
    _tag: "Denied",
    rule: "fail_closed",
    reason: "Platform unavailable: nothing runs without it"
  })
}

/** Rules of a denial that come before trust is looked at. */
const beforeTrust = new Set(["known_denial", "excluded"])

/** Only warm approvals are used: no trust, no budget. */
export const staleOnly = (options: Partial<Outage.OutageOptions> = {}): FailurePolicyShape => {
  const aware = trustAware(options)
  return {
    name: "stale-only",
    loud: false,
    decide: (facts) => {
      const outcome = aware.decide(facts)
      if (outcome._tag === "Stale" || beforeTrust.has(outcome.rule)) return outcome
      return { _tag: "Denied", rule: "stale_only", reason: "Platform unavailable: no warm approval is held" }
    }
  }
}

/** Everything but a known denial runs. Loud. */
export const failOpen: FailurePolicyShape = {
  name: "fail-open",
  loud: true,
  decide: (facts) =>
    facts.last?.allowed === false && (facts.last.deniedUntil === null || facts.now < facts.last.deniedUntil)
      ? { _tag: "Denied", rule: "known_denial", reason: facts.last.reason }
      : { _tag: "Degraded", rule: "fail_open", reason: "Platform unavailable: let through unseen" }
}

/** One policy for the calls that a predicate picks, another for the rest. */
export const when = (
  picks: (facts: Outage.OutageFacts) => boolean,
  then: FailurePolicyShape,
  otherwise: FailurePolicyShape
): FailurePolicyShape => ({
  name: `${then.name} or ${otherwise.name}`,
  loud: then.loud || otherwise.loud,
  decide: (facts) => (picks(facts) ? then : otherwise).decide(facts)
})
