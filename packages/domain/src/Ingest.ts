/** `POST /events`: what agents without Redis send, and what the platform says of each. */
import { Schema } from "effect"
import { OrganizationName } from "./Id.ts"
import * as Wire from "./Wire.ts"

/** Each event is an object: its `stream` by its default name, and its fields; it is decoded by itself. */
export const IngestEvents = Wire.struct({
  events: Schema.Array(Schema.Unknown).check(Schema.isMaxLength(1000)),
  organizationId: Wire.optional(OrganizationName)
})
export type IngestEvents = typeof IngestEvents.Type

/**
 * What became of one event. Null `eventId`: the event names none that can be read; `reason`: why it was
 * refused; `code`: `signature` where the organization demands one, and the event has none that its agent's key made.
 */
export const IngestResult = Wire.struct({
  eventId: Schema.NullOr(Schema.String),
  status: Schema.Literals(["accepted", "duplicate", "refused"]),
  reason: Schema.optional(Schema.String),
  code: Schema.optional(Schema.Literals(["signature"]))
})
export type IngestResult = typeof IngestResult.Type

/** One result for each event, in their order. */
export const IngestResults = Wire.struct({ results: Schema.Array(IngestResult) })
