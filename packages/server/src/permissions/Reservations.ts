/**
 * What calls take of the limits of their permissions, and give back (LIMIT-3). The database decides; what it answers
 * is kept where checks and permissions show it.
 */
import {
  ApiError,
  type Permission,
  type ReservationId,
  type ReserveRequest,
  type ReserveResult,
  type UsageTracking
} from "@agion/domain"
import type { PermissionCheck } from "@agion/policy"
import { Effect, type Scope } from "effect"
import { SqlError } from "effect/sql"
import * as Governance from "../changes/Governance.ts"
import { isAway } from "../sql/Database.ts"
import { dying } from "../sql/Failure.ts"
import * as Answer from "./Answer.ts"
import { limitMicroOrNull, microOrNull, reserveCall } from "./Call.ts"
import type { Checks } from "./Checks.ts"
import type { Decide } from "./Deciding.ts"
import { DecisionLog } from "./DecisionLog.ts"
import type * as Limits from "./Limits.ts"
import { type Known, Snapshot } from "./Snapshot.ts"
import type { Grant } from "./SnapshotMemory.ts"
import type { Telling } from "./Telling.ts"
import * as Together from "./Together.ts"
import { type Counted, shownOf, type UsageState } from "./UsageState.ts"
import type { Usages } from "./Usages.ts"
import { nothingUsed, type UsedFacts } from "./UsedFacts.ts"

export type Reservations = Pick<Checks["Service"], "reserve" | "settle" | "release" | "use">

/** What reservations share with checks. */
export interface Parts {
  readonly limits: Limits.Limits
  readonly usages: Usages
  readonly used: UsedFacts
  readonly decide: Decide
  readonly telling: Telling
}

const defaultTtl = 300_000

export const make = Effect.fnUntraced(function* ({
  limits,
  usages,
  used,
  decide,
  telling
}: Parts): Effect.fn.Return<Reservations, never, DecisionLog | Scope.Scope | Snapshot> {
  const snapshot = yield* Snapshot
  const log = yield* DecisionLog
  const take = yield* Together.make(limits.reserve, (error) => SqlError.isSqlError(error) && !isAway(error))

  const reserve: Reservations["reserve"] = Effect.fnUntraced(function* (asked, { amounts, ...options }) {
    const [known] = yield* snapshot.know(asked.organizationId, [asked])
    if (known === undefined) return yield* Effect.die(new Error("a question without an answer"))
    const call = reserveCall(asked, amounts)
    const before = known.policies.readsSpend ? yield* used.spent(known) : nothingUsed
    const first = decide(known, asked, before.usage, call)
    if (!first.decision.allowed || known.permission === null) return yield* refused(first)
    const outcome = yield* dying(take(limitedCall(known, known.permission, call, options, first.now)))
    if (outcome._tag === "Missing")
      return yield* refused(decide({ ...known, permission: null }, asked, before.usage, call))
    if (outcome._tag === "KeyUsed") return yield* new ApiError.Conflict({ message: keyUsed(outcome) })
    const usage = { ...before.usage, ...outcome.before }
    if (outcome._tag === "Existing")
      return yield* reserved(Answer.withRemaining(first, known.permission, usage), outcome.held)
    const second = decide(known, asked, usage, call)
    if (outcome._tag === "Refused") return yield* refused(second)
    const shown = write(known.organizationId, known.permission, outcome.state)
    return yield* reserved(Answer.withShown(second, shown), outcome.held)
  })

  /** Keeps what the database answered to a write where checks and permissions show it. */
  const write = (organizationId: string, permission: Grant, state: UsageState): UsageTracking => {
    const shown = shownOf(state)
    usages.written({ organizationId, actorId: permission.actorId }, permission.id, state)
    snapshot.used(organizationId, permission, shown)
    return shown
  }

  const refused = (decided: Answer.Decided) =>
    Effect.map(telling.answer(decided), (result): ReserveResult => ({ ...result, reservation: null }))

  const reserved = (decided: Answer.Decided, held: Limits.Held) =>
    Effect.map(
      telling.answer(decided),
      (result): ReserveResult => ({ ...result, reservation: Answer.reservation(held) })
    )

  /** Keeps what was written, and tells when a limit was crossed. */
  const counted = ({ before, after, state, who }: Limits.Counting) => {
    if (who === undefined) return Effect.succeed(undefined)
    write(who.organizationId, permissionOf(who), state)
    const limit =
      before === undefined || after === undefined ? undefined : crossed(who.constraints, before, after)
    if (limit === undefined) return Effect.succeed(who.organizationId)
    return Effect.as(
      log.alert({
        organizationId: who.organizationId,
        severity: "warning",
        kind: "limit_crossed",
        subject: `permission ${who.permissionId}`,
        reason: `the ${limit} limit of the permission is used up`,
        metadata: { actor_id: who.actorId, actor_type: who.actorType, resource_id: who.resourceId, limit }
      }),
      who.organizationId
    )
  }

  const closed =
    (id: ReservationId, intended: "settled" | "released") =>
    (outcome: Limits.Closed): Closing => {
      if (outcome._tag === "Missing")
        return Effect.fail(new ApiError.NotFound({ message: `there is no reservation \`${id}\`` }))
      if (outcome._tag === "Closed") return Effect.asVoid(counted(outcome))
      if (outcome.status === intended) return Effect.void
      return Effect.fail(
        new ApiError.Conflict({
          message: `reservation \`${id}\` was ${outcome.status} and cannot be ${intended}`
        })
      )
    }

  return {
    reserve,
    settle: (caller, id, actual) =>
      dying(
        limits.settle(
          id,
          { tokens: actual.tokens ?? null, costMicroUsd: microOrNull(actual.costUsd) },
          caller
        )
      ).pipe(Effect.flatMap(closed(id, "settled"))),
    release: (caller, id) => Effect.flatMap(dying(limits.release(id, caller)), closed(id, "released")),
    use: Effect.fnUntraced(function* (caller, id, usage) {
      const outcome = yield* dying(
        limits.charge(
          id,
          {
            reservationKey: usage.reservationKey ?? null,
            eventId: usage.eventId ?? null,
            requests: usage.requestCount ?? 1,
            tokens: usage.tokenCount ?? 0,
            costMicroUsd: microOrNull(usage.costUsd) ?? 0,
            occurredAt: usage.occurredAt ?? null
          },
          caller
        )
      )
      if (outcome._tag === "Missing")
        return yield* new ApiError.NotFound({ message: `there is no permission \`${id}\`` })
      return outcome._tag === "Charged" ? yield* counted(outcome) : undefined
    })
  }
})

type Closing = Effect.Effect<void, ApiError.NotFound | ApiError.Conflict>

const keyUsed = ({ why, held }: Limits.KeyUsed): string => {
  switch (why) {
    case "closed":
      return "the idempotency key belongs to a reservation that is settled or released, or to a call that was reported before its reservation arrived; use a new key"
    case "expired":
      return `the idempotency key belongs to reservation \`${held.id}\`, which has expired and stays charged as estimated; settle or release it, and use a new key for another call`
    case "other":
      return `the idempotency key belongs to reservation \`${held.id}\` of ${held.requests} requests, ${held.tokens} tokens and ${held.costMicroUsd / 1e6} USD; ask for the same amounts again or use a new key`
  }
}

const limitedCall = (
  known: Known,
  permission: Permission,
  call: PermissionCheck.Call,
  options: Pick<ReserveRequest, "ttlMs" | "idempotencyKey">,
  now: number
): Limits.ReserveCall => ({
  permissionId: permission.id,
  reservationId: Governance.uuidv7(now),
  idempotencyKey: options.idempotencyKey ?? null,
  requests: call.requests,
  tokens: call.tokens,
  costMicroUsd: call.costMicroUsd,
  rateLimit: permission.constraints.rateLimitRpm ?? null,
  tokenLimit: permission.constraints.tokenLimitPerDay ?? null,
  costLimitMicroUsd: limitMicroOrNull(permission.constraints.costLimitPerDayUsd),
  ttlMs: options.ttlMs ?? defaultTtl,
  enforce: known.settings.enforcement === "enforce"
})

const crossed = (
  constraints: Limits.Who["constraints"],
  before: Counted,
  after: Counted
): "token" | "cost" | undefined => {
  const { tokenLimitPerDay: tokens, costLimitPerDayUsd: usd } = constraints
  if (tokens != null && before.dayTokens < tokens && after.dayTokens >= tokens) return "token"
  const cost = limitMicroOrNull(usd)
  if (cost !== null && before.dayCostMicroUsd < cost && after.dayCostMicroUsd >= cost) return "cost"
  return undefined
}

const permissionOf = (who: Limits.Who) => ({
  id: who.permissionId,
  actorId: who.actorId,
  actorType: who.actorType,
  resourceId: who.resourceId,
  permissionType: who.permissionType
})
