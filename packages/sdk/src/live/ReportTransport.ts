/** The work of `ReportTransport`: idempotent calls, the first of a batch alone. */
import { Effect, Result } from "effect"
import type { Report } from "../events/Event.ts"
import { accepted, type Delivery, type HttpTransportOptions } from "../events/EventTransport.ts"

import { ReportTransport } from "../events/ReportTransport.ts"

/** To the gateway, eight calls at a time. */
export const makeHttp = Effect.fnUntraced(function* (options: HttpTransportOptions) {
  const { makeCall } = yield* Effect.promise(() => import("../events/HttpCall.ts"))
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
