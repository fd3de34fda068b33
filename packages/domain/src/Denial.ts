/** Why a check was denied: an entry of its own, since an agent's errors need no other schema. */
import { Schema } from "effect"
import * as Wire from "./Wire.ts"

/** The steps of a check, in their order (CHECK-1). */
export const checkSteps = [
  "agent",
  "resource",
  "permission",
  "hours",
  "rate",
  "tokens",
  "cost",
  "trust",
  "policy",
  "dlp",
  "outage"
] as const
/** The step of a check that denied. */
export const CheckStep = Schema.Literals(checkSteps)
export type CheckStep = typeof CheckStep.Type

/** Why a check was denied, and what would allow it (CHECK-3). */
export const Denial = Wire.struct({
  step: CheckStep,
  /** What was seen; numbers as text. */
  seen: Schema.NullOr(Schema.String),
  /** What was needed. */
  needed: Schema.NullOr(Schema.String),
  /** Milliseconds after which asking again makes sense; null when waiting alone does not help. */
  retryAfterMs: Schema.NullOr(Schema.Int),
  /** What would allow it; null when that cannot be told, as of a policy that denies. */
  remedy: Schema.NullOr(
    Schema.Literals([
      "request_approval",
      "smaller_request",
      "more_trust",
      "another_resource",
      "wait",
      "change_content",
      "operator"
    ])
  ),
  /** The policies, detectors or permission that it is about. */
  subjects: Schema.Array(Schema.String)
})
export type Denial = typeof Denial.Type
