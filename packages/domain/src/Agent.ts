/** The registry's record of an agent, and the kill switch in it. */
import { Schema } from "effect"
import { ActorId, OrganizationName } from "./Id.ts"
import * as Wire from "./Wire.ts"

/** Entries of Redis that were set aside for their signature, whoever wrote them. */
export const RefusedEvents = Wire.struct({
  /** Since the last hour in which there were none. */
  count: Schema.Int,
  lastAt: Wire.Timestamp
})
export type RefusedEvents = typeof RefusedEvents.Type

/** An agent as it is stored and answered. */
export const Agent = Wire.struct({
  id: ActorId,
  agentId: ActorId,
  containerId: Schema.NullOr(Wire.Text),
  name: Wire.Text,
  type: Wire.Text,
  version: Wire.Text,
  framework: Schema.NullOr(Wire.Text),
  model: Schema.NullOr(Wire.Text),
  owner: Schema.NullOr(Wire.Text),
  capabilities: Schema.Array(Wire.Text),
  endpoints: Wire.JsonObject,
  /** `suspended` denies every check of this agent at once. */
  status: Wire.Text,
  metadata: Wire.JsonObject,
  organizationId: Schema.NullOr(Wire.Text),
  lastSeenAt: Schema.NullOr(Wire.Timestamp),
  registeredAt: Wire.Timestamp,
  createdAt: Wire.Timestamp,
  updatedAt: Wire.Timestamp,
  /** Signs the agent's events; answered by the first registration, and by one that has shown no or another key. */
  eventKey: Schema.optional(Schema.String),
  /** Answered by a registration when there were any within the last hour. */
  refusedEvents: Schema.optional(RefusedEvents)
})
export type Agent = typeof Agent.Type

/** Registers an agent, in the present form or the older one (name, type, capabilities, owner). */
export const RegisterAgent = Wire.struct({
  agentId: Wire.optional(ActorId),
  version: Wire.optional(Wire.Text),
  status: Wire.optional(Wire.Text),
  registeredAt: Wire.optional(Wire.Text),
  name: Wire.optional(Wire.Name),
  type: Wire.optional(Wire.Text),
  capabilities: Wire.optional(Schema.Array(Wire.Text)),
  owner: Wire.optional(Wire.Text),
  metadata: Wire.optional(Wire.JsonObject),
  containerId: Wire.optional(Wire.Text),
  framework: Wire.optional(Wire.Text),
  model: Wire.optional(Wire.Text),
  endpoints: Wire.optional(Wire.JsonObject),
  organizationId: Wire.optional(OrganizationName),
  /** Which event key the agent has, or `none`; left out: it does not ask for one. */
  eventKeyId: Wire.optional(Wire.Text)
})
export type RegisterAgent = typeof RegisterAgent.Type

/** A status as it is stored: `SUSPENDED` and `AgentStatus.SUSPENDED` are `suspended`. */
export const agentStatus = (text: string): string =>
  text
    .slice(text.lastIndexOf(".") + 1)
    .trim()
    .toLowerCase()

/** What only looks like the kill switch is refused: it must not miss. */
const AgentStatus = Wire.Name.check(
  Schema.makeFilter<string>((text) => {
    const status = agentStatus(text)
    return status === "" || (status.startsWith("susp") && status !== "suspended")
      ? "a status such as `active` or `suspended`"
      : undefined
  })
)

/** `PUT /agents/{id}`; what is absent stays. */
export const UpdateAgent = Wire.struct({
  status: Wire.optional(AgentStatus),
  name: Wire.optional(Wire.Name),
  type: Wire.optional(Wire.Text),
  version: Wire.optional(Wire.Text),
  capabilities: Wire.optional(Schema.Array(Wire.Text)),
  owner: Wire.optional(Wire.Text),
  metadata: Wire.optional(Wire.JsonObject),
  containerId: Wire.optional(Wire.Text),
  framework: Wire.optional(Wire.Text),
  model: Wire.optional(Wire.Text),
  endpoints: Wire.optional(Wire.JsonObject)
})
export type UpdateAgent = typeof UpdateAgent.Type

/** Replaces an agent's event key; the agent is given the new one when it registers next. */
export const RotateEventKey = Wire.struct({
  /** So many seconds the former key stays valid, 30 days at most; 0: it is worth nothing from now on. Default: a day. */
  overlapSeconds: Wire.optional(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2_592_000 })))
})
export type RotateEventKey = typeof RotateEventKey.Type

/** How long the former key is valid; null: there is none. */
export const RotatedEventKey = Wire.struct({
  agentId: ActorId,
  formerValidUntil: Schema.NullOr(Wire.Timestamp)
})
export type RotatedEventKey = typeof RotatedEventKey.Type
