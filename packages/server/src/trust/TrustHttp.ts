/** The routes of trust: scores, their history, and an operator's changes of them. */
import { ActorId, ApiError, type TrustHistoryEvent, type TrustScore, Wire } from "@agion/domain"
import { Api } from "@agion/domain/api"
import { Clock, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Changes } from "../changes/Changes.ts"
import { uuidv7 } from "../changes/Governance.ts"
import { Signing } from "../keys/Signing.ts"
import { Tenancy } from "../organizations/Tenancy.ts"
import { actorTypeOf, TrustScores } from "./TrustScores.ts"
import type { StoredEvent, StoredScore } from "./TrustSql.ts"

/** Events that count for the prior of the scores beside the score. */
const prior = 5

/** Success among all that was done, pulled towards 40 while there is little of it. */
const reputation = (score: Pick<StoredScore, "successes" | "failures" | "violations">): number => {
  const all = score.successes + score.failures + score.violations
  return Math.round((1000 * score.successes + 400 * prior) / (all + prior)) / 10
}

/** What was no violation among all that was done. */
const compliance = (score: Pick<StoredScore, "successes" | "failures" | "violations">): number => {
  const all = score.successes + score.failures + score.violations
  return Math.round((1000 * (all + prior - score.violations)) / (all + prior)) / 10
}

const toTrustScore = (score: StoredScore): TrustScore => ({
  id: score.id,
  entityId: ActorId.make(score.entityId),
  entityType: actorTypeOf(score.entityType),
  score: score.score,
  reputationScore: reputation(score),
  behaviorScore: score.behaviorScore,
  complianceScore: compliance(score),
  lastUpdated: Wire.timestamp(score.updatedAt.getTime()),
  createdAt: Wire.timestamp(score.createdAt.getTime())
})

const toHistoryEvent = (score: StoredScore, event: StoredEvent): TrustHistoryEvent => ({
  id: event.id,
  entityId: ActorId.make(score.entityId),
  entityType: actorTypeOf(score.entityType),
  eventType: event.eventType,
  impact: event.impact,
  description: event.description,
  metadata: event.metadata,
  timestamp: Wire.timestamp(event.occurredAt.getTime()),
  createdAt: Wire.timestamp(event.createdAt.getTime())
})

const outcomes = (eventType: string, impact: number) => {
  if (eventType === "positive") return "success" as const
  if (eventType === "negative") return "failure" as const
  if (impact >= 0) return "success" as const
  return eventType === "compliance" ? ("violation" as const) : ("failure" as const)
}

/** The handlers of the group. */
export const layer = HttpApiBuilder.group(
  Api,
  "trust",
  Effect.fnUntraced(function* (handlers) {
    const trust = yield* TrustScores
    const tenancy = yield* Tenancy
    const signing = yield* Signing
    const changes = yield* Changes

    /** A score as it is answered: signed for the organization's present epoch. */
    const answer = Effect.fnUntraced(function* (score: StoredScore, message: string) {
      const now = yield* Clock.currentTimeMillis
      changes.note(score.organizationId, score.epoch)
      const signed = signing.trustAt(score.organizationId, score.epoch, score, now)
      return {
        success: true,
        data: { ...toTrustScore(score), signed },
        message,
        timestamp: Wire.timestamp(now)
      }
    })

    const find = Effect.fnUntraced(function* (
      named: string | undefined,
      entityId: string,
      entityType: string | undefined
    ) {
      const organizationId = yield* tenancy.ofActor(named, entityId)
      const score = yield* Effect.orDie(trust.find(organizationId, entityId, entityType))
      return score === undefined ? yield* noScore(entityId, entityType) : score
    })

    return handlers.handleAll({
      evaluate: Effect.fnUntraced(function* ({ payload }) {
        const { entityId, entityType } = payload
        const organizationId = yield* tenancy.ofActor(payload.organizationId, entityId)
        const event = {
          organizationId,
          entityId,
          entityType,
          eventId: uuidv7(yield* Clock.currentTimeMillis),
          eventType: payload.eventType,
          impact: payload.impact,
          outcome: outcomes(payload.eventType, payload.impact),
          description: payload.description,
          metadata: JSON.stringify(payload.metadata ?? {}),
          occurredAt: null
        }
        yield* Effect.orDie(trust.apply([event]))
        const score = yield* Effect.orDie(trust.find(organizationId, entityId, entityType))
        if (score === undefined) return yield* Effect.die(new Error("a score was deleted while it changed"))
        return yield* answer(score, "Trust score updated")
      }),
      score: Effect.fnUntraced(function* ({ params, query }) {
        const score = yield* find(query.organizationId, params.entityId, query.entityType)
        return yield* answer(score, "Trust score found")
      }),
      history: Effect.fnUntraced(function* ({ params, query }) {
        const score = yield* find(query.organizationId, params.entityId, query.entityType)
        const events = yield* Effect.orDie(trust.history(score, query.limit ?? 100))
        return {
          success: true,
          data: {
            entityId: params.entityId,
            entityType: actorTypeOf(score.entityType),
            events: events.map((event) => toHistoryEvent(score, event)),
            count: events.length
          },
          message: "Trust history found",
          timestamp: Wire.timestamp(yield* Clock.currentTimeMillis)
        }
      })
    })
  })
)

const noScore = (entityId: string, entityType: string | undefined) =>
  new ApiError.NotFound({
    message: `\`${entityId}\` has no trust score${entityType === undefined ? "" : ` as ${entityType}`}; it gets one when it registers, asks for a permission or reports an event`
  })
