/** `POST /events`: what agents without Redis tell. It ends in the same tables as what comes over Redis. */
import { type IngestResult, Streams, Wire } from "@agion/domain"
import { Api, Caller } from "@agion/domain/api"
import { Clock, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Names, uuidv7 } from "../changes/Governance.ts"
import { Tenancy } from "../organizations/Tenancy.ts"
import { printable, type StreamKind } from "./Incoming.ts"
import { Ingest, type Verdict } from "./Ingest.ts"
import type { Submission } from "./Placing.ts"

/** What a stream's name stands for; by its default name or by the operator's. */
const kindOf = (names: Streams.StreamNames) => {
  const kinds = new Map<string, StreamKind>()
  for (const known of [Streams.streamNames(), names]) {
    kinds.set(known.trust, "trust")
    kinds.set(known.feedback, "feedback")
    kinds.set(known.llmInteractions, "llmInteractions")
    kinds.set(known.missions, "missions")
    kinds.set(known.decisions, "decisions")
  }
  const messages = names.missionMessages("\0").split("\0")
  const defaults = Streams.streamNames().missionMessages("\0").split("\0")
  return (stream: string): StreamKind | undefined => {
    const known = kinds.get(stream)
    if (known !== undefined) return known
    for (const [before = "", after = ""] of [messages, defaults])
      if (stream.startsWith(before) && stream.endsWith(after) && stream.length > before.length + after.length)
        return "missionMessages"
    return undefined
  }
}

const toResult = (verdict: Verdict): IngestResult => {
  switch (verdict._tag) {
    case "Accepted":
      return { eventId: verdict.eventId, status: "accepted" }
    case "Duplicate":
      return { eventId: verdict.eventId, status: "duplicate" }
    case "Refused": {
      const { _tag, ...why } = verdict
      return { status: "refused", ...why }
    }
  }
}

/** The handlers of the group. */
export const layer = HttpApiBuilder.group(
  Api,
  "events",
  Effect.fnUntraced(function* (handlers) {
    const ingest = yield* Ingest
    const tenancy = yield* Tenancy
    const kind = kindOf(yield* Names)
    return handlers.handle(
      "ingest",
      Effect.fnUntraced(function* ({ payload }) {
        const caller = yield* Caller
        const named = payload.organizationId ?? undefined
        if (caller.organizationId !== null || named !== undefined) yield* tenancy.of(named)
        const now = yield* Clock.currentTimeMillis
        const results: Array<IngestResult> = []
        const batch: Array<Submission> = []
        const places: Array<number> = []
        for (const [i, given] of payload.events.entries()) {
          const fault = shapeFault(given)
          const { stream, ...event }: Readonly<Record<string, unknown>> = isRecord(given) ? given : {}
          const known = typeof stream === "string" ? kind(stream) : undefined
          if (fault !== undefined || known === undefined || typeof stream !== "string") {
            results[i] = refused(event["event_id"], fault ?? unknownStream)
            continue
          }
          const place = named === undefined ? {} : { organization_id: named }
          const sent = { ...place, ...Streams.toFields(event) }
          const fields = { ...place, ...Streams.toFields(withoutNulls(event)) }
          const bearer = { organizationId: caller.organizationId, agentId: caller.agentId }
          batch.push({ raw: { kind: known, stream, entryId: uuidv7(now), fields, sent }, bearer })
          places.push(i)
        }
        const verdicts = yield* Effect.orDie(ingest.apply(batch, { deadLetters: false }))
        for (const [n, verdict] of verdicts.entries()) results[places[n] ?? 0] = toResult(verdict)
        return { results }
      })
    )
  })
)

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A field that is null is as if it were left out. */
const withoutNulls = (event: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(event).filter(([, value]) => value !== null))

/** What is wrong with an event before its stream is asked; undefined: nothing. */
const shapeFault = (event: unknown): string | undefined => {
  if (!isRecord(event)) return "an event is an object that holds `stream` and the fields of its entry"
  const deep = Object.keys(event).find((name) => Wire.isTooDeep(event[name]))
  return deep === undefined
    ? undefined
    : `\`${printable(deep, 100)}\` is nested more deeply than ${Wire.maxJsonDepth} levels`
}

const unknownStream = "`stream` is not one that agents write; see the streams of the contract"

const refused = (eventId: unknown, reason: string): IngestResult => ({
  eventId: typeof eventId === "string" ? printable(eventId) : null,
  status: "refused",
  reason
})
