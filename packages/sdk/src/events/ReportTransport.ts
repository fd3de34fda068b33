/**
 * How reports leave the agent: usage, settlements, releases, audit lines, each one idempotent call of the HTTP
 * API. What the platform refuses for good (not found, settled already) is told as such and not sent again.
 */
import { Context, Effect, Layer, Result } from "effect"
import type { HttpClient } from "effect/http"
import type { Report } from "./Event.ts"
import { accepted, type Delivery, type DeliveryFailed, type HttpTransportOptions } from "./EventTransport.ts"

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
    Layer.effect(ReportTransport, makeHttp(options))
}

const makeHttp = Effect.fnUntraced(function* (options: HttpTransportOptions) {
  const { makeCall } = yield* Effect.promise(() => import("./HttpCall.ts"))
  const call = yield* makeCall(options)

  const send = Effect.fnUntraced(function* (reports: ReadonlyArray<Report>) {
    // The first alone: while the platform is away it is asked once, not a hundred times.
    const first = yield* sendAll(reports.slice(0, 1))
    const rest = first.some(Result.isFailure) ? [] : yield* sendAll(reports.slice(1))
    const deliveries: Array<Delivery> = []
    for (const result of [...first, ...rest]) {
      if (Result.isFailure(result)) return { deliveries, failed: result.failure }
      deliveries.push(result.success)
    }
    return { deliveries, failed: undefined }
  })

  const sendAll = (reports: ReadonlyArray<Report>) =>
    Effect.forEach(
      reports,
      (report) =>
        Effect.result(
          Effect.map(
            call(report.path, report.body),
            (answer): Delivery =>
              answer._tag === "Taken" ? accepted : { _tag: "Refused", reason: answer.reason }
          )
        ),
      { concurrency: 8 }
    )

  return ReportTransport.of({ to: options.url, send })
})
