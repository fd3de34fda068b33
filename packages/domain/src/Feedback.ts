/** What people say of an agent's answers. */
import { Schema } from "effect"
import { ActorId, OrganizationName } from "./Id.ts"
import * as Wire from "./Wire.ts"

/** What feedback can be about. */
export const feedbackCategories = ["accuracy", "relevance", "clarity", "safety", "speed"] as const
/** Where feedback is in its review by a person. */
export const reviewStatuses = ["pending", "approved", "rejected", "flagged"] as const
const Stars = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 }))

/** Feedback as it is stored and answered. */
export const Feedback = Wire.struct({
  id: Schema.String,
  responseId: Wire.Text,
  conversationId: Schema.NullOr(Wire.Text),
  agentId: ActorId,
  userId: Wire.Text,
  organizationId: Wire.Text,
  isHelpful: Schema.NullOr(Schema.Boolean),
  starRating: Schema.NullOr(Schema.Int),
  feedbackText: Schema.NullOr(Wire.Text),
  feedbackCategory: Schema.NullOr(Schema.Literals(feedbackCategories)),
  trustImpactCalculated: Schema.Finite,
  trustEventId: Schema.NullOr(Schema.String),
  appliedAt: Schema.NullOr(Wire.Timestamp),
  reviewStatus: Schema.Literals(reviewStatuses),
  reviewedBy: Schema.NullOr(Wire.Text),
  reviewedAt: Schema.NullOr(Wire.Timestamp),
  reviewNotes: Schema.NullOr(Wire.Text),
  responseMetadata: Wire.JsonObject,
  userMetadata: Wire.JsonObject,
  createdAt: Wire.Timestamp,
  updatedAt: Wire.Timestamp
})
export type Feedback = typeof Feedback.Type

/** One of `isHelpful` and `starRating` is required. */
export const SubmitFeedback = Wire.struct({
  responseId: Wire.Name,
  agentId: ActorId,
  userId: Wire.Name,
  organizationId: OrganizationName,
  conversationId: Wire.optional(Wire.Text),
  isHelpful: Wire.optional(Schema.Boolean),
  starRating: Wire.optional(Stars),
  feedbackText: Wire.optional(Wire.Text),
  feedbackCategory: Wire.optional(Schema.Literals(feedbackCategories)),
  responseMetadata: Wire.optional(Wire.JsonObject),
  userMetadata: Wire.optional(Wire.JsonObject)
})
export type SubmitFeedback = typeof SubmitFeedback.Type

/**
 * Sums over an agent's feedback: `helpfulPercent` 0 to 100, `avgStarRating` 1 to 5 (0: no ratings),
 * `totalTrustImpact` in points of trust.
 */
export const FeedbackStats = Wire.struct({
  agentId: Schema.String,
  totalFeedback: Schema.Int,
  helpfulCount: Schema.Int,
  notHelpfulCount: Schema.Int,
  helpfulPercent: Schema.Finite,
  avgStarRating: Schema.Finite,
  ratingCount: Schema.Int,
  totalTrustImpact: Schema.Finite,
  pendingReviews: Schema.Int,
  flaggedReviews: Schema.Int
})
export type FeedbackStats = typeof FeedbackStats.Type

/** The envelope of an answer about one feedback. */
export const FeedbackAnswer = Wire.struct({
  success: Schema.Boolean,
  feedback: Feedback,
  message: Schema.optional(Schema.String)
})
/** The envelope of an agent's sums. */
export const FeedbackStatsAnswer = Wire.struct({ success: Schema.Boolean, stats: FeedbackStats })
/** A page of feedback; `total` counts what is on all pages, `offset` what is before this one. */
export const FeedbackList = Wire.struct({
  success: Schema.Boolean,
  feedback: Schema.Array(Feedback),
  total: Schema.Int,
  limit: Schema.Int,
  offset: Schema.Int
})
