/**
 * How reports leave the agent: usage, settlements, releases, audit lines, each one idempotent call of the HTTP
 * API. What the platform refuses for good (not found, settled already) is told as such and not sent again.
 */
import { Context, Effect, Layer } from "effect"
import type { HttpClient } from "effect/http"
import { live } from "../internal/Later.ts"
import type { Report } from "./Event.ts"
import type { Delivery, DeliveryFailed, HttpTransportOptions } from "./EventTransport.ts"

/** What became of the reports of a batch, up to the first that is to be sent again. */
export interface Reported {
  readonly deliveries: ReadonlyArray<Delivery>
  /** Why the rest is to be sent again. */
  readonly failed: DeliveryFailed | undefined
}

/** Sends reports to the platform's HTTP API. */
export class ReportTransport extends Context.Service<
  ReportTransport,
  {
    /** For logs: where reports go. */
    readonly to: string
    /** Sends a batch; never fails as a whole. */
    readonly send: (reports: ReadonlyArray<Report>) => Effect.Effect<Reported>
  }
>()("@agion/sdk/ReportTransport") {
  /** To the gateway at `url`, eight calls at a time. */
  static readonly layerHttp = (
    options: HttpTransportOptions
  ): Layer.Layer<ReportTransport, never, HttpClient.HttpClient> =>
    Layer.effect(
      ReportTransport,
      Effect.flatMap(live, ({ ReportTransport }) => ReportTransport.makeHttp(options))
    )
}
