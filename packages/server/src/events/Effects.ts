/** What events come to, kind by kind: rows to write, scores to change. Pure, but for the clock in no part of it. */
import { Trust, type TrustModel } from "@agion/domain"
import type { NewAuditEvent } from "../audit/AuditSql.ts"
import type { GivenFeedback } from "../feedback/Feedback.ts"
import type { Execution, Waiting } from "../feedback/FeedbackSql.ts"
import type { Outcome, ScoreEvent } from "../trust/TrustSql.ts"
import type { NewInteraction } from "../usage/LlmSql.ts"
import { executionOf, reporterOf, type Understood } from "./Incoming.ts"
import type { Bearer } from "./Placing.ts"

/** An event of one kind in its organization. */
export type Of<K extends Understood["kind"]> = {
  readonly event: Extract<Understood, { readonly kind: K }>
  readonly organizationId: string
}

const outcomeOf = (eventType: string): Outcome | null => {
  switch (eventType) {
    case "task_completed":
      return "success"
    case "policy_violation":
      return "violation"
    case "user_feedback":
      return null
    default:
      return "failure"
  }
}

/** The change of score of a trust event. One that names no allowed decision where it must gains nothing (TRUST-6). */
export const scoreEventOf = (
  { event, organizationId }: Of<"trust">,
  model: TrustModel,
  mayGain: boolean
): ScoreEvent => {
  const { agentId, eventType, severity, confidence } = event.value
  const context = event.value.context ?? {}
  const worth = worthOf(event, model)
  const impact = worth > 0 && !mayGain ? 0 : worth
  return {
    organizationId,
    entityType: "agent",
    entityId: agentId,
    eventId: event.eventId,
    eventType,
    impact,
    outcome: outcomeOf(eventType),
    description: impact === worth ? eventType : `${eventType}, without an allowed decision`,
    metadata: JSON.stringify({ severity, confidence, context }),
    occurredAt: event.occurredAt
  }
}

/** Points that an event is worth by a model. */
export const worthOf = (event: Of<"trust">["event"], model: TrustModel): number =>
  Trust.worth(model, event.value.eventType, event.value.context ?? {})

/** The decision that an outcome names. */
export const decisionOf = (event: Of<"trust">["event"]): string => {
  const named = event.value.context?.["decision_id"] ?? event.raw.fields["decision_id"]
  return typeof named === "string" ? named : ""
}

/** A decision as a line of the audit log. What another tells has an id of its own: it takes none of the actor's. */
export const auditOf = ({ event, organizationId }: Of<"decisions">): NewAuditEvent => {
  const { value } = event
  const reporter = reporterOf(value)
  return {
    organizationId,
    eventId: reporter === undefined ? event.eventId : `${reporter}/${event.eventId}`,
    eventType: "decision",
    entityId: value.agentId,
    entityType: value.actorType,
    action: value.action,
    decision: value.decision,
    reason: value.reason,
    data: {
      resource_id: value.resourceId,
      resource_type: value.resourceType,
      permission_type: value.permissionType,
      mode: value.mode,
      policies: value.policies,
      policy_version: value.policyVersion,
      args_digest: value.argsDigest,
      decision_id: value.decisionId,
      permission_id: value.permissionId,
      execution_id: value.executionId,
      traceparent: value.traceparent,
      context: value.context,
      reported_by: reporter
    },
    occurredAt: event.occurredAt
  }
}

const whole = (value: number | null | undefined): number | null => (value == null ? null : Math.round(value))

/** A conversation as it is stored; `content` is what the organization keeps of it. */
export const interactionOf = (
  { event, organizationId }: Of<"llmInteractions">,
  content: unknown
): NewInteraction => {
  const { value } = event
  return {
    organizationId,
    eventId: event.eventId,
    executionId: value.executionId,
    interactionId: value.interactionId,
    agentId: value.agentId,
    userId: value.userId ?? null,
    model: value.model,
    provider: value.provider,
    promptTokens: whole(value.promptTokens),
    completionTokens: whole(value.completionTokens),
    totalTokens: whole(value.totalTokens),
    costMicroUsd: Math.round((value.costEstimate ?? 0) * 1e6),
    latencyMs: value.latencyMs ?? null,
    finishReason: value.finishReason ?? null,
    parameters: {
      temperature: value.temperature,
      max_tokens: value.maxTokens,
      seed: value.seed,
      other_params: value.otherParams
    },
    content,
    metadata: value.metadata ?? {},
    occurredAt: event.occurredAt
  }
}

/** The executions that events tell of. Nobody says which are another's. */
export const executionsIn = (
  placed: ReadonlyArray<{ readonly event: Understood; readonly organizationId: string }>
): ReadonlyArray<Execution> =>
  placed.flatMap(({ event, organizationId }) => {
    const executionId = executionOf(event)
    if (executionId === undefined || event.kind === "missions" || event.kind === "missionMessages") return []
    if (event.kind === "decisions" && reporterOf(event.value) !== undefined) return []
    const agentId = event.value.agentId
    return agentId === undefined ? [] : [{ organizationId, executionId, agentId }]
  })

/** Stars of a rating; undefined for a rating that is none. */
export const starsOf = (rating: number | null | undefined): number | null | undefined => {
  if (rating == null) return null
  return Number.isInteger(rating) && rating >= 1 && rating <= 5 ? rating : undefined
}

/** Feedback of the stream on a known execution. What an agent's key brings is kept and counts for nothing. */
export const feedbackOf = (
  { event, organizationId }: Of<"feedback">,
  agentId: string,
  bearer: Bearer | null
): GivenFeedback => ({
  organizationId,
  responseId: event.value.executionId,
  conversationId: null,
  agentId,
  userId: event.value.userId,
  isHelpful: event.value.feedbackType === "thumbs_up",
  starRating: starsOf(event.value.rating) ?? null,
  feedbackText: event.value.comment ?? null,
  feedbackCategory: null,
  responseMetadata: {},
  userMetadata: {},
  eventId: event.eventId,
  counts: bearer === null || bearer.agentId === null
})

/** Feedback that waits until its execution is known. */
export const waitingOf = (
  event: Extract<Understood, { readonly kind: "feedback" }>,
  organizationId: string | null,
  bearer: Bearer | null
): Waiting => ({
  organizationId,
  bearer,
  eventId: event.eventId,
  executionId: event.value.executionId,
  stream: event.raw.stream,
  entryId: event.raw.entryId,
  fields: JSON.stringify(event.raw.fields)
})
