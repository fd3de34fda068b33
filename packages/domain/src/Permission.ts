/** Who may use what, how much of it, and what a check answers. */
import { Schema } from "effect"
import { CheckContext } from "./CheckContext.ts"
import { Denial } from "./Denial.ts"
import { ActorId, OrganizationId, PermissionId, ReservationId, ResourceId } from "./Id.ts"
import { Resource } from "./Resource.ts"
import { Signed } from "./Signed.ts"
import * as Wire from "./Wire.ts"

/** Kinds of actors. */
export const actorTypes = ["agent", "user", "service"] as const
/** The kind of an actor. */
export const ActorType = Schema.Literals(actorTypes)
export type ActorType = typeof ActorType.Type

/** What a permission lets its actor do. */
export const permissionTypes = ["use", "read", "write", "execute", "admin"] as const
/** What a permission lets its actor do: one of `permissionTypes`. */
export const PermissionType = Schema.Literals(permissionTypes)
export type PermissionType = typeof PermissionType.Type

/** Where a permission is in its life. */
export const permissionStatuses = ["pending", "approved", "denied", "revoked", "suspended"] as const
/** The status of a permission; `mayMove` says which one follows which. */
export const PermissionStatus = Schema.Literals(permissionStatuses)
export type PermissionStatus = typeof PermissionStatus.Type

/** Days of the week as `allowed_days` spells them, Monday first. */
export const weekdays = [
  "monday",
  "tuesday",
  "wednesday",
  "thursday",
  "friday",
  "saturday",
  "sunday"
] as const
/** A day of `allowed_days`, in the organization's time zone. */
export type Weekday = (typeof weekdays)[number]

const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))
/** US dollars; inside they are micro-dollars. */
const Usd = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 9_000_000_000 }))

/** Limits of a permission. Hours are in the organization's time zone; "22:00-06:00" wraps over midnight. */
export const Constraints = Wire.struct({
  rateLimitRpm: Wire.optional(Count),
  tokenLimitPerDay: Wire.optional(Count),
  costLimitPerDayUsd: Wire.optional(Usd),
  allowedHours: Wire.optional(
    Schema.String.check(Schema.isPattern(/^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$/))
  ),
  allowedDays: Wire.optional(Schema.Array(Schema.Literals(weekdays)))
})
export type Constraints = typeof Constraints.Type

/** What a permission has used, in all and on the organization's current day. */
export const UsageTracking = Wire.struct({
  totalRequests: Count,
  totalTokens: Count,
  totalCostUsd: Usd,
  currentDayRequests: Count,
  currentDayTokens: Count,
  currentDayCostUsd: Usd,
  lastUsedAt: Schema.NullOr(Wire.Timestamp),
  currentDayStart: Schema.NullOr(Wire.Timestamp)
})
export type UsageTracking = typeof UsageTracking.Type

/** A permission as it is stored and answered. */
export const Permission = Wire.struct({
  id: PermissionId,
  actorId: ActorId,
  actorType: ActorType,
  resourceId: ResourceId,
  permissionType: PermissionType,
  status: PermissionStatus,
  purpose: Wire.Text,
  justification: Schema.NullOr(Wire.Text),
  constraints: Constraints,
  usageTracking: UsageTracking,
  requestedBy: Schema.NullOr(Wire.Text),
  requestedAt: Wire.Timestamp,
  approvedBy: Schema.NullOr(Wire.Text),
  approvedAt: Schema.NullOr(Wire.Timestamp),
  approvalNotes: Schema.NullOr(Wire.Text),
  revokedBy: Schema.NullOr(Wire.Text),
  revokedAt: Schema.NullOr(Wire.Timestamp),
  revocationReason: Schema.NullOr(Wire.Text),
  createdAt: Wire.Timestamp,
  updatedAt: Wire.Timestamp
})
export type Permission = typeof Permission.Type

/** A permission in `GET /permissions/active`. */
export const ActivePermission = Wire.struct({
  permissionId: PermissionId,
  actorId: ActorId,
  actorType: ActorType,
  permissionType: PermissionType,
  status: PermissionStatus,
  resourceName: Wire.Text,
  resourceType: Schema.String,
  complianceLabels: Schema.Array(Wire.Text),
  constraints: Constraints,
  usageTracking: UsageTracking,
  approvedAt: Schema.NullOr(Wire.Timestamp),
  createdAt: Wire.Timestamp
})
export type ActivePermission = typeof ActivePermission.Type

/** Asks for a permission. */
export const RequestPermission = Wire.struct({
  actorId: ActorId,
  actorType: ActorType,
  resourceId: ResourceId,
  permissionType: PermissionType,
  purpose: Wire.Text.check(Schema.isMinLength(1)),
  justification: Wire.optional(Wire.Text),
  constraints: Wire.optional(Constraints),
  requestedBy: Wire.optional(Wire.Name)
})
export type RequestPermission = typeof RequestPermission.Type

/** `PUT /permissions/{id}`: never sets approved. */
export const UpdatePermission = Wire.struct({
  status: Wire.optional(PermissionStatus),
  constraints: Wire.optional(Constraints),
  revokedBy: Wire.optional(Wire.Name),
  revocationReason: Wire.optional(Wire.Text)
})
export type UpdatePermission = typeof UpdatePermission.Type

/** Approves; whoever requested cannot (LIMIT-5), nor under the same name in another case, width or spacing. */
export const Approve = Wire.struct({ approvedBy: Wire.Name, notes: Wire.optional(Wire.Text) })
/** Denies what is pending. */
export const Deny = Wire.struct({ deniedBy: Wire.Name, reason: Wire.Text })
/** Revokes what is approved or suspended. */
export const Revoke = Wire.struct({ revokedBy: Wire.Name, reason: Wire.Text })

/** Reports what a call used; the same `eventId` counts once. */
export const ReportUsage = Wire.struct({
  /**
   * The `idempotencyKey` of a reservation whose answer was lost. Where it was made, it is settled by these amounts
   * instead, or given back by a `requestCount` of 0. Where it was not, these amounts are charged, and a request that
   * arrives later within an hour is answered 409 and takes nothing. What is told of a key again changes nothing.
   */
  reservationKey: Wire.optional(Wire.Name),
  requestCount: Wire.optional(Count),
  tokenCount: Wire.optional(Count),
  costUsd: Wire.optional(Usd),
  eventId: Wire.optional(Wire.Name),
  occurredAt: Wire.optional(Wire.Timestamp)
})
export type ReportUsage = typeof ReportUsage.Type

/** How much of a check an answer holds: `decision` leaves out `permission`, `entry` adds what a cache needs. */
export const checkFields = ["decision", "full", "entry"] as const

const checkRequest = {
  organizationId: Wire.optional(OrganizationId),
  actorId: ActorId,
  actorType: ActorType,
  resourceId: ResourceId,
  permissionType: PermissionType,
  /** What matters for this call: request_tokens, estimated_cost, content, origin, action, tool, arguments, model, … */
  context: Wire.optional(CheckContext)
}

/** May this actor do this now? */
export const CheckRequest = Wire.struct({
  ...checkRequest,
  fields: Wire.optional(Schema.Literals(checkFields))
})
export type CheckRequest = typeof CheckRequest.Type

/** What is left of a permission's limits; absent where there is no limit. */
export const Remaining = Wire.struct({
  /** Requests left of the minute's window. */
  remainingRequestsToday: Schema.optional(Schema.Finite),
  /** The same, under a name that says so. */
  remainingRequests: Schema.optional(Schema.Finite),
  remainingTokensToday: Schema.optional(Schema.Finite),
  remainingBudgetToday: Schema.optional(Schema.Finite)
})
export type Remaining = typeof Remaining.Type

/** What an organization that only observes would have been answered (POLICY-8). */
export const Observed = Wire.struct({
  allowed: Schema.Boolean,
  reason: Schema.String,
  denial: Schema.NullOr(Denial)
})

/** How a check came to its answer. */
export const CheckMetadata = Wire.struct({
  /** The trust that the resource asks for. */
  trustScoreChecked: Schema.Finite,
  trustScore: Schema.Finite,
  policiesEvaluated: Schema.Int,
  /** UUIDv7; an outcome names it as `context.decision_id`. */
  decisionId: Schema.String,
  denial: Schema.optional(Denial),
  observed: Schema.optional(Observed),
  /** Reasons of policies that warn. */
  warnings: Schema.optional(Schema.Array(Schema.String)),
  /** The organization's epoch at the decision. */
  epoch: Schema.optional(Schema.Int),
  /** The actor's score, signed by the platform. */
  signed: Schema.optional(Signed)
})
export type CheckMetadata = typeof CheckMetadata.Type

/** What an agent needs to ask `PermissionCheck` again without the platform (CACHE-2). */
export const CheckEntry = Wire.struct({
  resource: Schema.NullOr(Resource),
  /** The first ancestor that is not active, if any. */
  ancestorStatus: Schema.NullOr(Schema.String),
  /** The actor as policies see it (snake_case), without its score. */
  actor: Wire.JsonObject,
  agentStatus: Schema.String,
  timeZone: Schema.String,
  enforcement: Schema.Literals(["enforce", "observe"]),
  /** Requests in the last 60 seconds and amounts used or reserved today, when the entry was made. */
  usage: Wire.struct({
    windowRequests: Schema.Finite,
    dayRequests: Schema.Finite,
    dayTokens: Schema.Finite,
    dayCostMicroUsd: Schema.Finite,
    /** Of the actor over all its permissions. */
    actorCostUsdToday: Schema.Finite,
    actorTokensToday: Schema.Finite,
    actorRequestsToday: Schema.Finite
  })
})
export type CheckEntry = typeof CheckEntry.Type

/** The answer to a check: 200, for a denial too. */
export const CheckResult = Wire.struct({
  allowed: Schema.Boolean,
  reason: Schema.String,
  timestamp: Wire.Timestamp,
  permission: Schema.NullOr(Permission),
  constraints: Remaining,
  metadata: CheckMetadata,
  entry: Schema.optional(CheckEntry)
})
export type CheckResult = typeof CheckResult.Type

/** Up to 1,000 checks at once. */
export const CheckBatch = Wire.struct({
  checks: Schema.Array(CheckRequest).check(Schema.isMaxLength(1000)),
  fields: Wire.optional(Schema.Literals(checkFields))
})
/** One result for each check, in their order. */
export const CheckBatchResult = Wire.struct({ results: Schema.Array(CheckResult) })

const tokensAndCost = { tokens: Wire.optional(Count), costUsd: Wire.optional(Usd) }

/** Amounts to settle. */
export const Amounts = Wire.struct({ requests: Wire.optional(Count), ...tokensAndCost })
export type Amounts = typeof Amounts.Type

/** Amounts to reserve. Whatever it takes, it is a call: of one request unless it says more. */
const ReserveAmounts = Wire.struct({
  requests: Wire.optional(
    Schema.Int.check(
      Schema.isBetween(
        { minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
        { message: "a reservation is a call: at least 1 request; leave it out for 1" }
      )
    )
  ),
  ...tokensAndCost
})

/** A check that also takes what the call will use (LIMIT-3). */
export const ReserveRequest = Wire.struct({
  ...checkRequest,
  fields: Wire.optional(Schema.Literals(checkFields)),
  amounts: ReserveAmounts,
  /** How long the estimate is held, 1 second to 1 day. */
  ttlMs: Wire.optional(Schema.Int.check(Schema.isBetween({ minimum: 1000, maximum: 86_400_000 }))),
  /**
   * The same key and the same amounts answer with the same reservation of the permission; other amounts, or a
   * reservation that is closed or has expired, are a conflict.
   */
  idempotencyKey: Wire.optional(Wire.Name)
})
export type ReserveRequest = typeof ReserveRequest.Type

/** Amounts that are held until they are settled, released or expire. */
export const Reservation = Wire.struct({
  id: ReservationId,
  expiresAt: Wire.Timestamp,
  amounts: Wire.struct({ requests: Count, tokens: Count, costUsd: Usd })
})
export type Reservation = typeof Reservation.Type

/** The answer to a reservation: that of a check, and what was taken. 200, for a denial too. */
export const ReserveResult = Wire.struct({
  allowed: Schema.Boolean,
  reason: Schema.String,
  timestamp: Wire.Timestamp,
  permission: Schema.NullOr(Permission),
  constraints: Remaining,
  metadata: CheckMetadata,
  entry: Schema.optional(CheckEntry),
  /** Null when the check was denied. */
  reservation: Schema.NullOr(Reservation)
})
export type ReserveResult = typeof ReserveResult.Type

/** Which status a permission may take from which (contract: states and who moves them). */
const moves: { readonly [From in PermissionStatus]: ReadonlyArray<PermissionStatus> } = {
  pending: ["approved", "denied"],
  approved: ["suspended", "revoked"],
  suspended: ["approved", "revoked"],
  denied: ["pending"],
  revoked: ["pending"]
}

/** True when a permission may move from one status to another. */
export const mayMove = (from: PermissionStatus, to: PermissionStatus): boolean => moves[from].includes(to)

/** True when `next` allows nothing that `current` does not: an agent may only narrow its own constraints. */
export const narrows = (current: Constraints, next: Constraints): boolean =>
  below(current.rateLimitRpm, next.rateLimitRpm) &&
  below(current.tokenLimitPerDay, next.tokenLimitPerDay) &&
  below(current.costLimitPerDayUsd, next.costLimitPerDayUsd) &&
  (current.allowedHours == null || current.allowedHours === next.allowedHours) &&
  (current.allowedDays == null ||
    next.allowedDays?.every((day) => current.allowedDays?.includes(day)) === true)

const below = (limit: number | null | undefined, next: number | null | undefined): boolean =>
  limit == null || (next != null && next <= limit)
