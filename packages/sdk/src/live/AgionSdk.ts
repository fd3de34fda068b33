/** The work of `AgionSdk`: the parts as one layer, in the order in which they need each other. */

import { Effect, Layer, type LogLevel, type Redacted, References } from "effect"
import type { HttpClient } from "effect/http"
import { AgentConfig } from "../AgentConfig.ts"
import type { AgionOptions, PartsOptions, Services } from "../AgionSdk.ts"
import { EventBuffer } from "../EventBuffer.ts"
import { EventTransport } from "../events/EventTransport.ts"
import { ReportTransport } from "../events/ReportTransport.ts"
import { FailurePolicy } from "../FailurePolicy.ts"
import { Governance } from "../Governance.ts"
import { GovernanceHttp } from "../GovernanceHttp.ts"
import { Health } from "../Health.ts"
import * as HttpPool from "../HttpPool.ts"
import { given } from "../internal/Given.ts"
import { partsOptions, sdkOptions, settingsIn } from "../internal/KnownOptions.ts"
import { usableFolder } from "../internal/UsableFolder.ts"
import { PermissionCache } from "../PermissionCache.ts"
import { PlatformKeys } from "../PlatformKeys.ts"
import { PolicyEngine } from "../PolicyEngine.ts"
import { PolicySync } from "../PolicySync.ts"
import { Pushes } from "../Pushes.ts"
import { Registrar } from "../Registrar.ts"
import { Settings, type SettingsInvalid, type SettingsShape } from "../Settings.ts"
import { SharedCache } from "../SharedCache.ts"
import { Telemetry } from "../Telemetry.ts"
import { TrustTracker } from "../TrustTracker.ts"
import { eventKeyOf, OwnKeys } from "./EventKeys.ts"
import { checkedBy } from "./Settings.ts"

/** The parts over whatever connections there are. */
export const layerOver = (
  options: PartsOptions
): Layer.Layer<
  Services,
  SettingsInvalid,
  HttpClient.HttpClient | Pushes | EventTransport | ReportTransport
> => Layer.unwrap(checkedBy(partsOptions, options).pipe(Effect.tap(usableFolder), Effect.map(partsOver)))

const partsOver = (options: PartsOptions) => {
  const settings = Settings.layer(settingsIn(options))
  const http = GovernanceHttp.layer(options.http)
  const known = Layer.mergeAll(PlatformKeys.layer, AgentConfig.layer).pipe(Layer.provideMerge(http))
  const shared = SharedCache.layer().pipe(Layer.provideMerge(known))
  const registrar = Registrar.layer.pipe(Layer.provideMerge(shared))
  const events = Layer.unwrap(
    Effect.map(Effect.all([Settings, Registrar]), ([settings, registrar]) => {
      const keys = new OwnKeys(settings.agentId)
      keys.add(settings.agentId, registrar)
      return EventBuffer.layer({
        organizationId: settings.organizationId,
        directory: settings.eventDirectory ?? false,
        eventKey: eventKeyOf(settings, keys),
        awaitedKeys: keys,
        ...given(options.events)
      })
    })
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
    : Layer.provideMerge(sdk, Telemetry.layerOtlp({ serviceName: options.agentId, ...given(otlp) }))
}
