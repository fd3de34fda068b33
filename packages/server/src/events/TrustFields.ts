/**
 * The fields of a trust event, decoded by hand where they are of the usual form: ten thousand a second come this
 * way, and the schema takes most of a batch's time. Whatever is unusual in any way is left to the schema, which
 * says what is wrong with it; a property holds the two to one answer.
 */
import { type Streams, Trust, Wire } from "@agion/domain"

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const eventTypes = new Map(Trust.trustEventTypes.map((type) => [type as string, type]))
const severityOf = new Map(Trust.severities.map((severity) => [severity as string, severity]))

const isName = (text: string): boolean => text.length >= 1 && text.length <= 1000 && Wire.isStorable(text)

const names = [
  ["event_id", "eventId"],
  ["organization_id", "organizationId"],
  ["producer", "producer"],
  ["producer_epoch", "producerEpoch"]
] as const

const texts = [
  ["signature", "signature"],
  ["traceparent", "traceparent"]
] as const

const decimals = [
  ["impact", "impact"],
  ["confidence", "confidence"]
] as const

const decimal = /^-?(?:0|[1-9]\d{0,8})(?:\.\d{1,9})?$/
const whole = /^(?:0|[1-9]\d{0,14})$/

/** The event; undefined when the schema must say what it is. */
export const decodeTrustFields = (fields: Streams.Fields): Streams.TrustEvent | undefined => {
  const agentId = fields["agent_id"]
  const eventType = eventTypes.get(fields["event_type"] ?? "")
  if (agentId === undefined || !isName(agentId) || eventType === undefined) return undefined
  const event: Mutable<Streams.TrustEvent> = { agentId, eventType }
  for (const [field, key] of names) {
    const text = fields[field]
    if (text === undefined) continue
    if (!isName(text) || text === "*") return undefined
    event[key] = text
  }
  for (const [field, key] of texts) {
    const text = fields[field]
    if (text !== undefined) event[key] = text
  }
  for (const [field, key] of decimals) {
    const text = fields[field]
    if (text === undefined) continue
    if (!decimal.test(text)) return undefined
    event[key] = Number(text)
  }
  return decodeRest(fields, event)
}

const decodeRest = (
  fields: Streams.Fields,
  event: Mutable<Streams.TrustEvent>
): Streams.TrustEvent | undefined => {
  const { severity, sequence, timestamp, context } = fields
  if (severity !== undefined) {
    const known = severityOf.get(severity)
    if (known === undefined) return undefined
    event.severity = known
  }
  if (sequence !== undefined) {
    if (!whole.test(sequence)) return undefined
    event.sequence = Number(sequence)
  }
  if (timestamp !== undefined) {
    const time = Wire.lenientTimestamp(timestamp)
    if (time === undefined) return undefined
    event.timestamp = time
  }
  if (context !== undefined) {
    const object = flatObject(context)
    if (object === undefined) return undefined
    event.context = object
  }
  return event
}

/** A JSON object without anything nested in it. */
const flatObject = (text: string): Wire.JsonObject | undefined => {
  if (text === "{}") return {}
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined
  const object: Record<string, string | number | boolean | null> = {}
  for (const [key, held] of Object.entries(value)) {
    if (key === "__proto__" || !Wire.isStorable(key)) return undefined
    if (typeof held === "string" ? !Wire.isStorable(held) : typeof held === "object" && held !== null)
      return undefined
    if (typeof held === "number" && !Number.isFinite(held)) return undefined
    object[key] = held
  }
  return object
}
