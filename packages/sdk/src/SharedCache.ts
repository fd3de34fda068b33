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
import { type CheckResult, SharedDecision, SharedResource, Signed, SignedTrust } from "@agion/domain"
import type { RedisClient } from "@agion/redis"
import { Context, Deferred, Duration, Effect, Layer, Option, Schema } from "effect"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import type { EntryKey } from "./internal/EntryTable.ts"
import { onLost, onPush, unknownEpoch } from "./internal/Epochs.ts"
import { monotonic } from "./internal/Monotonic.ts"
import { PlatformKeys, SignatureRefused } from "./PlatformKeys.ts"
import { Pushes } from "./Pushes.ts"
import { Settings } from "./Settings.ts"

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
    Layer.effect(SharedCache, make(options))

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

const decodeEnvelope = Schema.decodeUnknownOption(Schema.fromJsonString(Signed))
const decodeDecision = Schema.decodeUnknownOption(SharedDecision)
const decodeResource = Schema.decodeUnknownOption(SharedResource)
const decodeTrust = Schema.decodeUnknownOption(SignedTrust)

const missOf = (reason: SignatureRefused["reason"]): SharedMiss => {
  switch (reason) {
    case "no key":
      return "unknown key"
    case "unreadable":
      return "bad signature"
    default:
      return reason
  }
}

const noMisses = (): Record<SharedMiss, number> => ({
  absent: 0,
  unavailable: 0,
  unsigned: 0,
  "unknown key": 0,
  "bad signature": 0,
  "other organization": 0,
  "other entry": 0,
  expired: 0,
  older: 0,
  ahead: 0
})

/** Names asked for in one turn of the event loop are read together, behind a breaker. */
const makeTogether = Effect.fnUntraced(function* (reader: SharedReader, timeout: Duration.Duration) {
  const scope = yield* Effect.scope
  const breaker = yield* CircuitBreaker.make({ name: "shared cache" })
  let waiting = new Map<string, Deferred.Deferred<string | null | undefined>>()

  const flush = Effect.suspend(() => {
    const batch = [...waiting]
    waiting = new Map()
    const reading = Effect.timeout(reader.read(batch.map(([name]) => name)), timeout)
    return Effect.map(Effect.option(breaker.run(reading)), (texts) => {
      for (const [index, [, answer]] of batch.entries())
        Deferred.doneUnsafe(
          answer,
          Effect.succeed(Option.isNone(texts) ? undefined : (texts.value[index] ?? null))
        )
    })
  })

  return (name: string): Effect.Effect<string | null | undefined> =>
    Effect.suspend(() => {
      const known = waiting.get(name)
      if (known !== undefined) return Deferred.await(known)
      const answer = Deferred.makeUnsafe<string | null | undefined>()
      waiting.set(name, answer)
      const awaiting = Deferred.await(answer)
      return waiting.size > 1
        ? awaiting
        : Effect.andThen(Effect.forkIn(Effect.andThen(Effect.yieldNow, flush), scope), awaiting)
    })
})

/** The epoch that pushes have confirmed within the last three seconds. */
const confirmedEpoch = Effect.gen(function* () {
  const { organizationId } = yield* Settings
  const pushes = yield* Pushes
  const now = monotonic(yield* Effect.clockWith(Effect.succeed))
  const state = unknownEpoch()
  yield* pushes.listen((push) => {
    if (push._tag === "Lost") onLost(state)
    if (push._tag === "Epoch" && push.organizationId === organizationId) onPush(state, push.message, now())
  })
  return () => (now() < state.freshUntil ? state.epoch : undefined)
})

const nothing = Effect.succeed(undefined)

const make = Effect.fnUntraced(function* (options: SharedCacheOptions) {
  const { names, organizationId } = yield* Settings
  const keys = yield* PlatformKeys
  const clock = yield* Effect.clockWith(Effect.succeed)
  const reader = yield* SharedEntries
  const misses = noMisses()
  let hits = 0
  const statistics = Effect.sync(() => ({ on: reader !== null, hits, misses: { ...misses } }))
  if (reader === null)
    return SharedCache.of({
      decision: () => nothing,
      trust: () => nothing,
      resource: () => nothing,
      statistics
    })

  const confirmed = yield* confirmedEpoch
  const read = yield* makeTogether(reader, Duration.fromInputUnsafe(options.timeout ?? "50 millis"))

  /** The payload of a text that may be used now, and what it says. */
  const open = <A>(
    kind: "permission" | "resource" | "trust",
    text: string | null | undefined,
    valueOf: (value: Schema.Json, signed: Signed) => A | undefined
  ): { readonly value: A; readonly epoch: number; readonly ageMs: number } | SharedMiss => {
    if (text == null) return text === null ? "absent" : "unavailable"
    const signed = Option.getOrUndefined(decodeEnvelope(text))
    if (signed === undefined) return "unsigned"
    const payload = keys.openUnsafe(signed)
    if (payload instanceof SignatureRefused) return missOf(payload.reason)
    const value = payload.kind === kind ? valueOf(payload.value, signed) : undefined
    if (value === undefined) return "other entry"
    const epoch = confirmed()
    if (epoch === undefined || payload.epoch > epoch) return "ahead"
    if (payload.epoch < epoch) return "older"
    const ageMs = Math.max(0, clock.currentTimeMillisUnsafe() - Date.parse(payload.issuedAt))
    return { value, epoch, ageMs }
  }

  const find = <A, B>(
    kind: "permission" | "resource" | "trust",
    parts: ReadonlyArray<string>,
    valueOf: (value: Schema.Json, signed: Signed) => A | undefined,
    answerOf: (opened: { readonly value: A; readonly epoch: number; readonly ageMs: number }) => B
  ): Effect.Effect<B | undefined> =>
    Effect.suspend(() => {
      if (confirmed() === undefined) return nothing
      return Effect.map(read(names.shared(kind, organizationId, ...parts)), (text) => {
        const opened = open(kind, text, valueOf)
        if (typeof opened === "string") {
          misses[opened]++
          return undefined
        }
        hits++
        return answerOf(opened)
      })
    })

  return SharedCache.of({
    statistics,
    decision: (key) =>
      key.organizationId !== organizationId
        ? nothing
        : find(
            "permission",
            [key.actorType, key.actorId, key.resourceId, key.permissionType],
            (value) => {
              const said = Option.getOrUndefined(decodeDecision(value))
              return said?.actorId === key.actorId &&
                said.actorType === key.actorType &&
                said.resourceId === key.resourceId &&
                said.permissionType === key.permissionType
                ? said.result
                : undefined
            },
            ({ value, ...rest }) => ({ result: value, ...rest })
          ),
    trust: (actorId, actorType) =>
      find(
        "trust",
        [actorType, actorId],
        (value, signed) => {
          const said = Option.getOrUndefined(decodeTrust(value))
          return said?.entityId === actorId && said.entityType === actorType
            ? { score: said.score, signed }
            : undefined
        },
        ({ value }) => value
      ),
    resource: (resourceId) =>
      find(
        "resource",
        [resourceId],
        (value) => {
          const said = Option.getOrUndefined(decodeResource(value))
          return said?.resource.id === resourceId ? said : undefined
        },
        ({ value }) => value
      )
  })
})
