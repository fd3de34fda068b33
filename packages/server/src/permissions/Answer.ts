/** A decision as the wire answers it. */
import {
  type CheckEntry,
  type CheckResult,
  type Permission,
  type Reservation,
  type Signed,
  Wire
} from "@agion/domain"
import type { PermissionCheck } from "@agion/policy"
import type { Asked } from "./Checks.ts"
import type { Held } from "./Limits.ts"
import type { Known } from "./Snapshot.ts"

/** A decision and what it was made of. */
export interface Decided {
  readonly known: Known
  readonly asked: Asked
  readonly usage: PermissionCheck.Usage
  readonly decision: PermissionCheck.Decision
  readonly decisionId: string
  readonly signed: Signed
  /** Epoch milliseconds. */
  readonly now: number
  /** With its usage as of now. */
  readonly permission: Permission | null
}

/** The result of a check; `decision` leaves the permission out, `entry` adds what a cache needs. */
export const checkResult = (decided: Decided, fields: "decision" | "full" | "entry"): CheckResult => {
  const { known, decision } = decided
  return {
    allowed: decision.allowed,
    reason: decision.reason,
    timestamp: timestampOf(decided.now),
    permission: fields === "decision" ? null : decided.permission,
    constraints: decision.remaining,
    metadata: {
      trustScoreChecked: decision.trustRequired,
      trustScore: decision.trustScore,
      policiesEvaluated: decision.policiesEvaluated,
      decisionId: decided.decisionId,
      ...(decision.denial === null ? {} : { denial: decision.denial }),
      ...(decision.observed === null ? {} : { observed: decision.observed }),
      ...(decision.warnings.length === 0 ? {} : { warnings: decision.warnings }),
      epoch: known.epoch,
      signed: decided.signed
    },
    ...(fields === "entry" ? { entry: entryOf(decided) } : {})
  }
}

let lastNow = 0
let lastTimestamp = Wire.timestamp(0)

/** Checks of one millisecond share its text. */
const timestampOf = (now: number): string => {
  if (now !== lastNow) {
    lastTimestamp = Wire.timestamp(now)
    lastNow = now
  }
  return lastTimestamp
}

const entryOf = ({ known, usage }: Decided): CheckEntry => ({
  resource: known.resource?.resource ?? null,
  ancestorStatus: known.resource?.facts.ancestorStatus ?? null,
  actor: known.actor.view as CheckEntry["actor"],
  agentStatus: known.actor.status,
  timeZone: known.settings.timeZone,
  enforcement: known.settings.enforcement,
  usage
})

/** What a reservation holds, as the wire answers it. */
export const reservation = (held: Held): Reservation => ({
  id: held.id as Reservation["id"],
  expiresAt: new Date(Math.round(held.expiresAt)).toISOString(),
  amounts: { requests: held.requests, tokens: held.tokens, costUsd: held.costMicroUsd / 1e6 }
})
