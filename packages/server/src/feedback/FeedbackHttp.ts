/** The routes of feedback. */
import { ActorId, ApiError, type Feedback as FeedbackAnswer, feedbackCategories, Wire } from "@agion/domain"
import { Api, Caller } from "@agion/domain/api"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Tenancy } from "../organizations/Tenancy.ts"
import { Feedback } from "./Feedback.ts"
import type { FeedbackRow, FeedbackSums } from "./FeedbackSql.ts"

/** The handlers of the group. */
export const layer = HttpApiBuilder.group(
  Api,
  "feedback",
  Effect.fnUntraced(function* (handlers) {
    const feedback = yield* Feedback
    const tenancy = yield* Tenancy
    return handlers.handleAll({
      submit: Effect.fnUntraced(function* ({ payload }) {
        const isHelpful = payload.isHelpful ?? null
        const starRating = payload.starRating ?? null
        if (isHelpful === null && starRating === null)
          return yield* new ApiError.BadRequest({
            message: "one of `is_helpful` and `star_rating` is required; send at least one of them"
          })
        const caller = yield* Caller
        if (caller.agentId === payload.agentId)
          return yield* new ApiError.Forbidden({
            message: "an agent cannot rate itself; the user's side does"
          })
        const organizationId = yield* tenancy.of(payload.organizationId)
        const row = yield* Effect.orDie(
          feedback.submit({
            organizationId,
            responseId: payload.responseId,
            conversationId: payload.conversationId ?? null,
            agentId: payload.agentId,
            userId: payload.userId,
            isHelpful,
            starRating,
            feedbackText: payload.feedbackText ?? null,
            feedbackCategory: payload.feedbackCategory ?? null,
            responseMetadata: payload.responseMetadata ?? {},
            userMetadata: payload.userMetadata ?? {},
            counts: caller.agentId === null
          })
        )
        if (row === undefined) return yield* heardAlready(payload.userId, payload.responseId)
        return { success: true, feedback: toFeedback(row), message: "Feedback submitted" }
      }),
      stats: Effect.fnUntraced(function* ({ params, query }) {
        const organizationId = yield* tenancy.filter(query.organizationId)
        const sums = yield* Effect.orDie(feedback.sums(params.agentId, organizationId, query.days ?? 30))
        return { success: true, stats: toStats(params.agentId, sums) }
      }),
      get: Effect.fnUntraced(function* ({ params }) {
        const row = yield* Effect.orDie(feedback.find(params.id, yield* tenancy.scope))
        if (row === undefined)
          return yield* new ApiError.NotFound({ message: `there is no feedback \`${params.id}\`` })
        yield* tenancy.about(row.organization_id)
        return { success: true, feedback: toFeedback(row) }
      }),
      list: Effect.fnUntraced(function* ({ query }) {
        const organizationId = yield* tenancy.filter(query.organizationId)
        const limit = query.limit ?? 50
        const offset = query.offset ?? 0
        const found = yield* Effect.orDie(feedback.list({ ...query, organizationId }, limit, offset))
        return { success: true, feedback: found.rows.map(toFeedback), total: found.total, limit, offset }
      })
    })
  })
)

const heardAlready = (userId: string, responseId: string) =>
  new ApiError.BadRequest({
    message: `user \`${userId}\` has rated response \`${responseId}\` already; a user is heard once for each response`
  })

const iso = (date: Date | null): string | null => (date === null ? null : Wire.timestamp(date.getTime()))

const toFeedback = (row: FeedbackRow): FeedbackAnswer => ({
  id: row.id,
  responseId: row.response_id,
  conversationId: row.conversation_id,
  agentId: ActorId.make(row.agent_id),
  userId: row.user_id,
  organizationId: row.organization_id,
  isHelpful: row.is_helpful,
  starRating: row.star_rating,
  feedbackText: row.feedback_text,
  feedbackCategory: feedbackCategories.find((category) => category === row.feedback_category) ?? null,
  trustImpactCalculated: row.trust_impact / 10,
  trustEventId: row.trust_event_id,
  appliedAt: iso(row.applied_at),
  reviewStatus: row.review_status,
  reviewedBy: row.reviewed_by,
  reviewedAt: iso(row.reviewed_at),
  reviewNotes: row.review_notes,
  responseMetadata: row.response_metadata,
  userMetadata: row.user_metadata,
  createdAt: Wire.timestamp(row.created_at.getTime()),
  updatedAt: Wire.timestamp(row.updated_at.getTime())
})

const hundredths = (value: number): number => Math.round(value * 100) / 100

const toStats = (agentId: string, sums: FeedbackSums) => {
  const votes = sums.helpful + sums.not_helpful
  return {
    agentId,
    totalFeedback: sums.total,
    helpfulCount: sums.helpful,
    notHelpfulCount: sums.not_helpful,
    helpfulPercent: votes === 0 ? 0 : hundredths((100 * sums.helpful) / votes),
    avgStarRating: sums.ratings === 0 ? 0 : hundredths(sums.stars / sums.ratings),
    ratingCount: sums.ratings,
    totalTrustImpact: sums.impact / 10,
    pendingReviews: sums.pending,
    flaggedReviews: sums.flagged
  }
}
