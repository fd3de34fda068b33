/**
 * How the SDK fares: one value with every part's state, and an address for an agent's own pod.
 *
 * ```ts
 * AgionSdk.layer(options).pipe(Layer.provideMerge(Health.layerHttp({ port: 9090 })))
 * ```
 */
import { Context, Effect, Layer } from "effect"
import type { EventBuffer, EventHealth } from "./EventBuffer.ts"
import { live } from "./internal/Later.ts"
import type { CacheStatistics, PermissionCache } from "./PermissionCache.ts"
import type { PlatformKeys, PlatformKeysState } from "./PlatformKeys.ts"
import type { PolicySync, PolicySyncState } from "./PolicySync.ts"
import type { Pushes, PushLine } from "./Pushes.ts"
import type { Registrar, RegistrarState } from "./Registrar.ts"
import type { Settings } from "./Settings.ts"
import type { SharedCache, SharedStatistics } from "./SharedCache.ts"
import type { TrustTracker, TrustView } from "./TrustTracker.ts"

/** Every part's state. */
export interface HealthReport {
  /** `degraded`: something is away and calls go on by what is held; `ok`: nothing is. */
  readonly status: "ok" | "degraded"
  /** What is wrong, one line each; empty when nothing is. */
  readonly problems: ReadonlyArray<string>
  /** The agent has been registered and has policies: it can be sent work. */
  readonly ready: boolean
  readonly agentId: string
  readonly organizationId: string
  readonly governance: boolean
  readonly enforcement: "enforce" | "observe"
  readonly failurePolicy: string
  /** The breaker around the platform: `closed` when it is reachable as far as is known. */
  readonly platform: string
  readonly pushes: PushLine
  readonly policies: PolicySyncState
  readonly keys: PlatformKeysState
  readonly registration: RegistrarState
  readonly events: EventHealth
  readonly permissions: CacheStatistics
  /** What was read of what the platform signed for all agents. */
  readonly shared: SharedStatistics
  readonly trust: TrustView
}

/** The state of everything. */
export class Health extends Context.Service<
  Health,
  {
    /** What every part says of itself, as it is run; nothing is asked for. */
    readonly now: Effect.Effect<HealthReport>
  }
>()("@agion/sdk/Health") {
  /** Reads the parts; asks nobody. */
  static readonly layer: Layer.Layer<
    Health,
    never,
    | Settings
    | Pushes
    | PolicySync
    | PlatformKeys
    | Registrar
    | EventBuffer
    | PermissionCache
    | SharedCache
    | TrustTracker
  > = Layer.suspend(() => Layer.effect(Health, Health.make))

  /** What the layer holds, for parts that are put together without layers. */
  static readonly make: Effect.Effect<
    Health["Service"],
    never,
    | Settings
    | Pushes
    | PolicySync
    | PlatformKeys
    | Registrar
    | EventBuffer
    | PermissionCache
    | SharedCache
    | TrustTracker
  > = Effect.flatMap(live, ({ Health }) => Health.make)

  /** `GET /health` (the report; 503 when degraded) and `GET /ready` on a port of the loopback, or of `host`. */
  static readonly layerHttp = (options: {
    readonly port: number
    /** Default: 127.0.0.1. */
    readonly host?: string
  }): Layer.Layer<never, never, Health> =>
    Layer.effectDiscard(Effect.flatMap(live, ({ Health }) => Health.serve(options)))
}
