/**
 * The shared cache in Redis (L2): what the platform has signed for whoever asks next, read before it is asked
 * over HTTP (CACHE-3).
 *
 * Agents only read. An entry counts when the platform's key signed it, for this organization, about exactly what
 * was asked, not past its expiry, and at the epoch that pushes have confirmed within the last three seconds
 * (FRESH-2); everything else is a miss, counted by its reason. So what was signed before a revocation is of no use
 * after its push, and an entry confirms nothing by itself. While pushes are not heard nothing is read at all.
 *
 * Names of one turn of the event loop travel together. A Redis that is away or slow is a miss as well, and after
 * a few of those a breaker keeps from asking it.
 *
 * **Gotchas**: what is read is as good as the platform's answer when it was signed, never newer.
 */
import type { CheckResult, SharedResource, Signed } from "@agion/domain"
import type { RedisClient } from "@agion/redis"
import { Context, type Duration, Effect, Layer } from "effect"
import type { EntryKey } from "./internal/EntryTable.ts"
import { live } from "./internal/Later.ts"
import type { PlatformKeys } from "./PlatformKeys.ts"
import type { Pushes } from "./Pushes.ts"
import type { Settings } from "./Settings.ts"

export type { EntryKey } from "./internal/EntryTable.ts"

/** Why an entry was of no use. */
export type SharedMiss =
  /** There was none. */
  | "absent"
  /** Redis did not answer in time, or its breaker is open. */
  | "unavailable"
  /** It is no signed envelope. */
  | "unsigned"
  /** By a key that the pinned one does not vouch for, or nothing is pinned yet. */
  | "unknown key"
  | "bad signature"
  | "other organization"
  /** It is about something else than its name says, or not of the form. */
  | "other entry"
  | "expired"
  /** Signed before the last change that pushes told of. */
  | "older"
  /** Signed after a change that pushes have not told of yet. */
  | "ahead"

/** How the shared cache fares. */
export interface SharedStatistics {
  /** False: there is no Redis, or it is switched off. */
  readonly on: boolean
  readonly hits: number
  readonly misses: Readonly<Record<SharedMiss, number>>
}

/** A decision that the platform signed. */
export interface SharedAnswer {
  readonly result: CheckResult
  /** The organization's epoch at which it was made. */
  readonly epoch: number
  /** How long ago it was signed, milliseconds; never negative. */
  readonly ageMs: number
}

/** A score that the platform signed. */
export interface SharedScore {
  readonly score: number
  readonly signed: Signed
}

/** Where names are read; a part that is not readable fails with whatever its client says. */
export interface SharedReader {
  /** The texts under these names, in order; null: none; a refusal about one name is null as well. */
  readonly read: (names: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string | null>, unknown>
}

/** The reader that is used; null: there is no shared cache. */
export const SharedEntries = Context.Reference<SharedReader | null>("@agion/sdk/SharedEntries", {
  defaultValue: () => null
})

/** How long to wait for Redis. */
export interface SharedCacheOptions {
  /** For one reading, before the platform is asked instead. Default: 50 ms. */
  readonly timeout?: Duration.Input
}

/** What the platform has signed for all of its agents. */
export class SharedCache extends Context.Service<
  SharedCache,
  {
    /** The decision about a key of this agent's organization; undefined: ask the platform. */
    readonly decision: (key: EntryKey) => Effect.Effect<SharedAnswer | undefined>
    /** The score of an actor of this organization; undefined: ask the platform. */
    readonly trust: (actorId: string, actorType: string) => Effect.Effect<SharedScore | undefined>
    /** The record of a resource; undefined: ask the platform. */
    readonly resource: (resourceId: string) => Effect.Effect<SharedResource | undefined>
    /** Hits, and misses by reason, since the start. */
    readonly statistics: Effect.Effect<SharedStatistics>
  }
>()("@agion/sdk/SharedCache") {
  /** Over the reader that there is, if any. */
  static readonly layer = (
    options: SharedCacheOptions = {}
  ): Layer.Layer<SharedCache, never, Settings | PlatformKeys | Pushes> =>
    Layer.effect(
      SharedCache,
      Effect.flatMap(live, ({ SharedCache }) => SharedCache.make(options))
    )

  /** Reads from Redis. */
  static readonly layerEntriesRedis: Layer.Layer<never, never, RedisClient> = Layer.suspend(() =>
    Layer.effect(
      SharedEntries,
      Effect.flatMap(
        Effect.promise(() => import("./internal/SharedEntriesRedis.ts")),
        ({ make }) => make
      )
    )
  )
}
