/**
 * What the SDK tells of itself: spans of governed calls, metrics, and the trace that goes on at the platform.
 *
 * ```ts
 * const live = AgionSdk.layer({ agentId: "agent-1", gatewayUrl, telemetry: { sample: 0.1 } }).pipe(
 *   Layer.provideMerge(Telemetry.layerOtlp({ url: "http://127.0.0.1:4318", serviceName: "agent-1" }))
 * )
 * ```
 *
 * Spans go to whatever `Tracer` there is and metrics to effect's registry, so that another exporter does as well.
 * Counters always count. A span is made beneath a sampled parent, and for a share of the calls that have no
 * parent; beneath a parent that is not sampled there is none. docs/telemetry.md lists every name.
 *
 * **Gotchas**: no content, no arguments and no message of an error is told, only kinds, ids and numbers.
 */
import { Context, type Duration, Effect, Layer, Random, Redacted, type Scope } from "effect"
import type { EventBuffer } from "./EventBuffer.ts"
import type { CacheTotals } from "./internal/HostedCaches.ts"
import type { PermissionCache } from "./PermissionCache.ts"
import type { PolicySync } from "./PolicySync.ts"
import type { Settings } from "./Settings.ts"
import { SettingsInvalid } from "./Settings.ts"
import { collectorAddress, isCollector } from "./telemetry/Collector.ts"
import type { Sampling } from "./telemetry/Spans.ts"
import { Tally } from "./telemetry/Tally.ts"

export type { Sampling } from "./telemetry/Spans.ts"
export type { Tally } from "./telemetry/Tally.ts"

/** What is told. */
export interface TelemetryOptions {
  /** Which share of the calls without a trace of their own is traced, 0 to 1. Default: 1. */
  readonly sample?: number
  /** Whether metrics are registered. Default: true. */
  readonly metrics?: boolean
}

/** Where to send it. */
export interface OtlpOptions {
  /** The collector's address for OTLP over HTTP, without `/v1/…`, such as `http://127.0.0.1:4318`. */
  readonly url: string
  /** `service.name` of everything that is sent. */
  readonly serviceName: string
  /** `service.version` of everything that is sent. Default: none. */
  readonly serviceVersion?: string
  /** More attributes of the resource. */
  readonly attributes?: { readonly [name: string]: string }
  /** Such as a key of the collector's. */
  readonly headers?: { readonly [name: string]: string | Redacted.Redacted<string> }
  /** How often spans and logs are sent. Default: 5 seconds. */
  readonly interval?: Duration.Input
  /** How often metrics are sent. Default: 10 seconds. */
  readonly metricsInterval?: Duration.Input
  /** How long closing may take. Default: 3 seconds. */
  readonly shutdownTimeout?: Duration.Input
}

/** What the parts of the SDK tell through. */
export class Telemetry extends Context.Service<
  Telemetry,
  {
    /** Which calls are traced. */
    readonly sampling: Sampling
    /** What is counted on the way of every call. */
    readonly tally: Tally
  }
>()("@agion/sdk/Telemetry") {
  /** Traces and counts; where that goes is said by the program's own tracer or `layerOtlp`. */
  static readonly layer = (options: TelemetryOptions = {}): Layer.Layer<Telemetry, SettingsInvalid> =>
    Layer.effect(Telemetry, make(options))

  /** The one that is provided, else one that nobody reads. */
  static readonly orSilent: Effect.Effect<Telemetry["Service"]> = Effect.suspend(() =>
    Effect.map(Effect.serviceOption(Telemetry), (given) => (given._tag === "Some" ? given.value : silent()))
  )

  /** The numbers of the SDK's parts as metrics. */
  static readonly layerMetrics: Layer.Layer<
    never,
    never,
    Telemetry | Settings | PermissionCache | EventBuffer | PolicySync
  > = Layer.suspend(() =>
    Layer.effectDiscard(
      Effect.flatMap(
        Effect.promise(() => import("./telemetry/Meters.ts")),
        ({ ownCache }) => Effect.flatMap(ownCache, Telemetry.metricsOf)
      )
    )
  )

  /** The same for as long as the scope is open, where the numbers of permission caches come from `caches`. */
  static readonly metricsOf = (
    caches: () => CacheTotals
  ): Effect.Effect<void, never, Telemetry | Settings | EventBuffer | PolicySync | Scope.Scope> =>
    Effect.gen(function* () {
      const { register } = yield* Effect.promise(() => import("./telemetry/Meters.ts"))
      yield* register((yield* Telemetry).tally, caches)
      const flush = yield* Telemetry.Flush
      yield* Effect.addFinalizer(() => flush)
    })

  /** Sends what was measured before series go away; does nothing without an exporter. */
  static readonly Flush = Context.Reference<Effect.Effect<void>>("@agion/sdk/Telemetry/Flush", {
    defaultValue: () => Effect.void
  })

  /** Sends spans, metrics and logs by OTLP over HTTP, as JSON. */
  static readonly layerOtlp = (options: OtlpOptions): Layer.Layer<never, SettingsInvalid> =>
    Layer.unwrap(otlp(options))
}

const silent = (): Telemetry["Service"] => ({ sampling: { ratio: 0, random: () => 1 }, tally: new Tally() })

const make = Effect.fnUntraced(function* (options: TelemetryOptions) {
  const ratio = options.sample ?? 1
  if (!(ratio >= 0 && ratio <= 1))
    return yield* new SettingsInvalid({ setting: "sample", problem: "must be a number from 0 to 1" })
  const random = yield* Random.Random
  return Telemetry.of({ sampling: { ratio, random: () => random.nextDoubleUnsafe() }, tally: new Tally() })
})

const otlp = Effect.fnUntraced(function* (options: OtlpOptions) {
  if (!isCollector(options.url))
    return yield* new SettingsInvalid({ setting: "url", problem: `must be ${collectorAddress}` })
  const [Otlp, OtlpExporter, FetchHttpClient] = yield* Effect.promise(() =>
    Promise.all([
      import("effect/observability/Otlp"),
      import("effect/observability/OtlpExporter"),
      import("effect/http/FetchHttpClient")
    ])
  )
  const { headers = {}, interval, metricsInterval, serviceName, serviceVersion, shutdownTimeout } = options
  const plain = Object.entries(headers).map(([name, value]): [string, string] => [
    name,
    typeof value === "string" ? value : Redacted.value(value)
  ])
  const flush = Layer.effect(
    Telemetry.Flush,
    Effect.map(OtlpExporter.Flusher, (flusher) => flusher.flush)
  )
  const exporter = Otlp.layerJson({
    baseUrl: options.url.replace(/\/+$/, ""),
    resource: {
      serviceName,
      ...(serviceVersion === undefined ? {} : { serviceVersion }),
      attributes: { ...options.attributes }
    },
    headers: Object.fromEntries(plain),
    loggerExportInterval: interval,
    tracerExportInterval: interval,
    metricsExportInterval: metricsInterval,
    shutdownTimeout
  }).pipe(Layer.provide(FetchHttpClient.layer))
  return Layer.provideMerge(flush, exporter)
})
