/**
 * What agents tell, understood or refused: an entry of a stream or an event of `POST /events`, decoded by the
 * schema of its stream. Pure: any bytes give a value (EVENT-6).
 */
import { Streams, Wire } from "@agion/domain"
import { Result, Schema } from "effect"
import { idOf } from "./EventId.ts"
import { decodeTrustFields } from "./TrustFields.ts"

/** The streams that agents write. */
export type StreamKind =
  | "trust"
  | "feedback"
  | "llmInteractions"
  | "missions"
  | "decisions"
  | "missionMessages"

/** An entry as it came. */
export interface RawEntry {
  readonly kind: StreamKind
  /** The stream's name, by its default spelling where signatures are concerned. */
  readonly stream: string
  readonly entryId: string
  readonly fields: Streams.Fields
  /** The fields as they were sent and signed, where they are not the same: over HTTP a null is as if left out. */
  readonly sent?: Streams.Fields
}

interface Values {
  readonly trust: Streams.TrustEvent
  readonly feedback: Streams.FeedbackEvent
  readonly llmInteractions: Streams.LlmInteraction
  readonly missions: Streams.MissionEvent
  readonly decisions: Streams.DecisionEvent
  readonly missionMessages: Streams.MissionMessageEvent
}

/** An entry that was understood. */
export type Understood = {
  readonly [K in StreamKind]: {
    readonly kind: K
    readonly raw: RawEntry
    readonly eventId: string
    /** ISO-8601; of the entry's id where the entry has none; null: now. */
    readonly occurredAt: string | null
    readonly value: Values[K]
  }
}[StreamKind]

/** An entry that was not, with what is wrong. */
export interface Misunderstood {
  readonly raw: RawEntry
  readonly eventId: string | null
  readonly reason: string
  /** `signature`: one was demanded, and another may be right. */
  readonly code?: "signature"
}

const decodeTrust = Schema.decodeUnknownResult(Streams.TrustEvent)

const decoders = {
  trust: (fields: Streams.Fields) => {
    const usual = decodeTrustFields(fields)
    return usual === undefined ? decodeTrust(fields) : Result.succeed(usual)
  },
  feedback: Schema.decodeUnknownResult(Streams.FeedbackEvent),
  llmInteractions: Schema.decodeUnknownResult(Streams.LlmInteraction),
  missions: Schema.decodeUnknownResult(Streams.MissionEvent),
  decisions: Schema.decodeUnknownResult(Streams.DecisionEvent),
  missionMessages: Schema.decodeUnknownResult(Streams.MissionMessageEvent)
}

/** Text as a log, a database and JSON can hold it, cut to a length. */
export const printable = (text: string, length = 300): string => {
  const whole = text.replaceAll("\u0000", "\uFFFD").toWellFormed()
  return whole.length > length ? `${whole.slice(0, length).toWellFormed()}…` : whole
}

/** The longest id that an index holds whatever its characters. */
const maxId = 512

const encoder = new TextEncoder()

/** Ids take part in indexes, which hold only so many bytes. */
const tooLong = (value: { readonly [name: string]: unknown }): string | undefined => {
  for (const name of [
    "agentId",
    "reportedBy",
    "organizationId",
    "eventId",
    "executionId",
    "userId",
    "missionId",
    "participantId"
  ]) {
    const id = value[name]
    if (typeof id === "string" && id.length > maxId / 3 && encoder.encode(id).length > maxId) return name
  }
  return undefined
}

/** The time that a stream entry's id holds. */
const timeOfEntry = (entryId: string): string | null => {
  const millis = /^\d{1,14}-\d+$/.test(entryId) ? Number(entryId.split("-", 1)[0]) : Number.NaN
  return Number.isNaN(millis) ? null : Wire.timestamp(millis)
}

/** What older clients write as the JSON text `null` where they have none. */
const nullable = [
  "event_id",
  "organization_id",
  "timestamp",
  "agent_id",
  "reported_by",
  "user_id",
  "execution_id",
  "interaction_id",
  "decision_id",
  "permission_id",
  "mission_id",
  "participant_id",
  "from_participant",
  "to_participant",
  "producer",
  "producer_epoch"
] as const

/** An entry's fields without ids and times that are the text `null`. */
const withoutNulls = (fields: Streams.Fields): Streams.Fields => {
  let present: Record<string, string> | undefined
  for (const name of nullable)
    if (fields[name] === "null") {
      present ??= { ...fields }
      delete present[name]
    }
  return present ?? fields
}

/** Decodes an entry. */
export const understand = (raw: RawEntry): Result.Result<Understood, Misunderstood> => {
  const fields = withoutNulls(raw.fields)
  const given = fields["event_id"]
  const refuse = (reason: string) =>
    Result.fail<Misunderstood>({ raw, eventId: given === undefined ? null : printable(given), reason })
  const decoded: Result.Result<Values[StreamKind], Schema.SchemaError> = decoders[raw.kind](fields)
  if (Result.isFailure(decoded))
    return refuse(printable(Wire.wirePaths(String(decoded.failure.message)).replace(/\s+/g, " ")))
  const long = tooLong(decoded.success)
  if (long !== undefined) return refuse(`\`${Wire.snakeCase(long)}\` is longer than ${maxId} bytes`)
  const understood = {
    kind: raw.kind,
    raw,
    eventId: idOf(raw.stream, raw.entryId, fields),
    occurredAt: decoded.success.timestamp ?? timeOfEntry(raw.entryId),
    value: decoded.success
  }
  // The decoder was chosen by the kind.
  return Result.succeed(understood as Understood)
}

/** The execution that an event is about, where it names one. */
export const executionOf = (event: Understood): string | undefined => {
  switch (event.kind) {
    case "llmInteractions":
    case "decisions":
      return event.value.executionId
    case "trust": {
      const named = event.value.context?.["execution_id"] ?? withoutNulls(event.raw.fields)["execution_id"]
      return typeof named === "string" && named !== "" && named.length <= maxId / 3 && Wire.isStorable(named)
        ? named
        : undefined
    }
    default:
      return undefined
  }
}

/** Who tells a decision about another actor under their own name; undefined: it is told by whom it is about. */
export const reporterOf = ({ agentId, reportedBy }: Streams.DecisionEvent): string | undefined =>
  reportedBy === agentId ? undefined : reportedBy

/** The agent that an event is of: whose word it is. Undefined for one that names none. */
export const agentOf = (event: Understood): string | undefined => {
  switch (event.kind) {
    case "trust":
    case "llmInteractions":
    case "feedback":
      return event.value.agentId
    case "decisions":
      return reporterOf(event.value) ?? event.value.agentId
    case "missions":
      return event.value.participantId
    case "missionMessages":
      return event.value.fromParticipant
  }
}
