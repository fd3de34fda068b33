import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Health, PolicyEngine, PolicySync } from "../src/index.ts"
import { AgionTest, type Platform, TestPlatform } from "../src/testing/index.ts"
import { policy } from "./policies.ts"

const fresh = (options = {}) => Effect.provide(AgionTest.layer(options))
const noRefunds = policy({ name: "No refunds", expr: 'action != "refund"' })

/** Lets what is under way go on until something holds, for a thousand turns at most. */
const until = Effect.fnUntraced(function* (holds: () => boolean) {
  for (let turn = 0; turn < 1000 && !holds(); turn++)
    yield* Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
  assert.isTrue(holds())
})

/** A first synchronisation, and what a test asks. */
const started = Effect.gen(function* () {
  const platform = yield* TestPlatform
  const sync = yield* PolicySync
  const engine = yield* PolicyEngine
  yield* until(() => engine.generationUnsafe() === 1)
  const asked = () => platform.arrived.filter(({ path }) => path.startsWith("/policies/bundle")).length
  return { platform, sync, engine, asked }
})

/** The next swap that `act` leads to. */
const swappedBy = Effect.fnUntraced(function* (act: () => void) {
  const engine = yield* PolicyEngine
  const next = yield* engine.changes.pipe(Stream.runHead, Effect.forkChild({ startImmediately: true }))
  act()
  return yield* Fiber.join(next)
})

describe("how an agent hears of policies", () => {
  it.effect("asks every 30 seconds, with the tag of what it has", () =>
    Effect.gen(function* () {
      const { asked, engine, platform } = yield* started
      platform.pushing = false
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(asked(), 1)
      yield* TestClock.adjust("1 second")
      yield* until(() => asked() === 2)
      // Without the tag the same set would have been sent, compiled and swapped again.
      assert.strictEqual(engine.generationUnsafe(), 1)
      assert.strictEqual(yield* engine.version, 0)
      platform.setPolicies([noRefunds])
      yield* TestClock.adjust("30 seconds")
      yield* until(() => engine.generationUnsafe() === 2)
      assert.strictEqual(yield* engine.version, 1)
    }).pipe(fresh())
  )

  it.effect("FRESH-4 asks at once when the line is back", () =>
    Effect.gen(function* () {
      const { platform } = yield* started
      platform.line(false)
      platform.setPolicies([noRefunds])
      const swapped = yield* swappedBy(() => platform.line(true))
      assert.strictEqual(swapped._tag, "Some")
    }).pipe(fresh())
  )

  it.effect("FRESH-4 asks at once when an epoch was missed on a line that seems to be there", () =>
    Effect.gen(function* () {
      const { asked, platform } = yield* started
      platform.heartbeat()
      platform.pushing = false
      platform.setPolicies([noRefunds])
      platform.pushing = true
      const before = asked()
      yield* swappedBy(() => platform.heartbeat())
      platform.heartbeat()
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(asked(), before + 1)
    }).pipe(fresh())
  )

  /** A change of the policies that the replica which answers has not followed yet; answers what makes it follow. */
  const unfollowed = (platform: Platform) => {
    const { epoch, policies, policyVersion } = platform
    platform.setPolicies([noRefunds])
    const followed = { epoch: platform.epoch, policies: platform.policies, policyVersion: 1 }
    Object.assign(platform, { epoch, policies, policyVersion })
    return () => Object.assign(platform, followed)
  }

  it.effect("FRESH-1 FRESH-3 an answer of a replica that is behind its push settles nothing", () =>
    Effect.gen(function* () {
      const { asked, engine, platform } = yield* started
      platform.heartbeat()
      yield* until(() => engine.isCurrentUnsafe())
      const before = asked()
      const follow = unfollowed(platform)
      yield* until(() => asked() === before + 1)
      yield* TestClock.adjust("500 millis")
      assert.isFalse(engine.isCurrentUnsafe())
      follow()
      yield* TestClock.adjust("500 millis")
      yield* until(() => engine.isCurrentUnsafe())
      assert.strictEqual(yield* engine.version, 1)
    }).pipe(fresh())
  )

  it.effect("FRESH-4 nor does one that is behind the first heartbeat of a line that is back", () =>
    Effect.gen(function* () {
      const { asked, engine, platform } = yield* started
      platform.heartbeat()
      platform.line(false)
      const follow = unfollowed(platform)
      const before = asked()
      platform.line(true)
      yield* until(() => asked() === before + 1 && engine.isCurrentUnsafe())
      follow()
      const swapped = yield* swappedBy(() => platform.heartbeat())
      assert.strictEqual(swapped._tag, "Some")
    }).pipe(fresh())
  )

  it.effect(
    "asks again soon when the platform has not yet the version that it told of, and less and less",
    () =>
      Effect.gen(function* () {
        const { asked, engine, platform } = yield* started
        const before = asked()
        platform.announce(2)
        yield* until(() => asked() === before + 1)
        for (const [seconds, times] of [
          [1, 2],
          [2, 3],
          [4, 4]
        ] as const) {
          yield* TestClock.adjust(`${seconds} seconds`)
          yield* until(() => asked() === before + times)
        }
        platform.pushing = false
        platform.setPolicies([])
        platform.setPolicies([noRefunds])
        yield* TestClock.adjust("8 seconds")
        yield* until(() => engine.generationUnsafe() === 2)
        assert.strictEqual(yield* engine.version, 2)
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual(asked(), before + 5)
      }).pipe(fresh())
  )
})

describe("a set that is not confirmed", () => {
  it.effect("POLICY-7 is reported when it is older than maxAge, and goes on deciding", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => {
      lines.push(String(message))
    })
    return Effect.gen(function* () {
      const { engine, platform, sync } = yield* started
      platform.setPolicies([noRefunds])
      yield* sync.sync
      assert.deepInclude(yield* sync.state, { ageMs: 0, isOld: false })
      platform.fault = { _tag: "Refuse" }
      yield* TestClock.adjust("10 minutes")
      assert.isFalse((yield* sync.state).isOld)
      yield* TestClock.adjust("5 minutes")
      assert.deepInclude(yield* sync.state, { version: 1, ageMs: 900_000, isOld: true })
      assert.isFalse((yield* engine.check({ action: "refund" })).allowed)
      const { problems } = yield* (yield* Health).now
      assert.include(problems, "policies were not confirmed for 900 s")
      const told = () => lines.filter((line) => line.startsWith("policies of version 1"))
      assert.lengthOf(told(), 1)
      assert.match(told()[0] ?? "", /were not confirmed for \d+ s; they stay in force$/)
      platform.fault = { _tag: "None" }
      yield* TestClock.adjust("2 minutes")
      assert.deepInclude(yield* sync.state, { isOld: false, problem: null })
    }).pipe(fresh({ policies: { maxAge: "10 minutes" } }), Effect.provide(Logger.layer([logger])))
  })

  it.effect("POLICY-7 no answer of the platform empties the engine", () =>
    Effect.gen(function* () {
      const { engine, platform, sync } = yield* started
      platform.setPolicies([noRefunds])
      yield* sync.sync
      for (const fault of [
        { _tag: "Garble" },
        { _tag: "Refuse" },
        { _tag: "Status", status: 404 },
        { _tag: "Status", status: 401 }
      ] as const) {
        platform.fault = fault
        const asking = yield* Effect.forkChild(sync.sync, { startImmediately: true })
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(yield* Fiber.join(asking), 1)
        assert.isNotNull((yield* sync.state).problem)
        assert.isFalse((yield* engine.check({ action: "refund" })).allowed)
      }
    }).pipe(fresh())
  )

  it.effect("OUTAGE-2 a kept set whose signature has run out is better than none", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "agion-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true }))
      )
      const signingKey = yield* Effect.gen(function* () {
        const { platform, sync } = yield* started
        platform.setPolicies([noRefunds])
        yield* sync.sync
        return platform.publicKey
      }).pipe(fresh({ directory }))
      yield* TestClock.adjust("2 days")
      yield* Effect.gen(function* () {
        const engine = yield* PolicyEngine
        const state = yield* (yield* PolicySync).state
        assert.deepInclude(state, { fromDisk: true, version: 1, ageMs: 172_800_000, isOld: true })
        assert.isFalse((yield* engine.check({ action: "refund" })).allowed)
      }).pipe(fresh({ directory, signingKey, policies: { maxAge: "1 day" } }))
    }).pipe(Effect.scoped)
  )
})
