/** A decision as the wire answers it. */
import {
  type CheckEntry,
  type CheckResult,
  type Permission,
  type Reservation,
  type Signed,
  type UsageTracking,
  Wire
} from "@agion/domain"
import { PermissionCheck } from "@agion/policy"
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

/** What was decided, with what is left as of a usage: a reservation that is answered again is in it. */
export const withRemaining = (
  decided: Decided,
  permission: Permission,
  usage: PermissionCheck.Usage
): Decided => ({
  ...decided,
  decision: { ...decided.decision, remaining: PermissionCheck.remaining(permission.constraints, usage) }
})

/** Of each permission as it was shown last: while nothing is used the next answer is the same value. */
const lastShown = new WeakMap<Permission, Permission>()

const permissionWith = (permission: Permission, usageTracking: UsageTracking): Permission => {
  const last = lastShown.get(permission)
  if (last?.usageTracking === usageTracking) return last
  const next = { ...permission, usageTracking }
  lastShown.set(permission, next)
  return next
}

/** With the usage that its permission shows. */
export const withShown = (decided: Decided, shown: UsageTracking | undefined): Decided => {
  if (shown === undefined || decided.permission === null) return decided
  const { known, asked, usage, decision, decisionId, signed, now } = decided
  const permission = permissionWith(decided.permission, shown)
  // Spelled out, as what is answered is: the shape of a copy goes with the last one at a full collection, and with it
  // all that was compiled for it.
  return { known, asked, usage, decision, decisionId, signed, now, permission }
}

/** The result of a check; `decision` leaves the permission out, `entry` adds what a cache needs. */
export const checkResult = (decided: Decided, fields: "decision" | "full" | "entry"): CheckResult => {
  const { decision } = decided
  const { allowed, reason, remaining: constraints } = decision
  const timestamp = timestampOf(decided.now)
  const permission = fields === "decision" ? null : decided.permission
  const metadata = metadataOf(decided)
  return fields === "entry"
    ? { allowed, reason, timestamp, permission, constraints, metadata, entry: entryOf(decided) }
    : { allowed, reason, timestamp, permission, constraints, metadata }
}

const metadataOf = ({ known, decision, decisionId, signed }: Decided): CheckResult["metadata"] => {
  const { trustRequired, trustScore, policiesEvaluated, denial, observed, warnings } = decision
  const plain = {
    trustScoreChecked: trustRequired,
    trustScore,
    policiesEvaluated,
    decisionId,
    epoch: known.epoch,
    signed
  }
  if (denial === null && observed === null && warnings.length === 0) return plain
  return {
    ...plain,
    ...(denial === null ? {} : { denial }),
    ...(observed === null ? {} : { observed }),
    ...(warnings.length === 0 ? {} : { warnings })
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
