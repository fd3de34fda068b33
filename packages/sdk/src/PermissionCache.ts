/**
 * May this agent do this now? Answered from memory where that is right, else by the platform, and while the
 * platform is away by what is held (CACHE, FRESH, OUTAGE).
 *
 * ```ts
 * const permissions = yield* PermissionCache
 * const decision = yield* permissions.check({ resourceId, permissionType: "read" })
 * ```
 *
 * Approved answers live for 30 seconds, denied ones for 5, at most 10,000 of them; however many fibers ask, one
 * question is under way for each key. An allow is used within three seconds of the last confirmed epoch; pushes
 * drop what has changed. What depends on the call is decided anew on every hit, by the same `PermissionCheck`
 * that the platform asks, from the facts that came with the entry and what was used since.
 *
 * **Gotchas**: a check changes nothing and reserves nothing; a plain check of a permission with limits is advice
 * as of its entry. `governed` reserves.
 */
import type { ActorType, PermissionType, Wire } from "@agion/domain"
import type { PermissionCheck } from "@agion/policy"
import { Context, Effect, Layer, type Scope } from "effect"
import type { Decision } from "./Decision.ts"
import type { EventBuffer } from "./EventBuffer.ts"
import type { CheckAnswer, GovernanceHttp, PlatformRefused } from "./GovernanceHttp.ts"
import type { CacheEntry } from "./internal/CacheEntry.ts"
import type { Counters, Flight, MissReason } from "./internal/CacheState.ts"
import { live } from "./internal/Later.ts"
import type { PolicyEngine } from "./PolicyEngine.ts"
import type { Pushes } from "./Pushes.ts"
import type { Settings } from "./Settings.ts"
import type { SharedCache } from "./SharedCache.ts"
import type { TrustTracker } from "./TrustTracker.ts"

export type { CacheEntry } from "./internal/CacheEntry.ts"
export type { MissReason } from "./internal/CacheState.ts"

/** What is asked. */
export interface CheckInput {
  /** The resource's id, a UUID. */
  readonly resourceId: string
  /** Default: `use`. */
  readonly permissionType?: PermissionType
  /** Default: this agent. */
  readonly actorId?: string
  /** Default: this agent's. */
  readonly actorType?: ActorType
  /** Default: this agent's. */
  readonly organizationId?: string
  /** What matters for this call, in the words of the wire: request_tokens, estimated_cost, content, action, … */
  readonly context?: Wire.JsonObject
}

/** How well the cache does. */
export interface CacheStatistics extends Readonly<Omit<Counters, "reasons">> {
  readonly size: number
  readonly reasons: Readonly<Record<MissReason, number>>
  /** Hits of all checks, 0 to 1; 0 before the first. */
  readonly hitRate: number
}

/** What a call has used. */
export interface SpentAmounts {
  readonly requests: number
  readonly tokens: number
  readonly costMicroUsd: number
}

/** How a call that was judged here is asked about. */
export interface JudgedCheck {
  /** What a miss tells the platform of the call; undefined: nothing depends on it. */
  readonly sends: Wire.JsonObject | undefined
  /** Only the platform can judge it: memory is not asked, and an outage denies (GOVERN-8). */
  readonly platformOnly: boolean
}

/** A question to the platform that is under way. */
export interface Asked {
  /** By the clock of `nowUnsafe`. */
  readonly askedAt: number
  /** What pushes have said of it since. */
  readonly flight: Flight
}

/** How large the cache is. */
export interface PermissionCacheOptions {
  /** Default: 10,000 entries. */
  readonly capacity?: number
}

/** Permissions, decided near the call. */
export class PermissionCache extends Context.Service<
  PermissionCache,
  {
    /** Decides. A denial and an outage are answers; the error is a platform that refuses the question itself. */
    readonly check: (input: CheckInput) => Effect.Effect<Decision, PlatformRefused>
    /** The same, looked up as it is called and not as it is run: use the effect at once, never twice. */
    readonly checkUnsafe: (input: CheckInput) => Effect.Effect<Decision, PlatformRefused>
    /** The same for a call that local policies and DLP have judged. */
    readonly checkJudged: (input: CheckInput, how: JudgedCheck) => Effect.Effect<Decision, PlatformRefused>
    /** What memory allows of a call that was judged here, at once; undefined: `checkJudged` decides. */
    readonly hitJudgedUnsafe: (input: CheckInput) => Decision | undefined
    /** Takes in what the platform answered to a reservation: it is a check as well (LIMIT-6). */
    readonly tookUnsafe: (input: CheckInput, answer: CheckAnswer, asked: Asked) => Decision
    /** Runs a question that is not asked here; a push that concerns it makes its answer an old one. */
    readonly watching: <A, E>(
      input: CheckInput,
      question: (asked: Asked) => Effect.Effect<A, E>
    ) => Effect.Effect<A, E>
    /** The clock of `askedAt`: milliseconds that only move forward. */
    readonly nowUnsafe: () => number
    /** Asks ahead for what a workflow will need; what cannot be asked is left out. */
    readonly preload: (inputs: ReadonlyArray<CheckInput>) => Effect.Effect<void>
    /** Holds the records of resources, so that degraded mode can judge calls on them (OUTAGE-3). */
    readonly holdResources: (resourceIds: ReadonlyArray<string>) => Effect.Effect<void>
    /** Hits, misses by reason, stale and degraded decisions, evictions and renewals since the start. */
    readonly statistics: Effect.Effect<CacheStatistics>
    /** Forgets everything that was allowed. */
    readonly invalidate: Effect.Effect<void>
    /** What is held of a key, whether or not it may still be used. */
    readonly heldUnsafe: (input: CheckInput) => CacheEntry | undefined
    /** The record of a resource that is held beside entries; null: it is not. */
    readonly recordUnsafe: (resourceId: string) => PermissionCheck.ResourceFacts | null
    /** Adds what a call has used to what the entry knows. */
    readonly spentUnsafe: (input: CheckInput, amounts: SpentAmounts) => void
    /** What is decided while the platform is away. */
    readonly outageUnsafe: (input: CheckInput, judged: boolean) => Decision
  }
>()("@agion/sdk/PermissionCache") {
  /** Over the platform, and the shared cache where there is one; follows pushes until the scope closes. */
  static readonly layer = (
    options: PermissionCacheOptions = {}
  ): Layer.Layer<
    PermissionCache,
    never,
    Settings | GovernanceHttp | PolicyEngine | TrustTracker | Pushes | EventBuffer | SharedCache
  > => Layer.effect(PermissionCache, PermissionCache.make(options))

  /** What the layer holds, for parts that are put together without layers. */
  static readonly make = (
    options: PermissionCacheOptions = {}
  ): Effect.Effect<
    PermissionCache["Service"],
    never,
    Settings | GovernanceHttp | PolicyEngine | TrustTracker | Pushes | EventBuffer | SharedCache | Scope.Scope
  > => Effect.flatMap(live, ({ PermissionCache }) => PermissionCache.make(options))
}
