/** The work of `SharedCache`: names read together, envelopes verified, misses counted. */
import { SharedDecision, SharedResource, Signed, SignedTrust } from "@agion/domain"
import { Deferred, Duration, Effect, Exit, Option, Schema } from "effect"
import * as CircuitBreaker from "../CircuitBreaker.ts"
import { onLost, onPush, unknownEpoch } from "../internal/Epochs.ts"
import { monotonic } from "../internal/Monotonic.ts"
import { onHeard } from "../internal/PlatformClock.ts"
import { machine } from "../internal/Sleep.ts"
import { PlatformKeys, SignatureRefused } from "../PlatformKeys.ts"
import { Pushes } from "../Pushes.ts"
import { Settings } from "../Settings.ts"

import {
  SharedCache,
  type SharedCacheOptions,
  SharedEntries,
  type SharedMiss,
  type SharedReader
} from "../SharedCache.ts"

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

  /** A reading that has begun is made, however early its caller goes away; what the scope ends was not read. */
  const enqueue = (name: string): Effect.Effect<Deferred.Deferred<string | null | undefined>> =>
    Effect.uninterruptible(
      Effect.suspend(() => {
        const known = waiting.get(name)
        if (known !== undefined) return Effect.succeed(known)
        const answer = Deferred.makeUnsafe<string | null | undefined>()
        const turn = waiting.set(name, answer)
        if (turn.size > 1) return Effect.succeed(answer)
        return Effect.map(Effect.forkIn(Effect.andThen(Effect.yieldNow, flush), scope), (fiber) => {
          fiber.addObserver(() => {
            if (waiting === turn) waiting = new Map()
            for (const unread of turn.values()) Deferred.doneUnsafe(unread, Exit.succeed(undefined))
          })
          return answer
        })
      })
    )

  return (name: string): Effect.Effect<string | null | undefined> =>
    Effect.flatMap(enqueue(name), Deferred.await)
})

/** The epoch that pushes have confirmed within the last three seconds. */
const confirmedEpoch = Effect.gen(function* () {
  const { organizationId } = yield* Settings
  const pushes = yield* Pushes
  const now = monotonic(yield* Effect.clockWith(Effect.succeed))
  const state = unknownEpoch()
  yield* pushes.listen((push) => {
    if (push._tag === "Lost") onLost(state)
    if (push._tag !== "Epoch" || push.organizationId !== organizationId) return
    machine.look()
    const at = now()
    onPush(state, push.message, at - onHeard(pushes.clock, push.message.timestamp, at))
  })
  return () => (now() < state.freshUntil ? state.epoch : undefined)
})

const nothing = Effect.succeed(undefined)

/** A cache over the reader that there is, if any. */
export const make = Effect.fnUntraced(function* (options: SharedCacheOptions) {
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
