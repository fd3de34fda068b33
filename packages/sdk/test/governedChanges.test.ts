import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import { EventBuffer, governed, PermissionCache, PolicyEngine, PolicySync } from "../src/index.ts"
import { AgionTest, type Platform, TestPlatform, testUuid } from "../src/testing/index.ts"
import { policy } from "./policies.ts"

const model = testUuid(1)
const agent = "agent-1"
const fresh = () => Effect.provide(AgionTest.layer())
const noDrops = policy({ name: "No drops", expr: '!request.content.contains("DROP TABLE")' })

/** A platform with one resource that the agent may use. */
const ready = (constraints = {}) =>
  Effect.gen(function* () {
    const platform = yield* TestPlatform
    platform.resource({ id: model })
    platform.grant(agent, model, "use", constraints)
    return platform
  })

const say = (content: string) => governed("chat", model, { content, origin: "user" })

/** Lets what is under way go on until something holds, for a thousand turns at most. */
const until = Effect.fnUntraced(function* (holds: () => boolean) {
  for (let turn = 0; turn < 1000 && !holds(); turn++)
    yield* Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
  assert.isTrue(holds())
})

/** The mode of a call that runs, or why it is refused. */
const outcome = (content: string) =>
  Effect.sync(() => "ran").pipe(
    say(content),
    Effect.catch((error) => Effect.succeed(error.message))
  )

describe("policies that have changed and are not here yet", () => {
  /** An agent with a warm approval and a set in force, which learns of another that `breaks` keeps away from it. */
  const behind = (breaks: (platform: Platform) => void) =>
    Effect.gen(function* () {
      const platform = yield* ready()
      const sync = yield* PolicySync
      yield* sync.sync
      for (let i = 0; i < 2; i++) assert.strictEqual(yield* outcome("DROP TABLE x"), "ran")
      const arrived = platform.arrived.length
      assert.strictEqual(yield* outcome("DROP TABLE x"), "ran")
      assert.strictEqual(
        platform.arrived.length,
        arrived,
        "memory answers while nothing is known to have changed"
      )
      breaks(platform)
      platform.setPolicies([noDrops])
      yield* until(() => sync.stateUnsafe().problem !== null)
      platform.fault = { _tag: "None" }
      assert.strictEqual((yield* sync.state).version, 0)
      return { platform, sync }
    })
  const isAway = (platform: Platform) => {
    platform.fault = { _tag: "Status", status: 500 }
  }
  const isRefused = (platform: Platform) => platform.rotateKey("test-key-2")

  for (const [how, breaks] of [
    ["does not arrive", isAway],
    ["is refused", isRefused]
  ] as const)
    it.effect(`FRESH-3 GOVERN-8 a bundle that ${how} leaves calls to the platform, content and all`, () =>
      Effect.gen(function* () {
        yield* behind(breaks)
        for (let i = 0; i < 3; i++) {
          assert.strictEqual(yield* outcome("hello"), "ran")
          assert.include(yield* outcome("DROP TABLE x"), "No drops")
        }
        const cache = yield* PermissionCache
        const asked = { resourceId: model, context: { content: "DROP TABLE x" } }
        assert.isFalse((yield* cache.check(asked)).allowed)
      }).pipe(fresh())
    )

  it.effect("FRESH-3 memory answers again once the new set is in force", () =>
    Effect.gen(function* () {
      const { platform, sync } = yield* behind(isAway)
      yield* TestClock.adjust("1 second")
      yield* until(() => sync.stateUnsafe().version === 1)
      assert.strictEqual(yield* outcome("hello"), "ran")
      const arrived = platform.arrived.length
      assert.strictEqual(yield* outcome("hello"), "ran")
      assert.include(yield* outcome("DROP TABLE x"), "No drops")
      assert.strictEqual(platform.arrived.length, arrived)
    }).pipe(fresh())
  )

  it.effect("OUTAGE-2 with the whole platform away a warm approval goes on", () =>
    Effect.gen(function* () {
      const { platform } = yield* behind(isAway)
      platform.fault = { _tag: "Refuse" }
      const fiber = yield* Effect.forkChild(
        governed("chat", model, { content: "hello" })(({ decision }) => Effect.succeed(decision.mode)),
        { startImmediately: true }
      )
      for (let i = 0; i < 40 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust("250 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "stale")
    }).pipe(fresh())
  )

  it.effect("FRESH-3 over a line that fell silent, the platform is told what a call brings", () =>
    Effect.gen(function* () {
      const platform = yield* ready()
      yield* (yield* PolicySync).sync
      assert.strictEqual(yield* outcome("DROP TABLE x"), "ran")
      platform.pushing = false
      platform.setPolicies([noDrops])
      yield* TestClock.adjust("3 seconds")
      for (let i = 0; i < 3; i++) assert.include(yield* outcome("DROP TABLE x"), "No drops")
      assert.strictEqual(yield* (yield* PolicyEngine).version, 0)
    }).pipe(fresh())
  )
})

describe("policies that have changed while no push is heard", () => {
  const other = testUuid(2)

  /** An agent with warm approvals, a set in force and no line. */
  const unheard = Effect.gen(function* () {
    const platform = yield* ready()
    platform.resource({ id: other })
    platform.grant(agent, other)
    yield* (yield* PolicySync).sync
    for (let i = 0; i < 2; i++) assert.strictEqual(yield* outcome("DROP TABLE x"), "ran")
    platform.line(false)
    platform.setPolicies([noDrops])
    return { platform, cache: yield* PermissionCache, engine: yield* PolicyEngine }
  })

  it.effect("FRESH-3 an answer of a later epoch leaves calls to the platform, content and all", () =>
    Effect.gen(function* () {
      const { cache, engine } = yield* unheard
      yield* cache.check({ resourceId: other })
      assert.isFalse(engine.isCurrentUnsafe())
      for (let i = 0; i < 3; i++) assert.include(yield* outcome("DROP TABLE x"), "No drops")
    }).pipe(fresh())
  )

  it.effect("FRESH-3 and the bundle is asked for, once a second at most", () =>
    Effect.gen(function* () {
      const { cache, engine, platform } = yield* unheard
      const bundles = () => platform.arrived.filter(({ path }) => path.startsWith("/policies/bundle")).length
      const before = bundles()
      for (let i = 0; i < 10; i++) {
        platform.change("config", ["prompt", "x"])
        yield* cache.check({ resourceId: testUuid(500 + i) })
        yield* Effect.repeat(Effect.yieldNow, { times: 50 })
      }
      assert.strictEqual(bundles(), before)
      yield* TestClock.adjust("1 second")
      yield* until(() => engine.isCurrentUnsafe())
      assert.strictEqual(bundles(), before + 1)
      assert.strictEqual(yield* engine.version, 1)
    }).pipe(fresh())
  )
})

describe("what changes while the platform reserves", () => {
  /** A call whose reservation is made and whose answer is on the way, and how it ends once `change` has come first. */
  const meanwhile = (
    change: (platform: Platform) => void,
    options = {},
    before: (platform: Platform) => void = () => {}
  ) =>
    Effect.gen(function* () {
      const platform = yield* ready({ tokenLimitPerDay: 1000 })
      before(platform)
      yield* (yield* PolicySync).sync
      yield* (yield* PermissionCache).preload([{ resourceId: model }])
      platform.fault = { _tag: "Lose" }
      const fiber = yield* Effect.sync(() => "ran").pipe(
        governed("chat", model, { estimate: { tokens: 600 }, usage: () => ({ tokens: 4 }), ...options }),
        Effect.catch((error) => Effect.succeed(error.message)),
        Effect.forkChild({ startImmediately: true })
      )
      yield* until(() => platform.reservations.size === 1)
      change(platform)
      // The repetition of the message is answered as the message was: before the change.
      platform.fault = { _tag: "None" }
      for (let i = 0; i < 40 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust("250 millis")
      const ended = yield* Fiber.join(fiber)
      yield* (yield* EventBuffer).flush()
      return { ended, reserved: [...platform.reservations.values()].map(({ state }) => state) }
    })

  it.effect("FRESH-3 a call does not run on a permission that was revoked meanwhile", () =>
    Effect.gen(function* () {
      const { ended, reserved } = yield* meanwhile((platform) => platform.revoke(agent, model))
      assert.include(ended, "No approved permission found")
      assert.deepStrictEqual(reserved, ["released"])
    }).pipe(fresh())
  )

  it.effect(
    "FRESH-1 FRESH-3 nor does it on the word of a replica that has not followed a revocation yet",
    () =>
      Effect.gen(function* () {
        const limits = { tokenLimitPerDay: 1000 }
        const platform = yield* ready(limits)
        yield* (yield* PolicySync).sync
        yield* (yield* PermissionCache).preload([{ resourceId: model }])
        platform.heartbeat()
        const { epoch } = platform
        platform.revoke(agent, model)
        const followed = platform.epoch
        platform.pushing = false
        platform.grant(agent, model, "use", limits)
        platform.epoch = epoch
        const fiber = yield* Effect.sync(() => "ran").pipe(
          governed("chat", model, { estimate: { tokens: 600 } }),
          Effect.catch((error) => Effect.succeed(error.message)),
          Effect.forkChild({ startImmediately: true })
        )
        yield* until(() => [...platform.reservations.values()].some(({ state }) => state === "released"))
        platform.revoke(agent, model)
        platform.epoch = followed
        for (let i = 0; i < 8 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust("250 millis")
        assert.include(yield* Fiber.join(fiber), "No approved permission found")
        assert.isTrue([...platform.reservations.values()].every(({ state }) => state === "released"))
      }).pipe(fresh())
  )

  it.effect("FRESH-3 LIMIT-3 what still stands is reserved anew, and not beside what was reserved", () =>
    Effect.gen(function* () {
      const { ended, reserved } = yield* meanwhile((platform) => platform.trust(agent, 85))
      assert.strictEqual(ended, "ran")
      assert.deepStrictEqual(reserved, ["released", "settled"])
    }).pipe(fresh())
  )

  it.effect("TRUST-9 FRESH-3 a call does not run on a score that fell meanwhile, within its tier", () =>
    Effect.gen(function* () {
      const { ended, reserved } = yield* meanwhile(
        (platform) => platform.trust(agent, 61),
        {},
        (platform) => {
          platform.resource({ id: model, trustTierRequired: 62 })
          platform.trust(agent, 64)
        }
      )
      assert.include(ended, "Trust score too low: 61 < 62")
      assert.deepStrictEqual(reserved, ["released"])
    }).pipe(fresh())
  )

  it.effect("FRESH-3 a policy that came meanwhile is asked about with the content", () =>
    Effect.gen(function* () {
      const { ended, reserved } = yield* meanwhile((platform) => platform.setPolicies([noDrops]), {
        content: "DROP TABLE x",
        origin: "user",
        estimate: undefined
      })
      assert.include(ended, "No drops")
      assert.deepStrictEqual(reserved, ["released"])
    }).pipe(fresh())
  )

  it.effect("FRESH-3 so is one that came while the platform was asked", () =>
    Effect.gen(function* () {
      const platform = yield* ready()
      yield* (yield* PolicySync).sync
      yield* (yield* PermissionCache).preload([{ resourceId: model }])
      yield* TestClock.adjust("31 seconds")
      platform.heartbeat()
      platform.fault = { _tag: "Lose" }
      const asked = platform.arrived.length
      const fiber = yield* Effect.forkChild(outcome("DROP TABLE x"), { startImmediately: true })
      yield* until(() => platform.arrived.length > asked)
      platform.setPolicies([noDrops])
      platform.fault = { _tag: "None" }
      for (let i = 0; i < 40 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust("250 millis")
      assert.include(yield* Fiber.join(fiber), "No drops")
    }).pipe(fresh())
  )
})

describe("an agent that closes while the platform reserves", () => {
  for (const isAborted of [false, true])
    it.effect(`LIMIT-3 GOVERN-2 leaves nothing reserved${isAborted ? ", its caller gone before" : ""}`, () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const services = yield* Layer.buildWithScope(
          AgionTest.layer({ events: { shutdownDeadline: "2 seconds" } }),
          scope
        )
        const platform = Context.get(services, TestPlatform)
        yield* Effect.gen(function* () {
          yield* ready({ tokenLimitPerDay: 1000 })
          yield* (yield* PolicySync).sync
          yield* (yield* PermissionCache).preload([{ resourceId: model }])
          platform.fault = { _tag: "Lose" }
          let ran = false
          const fiber = yield* Effect.sync(() => {
            ran = true
          }).pipe(
            governed("chat", model, { estimate: { tokens: 600 } }),
            Effect.forkChild({ startImmediately: true })
          )
          yield* until(() => platform.reservations.size === 1)
          if (isAborted) yield* Fiber.interrupt(fiber)
          platform.fault = { _tag: "None" }
          yield* Scope.close(scope, Exit.void)
          yield* Fiber.await(fiber)
          assert.isFalse(ran)
        }).pipe(Effect.provide(services))
        assert.deepStrictEqual(
          [...platform.reservations.values()].map(({ state }) => state),
          ["released"]
        )
      })
    )
})
