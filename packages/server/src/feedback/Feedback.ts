/**
 * What people say of an agent's answers, and what that is worth: the feedback and the change of score are one
 * transaction. A user is heard once for each response; what an agent's key says in a user's name is not the user.
 */
import { Trust } from "@agion/domain"
import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { uuidv7 } from "../changes/Governance.ts"
import { TrustScores } from "../trust/TrustScores.ts"
import type { ScoreEvent } from "../trust/TrustSql.ts"
import type { FeedbackRow, NewFeedback } from "./FeedbackSql.ts"
import * as FeedbackSql from "./FeedbackSql.ts"

/** Feedback as it is given. */
export type GivenFeedback = Omit<NewFeedback, "id" | "impact" | "trustEventId"> & {
  /** The event that brought it; absent: one is made. */
  readonly eventId?: string
}

export class Feedback extends Context.Service<
  Feedback,
  {
    /** Stores feedback and applies it; undefined when the user was heard on that response already. */
    readonly submit: (given: GivenFeedback) => Effect.Effect<FeedbackRow | undefined, SqlError.SqlError>
    /** Stores feedback in the caller's transaction; answers the changes of score that are still to be applied. */
    readonly record: (
      given: ReadonlyArray<GivenFeedback>
    ) => Effect.Effect<ReadonlyArray<ScoreEvent>, SqlError.SqlError>
    readonly find: (
      id: string,
      organizationId: string | null
    ) => Effect.Effect<FeedbackRow | undefined, SqlError.SqlError>
    readonly list: (
      filter: FeedbackSql.FeedbackFilter,
      limit: number,
      offset: number
    ) => Effect.Effect<
      { readonly rows: ReadonlyArray<FeedbackRow>; readonly total: number },
      SqlError.SqlError
    >
    readonly sums: (
      agentId: string,
      organizationId: string | null,
      days: number
    ) => Effect.Effect<FeedbackSql.FeedbackSums, SqlError.SqlError>
  }
>()("@agion/server/Feedback") {
  static readonly layer: Layer.Layer<Feedback, never, SqlClient.SqlClient | TrustScores> = Layer.suspend(() =>
    Layer.effect(Feedback, make)
  )
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const trust = yield* TrustScores
  const withSql = Effect.provideService(SqlClient.SqlClient, sql)

  const store = Effect.fnUntraced(function* (given: GivenFeedback) {
    const now = yield* Clock.currentTimeMillis
    const model = yield* trust.model(given.organizationId)
    const worth = Trust.feedbackWorth(model, { helpful: given.isHelpful, stars: given.starRating })
    const impact = given.counts ? worth : 0
    const trustEventId = given.eventId ?? uuidv7(now)
    const row = yield* withSql(
      FeedbackSql.insertFeedback({ ...given, id: uuidv7(now), impact, trustEventId })
    )
    return row === undefined ? undefined : { row, event: scoreEvent(given, trustEventId, impact) }
  })

  return Feedback.of({
    submit: (given) =>
      sql.withTransaction(
        Effect.gen(function* () {
          const stored = yield* store(given)
          if (stored === undefined) return undefined
          yield* trust.apply([stored.event])
          return stored.row
        })
      ),
    record: (given) =>
      Effect.map(Effect.forEach(given, store), (all) =>
        all.flatMap((stored) => (stored === undefined ? [] : [stored.event]))
      ),
    find: (id, organizationId) => withSql(FeedbackSql.findFeedback(id, organizationId)),
    list: (filter, limit, offset) => withSql(FeedbackSql.listFeedback(filter, limit, offset)),
    sums: (agentId, organizationId, days) => withSql(FeedbackSql.sumFeedback(agentId, organizationId, days))
  })
})

const scoreEvent = (given: GivenFeedback, eventId: string, impact: number): ScoreEvent => ({
  organizationId: given.organizationId,
  entityType: "agent",
  entityId: given.agentId,
  eventId,
  eventType: "user_feedback",
  impact,
  outcome: null,
  description: describe(given),
  metadata: JSON.stringify({ response_id: given.responseId, user_id: given.userId }),
  occurredAt: null
})

const describe = (given: GivenFeedback): string => {
  const parts = [
    given.isHelpful === null ? undefined : given.isHelpful ? "helpful" : "not helpful",
    given.starRating === null ? undefined : `${given.starRating} stars`
  ]
  return `feedback: ${parts.filter((part) => part !== undefined).join(", ")}`
}
