/** Where the platform sends its spans and metrics: to the collector that the environment names, else nowhere. */
import { layerSampled } from "@agion/server"
import { Config, Effect, Layer, Option } from "effect"
import { FetchHttpClient } from "effect/http"
import { Otlp } from "effect/observability"
import { CommandFailed, isHttp } from "./Platform.ts"

const text = (name: string) => Effect.map(Config.option(Config.String(name)), Option.getOrUndefined)

const otlp = Effect.gen(function* () {
  const url = yield* text("OTEL_EXPORTER_OTLP_ENDPOINT")
  if (url === undefined || url === "") return Layer.empty
  if (!isHttp(url))
    return yield* new CommandFailed({
      message: `OTEL_EXPORTER_OTLP_ENDPOINT must be the collector's http or https address, such as \`http://127.0.0.1:4318\`, not \`${url}\``
    })
  const sample = Number((yield* text("AGION_TRACE_SAMPLE")) ?? 1)
  if (!(sample >= 0 && sample <= 1))
    return yield* new CommandFailed({ message: "AGION_TRACE_SAMPLE must be a number from 0 to 1" })
  const serviceName = (yield* text("OTEL_SERVICE_NAME")) ?? "agion"
  return layerSampled(sample).pipe(
    Layer.provideMerge(Otlp.layerJson({ baseUrl: url.replace(/\/+$/, ""), resource: { serviceName } })),
    Layer.provide(FetchHttpClient.layer)
  )
})

/** OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME (default: `agion`) and AGION_TRACE_SAMPLE (0 to 1). */
export const layer = Layer.unwrap(otlp)
