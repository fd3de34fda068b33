/**
 * How events leave the agent: over Redis in a trusted network, or over HTTPS alone (EVENT-7).
 *
 * A transport sends a batch in its order and answers for each event. It may be asked to send the same batch again:
 * ids make the repetition change nothing. A failure says that the batch is to be kept and sent later.
 *
 * **Gotchas**: `effect/http` and `@agion/redis` are imported when a layer is built, not with this module.
 */
import { Streams } from "@agion/domain"
import type { RedisStream } from "@agion/redis"
import { Context, type Duration, Effect, Layer, type Redacted, Schema } from "effect"
import type { HttpClient } from "effect/http"
import { type StreamEvent, streamName } from "./Event.ts"

/** What became of an event. */
export type Delivery =
  | { readonly _tag: "Accepted" }
  /** It was there before. */
  | { readonly _tag: "Duplicate" }
  /** It will never be taken: sending it again is of no use. */
  | { readonly _tag: "Refused"; readonly reason: string }

export const accepted: Delivery = { _tag: "Accepted" }
export const duplicate: Delivery = { _tag: "Duplicate" }

/** Nothing can be said about the batch: it is kept and sent again. */
export class DeliveryFailed extends Schema.TaggedError<DeliveryFailed>()("DeliveryFailed", {
  /** `redis` or the origin of the gateway. */
  to: Schema.String,
  reason: Schema.String,
  /** When the platform says so: not before that many milliseconds. */
  retryAfterMs: Schema.optional(Schema.Finite)
}) {
  override get message() {
    return `events could not be sent to ${this.to}: ${this.reason}; they are kept and sent again`
  }
}

/** Signs an entry of the stream with this name, or answers undefined; undefined itself: entries are not signed. */
export type Sign = ((stream: string, fields: Streams.Fields) => string | undefined) | undefined

/** Sends events to the platform's streams. */
export class EventTransport extends Context.Service<
  EventTransport,
  {
    /** For logs: where events go. */
    readonly to: string
    /** Sends a batch in order; an answer for each event, in order. */
    readonly send: (
      events: ReadonlyArray<StreamEvent>,
      sign: Sign
    ) => Effect.Effect<ReadonlyArray<Delivery>, DeliveryFailed>
  }
>()("@agion/sdk/EventTransport") {
  /** Straight to the streams, one guarded script for each batch. */
  static readonly layerRedis = (
    options: RedisTransportOptions = {}
  ): Layer.Layer<EventTransport, never, RedisStream> => Layer.effect(EventTransport, makeRedis(options))

  /** `POST /events` of the gateway at `url`. */
  static readonly layerHttp = (
    options: HttpTransportOptions
  ): Layer.Layer<EventTransport, never, HttpClient.HttpClient> =>
    Layer.effect(EventTransport, makeHttp(options))
}

/** How events go to Redis. */
export interface RedisTransportOptions {
  /** Default: the names of the contract. */
  readonly names?: Streams.StreamNames
  /** How long Redis remembers an event's id; longer than an outage. Default: 1 day. */
  readonly guardTtl?: Duration.Input
}

/** Where a gateway is, and how long it may take. */
export interface HttpTransportOptions {
  /** The gateway's origin, such as `https://agion.example.com`. */
  readonly url: string
  /** Default: none, which only a platform without authentication takes. */
  readonly apiKey?: Redacted.Redacted<string>
  /** How long one call may take. Default: 10 s. */
  readonly timeout?: Duration.Input
}

/** What Redis says when it may take the entry later. */
const passing =
  /^(OOM|READONLY|LOADING|MISCONF|BUSY|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|NOREPLICAS|NOAUTH|NOPERM|WRONGPASS)/

const signed = (stream: string, fields: Streams.Fields, sign: Sign): Streams.Fields => {
  const signature = sign?.(stream, fields)
  return signature === undefined ? fields : { ...fields, signature }
}

const makeRedis = Effect.fnUntraced(function* (options: RedisTransportOptions) {
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
  return EventTransport.of({ to: "redis", send })
})

const told = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const Results = Schema.Struct({
  results: Schema.Array(
    Schema.Struct({
      status: Schema.Literals(["accepted", "duplicate", "refused"]),
      reason: Schema.optional(Schema.String)
    })
  )
})

/** Statuses that are about what was sent. */
const about = (status: number): boolean => status === 400 || status === 413 || status === 422

const makeHttp = Effect.fnUntraced(function* (options: HttpTransportOptions) {
  const { makeCall } = yield* Effect.promise(() => import("./HttpCall.ts"))
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
    return results.map(
      (result): Delivery =>
        result.status === "accepted"
          ? accepted
          : result.status === "duplicate"
            ? duplicate
            : { _tag: "Refused", reason: result.reason ?? "no reason was given" }
    )
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
