/**
 * The whole SDK as one layer.
 *
 * ```ts
 * const program = Effect.gen(function* () {
 *   return yield* askModel(prompt).pipe(governed("chat", modelId, { content: prompt }))
 * })
 * program.pipe(Effect.provide(AgionSdk.layer({ agentId: "agent-1", gatewayUrl: "http://127.0.0.1:8080" })))
 * ```
 *
 * `layer` builds whether the platform is there or not. What a program wants otherwise it provides: a failure
 * policy or prices as a reference (`Layer.provide(FailurePolicy.layer(FailurePolicy.failClosed))`), another
 * transport through `layerOver`, which leaves out connections.
 *
 * **Gotchas**: without `redisUrl` everything goes over HTTP, pushes by server-sent events.
 */

import type { Dlp } from "@agion/policy"
import { type Config, Effect, Layer, type LogLevel, type Redacted, References } from "effect"
import type { HttpClient } from "effect/http"
import { AgentConfig } from "./AgentConfig.ts"
import type * as CircuitBreaker from "./CircuitBreaker.ts"
import { EventBuffer, type EventBufferOptions } from "./EventBuffer.ts"
import { EventTransport } from "./events/EventTransport.ts"
import { ReportTransport } from "./events/ReportTransport.ts"
import { FailurePolicy } from "./FailurePolicy.ts"
import { Governance } from "./Governance.ts"
import { GovernanceHttp, type GovernanceHttpOptions } from "./GovernanceHttp.ts"
import { Health } from "./Health.ts"
import * as HttpPool from "./HttpPool.ts"
import { partsOptions, sdkOptions, settingsIn } from "./internal/KnownOptions.ts"
import { usableFolder } from "./internal/UsableFolder.ts"
import { PermissionCache, type PermissionCacheOptions } from "./PermissionCache.ts"
import { PlatformKeys } from "./PlatformKeys.ts"
import { PolicyEngine } from "./PolicyEngine.ts"
import { PolicySync, type PolicySyncOptions } from "./PolicySync.ts"
import { Pushes } from "./Pushes.ts"
import { Registrar } from "./Registrar.ts"
import {
  checkedBy,
  Settings,
  type SettingsInvalid,
  type SettingsOptions,
  type SettingsShape
} from "./Settings.ts"
import { SharedCache } from "./SharedCache.ts"
import { type OtlpOptions, Telemetry, type TelemetryOptions } from "./Telemetry.ts"
import { TrustTracker } from "./TrustTracker.ts"

/** Everything that a layer of the SDK provides. */
export type Services =
  | Settings
  | GovernanceHttp
  | PlatformKeys
  | Pushes
  | PolicyEngine
  | PolicySync
  | PermissionCache
  | SharedCache
  | TrustTracker
  | Governance
  | EventBuffer
  | Registrar
  | Health
  | AgentConfig
  | Telemetry

/** What an agent may set of the parts. */
export interface PartsOptions extends Omit<SettingsOptions, "directory"> {
  /** Where events and the last policies are kept; `false`: nowhere. Default: events in the user's state folder. */
  readonly directory?: string | false
  /** Time-outs and repetitions of calls to the platform. */
  readonly http?: GovernanceHttpOptions
  /** How large the permission cache is. */
  readonly cache?: PermissionCacheOptions
  /** How often policies are asked for, and when a set counts as old. */
  readonly policies?: PolicySyncOptions
  /** How events are kept and sent. */
  readonly events?: Omit<EventBufferOptions, "organizationId" | "directory">
  /** What a finding of each kind does, and a key for pseudonyms in placeholders. */
  readonly dlp?: Dlp.Options
  /** What is traced and measured. */
  readonly telemetry?: TelemetryOptions
  /** What the SDK itself logs at least. Default: what the program's own level is where it set one, else `Warn`. */
  readonly logLevel?: LogLevel.LogLevel
}

/** What an agent may set. */
export interface AgionOptions extends PartsOptions {
  /** Absent: everything goes over HTTP. */
  readonly redisUrl?: string | Redacted.Redacted<string>
  /** False: what the platform signed into Redis for all agents is not read (CACHE-3). Default: true. */
  readonly sharedCache?: boolean
  /** When the platform counts as away. Default: as `CircuitBreaker`, open for at most 3 seconds. */
  readonly breaker?: CircuitBreaker.CircuitBreakerOptions
  /** Where spans, metrics and logs are sent. Default: nowhere; or wherever the program's own layers send them. */
  readonly otlp?: Omit<OtlpOptions, "serviceName"> & {
    /** Default: the agent's id. */
    readonly serviceName?: string
  }
}

/** The parts over whatever connections there are. */
export const layerOver = (
  options: PartsOptions
): Layer.Layer<
  Services,
  SettingsInvalid,
  HttpClient.HttpClient | Pushes | EventTransport | ReportTransport
> => Layer.unwrap(checkedBy(partsOptions, options).pipe(Effect.tap(usableFolder), Effect.map(partsOver)))

const partsOver = (options: PartsOptions) => {
  const { directory } = options
  const settings = Settings.layer(settingsIn(options))
  const http = GovernanceHttp.layer(options.http)
  const known = Layer.mergeAll(PlatformKeys.layer, AgentConfig.layer).pipe(Layer.provideMerge(http))
  const shared = SharedCache.layer().pipe(Layer.provideMerge(known))
  const registrar = Registrar.layer.pipe(Layer.provideMerge(shared))
  const events = Layer.unwrap(
    Effect.map(Registrar, ({ eventKeyUnsafe }) =>
      EventBuffer.layer({
        organizationId: options.organizationId ?? "default",
        ...(directory === undefined ? {} : { directory }),
        eventKey: eventKeyUnsafe,
        ...options.events
      })
    )
  )
  const judged = Layer.mergeAll(TrustTracker.layer, PolicyEngine.layer(options.dlp), events).pipe(
    Layer.provideMerge(registrar)
  )
  const decided = Layer.mergeAll(
    PermissionCache.layer(options.cache),
    PolicySync.layer(options.policies)
  ).pipe(Layer.provideMerge(judged))
  const metrics = options.telemetry?.metrics === false ? Layer.empty : Telemetry.layerMetrics
  const parts = Layer.mergeAll(Governance.layer, Health.layer, loudness, metrics).pipe(
    Layer.provideMerge(decided)
  )
  return parts.pipe(
    Layer.provideMerge(settings),
    Layer.provideMerge(Layer.merge(handedOn, Telemetry.layer(options.telemetry))),
    Layer.provide(logging(options.logLevel))
  )
}

/** The level of the SDK's own logs; a program's own level stays where nothing is said. */
export const logging = (level: LogLevel.LogLevel | undefined): Layer.Layer<never> =>
  Layer.unwrap(
    Effect.map(Effect.context<never>(), (context) =>
      level === undefined && context.mapUnsafe.has(References.MinimumLogLevel.key)
        ? Layer.empty
        : Layer.succeed(References.MinimumLogLevel, level ?? "Warn")
    )
  )

/** Pushes are a service of the SDK, too. */
export const handedOn: Layer.Layer<Pushes, never, Pushes> = Layer.effect(Pushes, Pushes)

const observing = "policies are only observed: nothing is blocked but a suspended agent"
const ungoverned = "governance is switched off: calls are let through as ungoverned"

/** What of an agent's settings weakens governance, for the log (POLICY-8, GOVERN-5). */
export const weaknessesOf = (settings: SettingsShape): ReadonlyArray<string> => [
  ...(settings.enforcement === "observe" ? [observing] : []),
  ...(settings.governance ? [] : [ungoverned])
]

/** What weakens governance says so (POLICY-8, GOVERN-5). */
export const loudness = Layer.effectDiscard(
  Effect.gen(function* () {
    const failure = yield* FailurePolicy
    for (const weakness of weaknessesOf(yield* Settings)) yield* Effect.logWarning(weakness)
    if (failure.loud)
      yield* Effect.logWarning(`failure policy \`${failure.name}\`: calls are let through while nobody looks`)
  })
)

/** Connections to the platform: HTTP, and Redis where there is one. */
export const layerConnections = (
  options: Omit<AgionOptions, "otlp">
): Layer.Layer<
  HttpClient.HttpClient | Pushes | EventTransport | ReportTransport | HttpPool.PlatformCircuit,
  SettingsInvalid
> => Layer.unwrap(Effect.map(checkedBy(sdkOptions, options), connectionsOf))

const connectionsOf = (options: Omit<AgionOptions, "otlp">) => {
  const { redisUrl, sharedCache, breaker } = options
  const settings = Settings.layer(settingsIn(options))
  const pool = HttpPool.layer({
    ...(options.http?.timeout === undefined ? {} : { timeout: options.http.timeout }),
    ...(breaker === undefined ? {} : { breaker })
  })
  const transports = Layer.unwrap(
    Effect.map(Settings, ({ gatewayUrl, apiKey, names }) => {
      const gateway = { url: gatewayUrl, ...(apiKey === null ? {} : { apiKey }) }
      const reports = ReportTransport.layerHttp(gateway)
      if (redisUrl === undefined)
        return Layer.mergeAll(reports, EventTransport.layerHttp(gateway), Pushes.layerHttp)
      const shared = sharedCache === false ? Layer.empty : SharedCache.layerEntriesRedis
      return Layer.mergeAll(reports, EventTransport.layerRedis({ names }), Pushes.layerRedis, shared).pipe(
        Layer.provide(redisAt(redisUrl))
      )
    })
  ).pipe(Layer.provide(settings))
  return transports.pipe(Layer.provideMerge(pool), Layer.provide(logging(options.logLevel)))
}

/** Redis, which is not loaded where there is none. */
const redisAt = (url: string | Redacted.Redacted<string>) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("@agion/redis")),
      ({ Redis }) => Redis.layer({ url })
    )
  )

/** The SDK over HTTP, and over Redis where there is one. */
export const layer = (options: AgionOptions): Layer.Layer<Services, SettingsInvalid> =>
  Layer.unwrap(Effect.map(checkedBy(sdkOptions, options), wholeOf))

const wholeOf = (options: AgionOptions) => {
  const { redisUrl: _redisUrl, sharedCache: _sharedCache, breaker: _breaker, otlp, ...parts } = options
  const sdk = layerOver(parts).pipe(Layer.provide(layerConnections(options)))
  return otlp === undefined
    ? sdk
    : Layer.provideMerge(sdk, Telemetry.layerOtlp({ serviceName: options.agentId, ...otlp }))
}

/** The SDK that decides and reports everything and blocks nothing but a suspended agent (POLICY-8). Loud. */
export const layerObserve = (options: AgionOptions): Layer.Layer<Services, SettingsInvalid> =>
  layer({ ...options, enforcement: "observe" })

/**
 * The SDK as the environment says: AGION_AGENT_ID, AGION_GATEWAY_URL, and if wanted AGION_ORG_ID,
 * AGION_REDIS_URL, AGION_API_KEY, AGION_ENV, AGION_DIRECTORY, AGION_SIGNING_KEY (`keyId:publicKey`),
 * AGION_ENFORCEMENT (enforce, observe), ENABLE_GOVERNANCE, AGION_TRACE_SAMPLE (0 to 1), METRICS_ENABLED,
 * LOG_LEVEL, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME.
 */
export const layerConfig: Layer.Layer<Services, SettingsInvalid | Config.ConfigError> = Layer.unwrap(
  Effect.flatMap(
    Effect.promise(() => import("./internal/Environment.ts")),
    ({ fromEnvironment, naming }) => Effect.map(fromEnvironment, (options) => naming(layer(options)))
  )
)
