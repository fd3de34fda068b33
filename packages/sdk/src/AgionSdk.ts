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
import { type Config, Effect, Layer, type LogLevel, type Redacted } from "effect"
import type { HttpClient } from "effect/http"
import type { AgentConfig } from "./AgentConfig.ts"
import type * as CircuitBreaker from "./CircuitBreaker.ts"
import type { EventBuffer, EventBufferOptions } from "./EventBuffer.ts"
import type { EventTransport } from "./events/EventTransport.ts"
import type { ReportTransport } from "./events/ReportTransport.ts"
import type { Governance } from "./Governance.ts"
import type { GovernanceHttp, GovernanceHttpOptions } from "./GovernanceHttp.ts"
import type { Health } from "./Health.ts"
import type * as HttpPool from "./HttpPool.ts"
import { live } from "./internal/Later.ts"
import type { PermissionCache, PermissionCacheOptions } from "./PermissionCache.ts"
import type { PlatformKeys } from "./PlatformKeys.ts"
import type { PolicyEngine } from "./PolicyEngine.ts"
import type { PolicySync, PolicySyncOptions } from "./PolicySync.ts"
import type { Pushes } from "./Pushes.ts"
import type { Registrar } from "./Registrar.ts"
import type { Settings, SettingsInvalid, SettingsOptions } from "./Settings.ts"
import type { SharedCache } from "./SharedCache.ts"
import type { OtlpOptions, Telemetry, TelemetryOptions } from "./Telemetry.ts"
import type { TrustTracker } from "./TrustTracker.ts"

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
  /**
   * Where events and the last policies are kept; `false`: nowhere. Default: events in the user's state folder. Events
   * have a folder in it for each platform and organization.
   */
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
> => Layer.unwrap(Effect.map(live, ({ AgionSdk }) => AgionSdk.layerOver(options)))

/** Connections to the platform: HTTP, and Redis where there is one. */
export const layerConnections = (
  options: Omit<AgionOptions, "otlp">
): Layer.Layer<
  HttpClient.HttpClient | Pushes | EventTransport | ReportTransport | HttpPool.PlatformCircuit,
  SettingsInvalid
> => Layer.unwrap(Effect.map(live, ({ AgionSdk }) => AgionSdk.layerConnections(options)))

/** The SDK over HTTP, and over Redis where there is one. */
export const layer = (options: AgionOptions): Layer.Layer<Services, SettingsInvalid> =>
  Layer.unwrap(Effect.map(live, ({ AgionSdk }) => AgionSdk.layer(options)))

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
