/**
 * How events leave the agent: over Redis in a trusted network, or over HTTPS alone (EVENT-7).
 *
 * A transport sends a batch in its order and answers for each event. It may be asked to send the same batch again:
 * ids make the repetition change nothing. A failure says that the batch is to be kept and sent later.
 *
 * **Gotchas**: `effect/http` and `@agion/redis` are imported when a layer is built, not with this module.
 */
import type { Streams } from "@agion/domain"
import type { RedisStream } from "@agion/redis"
import { Context, type Duration, Effect, Layer, type Redacted, Schema } from "effect"
import type { HttpClient } from "effect/http"
import { live } from "../internal/Later.ts"
import type { StreamEvent } from "./Event.ts"

/** What became of an event. */
export type Delivery =
  | { readonly _tag: "Accepted" }
  /** It was there before. */
  | { readonly _tag: "Duplicate" }
  /** It will never be taken: sending it again is of no use. */
  | { readonly _tag: "Refused"; readonly reason: string }
  /** Its organization demands a signature that it does not have: with another key it may be taken. */
  | { readonly _tag: "Unsigned"; readonly reason: string }

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
    /** True: nothing but its signature says whose word an event is. Left out: the line itself does. */
    readonly signed?: boolean
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
  ): Layer.Layer<EventTransport, never, RedisStream> =>
    Layer.effect(
      EventTransport,
      Effect.flatMap(live, ({ EventTransport }) => EventTransport.makeRedis(options))
    )

  /** `POST /events` of the gateway at `url`. */
  static readonly layerHttp = (
    options: HttpTransportOptions
  ): Layer.Layer<EventTransport, never, HttpClient.HttpClient> =>
    Layer.effect(
      EventTransport,
      Effect.flatMap(live, ({ EventTransport }) => EventTransport.makeHttp(options))
    )
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
