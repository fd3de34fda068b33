/** The work of `EventTransport`: over Redis one script a batch, over HTTP one call. */
import { Streams } from "@agion/domain"
import { Effect, Schema } from "effect"
import { streamName } from "../events/Event.ts"

import {
  accepted,
  type Delivery,
  DeliveryFailed,
  duplicate,
  EventTransport,
  type HttpTransportOptions,
  type RedisTransportOptions,
  type Sign
} from "../events/EventTransport.ts"

/** What Redis says when it may take the entry later. */
const passing =
  /^(OOM|READONLY|LOADING|MISCONF|BUSY|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|NOREPLICAS|NOAUTH|NOPERM|WRONGPASS)/

const signed = (stream: string, fields: Streams.Fields, sign: Sign): Streams.Fields => {
  const signature = sign?.(stream, fields)
  return signature === undefined ? fields : { ...fields, signature }
}

/** Straight to the streams. */
export const makeRedis = Effect.fnUntraced(function* (options: RedisTransportOptions) {
  const { RedisStream } = yield* Effect.promise(() => import("@agion/redis"))
  const streams = yield* RedisStream
  const names = options.names ?? Streams.streamNames()
  const guard = options.guardTtl === undefined ? {} : { guardTtl: options.guardTtl }

  const send: EventTransport["Service"]["send"] = Effect.fnUntraced(function* (events, sign) {
    const batch = events.map((event) => {
      const stream = streamName(names, event)
      return { stream, eventId: event.eventId, fields: signed(stream, event.fields, sign) }
    })
    const answers = yield* streams
      .appendGuarded(batch, guard)
      .pipe(Effect.mapError((error) => new DeliveryFailed({ to: "redis", reason: told(error.cause) })))
    const later = answers.find((answer) => answer._tag === "Refused" && passing.test(answer.reason))
    if (later?._tag === "Refused") return yield* new DeliveryFailed({ to: "redis", reason: later.reason })
    return answers.map(
      (answer): Delivery =>
        answer._tag === "Appended"
          ? accepted
          : answer._tag === "Duplicate"
            ? duplicate
            : { _tag: "Refused", reason: answer.reason }
    )
  })
  return EventTransport.of({ to: "redis", signed: true, send })
})

const told = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const Results = Schema.Struct({
  results: Schema.Array(
    Schema.Struct({
      status: Schema.Literals(["accepted", "duplicate", "refused"]),
      reason: Schema.optional(Schema.String),
      code: Schema.optional(Schema.String)
    })
  )
})

const deliveryOf = (result: (typeof Results.Type)["results"][number]): Delivery => {
  if (result.status === "accepted") return accepted
  if (result.status === "duplicate") return duplicate
  const reason = result.reason ?? "no reason was given"
  return { _tag: result.code === "signature" ? "Unsigned" : "Refused", reason }
}

/** Statuses that are about what was sent. */
const about = (status: number): boolean => status === 400 || status === 413 || status === 422

/** `POST /events`. */
export const makeHttp = Effect.fnUntraced(function* (options: HttpTransportOptions) {
  const { makeCall } = yield* Effect.promise(() => import("../events/HttpCall.ts"))
  const call = yield* makeCall(options)
  const names = Streams.streamNames()
  const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Results))

  const post = Effect.fnUntraced(function* (
    events: ReadonlyArray<Streams.Fields>
  ): Effect.fn.Return<ReadonlyArray<Delivery>, DeliveryFailed> {
    const answer = yield* call("/events", JSON.stringify({ events }))
    if (answer._tag === "Refused" && about(answer.status)) return yield* halves(events, answer.reason)
    // A key that may not write events, or another program at this address, says nothing about the events.
    if (answer._tag === "Refused")
      return yield* new DeliveryFailed({ to: options.url, reason: answer.reason })
    const { results } = yield* Effect.mapError(
      decode(answer.text),
      () => new DeliveryFailed({ to: options.url, reason: "the answer is not one of the platform's" })
    )
    if (results.length !== events.length)
      return yield* new DeliveryFailed({
        to: options.url,
        reason: "the answer is for another number of events"
      })
    return results.map(deliveryOf)
  })

  /** A batch that was refused as a whole is sent in halves, until the one that is at fault stands alone. */
  const halves = (
    events: ReadonlyArray<Streams.Fields>,
    reason: string
  ): Effect.Effect<ReadonlyArray<Delivery>, DeliveryFailed> => {
    if (events.length <= 1) return Effect.succeed(events.map(() => ({ _tag: "Refused", reason })))
    const middle = events.length >> 1
    return Effect.map(
      Effect.all([post(events.slice(0, middle)), post(events.slice(middle))]),
      ([first, second]) => [...first, ...second]
    )
  }

  return EventTransport.of({
    to: options.url,
    send: (events, sign) =>
      Effect.suspend(() =>
        post(
          events.map((event) => {
            const stream = streamName(names, event)
            return { stream, ...signed(stream, event.fields, sign) }
          })
        )
      )
  })
})
