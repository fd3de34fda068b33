/** What a check is answered inside the SDK: the platform's words, and how the agent came to them. */
import type { CheckResult, Denial, Observed, Remaining } from "@agion/domain"
import type { PermissionCheck } from "@agion/policy"

/** How an answer holds: stale and degraded ones are given while the platform is away (OUTAGE-2). */
export type Mode = "normal" | "stale" | "degraded" | "observed" | "ungoverned"

/** The answer to a check. A denial is an answer, not an error (CHECK-3). */
export interface Decision {
  readonly allowed: boolean
  /** The contract's reason, such as `No approved permission found`. */
  readonly reason: string
  readonly mode: Mode
  /** Who decided: the cache, the platform, what is held during an outage, or a setting. */
  readonly source: "cache" | "platform" | "outage" | "settings"
  /** The rule of the failure policy that decided; null: none was asked. */
  readonly rule: string | null
  /** Which step denied and what would allow it; null when allowed. */
  readonly denial: Denial | null
  /** UUIDv7 of the platform's decision; an outcome names it. Empty when the platform never decided. */
  readonly decisionId: string
  readonly permissionId: string | null
  /** What is left of the permission's limits; absent where there is none. */
  readonly constraints: Remaining
  readonly trustScore: number
  readonly trustRequired: number
  readonly policiesEvaluated: number
  readonly warnings: ReadonlyArray<string>
  /** What would have been answered where an organization only observes (POLICY-8). */
  readonly observed: typeof Observed.Type | null
}

const nothing: ReadonlyArray<string> = []

/** The platform's answer. */
export const ofResult = (result: CheckResult, source: "cache" | "platform"): Decision => ({
  allowed: result.allowed,
  reason: result.reason,
  mode: result.metadata.observed === undefined ? "normal" : "observed",
  source,
  rule: null,
  denial: result.metadata.denial ?? null,
  decisionId: result.metadata.decisionId,
  permissionId: result.permission?.id ?? null,
  constraints: result.constraints,
  trustScore: result.metadata.trustScore,
  trustRequired: result.metadata.trustScoreChecked,
  policiesEvaluated: result.metadata.policiesEvaluated,
  warnings: result.metadata.warnings ?? nothing,
  observed: result.metadata.observed ?? null
})

/** What `PermissionCheck` says in the agent over facts that came with an entry. */
export const ofCheck = (
  decision: PermissionCheck.Decision,
  about: { readonly decisionId: string; readonly permissionId: string | null }
): Decision => ({
  allowed: decision.allowed,
  reason: decision.reason,
  mode: decision.observed === null ? "normal" : "observed",
  source: "cache",
  rule: null,
  denial: decision.denial,
  decisionId: about.decisionId,
  permissionId: about.permissionId,
  constraints: decision.remaining,
  trustScore: decision.trustScore,
  trustRequired: decision.trustRequired,
  policiesEvaluated: decision.policiesEvaluated,
  warnings: decision.warnings,
  observed: decision.observed
})

/** An answer that a failure policy or a setting gives without the platform. */
export const without = (
  answer: Pick<Decision, "allowed" | "reason" | "mode" | "source" | "rule"> & {
    readonly denial?: Denial | null
  },
  held: Partial<Decision> = {}
): Decision => ({
  decisionId: held.decisionId ?? "",
  permissionId: held.permissionId ?? null,
  constraints: held.constraints ?? {},
  trustScore: held.trustScore ?? 0,
  trustRequired: held.trustRequired ?? 0,
  policiesEvaluated: 0,
  warnings: nothing,
  observed: null,
  allowed: answer.allowed,
  reason: answer.reason,
  mode: answer.mode,
  source: answer.source,
  rule: answer.rule,
  denial: answer.denial ?? (answer.allowed ? null : unavailable(answer.reason))
})

const unavailable = (reason: string): Denial => ({
  step: "outage",
  seen: reason,
  needed: "the platform's answer",
  retryAfterMs: 1000,
  remedy: "wait",
  subjects: []
})
