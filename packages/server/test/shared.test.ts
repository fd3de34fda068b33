/** The writer of the shared cache alone: what it writes, when, and what it costs whoever asks. */
import { ActorId, type CheckResult, type EpochMessage, ResourceId } from "@agion/domain"
import { PolicySet } from "@agion/policy"
import { type Command, RedisClient } from "@agion/redis"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Changes } from "../src/changes/Changes.ts"
import type { Tell } from "../src/changes/Order.ts"
import { Signing } from "../src/keys/Signing.ts"
import { type Asked, Checks } from "../src/permissions/Checks.ts"
import { Policies } from "../src/policies/Policies.ts"
import { SharedCache } from "../src/shared/SharedCache.ts"

const asked = (n: number, more: Partial<Asked> = {}): Asked => ({
  organizationId: "org",
  actorId: ActorId.make("agent-1"),
  actorType: "agent",
  resourceId: ResourceId.make(`00000000-0000-4000-8000-${String(n).padStart(12, "0")}`),
  permissionType: "use",
  fields: "entry",
  ...more
})

const answer = (epoch: number, allowed = true): CheckResult => ({
  allowed,
  reason: allowed ? "Permission granted" : "No approved permission found",
  timestamp: "2026-01-01T00:00:00.000Z",
  permission: null,
  constraints: {},
  metadata: { trustScoreChecked: 0, trustScore: 40, policiesEvaluated: 0, decisionId: "d", epoch },
  entry: {
    resource: null,
    ancestorStatus: null,
    actor: {},
    agentStatus: "active",
    timeZone: "UTC",
    enforcement: "enforce",
    usage: {
      windowRequests: 0,
      dayRequests: 0,
      dayTokens: 0,
      dayCostMicroUsd: 0,
      actorCostUsdToday: 0,
      actorTokensToday: 0,
      actorRequestsToday: 0
    }
  }
})

const unused = (): never => {
  throw new Error("the writer asks for nothing of the kind")
}

/** Checks that answer at once, a Redis that records, and epochs as a test says. */
const makeWorld = () => {
  const world = {
    epoch: 5,
    allowed: true,
    readsSpend: false,
    readsPeer: false,
    away: false,
    signed: 0,
    commands: [] as Array<Command>,
    listeners: [] as Array<Tell>,
    /** Names written so far. */
    names: () => world.commands.map(([, name]) => name ?? ""),
    change: (previous: number, epoch: number, kind: EpochMessage["kind"] = "permission") => {
      world.epoch = Math.max(world.epoch, epoch)
      const message = { previous, epoch, kind, ids: ["x"], timestamp: "" }
      for (const listener of world.listeners) listener({ organizationId: "org", message }, false)
    }
  }
  const made = PolicySet.compileSync([])
  if (!made.ok) throw new Error("no policies must compile")
  const compiled = () => ({
    set: made.set,
    version: 1,
    epoch: world.epoch,
    policies: [],
    readsSpend: world.readsSpend,
    readsPeer: world.readsPeer
  })
  const fakes = Layer.mergeAll(
    Layer.mock(Checks, {
      check: () => Effect.sync(() => answer(world.epoch, world.allowed)),
      now: () => answer(world.epoch, world.allowed),
      batch: (all) => Effect.sync(() => all.map(() => answer(world.epoch, world.allowed)))
    }),
    Layer.mock(Changes, {
      epoch: () => world.epoch,
      note: () => true,
      heartbeat: unused,
      goBack: unused,
      forget: unused,
      touch: unused,
      origin: "here",
      listen: (f) => Effect.sync(() => world.listeners.push(f))
    }),
    Layer.mock(Signing, {
      signAt: unused,
      trustAt: unused,
      decisionId: unused,
      isAllowed: unused,
      keys: [],
      sealAt: (request) => {
        world.signed++
        return { payload: JSON.stringify(request), keyId: "k", signature: "s" }
      }
    }),
    Layer.mock(Policies, { peek: compiled }),
    Layer.succeed(
      RedisClient,
      RedisClient.make({
        pipeline: (commands) =>
          Effect.sync(() => {
            if (world.away) return commands.map(() => Result.fail(RedisClient.replyError("ERR away")))
            world.commands.push(...commands)
            return commands.map(() => Result.succeed("OK"))
          }),
        status: Effect.succeed("connected"),
        statusChanges: Stream.empty
      })
    )
  )
  return { world, layer: SharedCache.layer.pipe(Layer.provide(fakes)) }
}

const within = <A, E>(
  test: (world: ReturnType<typeof makeWorld>["world"]) => Effect.Effect<A, E, Checks | SharedCache>
) => {
  const { layer, world } = makeWorld()
  return test(world).pipe(Effect.provide(layer))
}

const decision = (n: number) => `agion:shared:permission:org:agent:agent-1:${asked(n).resourceId}:use`

/** Lets the writer do what waits. */
const written = TestClock.adjust("10 millis")

describe("the writer of the shared cache", () => {
  it.effect(
    "CACHE-3 signs nothing before the answer is given, then writes decision and score with their lives",
    () =>
      within((world) =>
        Effect.gen(function* () {
          const checks = yield* Checks
          assert.isTrue(checks.now(asked(1))?.allowed)
          assert.isTrue((yield* checks.check(asked(1))).allowed)
          assert.strictEqual(world.signed, 0)
          yield* written
          assert.deepStrictEqual(
            world.commands.map(([verb, name, , px, life]) => [verb, name, px, life]),
            [
              ["SET", decision(1), "PX", "30000"],
              ["SET", "agion:shared:trust:org:agent:agent-1", "PX", "300000"]
            ]
          )
        })
      )
  )

  it.effect(
    "CACHE-3 writes again when half a life is over, the epoch has risen or the answer is another",
    () =>
      within((world) =>
        Effect.gen(function* () {
          const checks = yield* Checks
          const decisions = () => world.names().filter((name) => name === decision(1)).length
          const asks = Effect.andThen(checks.check(asked(1)), written)
          yield* asks
          yield* asks
          assert.strictEqual(decisions(), 1)
          yield* TestClock.adjust("15 seconds")
          yield* asks
          assert.strictEqual(decisions(), 2)
          world.change(5, 6)
          yield* asks
          assert.strictEqual(decisions(), 3)
          world.allowed = false
          yield* asks
          assert.strictEqual(decisions(), 4)
          assert.strictEqual(world.commands.at(-1)?.at(4), "5000")
        })
      )
  )

  it.effect("CACHE-3 shares nothing that depends on the call, on usage or on the hour", () =>
    within((world) =>
      Effect.gen(function* () {
        const checks = yield* Checks
        yield* checks.check(asked(1, { context: { content: "hello" } }))
        yield* checks.check(asked(2, { fields: "full" }))
        world.readsPeer = true
        yield* checks.check(asked(4))
        world.readsPeer = false
        world.readsSpend = true
        yield* checks.check(asked(3))
        yield* written
        assert.lengthOf(world.commands, 0)
      })
    )
  )

  it.effect("FRESH-2 shares nothing that a change has overtaken, nor while one may be unknown here", () =>
    within((world) =>
      Effect.gen(function* () {
        const checks = yield* Checks
        yield* checks.check(asked(1))
        world.change(5, 6)
        yield* written
        assert.lengthOf(world.commands, 0)
        // Change 7 of another replica has not come yet.
        world.change(7, 8)
        yield* checks.check(asked(2))
        yield* written
        world.change(6, 7)
        yield* checks.check(asked(2))
        yield* written
        assert.lengthOf(world.commands, 0)
        yield* TestClock.adjust("1 second")
        yield* checks.check(asked(2))
        yield* written
        assert.include(world.names(), decision(2))
      })
    )
  )

  it.effect("keeps a thousand answers at most, and counts what it leaves out", () =>
    within((world) =>
      Effect.gen(function* () {
        const checks = yield* Checks
        const shared = yield* SharedCache
        yield* checks.batch(Array.from({ length: 1500 }, (_, n) => asked(n)))
        assert.deepInclude(shared.stateUnsafe(), { waiting: 1000, dropped: 500 })
        yield* written
        assert.lengthOf(
          world.names().filter((name) => name.includes(":permission:")),
          1000
        )
        assert.strictEqual(shared.stateUnsafe().waiting, 0)
      })
    )
  )

  it.effect("keeps nothing for a Redis that is away, and writes again once it is back", () =>
    within((world) =>
      Effect.gen(function* () {
        const checks = yield* Checks
        const shared = yield* SharedCache
        world.away = true
        assert.isTrue((yield* checks.check(asked(1))).allowed)
        yield* written
        assert.deepInclude(shared.stateUnsafe(), { waiting: 0, written: 0, dropped: 1 })
        world.away = false
        yield* TestClock.adjust("1 second")
        yield* checks.check(asked(1))
        yield* written
        assert.include(world.names(), decision(1))
      })
    )
  )
})
