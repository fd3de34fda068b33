/**
 * Trust is earned: a score from 0 to 100 in steps of 0.1 for each actor and organization, 40 at the start,
 * "trusted" from 60. What an event is worth is the platform's to say, in one value: a `TrustModel`.
 */
import { Effect, Schema, SchemaGetter, SchemaIssue } from "effect"
import { ActorId } from "./Id.ts"
import { ActorType } from "./Permission.ts"
import { Signed } from "./Signed.ts"
import * as Wire from "./Wire.ts"

/** Tiers by name, lowest first. */
export const tiers = ["untrusted", "basic", "verified", "trusted", "privileged", "admin"] as const
/** The tier of a score: one of `tiers`. */
export const Tier = Schema.Literals(tiers)
export type Tier = typeof Tier.Type

/** The lower bound of each tier. */
export const tierBounds: { readonly [T in Tier]: number } = {
  untrusted: 0,
  basic: 20,
  verified: 40,
  trusted: 60,
  privileged: 80,
  admin: 90
}

/** Where every new actor starts. */
export const initialScore = 40

/** The score at which an actor has graduated. */
export const graduation = tierBounds.trusted

/** The tier of a score (TRUST-2). */
export const tierOf = (score: number): Tier => {
  let tier: Tier = "untrusted"
  for (const name of tiers) if (score >= tierBounds[name]) tier = name
  return tier
}

/** What agents report about their work on the trust stream. */
export const trustEventTypes = [
  "task_completed",
  "task_failed",
  "timeout_exceeded",
  "resource_overuse",
  "policy_violation",
  "user_feedback"
] as const
/** What an agent reports: one of `trustEventTypes`. */
export const TrustEventType = Schema.Literals(trustEventTypes)
export type TrustEventType = typeof TrustEventType.Type

/** How much an event on the trust stream matters to its sender. */
export const severities = ["positive", "neutral", "negative", "critical"] as const
/** How much an event matters to its sender: it changes no score (TRUST-3). */
export const Severity = Schema.Literals(severities)
export type Severity = typeof Severity.Type

/** What each event is worth, in points; steps of 0.1. */
export interface TrustModel {
  readonly taskCompleted: number
  readonly taskFailed: number
  readonly exception: number
  readonly policyViolation: number
  readonly notHelpful: number
  readonly fiveStars: number
  readonly fourStars: number
  /** The most that may be gained in an hour; null: no cap. */
  readonly maxGainPerHour: number | null
  /** The most that may be gained in a day; null: no cap. */
  readonly maxGainPerDay: number | null
  /** That many violations within so many minutes suspend the actor's permissions; null: never (TRUST-10). */
  readonly revokeAfter: { readonly violations: number; readonly withinMinutes: number } | null
}

const Points = Schema.Finite.check(
  Schema.isBetween({ minimum: -100, maximum: 100 }),
  Schema.makeFilter<number>((n) => (isTenth(n) ? undefined : "a multiple of 0.1"))
)

const revokeAfter = {
  violations: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 })),
  withinMinutes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 }))
}

const settings = {
  taskCompleted: Wire.optional(Points),
  taskFailed: Wire.optional(Points),
  exception: Wire.optional(Points),
  policyViolation: Wire.optional(Points),
  notHelpful: Wire.optional(Points),
  fiveStars: Wire.optional(Points),
  fourStars: Wire.optional(Points),
  maxGainPerHour: Wire.optional(Points),
  maxGainPerDay: Wire.optional(Points),
  revokeAfter: Wire.optional(Wire.struct(revokeAfter))
}

/** A model as an organization has set it; what is absent stays as in `defaultModel`. */
export const TrustModelSettings = Wire.struct(settings)
export type TrustModelSettings = typeof TrustModelSettings.Type

const unknownSetting = (given: Wire.JsonObject): string | undefined => {
  const foreign = (value: Wire.JsonObject, known: object) =>
    Object.keys(value).find((name) => !Object.keys(known).some((field) => Wire.snakeCase(field) === name))
  const unknown = foreign(given, settings)
  if (unknown !== undefined) return `\`${unknown}\` is none of ${namesOf(settings)}`
  const limit = given["revoke_after"]
  if (typeof limit !== "object" || limit === null || Array.isArray(limit)) return undefined
  const inside = foreign(limit as Wire.JsonObject, revokeAfter)
  return inside === undefined ? undefined : `\`revoke_after.${inside}\` is none of ${namesOf(revokeAfter)}`
}

const namesOf = (fields: object): string => Object.keys(fields).map(Wire.snakeCase).join(", ")

/** The same as a request sets it: a name that there is not is refused, for a misspelt one would change nothing. */
export const TrustModelChange = Wire.JsonObject.pipe(
  Schema.decodeTo(TrustModelSettings, {
    decode: SchemaGetter.transformEffect((given: Wire.JsonObject) => {
      const message = unknownSetting(given)
      return message === undefined
        ? Effect.succeed(given as typeof TrustModelSettings.Encoded)
        : Effect.fail(new SchemaIssue.InvalidValue({ message }))
    }),
    encode: SchemaGetter.transform(
      (model) =>
        Object.fromEntries(
          Object.entries(model).filter(([, value]) => value !== undefined)
        ) as Wire.JsonObject
    )
  })
)

/** What events are worth unless an organization says otherwise (TRUST-3). */
export const defaultModel: TrustModel = {
  taskCompleted: 2,
  taskFailed: -2,
  exception: -3,
  policyViolation: -5,
  notHelpful: -2,
  fiveStars: 2,
  fourStars: 0.5,
  maxGainPerHour: null,
  maxGainPerDay: null,
  revokeAfter: null
}

/** An organization's settings over the default model. */
export const modelOf = (settings: TrustModelSettings | null | undefined): TrustModel => ({
  taskCompleted: settings?.taskCompleted ?? defaultModel.taskCompleted,
  taskFailed: settings?.taskFailed ?? defaultModel.taskFailed,
  exception: settings?.exception ?? defaultModel.exception,
  policyViolation: settings?.policyViolation ?? defaultModel.policyViolation,
  notHelpful: settings?.notHelpful ?? defaultModel.notHelpful,
  fiveStars: settings?.fiveStars ?? defaultModel.fiveStars,
  fourStars: settings?.fourStars ?? defaultModel.fourStars,
  maxGainPerHour: settings?.maxGainPerHour ?? null,
  maxGainPerDay: settings?.maxGainPerDay ?? null,
  revokeAfter: settings?.revokeAfter ?? null
})

/** True for a number of points that a score can hold exactly: a multiple of 0.1. */
export const isTenth = (points: number): boolean => Math.abs(points * 10 - Math.round(points * 10)) < 1e-9

/** A score after a change of so many points, clamped to 0…100 and exact in tenths (TRUST-4). */
export const apply = (score: number, points: number): number =>
  Math.min(1000, Math.max(0, Math.round(score * 10) + Math.round(points * 10))) / 10

/** What an event of the trust stream is worth. Feedback has a stream of its own and is worth nothing here. */
export const worth = (
  model: TrustModel,
  eventType: TrustEventType,
  context: { readonly [key: string]: unknown }
): number => {
  switch (eventType) {
    case "task_completed":
      return model.taskCompleted
    case "task_failed":
      return Object.hasOwn(context, "error") && context["error"] != null ? model.exception : model.taskFailed
    case "timeout_exceeded":
    case "resource_overuse":
      return model.exception
    case "policy_violation":
      return model.policyViolation
    case "user_feedback":
      return 0
  }
}

/** What feedback is worth: "not helpful" counts before stars. */
export const feedbackWorth = (
  model: TrustModel,
  feedback: { readonly helpful: boolean | null; readonly stars: number | null }
): number => {
  if (feedback.helpful === false) return model.notHelpful
  if (feedback.stars === 5) return model.fiveStars
  if (feedback.stars === 4) return model.fourStars
  return 0
}

/** What may still be gained under the caps of the model, given what was gained in the last hour and day. */
export const capGain = (
  model: TrustModel,
  points: number,
  gained: { readonly hour: number; readonly day: number }
) => {
  if (points <= 0) return points
  const hour = model.maxGainPerHour === null ? points : Math.max(0, model.maxGainPerHour - gained.hour)
  const day = model.maxGainPerDay === null ? points : Math.max(0, model.maxGainPerDay - gained.day)
  return Math.min(points, hour, day)
}

const Score = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 100 }))

/** A score as it is stored and answered. */
export const TrustScore = Wire.struct({
  id: Schema.Int,
  entityId: ActorId,
  entityType: ActorType,
  score: Score,
  reputationScore: Score,
  behaviorScore: Score,
  complianceScore: Score,
  lastUpdated: Wire.Timestamp,
  createdAt: Wire.Timestamp,
  /** The score, signed by the platform. */
  signed: Schema.optional(Signed)
})
export type TrustScore = typeof TrustScore.Type

/** What an operator's change of a score is for. */
export const evaluationTypes = ["positive", "negative", "compliance", "behavior"] as const

/** An operator's change of a score: the impact is applied as given (TRUST-7). */
export const EvaluateTrust = Wire.struct({
  entityId: ActorId,
  entityType: ActorType,
  eventType: Schema.Literals(evaluationTypes),
  impact: Points,
  description: Wire.Text,
  metadata: Wire.optional(Wire.JsonObject),
  organizationId: Wire.optional(Wire.Name)
})
export type EvaluateTrust = typeof EvaluateTrust.Type

/** A line of a score's history. */
export const TrustHistoryEvent = Wire.struct({
  id: Schema.Int,
  entityId: ActorId,
  entityType: ActorType,
  eventType: Schema.String,
  impact: Schema.Finite,
  description: Schema.String,
  /** A string that holds JSON. */
  metadata: Schema.String,
  timestamp: Wire.Timestamp,
  createdAt: Wire.Timestamp
})
export type TrustHistoryEvent = typeof TrustHistoryEvent.Type

/** The envelope of trust's answers. */
export const TrustScoreAnswer = Wire.struct({
  success: Schema.Boolean,
  data: TrustScore,
  message: Schema.String,
  timestamp: Wire.Timestamp
})
/** The envelope of a score's history; `count` is that of the events in this answer. */
export const TrustHistoryAnswer = Wire.struct({
  success: Schema.Boolean,
  data: Wire.struct({
    entityId: ActorId,
    entityType: ActorType,
    events: Schema.Array(TrustHistoryEvent),
    count: Schema.Int
  }),
  message: Schema.String,
  timestamp: Wire.Timestamp
})
