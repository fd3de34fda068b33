/**
 * What agents and the platform tell each other over streams: names, and one codec for each kind of entry.
 *
 * Every field of an entry is a string: a string as it is, any other value as JSON. A codec's encoded side is
 * therefore a record of strings with snake_case keys, and decoding refuses what is not of the form (EVENT-6).
 */
import { Effect, Schema, SchemaGetter, SchemaIssue } from "effect"
import { OrganizationName } from "./Id.ts"
import { missionEventTypes } from "./Mission.ts"
import { severities, trustEventTypes } from "./Trust.ts"
import * as Wire from "./Wire.ts"

/** Names of streams and channels; an operator may rename or prefix them all. */
export interface StreamNames {
  readonly trust: string
  readonly feedback: string
  readonly llmInteractions: string
  readonly missions: string
  readonly decisions: string
  readonly deadLetter: string
  readonly trustEvents: string
  readonly governanceEvents: string
  readonly llmInteractionLogs: string
  /** Channels that tell that policies have changed. */
  readonly policyUpdates: ReadonlyArray<string>
  readonly missionMessages: (missionId: string) => string
  /** The channel of an organization's epoch. */
  readonly epoch: (organizationId: string) => string
  /** The key of an entry of the shared cache (CACHE-3): what it is about, part by part. */
  readonly shared: (
    kind: "permission" | "resource" | "trust",
    organizationId: string,
    ...parts: ReadonlyArray<string>
  ) => string
}

/** The names of the contract, all with a prefix if one is given. */
export const streamNames = (prefix = ""): StreamNames => ({
  trust: `${prefix}agion:events:trust`,
  feedback: `${prefix}agion:events:feedback`,
  llmInteractions: `${prefix}agion:events:llm_interactions`,
  missions: `${prefix}agion:events:missions`,
  decisions: `${prefix}agion:events:decisions`,
  deadLetter: `${prefix}agion:events:dead-letter`,
  trustEvents: `${prefix}trust-events`,
  governanceEvents: `${prefix}governance-events`,
  llmInteractionLogs: `${prefix}llm-interaction-logs`,
  policyUpdates: [`${prefix}agion:policy:updates`, `${prefix}policy-updates`],
  missionMessages: (missionId) => `${prefix}agion:missions:${missionId}:messages`,
  epoch: (organizationId) => `${prefix}agion:epoch:${organizationId}`,
  shared: (kind, ...parts) => `${prefix}agion:shared:${kind}:${parts.map(escaped).join(":")}`
})

/** A part of a key, so that no two lists of parts give the same key. Lone surrogates are allowed in no name. */
const escaped = (part: string): string => encodeURIComponent(part.toWellFormed())

/** The fields of an entry as Redis holds them. */
export type Fields = { readonly [name: string]: string }

/** A JSON object as the fields of an entry: strings as they are, null and others as JSON, undefined left out. */
export const toFields = (value: { readonly [name: string]: unknown }): Fields => {
  const fields: Record<string, string> = {}
  for (const [name, field] of Object.entries(value)) {
    if (field !== undefined) fields[name] = typeof field === "string" ? field : JSON.stringify(field)
  }
  return fields
}

/** A value that is not a string inside an entry: JSON text. */
const json = <S extends Schema.Constraint>(schema: S) => Schema.fromJsonString(schema)

/** Open JSON as clients write it, perhaps empty. */
const openJson = json(Wire.JsonObject)

/** An instant as clients write it: maybe quoted, maybe without a zone (then UTC). */
export const StreamTime = Schema.String.pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.transformEffect((raw: string) => {
      const time = Wire.lenientTimestamp(raw)
      return time === undefined
        ? Effect.fail(new SchemaIssue.InvalidValue({ message: "expected an ISO-8601 time" }))
        : Effect.succeed(time)
    }),
    encode: SchemaGetter.transform((time: string) => time)
  })
)

/** What our own SDK adds to every entry that it writes. */
const envelope = {
  eventId: Schema.optional(Wire.Name),
  organizationId: Schema.optional(OrganizationName),
  /** The stable id of the installation that wrote it. */
  producer: Schema.optional(Wire.Name),
  /** Random at each start of the producer. */
  producerEpoch: Schema.optional(Wire.Name),
  /** Rises by one with each event of a producer's epoch. */
  sequence: Schema.optional(json(Schema.Int)),
  /** HMAC of the entry, base64url; see `signatureInput`. */
  signature: Schema.optional(Schema.String),
  /** W3C trace context of the call. */
  traceparent: Schema.optional(Schema.String),
  timestamp: Schema.optional(StreamTime)
}

const Finite = json(Schema.Finite)

const between = (minimum: number, maximum: number) => Schema.isBetween({ minimum, maximum })

/** A year. */
const maxLatencyMs = 31_536_000_000

/** How a piece of work ended. What it is worth is the platform's to say; `impact` is a wish. */
export const TrustEvent = Wire.struct({
  ...envelope,
  agentId: Wire.Name,
  eventType: Schema.Literals(trustEventTypes),
  severity: Schema.optional(Schema.Literals(severities)),
  impact: Schema.optional(Finite),
  confidence: Schema.optional(Finite),
  context: Schema.optional(openJson)
})
export type TrustEvent = typeof TrustEvent.Type

/** A thumb or stars for an execution. */
export const FeedbackEvent = Wire.struct({
  ...envelope,
  executionId: Wire.Name,
  userId: Wire.Name,
  feedbackType: Schema.Literals(["thumbs_up", "thumbs_down"]),
  rating: Schema.optional(json(Schema.NullOr(Schema.Finite))),
  comment: Schema.optional(Wire.Text),
  agentId: Schema.optional(Wire.Name)
})
export type FeedbackEvent = typeof FeedbackEvent.Type

/** A number of tokens. */
const Tokens = json(Schema.NullOr(Schema.Finite.check(between(0, Number.MAX_SAFE_INTEGER))))

/** A conversation with a model. */
export const LlmInteraction = Wire.struct({
  ...envelope,
  executionId: Wire.Name,
  agentId: Wire.Name,
  interactionId: Wire.Name,
  systemPrompt: Schema.optional(Wire.Text),
  userPrompt: Schema.optional(Wire.Text),
  conversationHistory: Schema.optional(json(Wire.JsonValue)),
  model: Wire.Text,
  provider: Wire.Text,
  temperature: Schema.optional(json(Schema.NullOr(Schema.Finite))),
  maxTokens: Schema.optional(json(Schema.NullOr(Schema.Finite))),
  seed: Schema.optional(json(Schema.NullOr(Schema.Finite))),
  otherParams: Schema.optional(json(Wire.JsonValue)),
  responseText: Schema.optional(Wire.Text),
  finishReason: Schema.optional(Wire.Text),
  promptTokens: Schema.optional(Tokens),
  completionTokens: Schema.optional(Tokens),
  totalTokens: Schema.optional(Tokens),
  /** Milliseconds; a clock that was set back meanwhile gives less than none. */
  latencyMs: Schema.optional(json(Schema.Finite.check(between(-maxLatencyMs, maxLatencyMs)))),
  userId: Schema.optional(Wire.Text),
  /** US dollars. */
  costEstimate: Schema.optional(json(Schema.NullOr(Schema.Finite.check(between(0, 9_000_000_000))))),
  metadata: Schema.optional(json(Schema.NullOr(Wire.JsonObject)))
})
export type LlmInteraction = typeof LlmInteraction.Type

/** What a participant of a mission did. */
export const MissionEvent = Wire.struct({
  ...envelope,
  missionId: Wire.Name,
  eventType: Schema.Literals(missionEventTypes),
  participantId: Wire.Name,
  data: Schema.optional(openJson)
})
export type MissionEvent = typeof MissionEvent.Type

/** A message between participants; `toParticipant` null: everyone. */
export const MissionMessageEvent = Wire.struct({
  ...envelope,
  missionId: Wire.Name,
  fromParticipant: Wire.Name,
  toParticipant: Schema.optional(Wire.Text),
  messageType: Wire.Name,
  content: Schema.optional(json(Wire.JsonValue))
})
export type MissionMessageEvent = typeof MissionMessageEvent.Type

/**
 * How a decision holds: `stale` and `degraded` ones were made while the platform was away (OUTAGE-2),
 * `observed` ones block nothing (POLICY-8).
 */
export const decisionModes = ["normal", "stale", "degraded", "observed", "ungoverned"] as const

/** What was decided about a call, and how. */
export const DecisionEvent = Wire.struct({
  ...envelope,
  /** Whom it is about. */
  agentId: Wire.Name,
  /** The agent that decided it and tells of it, whose the event then is; absent: `agentId`. */
  reportedBy: Schema.optional(Wire.Name),
  action: Wire.Text,
  actorType: Schema.String,
  resourceId: Wire.Text,
  resourceType: Schema.optional(Wire.Text),
  permissionType: Schema.String,
  decision: Schema.Literals(["allow", "deny", "require_approval"]),
  mode: Schema.Literals(decisionModes),
  reason: Wire.Text,
  policies: Schema.optional(json(Schema.Array(Schema.String))),
  policyVersion: Schema.optional(json(Schema.Int)),
  argsDigest: Schema.optional(Schema.String),
  decisionId: Schema.optional(Wire.Name),
  permissionId: Schema.optional(Wire.Name),
  executionId: Schema.optional(Wire.Name),
  context: Schema.optional(openJson)
})
export type DecisionEvent = typeof DecisionEvent.Type

/** An entry that could not be understood, with its reason. */
export const DeadLetter = Wire.struct({
  stream: Schema.String,
  entryId: Schema.String,
  reason: Schema.String,
  fields: json(Schema.Record(Wire.JsonKey, Schema.String)),
  timestamp: StreamTime
})
export type DeadLetter = typeof DeadLetter.Type

const platform = { eventId: Schema.String, metadata: Schema.optional(openJson), timestamp: StreamTime }

/** A score has changed, or its tier. */
export const TrustChanged = Wire.struct({
  ...platform,
  eventType: Schema.Literals(["trust_score_updated", "trust_tier_changed"]),
  entityId: Schema.String,
  entityType: Schema.String,
  organizationId: Schema.optional(Schema.String),
  oldScore: Finite,
  newScore: Finite,
  oldTier: Schema.String,
  newTier: Schema.String,
  tier: Schema.String,
  reason: Schema.String,
  updateType: Schema.Literals(["score_change", "tier_change", "escalation"])
})
export type TrustChanged = typeof TrustChanged.Type

/** A decision that the platform tells about. */
export const GovernanceDecision = Wire.struct({
  ...platform,
  eventType: Schema.Literal("governance_decision"),
  organizationId: Schema.optional(Schema.String),
  ruleId: Schema.String,
  action: Schema.String,
  category: Schema.String,
  actorId: Schema.String,
  actorType: Schema.String,
  resourceId: Schema.String,
  resourceType: Schema.String,
  decision: Schema.Literals(["allow", "deny", "block"]),
  reason: Schema.String
})
export type GovernanceDecision = typeof GovernanceDecision.Type

/** A permission has moved. */
export const PermissionChanged = Wire.struct({
  ...platform,
  eventType: Schema.Literals([
    "permission_requested",
    "permission_approved",
    "permission_denied",
    "permission_revoked",
    "permission_suspended"
  ]),
  organizationId: Schema.optional(Schema.String),
  permissionId: Schema.String,
  actorId: Schema.String,
  actorType: Schema.String,
  resourceId: Schema.String,
  permissionType: Schema.String,
  oldStatus: Schema.String,
  newStatus: Schema.String,
  changedBy: Schema.String,
  reason: Schema.String
})
export type PermissionChanged = typeof PermissionChanged.Type

/** A resource was created, updated or deleted. */
export const ResourceChanged = Wire.struct({
  ...platform,
  eventType: Schema.Literals(["resource_created", "resource_updated", "resource_deleted"]),
  resourceId: Schema.String,
  organizationId: Schema.String,
  resourceType: Schema.String,
  resourceName: Schema.String,
  action: Schema.String,
  changedBy: Schema.String,
  changes: openJson
})
export type ResourceChanged = typeof ResourceChanged.Type

/** Something that a person should look at. */
export const AlertRaised = Wire.struct({
  ...platform,
  eventType: Schema.Literal("alert_raised"),
  organizationId: Schema.String,
  severity: Schema.String,
  kind: Schema.String,
  subject: Schema.String,
  reason: Schema.String
})
export type AlertRaised = typeof AlertRaised.Type

/** What is said on the policy channels: JSON. */
export const PolicyUpdated = Schema.fromJsonString(
  Wire.struct({
    event: Schema.Literal("policy_updated"),
    policyId: Schema.optional(Schema.Union([Schema.String, Schema.Int])),
    agentId: Schema.optional(Schema.NullOr(Schema.String)),
    version: Schema.optional(Schema.Int),
    organizationId: Schema.optional(Schema.NullOr(Schema.String)),
    timestamp: Schema.optional(Schema.String)
  })
)
export type PolicyUpdated = typeof PolicyUpdated.Type

const utf8 = new TextEncoder()

/** The text whose HMAC names an event key: by it an agent says which one it has. */
export const eventKeyIdInput = "agion:event-key"

/** So many characters of that HMAC in base64url name a key. */
export const eventKeyIdLength = 22

/** What an agent that has no event key says in the place of an id. */
export const noEventKey = "none"

/**
 * The bytes that an entry's signature is over: the stream's name, then the other fields sorted by name, each
 * name and value as UTF-8 with its length before it (4 bytes, big-endian).
 */
export const signatureInput = (stream: string, fields: Fields): Uint8Array => {
  const parts = [utf8.encode(stream)]
  for (const name of Object.keys(fields).sort()) {
    if (name === "signature") continue
    parts.push(utf8.encode(name), utf8.encode(fields[name]))
  }
  const bytes = new Uint8Array(parts.reduce((size, part) => size + 4 + part.length, 0))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const part of parts) {
    view.setUint32(at, part.length)
    bytes.set(part, at + 4)
    at += 4 + part.length
  }
  return bytes
}
