/**
 * What an agent tells the platform: events for its streams, and reports that are calls of its HTTP API.
 *
 * An event becomes a record of strings, as the codecs of `Streams` in `@agion/domain` spell it; this module does
 * the same by hand, because it stands on the path of every governed call. Whatever an agent puts into a context
 * (cycles, `NaN`, lone surrogates, a hundred levels), what comes out is an entry that the platform decodes:
 * an event is never lost because its decoration is broken.
 */
import { type LogAuditEvent, type Streams, Wire } from "@agion/domain"
import { mostCounted, mostUsd } from "../internal/Amounts.ts"
import { cleanText, toJson } from "./Json.ts"
import { Said } from "./Snapshot.ts"

type Envelope =
  | "eventId"
  | "organizationId"
  | "producer"
  | "producerEpoch"
  | "sequence"
  | "signature"
  | "traceparent"
  | "timestamp"

/** What a caller may say of any event; the buffer gives the rest. */
export interface EventHead {
  /** UUIDv7, given by the buffer unless the caller already has one for this event. */
  readonly eventId?: string
  /** Default: the buffer's organization. */
  readonly organizationId?: string
  /** Epoch milliseconds of what happened. Default: the time of the call. */
  readonly timestamp?: number
  /** W3C trace context of the call. */
  readonly traceparent?: string
}

type Input<E> = Omit<E, Envelope> & EventHead

/** How a piece of work ended. */
export type TrustInput = Input<Streams.TrustEvent>
/** A thumb or stars for an execution. */
export type FeedbackInput = Input<Streams.FeedbackEvent>
/** A conversation with a model. */
export type LlmInteractionInput = Input<Streams.LlmInteraction>
/** What a participant of a mission did. */
export type MissionInput = Input<Streams.MissionEvent>
/** A message between participants of a mission; without `toParticipant` for everyone. */
export type MissionMessageInput = Input<Streams.MissionMessageEvent>
/** What was decided about a call. */
export type DecisionInput = Input<Streams.DecisionEvent>

/** What a call used that was not reserved. */
export interface UsageInput extends Pick<EventHead, "eventId" | "timestamp"> {
  readonly permissionId: string
  /** The key of a reservation whose answer was lost: where it was made, it is settled, or given back by 0 requests. */
  readonly reservationKey?: string
  /** Default: 1. */
  readonly requestCount?: number
  /** Default: 0. */
  readonly tokenCount?: number
  /** US dollars. Default: 0. */
  readonly costUsd?: number
}

/** What a reserved call really used. */
export interface SettlementInput extends Pick<EventHead, "eventId" | "timestamp"> {
  readonly reservationId: string
  readonly requests?: number
  readonly tokens?: number
  /** US dollars. */
  readonly costUsd?: number
}

/** A reserved call that never started. */
export interface ReleaseInput extends Pick<EventHead, "eventId" | "timestamp"> {
  readonly reservationId: string
}

/** A line for the audit log. */
export type AuditInput = Omit<LogAuditEvent, Envelope> & EventHead

/** What can be published, by kind. */
export interface EventInputs {
  readonly trust: TrustInput
  readonly decision: DecisionInput
  readonly mission: MissionInput
  readonly missionMessage: MissionMessageInput
  readonly feedback: FeedbackInput
  readonly llmInteraction: LlmInteractionInput
  readonly usage: UsageInput
  readonly settlement: SettlementInput
  readonly release: ReleaseInput
  readonly audit: AuditInput
}

/** What an event can be about. */
export type EventKind = keyof EventInputs

/** Kinds that go to a stream; the others are calls of the HTTP API. */
export type StreamKind = "trust" | "decision" | "mission" | "missionMessage" | "feedback" | "llmInteraction"

/** A kind with its event. */
export type Publication = {
  readonly [K in EventKind]: { readonly kind: K; readonly event: EventInputs[K] }
}[EventKind]

/**
 * `durable`: in the write-ahead file before `publish` returns, and the last to be dropped; `buffered`: in
 * memory, and the first to go (EVENT-1).
 */
export type EventClass = "durable" | "buffered"

/** The class of each stream's events unless a program says otherwise; reports are always durable. */
export const defaultClasses: { readonly [K in StreamKind]: EventClass } = {
  trust: "durable",
  decision: "durable",
  mission: "durable",
  missionMessage: "durable",
  feedback: "durable",
  llmInteraction: "buffered"
}

/** True for kinds that are calls of the HTTP API. */
export const isReport = (kind: EventKind): kind is Exclude<EventKind, StreamKind> =>
  kind === "usage" || kind === "settlement" || kind === "release" || kind === "audit"

/** An event on its way to a stream: named by kind, so that names of streams are the transport's. */
export interface StreamEvent {
  readonly kind: StreamKind
  readonly eventId: string
  readonly fields: Streams.Fields
}

/** A call of the HTTP API that may be repeated. */
export interface Report {
  readonly kind: string
  readonly eventId: string
  /** Below `/api/v1`, with a slash in front. */
  readonly path: string
  /** JSON. */
  readonly body: string
}

/** The name of the stream that a kind goes to; a mission's messages have one for each mission. */
export const streamName = (names: Streams.StreamNames, event: StreamEvent): string => {
  switch (event.kind) {
    case "trust":
      return names.trust
    case "decision":
      return names.decisions
    case "mission":
      return names.missions
    case "missionMessage":
      return names.missionMessages(event.fields["mission_id"] ?? "")
    case "feedback":
      return names.feedback
    case "llmInteraction":
      return names.llmInteractions
  }
}

/** What the buffer adds to an event. */
export interface Stamp {
  readonly eventId: string
  readonly organizationId: string | undefined
  readonly producer: string
  readonly producerEpoch: string
  readonly sequence: number
  /** ISO-8601, UTC. */
  readonly timestamp: string
}

/**
 * An event as the body of a record in a file: kind, id, then `name length:value` for each field. JSON would escape
 * the JSON that the fields are full of, at three times the cost.
 */
export const toRecord = (event: StreamEvent): string => {
  let body = `${event.kind}\n${event.eventId}\n`
  const { fields } = event
  for (const name in fields) {
    const value = fields[name] ?? ""
    body += `${name} ${value.length}:${value}`
  }
  return body
}

/** True for the body of a record of a kind that is known. */
export const isRecord = (body: string): boolean => isStreamKind(body.slice(0, body.indexOf("\n")))

/** The event of a record's body; undefined when it is none. */
export const fromRecord = (body: string): StreamEvent | undefined => {
  const first = body.indexOf("\n")
  const second = body.indexOf("\n", first + 1)
  const kind = body.slice(0, first)
  if (first < 0 || second < 0 || !isStreamKind(kind)) return undefined
  const fields: Record<string, string> = {}
  let at = second + 1
  while (at < body.length) {
    const space = body.indexOf(" ", at)
    const colon = body.indexOf(":", space)
    const length = body.slice(space + 1, colon)
    const end = colon + 1 + Number(length)
    if (space < 0 || colon < 0 || !/^(0|[1-9]\d{0,8})$/.test(length) || end > body.length) return undefined
    fields[body.slice(at, space)] = body.slice(colon + 1, end)
    at = end
  }
  return { kind, eventId: body.slice(first + 1, second), fields }
}

const isStreamKind = (kind: string): kind is StreamKind => Object.hasOwn(defaultClasses, kind)

const headKeys = new Set(["eventId", "organizationId", "timestamp", "producer", "producerEpoch", "sequence"])
const snakeKeys = new Map<string, string>()
const snake = (key: string): string => {
  let name = snakeKeys.get(key)
  if (name === undefined) {
    name = Wire.snakeCase(key)
    if (snakeKeys.size < 1000) snakeKeys.set(key, name)
  }
  return name
}

/** Fields that may hold any JSON, a string too: always spelled as JSON. */
const jsonKeys = new Set(["conversationHistory", "otherParams", "content"])

/** An event as the fields of its entry. */
export const encode = (event: object, stamp: Stamp): Streams.Fields => {
  const fields: Record<string, string> = { event_id: stamp.eventId }
  if (stamp.organizationId !== undefined) fields["organization_id"] = stamp.organizationId
  for (const key in event) {
    if (headKeys.has(key)) continue
    const value: unknown = (event as Record<string, unknown>)[key]
    if (typeof value === "string") {
      fields[snake(key)] = jsonKeys.has(key) ? JSON.stringify(cleanText(value)) : cleanText(value)
    } else if (value !== undefined && !(typeof value === "number" && !Number.isFinite(value))) {
      fields[snake(key)] = value instanceof Said ? value.json : toJson(value)
    }
  }
  fields["producer"] = stamp.producer
  fields["producer_epoch"] = stamp.producerEpoch
  fields["sequence"] = String(stamp.sequence)
  fields["timestamp"] = stamp.timestamp
  return fields
}

const cuttable = ["context", "data", "metadata", "conversation_history", "other_params", "content"]
const uncut = 16_384

/** The same entry with its long texts cut and its large open parts left out; `error` stays one (TRUST-3). */
export const shorten = (fields: Streams.Fields): Streams.Fields => {
  const short: Record<string, string> = {}
  for (const [name, value] of Object.entries(fields)) {
    if (value.length <= uncut) short[name] = value
    else if (!cuttable.includes(name)) short[name] = value.slice(0, uncut).toWellFormed()
    else short[name] = failed(value) ? '{"truncated":true,"error":"truncated"}' : '{"truncated":true}'
  }
  return short
}

const failed = (context: string): boolean => {
  try {
    const value: unknown = JSON.parse(context)
    return (
      typeof value === "object" &&
      value !== null &&
      Object.hasOwn(value, "error") &&
      "error" in value &&
      value.error != null
    )
  } catch {
    return false
  }
}

/** A part of a path, whatever text it is. */
const segment = (text: string): string => encodeURIComponent(text.toWellFormed())

/** A report as its call. */
export const encodeReport = (publication: Publication, stamp: Stamp): Report => {
  const { eventId } = stamp
  switch (publication.kind) {
    case "usage": {
      const { permissionId, requestCount, reservationKey, tokenCount, costUsd } = publication.event
      return {
        kind: "usage",
        eventId,
        path: `/permissions/${segment(permissionId)}/usage`,
        body: JSON.stringify({
          request_count: count(requestCount),
          token_count: count(tokenCount),
          cost_usd: amount(costUsd),
          reservation_key: reservationKey,
          event_id: eventId,
          occurred_at: stamp.timestamp
        })
      }
    }
    case "settlement": {
      const { reservationId, requests, tokens, costUsd } = publication.event
      const body = { requests: count(requests), tokens: count(tokens), cost_usd: amount(costUsd) }
      const path = `/permissions/reservations/${segment(reservationId)}/settle`
      return { kind: "settlement", eventId, path, body: JSON.stringify(body) }
    }
    case "release": {
      const path = `/permissions/reservations/${segment(publication.event.reservationId)}/release`
      return { kind: "release", eventId, path, body: "" }
    }
    default:
      return { kind: "audit", eventId, path: "/audit/events", body: auditBody(publication.event, stamp) }
  }
}

/**
 * Amounts that are no numbers are left to their defaults; negative ones are nothing, and more than the platform takes is
 * the most: a report that it refused would charge nothing.
 */
const amount = (value: number | undefined): number | undefined =>
  value === undefined || !Number.isFinite(value) ? undefined : Math.min(mostUsd, Math.max(0, value))

const count = (value: number | undefined): number | undefined =>
  value === undefined || !Number.isFinite(value)
    ? undefined
    : Math.min(mostCounted, Math.max(0, Math.round(value)))

const auditBody = (event: object, stamp: Stamp): string => {
  const body: Record<string, unknown> = {
    event_id: stamp.eventId,
    organization_id: stamp.organizationId,
    timestamp: stamp.timestamp
  }
  for (const [key, value] of Object.entries(event)) if (!headKeys.has(key)) body[snake(key)] = value
  return toJson(body)
}
