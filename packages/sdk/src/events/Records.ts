/** How what waits is kept in the file, and what a record there becomes: an event, a report, or the end of a call. */
import * as CallEnd from "./CallEnd.ts"
import * as Event from "./Event.ts"
import type { Decode } from "./Lane.ts"

const decodeReport = (body: string): Event.Report | undefined => {
  const parts = decodeParts(body)
  const [kind, eventId, path, text] = parts ?? []
  if (typeof kind !== "string" || typeof eventId !== "string") return undefined
  if (typeof path !== "string" || typeof text !== "string") return undefined
  return { kind, eventId, path, body: text }
}

const decodeParts = (body: string): ReadonlyArray<unknown> | undefined => {
  try {
    const parts: unknown = JSON.parse(body)
    return Array.isArray(parts) ? parts : undefined
  } catch {
    return undefined
  }
}

/** True for a record of a kind that this version writes; another was written by a later one. */
export const isKnown = (body: string): boolean =>
  body === "" ||
  (CallEnd.isRecord(body) ? CallEnd.isCurrent(body) : body.startsWith("[") || Event.isRecord(body))

const one = <A>(item: A | undefined) => (item === undefined ? undefined : { item, parts: 1 })

/** Reads a record of the lane of events. */
export const readEvent: Decode<Event.StreamEvent | CallEnd.CallRecord> = (body) => {
  if (!CallEnd.isRecord(body)) return one(Event.fromRecord(body))
  const item = CallEnd.fromRecord(body)
  const parts = item === undefined ? 0 : CallEnd.eventKindsOf(item.end).length
  return item === undefined || parts === 0 ? undefined : { item, parts }
}

/** Reads a record of the lane of reports. */
export const readReport: Decode<Event.Report | CallEnd.CallRecord> = (body) => {
  if (!CallEnd.isRecord(body)) return one(decodeReport(body))
  const item = CallEnd.fromRecord(body)
  return item === undefined || CallEnd.reportKindOf(item.end) === null ? undefined : one(item)
}

/** Reads a record of the lane of telemetry. */
export const readTelemetry: Decode<Event.StreamEvent> = (body) => one(Event.fromRecord(body))

/** The body of a record. */
export const bodyOf = (item: Event.StreamEvent | Event.Report | CallEnd.CallRecord): string => {
  if ("end" in item) return CallEnd.toRecord(CallEnd.prefixOf(item), item, item.end)
  if ("fields" in item) return Event.toRecord(item)
  return JSON.stringify([item.kind, item.eventId, item.path, item.body])
}

const stampOf = (record: CallEnd.CallRecord, kind: CallEnd.Kind, timestamp: string): Event.Stamp => ({
  eventId: CallEnd.idOf(record.id, kind),
  organizationId: record.organizationId,
  producer: record.producer,
  producerEpoch: record.producerEpoch,
  sequence: record.sequence,
  timestamp
})

/** The events of a call's end, the same each time; `timestamp` is `record.at` as ISO-8601. */
export const eventsOf = (record: CallEnd.CallRecord, timestamp: string): ReadonlyArray<Event.StreamEvent> =>
  CallEnd.eventsOf(record.end).map(({ event, kind }, i) => {
    const stamp = stampOf(record, kind, timestamp)
    const fields = Event.encode(event, { ...stamp, sequence: record.sequence + i })
    return { kind, eventId: stamp.eventId, fields }
  })

/** The report of a call's end, the same each time. */
export const reportsOf = (record: CallEnd.CallRecord, timestamp: string): ReadonlyArray<Event.Report> => {
  const usage = CallEnd.usageOf(record.end)
  return usage === null ? [] : [Event.encodeReport(usage, stampOf(record, usage.kind, timestamp))]
}
