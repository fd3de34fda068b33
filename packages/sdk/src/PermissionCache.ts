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
import { type Decision, without } from "./Decision.ts"
import { EventBuffer } from "./EventBuffer.ts"
import { FailurePolicy } from "./FailurePolicy.ts"
import { type CheckAnswer, GovernanceHttp, type PlatformRefused } from "./GovernanceHttp.ts"
import { decide, hitJudged } from "./internal/CacheAsking.ts"
import { addSpend, type CacheEntry } from "./internal/CacheEntry.ts"
import { takeAnswer } from "./internal/CacheJudgement.ts"
import { outage } from "./internal/CacheOutage.ts"
import { find, keyOf, type Parts } from "./internal/CacheParts.ts"
import { holdResources, isMissing, renewAtOnce } from "./internal/CacheRenewal.ts"
import {
  type CacheState,
  type Counters,
  forgetAll,
  type MissReason,
  makeState,
  organizationOf,
  takeLost,
  takePush
} from "./internal/CacheState.ts"
import { keepCurrent } from "./internal/CacheTurns.ts"
import { monotonic } from "./internal/Monotonic.ts"
import { PolicyEngine } from "./PolicyEngine.ts"
import { Pushes } from "./Pushes.ts"
import { Settings } from "./Settings.ts"
import { SharedCache } from "./SharedCache.ts"
import { Telemetry } from "./Telemetry.ts"
import { TrustTracker } from "./TrustTracker.ts"
import { spannedChecks } from "./telemetry/Checks.ts"

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
    readonly tookUnsafe: (input: CheckInput, answer: CheckAnswer, askedAt: number) => Decision
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
  > => Layer.effect(PermissionCache, make(options))

  /** What the layer holds, for parts that are put together without layers. */
  static readonly make = (
    options: PermissionCacheOptions = {}
  ): Effect.Effect<
    PermissionCache["Service"],
    never,
    Settings | GovernanceHttp | PolicyEngine | TrustTracker | Pushes | EventBuffer | SharedCache | Scope.Scope
  > => make(options)
}

const ungoverned = Effect.succeed(
  without({
    allowed: true,
    reason: "Governance is switched off",
    mode: "ungoverned",
    source: "settings",
    rule: "governance_off"
  })
)

const statisticsOf = (state: CacheState): CacheStatistics => {
  const { reasons, ...counters } = state.counters
  const asked = counters.hits + counters.misses
  return {
    size: state.table.size,
    ...counters,
    reasons: { ...reasons },
    hitRate: asked === 0 ? 0 : counters.hits / asked
  }
}

/** Hands what pushes dropped to what asks again. */
const follow = (parts: Parts, askAgain: (entries: ReadonlyArray<CacheEntry>) => void) =>
  Effect.gen(function* () {
    const pushes = yield* Pushes
    const own = parts.settings.organizationId
    parts.state.onRecordsDue = () => askAgain([])
    yield* pushes.listen((push) => {
      if (push._tag === "Lost") takeLost(parts.state, own)
      if (push._tag !== "Epoch") return
      const dropped = takePush(parts.state, push.organizationId, push.message, parts.now())
      const used = dropped.filter((entry) => entry.live).slice(0, renewAtOnce)
      if (used.length > 0 || isMissing(parts.state)) askAgain(used)
    })
  })

const makeParts = Effect.fnUntraced(function* (options: PermissionCacheOptions) {
  const clock = yield* Effect.clockWith(Effect.succeed)
  const parts: Parts = {
    state: makeState(options.capacity ?? 10_000),
    settings: yield* Settings,
    http: yield* GovernanceHttp,
    engine: yield* PolicyEngine,
    trust: yield* TrustTracker,
    events: yield* EventBuffer,
    shared: yield* SharedCache,
    failure: yield* FailurePolicy,
    now: monotonic(clock),
    wallNow: () => clock.currentTimeMillisUnsafe(),
    scope: yield* Effect.scope,
    tally: (yield* Telemetry.orSilent).tally,
    flying: new Map()
  }
  return parts
})

const make = Effect.fnUntraced(function* (options: PermissionCacheOptions) {
  const parts = yield* makeParts(options)
  const { engine, now, settings, state } = parts
  yield* follow(parts, yield* keepCurrent(parts))
  const { counters, table } = state

  const checkUnsafe = (input: CheckInput): Effect.Effect<Decision, PlatformRefused> => {
    const entry = find(parts, input)
    if (entry?.plain === true && input.context === undefined) {
      const at = now()
      if (
        at < entry.expiresAt &&
        entry.generation === engine.generationUnsafe() &&
        (!entry.allowed || (at < entry.organization.freshUntil && entry.actor.score >= entry.trustFloor))
      ) {
        counters.hits++
        table.touch(entry)
        return entry.hit
      }
    }
    if (!settings.governance) return ungoverned
    return decide(parts, { input, judged: false, sends: input.context, platformOnly: false }, false)
  }
  const { sampling } = yield* Telemetry.orSilent
  const check = spannedChecks(sampling, checkUnsafe)
  return PermissionCache.of({
    check,
    checkUnsafe,
    checkJudged: (input, how) =>
      settings.governance
        ? spannedChecks(sampling, () => decide(parts, { input, judged: true, ...how }, false))(input)
        : ungoverned,
    hitJudgedUnsafe: (input) => (settings.governance ? hitJudged(parts, input) : undefined),
    nowUnsafe: now,
    tookUnsafe: (input, answer, askedAt) => {
      const key = keyOf(parts, input)
      // A push that came meanwhile is newer than an answer of an earlier epoch.
      const heldEpoch = organizationOf(state, key.organizationId).epoch
      return takeAnswer(parts, key, answer, {
        askedAt,
        heldEpoch,
        tainted: false,
        withContext: true,
        confirms: true
      })
    },
    preload: (inputs) => Effect.forEach(inputs, (input) => Effect.ignore(check(input)), preloading),
    holdResources: (ids) => holdResources(parts, ids),
    statistics: Effect.sync(() => statisticsOf(state)),
    invalidate: Effect.sync(() => {
      for (const organizationId of state.organizations.keys()) forgetAll(state, organizationId)
    }),
    heldUnsafe: (input) => find(parts, input),
    recordUnsafe: (resourceId) => state.resources.get(resourceId) ?? null,
    spentUnsafe: (input, amounts) => {
      const entry = find(parts, input)
      if (entry !== undefined) addSpend(entry, amounts, now())
    },
    outageUnsafe: (input, judged) => outage(parts, input, judged)
  })
})

const preloading = { concurrency: "unbounded", discard: true } as const
