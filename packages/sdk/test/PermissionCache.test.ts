import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema } from "effect"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import {
  AgionSdk,
  type CheckInput,
  EventBuffer,
  FailurePolicy,
  Health,
  PermissionCache,
  PolicySync,
  TrustTracker
} from "../src/index.ts"
import { AgionTest, type Platform, TestPlatform, testUuid } from "../src/testing/index.ts"
import { policy } from "./policies.ts"

const agent = "agent-1"
const model = testUuid(1)
const database = testUuid(2)

const fresh = (options = {}) => Effect.provide(AgionTest.layer(options))

/** How often the platform was asked for a check. */
const checks = (platform: Platform): number =>
  platform.arrived
    .flatMap(({ path, body }) => {
      if (path === "/permissions/check") return [1]
      if (path !== "/permissions/check/batch") return []
      return [(body as { readonly checks: ReadonlyArray<unknown> }).checks.length]
    })
    .reduce((sum, count) => sum + count, 0)

/** Answers take a second on their way. */
const slow = AgionSdk.layerOver({
  agentId: agent,
  gatewayUrl: "http://platform.test",
  directory: false,
  events: { shutdownDeadline: 0 }
}).pipe(
  Layer.provide(
    Layer.effect(
      HttpClient.HttpClient,
      Effect.map(
        HttpClient.HttpClient,
        HttpClient.tap(() => Effect.sleep("1 second"))
      )
    )
  ),
  Layer.provideMerge(AgionTest.connections())
)

const ready = Effect.gen(function* () {
  const platform = yield* TestPlatform
  // As it was before this agent listened.
  platform.pushing = false
  platform.resource({ id: model })
  platform.resource({ id: database, riskLevel: "critical", resourceType: "database" })
  platform.grant(agent, model)
  platform.pushing = true
  // The first push tells the agent where the organization's epoch stands.
  platform.heartbeat()
  return { platform, cache: yield* PermissionCache }
})

/** Seconds go by, each with its heartbeat. */
const seconds = (platform: Platform, count: number) =>
  Effect.forEach(
    Array.from({ length: count }),
    () =>
      Effect.andThen(
        TestClock.adjust("1 second"),
        Effect.sync(() => platform.heartbeat())
      ),
    { discard: true }
  )

describe("remembering", () => {
  it.effect("CACHE-1 an approved answer is used for thirty seconds, a denied one for five", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      const allowed = { resourceId: model }
      const denied = { resourceId: database }
      assert.deepInclude(yield* cache.check(allowed), { allowed: true, source: "platform" })
      assert.deepInclude(yield* cache.check(denied), { allowed: false, source: "platform" })
      assert.deepInclude(yield* cache.check(allowed), { allowed: true, source: "cache" })
      assert.deepInclude(yield* cache.check(denied), { allowed: false, source: "cache" })
      yield* seconds(platform, 5)
      assert.strictEqual((yield* cache.check(denied)).source, "platform")
      assert.strictEqual((yield* cache.check(allowed)).source, "cache")
    }).pipe(fresh())
  )

  it.effect("CACHE-1 however many fibers ask, one question is under way for a key", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      const decisions = yield* Effect.forEach(
        Array.from({ length: 1000 }),
        () => cache.check({ resourceId: model }),
        { concurrency: "unbounded" }
      )
      assert.isTrue(decisions.every((decision) => decision.allowed))
      assert.strictEqual(checks(platform), 1)
    }).pipe(fresh())
  )

  it.effect("checks of one turn travel in one call", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      const inputs = Array.from({ length: 50 }, (_, i) => ({ resourceId: testUuid(500 + i) }))
      yield* cache.preload([{ resourceId: model }, ...inputs])
      assert.deepStrictEqual(
        platform.arrived.filter(({ path }) => path.startsWith("/permissions")).map(({ path }) => path),
        ["/permissions/check/batch"]
      )
      assert.strictEqual((yield* cache.check({ resourceId: model })).source, "cache")
    }).pipe(fresh())
  )

  it.effect("CACHE-2 an approval for little does not cover much", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      platform.grant(agent, model, "use", { tokenLimitPerDay: 10_000 })
      yield* (yield* PolicySync).sync
      const asks = (tokens: number) => cache.check({ resourceId: model, context: { request_tokens: tokens } })
      assert.deepInclude(yield* asks(1500), { allowed: true, source: "platform" })
      assert.deepInclude(yield* asks(1600), { allowed: true, source: "cache" })
      const much = yield* asks(1_000_000)
      assert.deepInclude(much, { allowed: false, reason: "Token limit would be exceeded" })
      cache.spentUnsafe({ resourceId: model }, { requests: 1, tokens: 9000, costMicroUsd: 0 })
      assert.deepInclude(yield* asks(1500), { source: "platform" })
    }).pipe(fresh())
  )

  it.effect("an answer to a plain question is not kept for one with content that policies look at", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      platform.setPolicies([policy({ name: "No secrets", expr: '!request.content.contains("secret")' })])
      yield* (yield* PolicySync).sync
      assert.isTrue((yield* cache.check({ resourceId: model })).allowed)
      const decision = yield* cache.check({ resourceId: model, context: { content: "a secret" } })
      assert.deepInclude(decision, {
        allowed: false,
        reason: "Policy violation: No secrets",
        source: "cache"
      })
    }).pipe(fresh())
  )

  it.effect("allows in use are renewed before they expire", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      yield* cache.check({ resourceId: model })
      for (let i = 0; i < 60; i++) {
        yield* seconds(platform, 1)
        assert.strictEqual((yield* cache.check({ resourceId: model })).source, "cache")
      }
      const { hits, misses, refreshed } = yield* cache.statistics
      assert.deepStrictEqual([hits, misses], [60, 1])
      assert.isAtLeast(refreshed, 2)
    }).pipe(fresh())
  )
})

describe("freshness", () => {
  it.effect("FRESH-3 a revocation holds as soon as its push is there", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      yield* cache.check({ resourceId: model })
      assert.strictEqual((yield* cache.check({ resourceId: model })).source, "cache")
      platform.revoke(agent, model)
      assert.isFalse((yield* cache.check({ resourceId: model })).allowed)
    }).pipe(fresh())
  )

  it.effect("FRESH-3 a check that was made before is looked up each time that it is run", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      const check = cache.check({ resourceId: model })
      assert.isTrue((yield* check).allowed)
      const mapped = Effect.map(check, ({ allowed }) => allowed)
      assert.deepInclude(yield* check, { allowed: true, source: "cache" })
      assert.isTrue(yield* mapped)
      platform.revoke(agent, model)
      assert.isFalse((yield* check).allowed)
      assert.isFalse(yield* mapped)
    }).pipe(fresh())
  )

  it.effect("a loop of hits lets others run and can be interrupted", () =>
    Effect.gen(function* () {
      const { cache } = yield* ready
      const check = cache.check({ resourceId: model })
      yield* check
      let hits = 0
      const loop = yield* Effect.forkChild(
        Effect.gen(function* () {
          while (true) {
            yield* check
            hits += 1
          }
        }),
        { startImmediately: true }
      )
      yield* Fiber.interrupt(loop)
      assert.isAbove(hits, 1000)
    }).pipe(fresh())
  )

  /** A replica that has not followed what `change` has pushed answers from now on; the effect makes it follow. */
  const unfollowed = (platform: Platform, change: () => void, undo: () => void) => {
    const { epoch } = platform
    change()
    const followed = platform.epoch
    platform.pushing = false
    undo()
    platform.epoch = epoch
    return () => {
      change()
      platform.epoch = followed
      platform.pushing = true
    }
  }

  it.effect(
    "FRESH-1 FRESH-3 an allow of a replica that is behind a pushed revocation lets nothing through",
    () =>
      Effect.gen(function* () {
        const { cache, platform } = yield* ready
        yield* cache.check({ resourceId: model })
        const follow = unfollowed(
          platform,
          () => platform.revoke(agent, model),
          () => platform.grant(agent, model)
        )
        const asking = yield* Effect.forkChild(cache.check({ resourceId: model }), { startImmediately: true })
        yield* TestClock.adjust("200 millis")
        follow()
        for (let i = 0; i < 8 && asking.pollUnsafe() === undefined; i++) yield* TestClock.adjust("250 millis")
        assert.isFalse((yield* Fiber.join(asking)).allowed)
      }).pipe(fresh())
  )

  it.effect("FRESH-2 other entries stay valid", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      const other = testUuid(3)
      platform.resource({ id: other })
      platform.grant(agent, other)
      yield* cache.preload([{ resourceId: model }, { resourceId: other }])
      platform.revoke(agent, model)
      assert.strictEqual((yield* cache.check({ resourceId: other })).source, "cache")
    }).pipe(fresh())
  )

  it.effect("FRESH-3 a revocation that was not heard of holds after three seconds", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      yield* cache.check({ resourceId: model })
      platform.pushing = false
      platform.revoke(agent, model)
      assert.isTrue((yield* cache.check({ resourceId: model })).allowed)
      yield* TestClock.adjust("3 seconds")
      assert.isFalse((yield* cache.check({ resourceId: model })).allowed)
    }).pipe(fresh())
  )

  it.effect("FRESH-3 so does one over a line on which everything comes late", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      platform.pushDelayMs = 10_000
      yield* seconds(platform, 12)
      assert.isTrue((yield* cache.check({ resourceId: model })).allowed)
      platform.revoke(agent, model)
      yield* seconds(platform, 3)
      assert.isFalse((yield* cache.check({ resourceId: model })).allowed)
      assert.include((yield* (yield* Health).now).problems.join(), "pushes are heard 10 s late")
    }).pipe(fresh())
  )

  it.effect("FRESH-2 over a line that is late by a second an allow is used", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      platform.pushDelayMs = 1000
      yield* cache.check({ resourceId: model })
      yield* seconds(platform, 20)
      assert.strictEqual((yield* cache.check({ resourceId: model })).source, "cache")
      assert.strictEqual(checks(platform), 1)
    }).pipe(fresh())
  )

  it.effect("FRESH-2 a push that was missed drops everything of the organization", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      yield* cache.check({ resourceId: model })
      platform.pushing = false
      platform.revoke(agent, model)
      platform.pushing = true
      platform.heartbeat()
      assert.isFalse((yield* cache.check({ resourceId: model })).allowed)
    }).pipe(fresh())
  )

  it.effect("FRESH-4 after a lost line an allow is asked for again", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      yield* cache.check({ resourceId: model })
      platform.line(false)
      assert.strictEqual((yield* cache.check({ resourceId: model })).source, "platform")
    }).pipe(fresh())
  )

  it.effect("an answer that a push has overtaken is asked for again", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      const asking = yield* Effect.forkChild(cache.check({ resourceId: model }), { startImmediately: true })
      platform.revoke(agent, model)
      yield* Fiber.join(asking)
      assert.isFalse((yield* cache.check({ resourceId: model })).allowed)
    }).pipe(fresh())
  )

  it.effect("TRUST-9 a hit compares a pushed score with what the resource requires", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      platform.resource({ id: model, trustTierRequired: 55 })
      platform.trust(agent, 58)
      assert.isTrue((yield* cache.check({ resourceId: model })).allowed)
      assert.strictEqual((yield* cache.check({ resourceId: model })).source, "cache")
      platform.trust(agent, 54)
      const decision = yield* cache.check({ resourceId: model })
      assert.deepInclude(decision, { allowed: false, reason: "Trust score too low: 54 < 55" })
    }).pipe(fresh())
  )

  /** A check whose answer is on its way while the score goes from 64 to another of the same tier. */
  const asked = (score: number) =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      const cache = yield* PermissionCache
      platform.resource({ id: model, trustTierRequired: 62 })
      platform.grant(agent, model)
      platform.trust(agent, 64)
      platform.heartbeat()
      const asking = yield* Effect.forkChild(cache.check({ resourceId: model }), { startImmediately: true })
      yield* TestClock.adjust("500 millis")
      platform.trust(agent, score)
      for (let i = 0; i < 8 && asking.pollUnsafe() === undefined; i++) yield* TestClock.adjust("500 millis")
      const decision = yield* Fiber.join(asking)
      return { cache, decision, platform, trust: yield* TrustTracker }
    })

  it.effect("TRUST-9 FRESH-3 an answer that a lower score has overtaken is asked for again", () =>
    Effect.gen(function* () {
      const { decision, platform, trust } = yield* asked(61)
      assert.deepInclude(decision, { allowed: false, reason: "Trust score too low: 61 < 62" })
      assert.strictEqual(trust.actorUnsafe(agent, "agent").score, 61)
      assert.strictEqual(trust.actorUnsafe(agent, "agent").signed?.score, 61)
      assert.strictEqual(checks(platform), 2)
    }).pipe(Effect.provide(slow))
  )

  it.effect(
    "TRUST-9 an answer that a higher score has overtaken is held, and the score stays the pushed one",
    () =>
      Effect.gen(function* () {
        const { cache, decision, platform, trust } = yield* asked(66)
        assert.isTrue(decision.allowed)
        assert.strictEqual(trust.actorUnsafe(agent, "agent").score, 66)
        assert.strictEqual((yield* cache.check({ resourceId: model })).source, "cache")
        assert.strictEqual(checks(platform), 1)
      }).pipe(Effect.provide(slow))
  )

  it.effect("TRUST-9 a refresh that a push has overtaken changes nothing", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      const trust = yield* TrustTracker
      platform.trust(agent, 72)
      const refreshing = yield* Effect.forkChild(trust.refresh, { startImmediately: true })
      yield* TestClock.adjust("500 millis")
      platform.trust(agent, 61)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(refreshing)).score, 61)
      assert.strictEqual(trust.actorUnsafe(agent, "agent").signed?.score, 61)
    }).pipe(Effect.provide(slow))
  )

  it.effect("scores are taken from a platform whose data went back", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      const trust = yield* TrustTracker
      platform.trust(agent, 72)
      platform.epoch = 1
      platform.actor(agent).score = 50
      for (let i = 0; i < 3; i++) platform.heartbeat()
      yield* cache.check({ resourceId: model })
      assert.strictEqual(trust.actorUnsafe(agent, "agent").score, 50)
    }).pipe(fresh())
  )

  it.effect("FRESH-2 an id in capitals is the same resource, asked about once and revoked at once", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      const id = "abcdef00-0000-4000-8000-00000000000a"
      const inputs = [id, id.toUpperCase()].map((resourceId) => ({ resourceId }))
      platform.resource({ id })
      platform.grant(agent, id)
      for (const input of inputs) assert.isTrue((yield* cache.check(input)).allowed)
      assert.strictEqual(checks(platform), 1)
      platform.revoke(agent, id)
      for (const input of inputs) assert.isFalse((yield* cache.check(input)).allowed)
      yield* cache.holdResources([id.toUpperCase()])
      assert.strictEqual(cache.recordUnsafe(id)?.id, id)
    }).pipe(fresh())
  )

  it.effect("a suspended agent is denied at once", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      yield* cache.check({ resourceId: model })
      platform.suspend(agent)
      assert.deepInclude(yield* cache.check({ resourceId: model }), {
        allowed: false,
        reason: "Agent is suspended"
      })
    }).pipe(fresh())
  )
})

const Step = Schema.Struct({
  do: Schema.Literals(["check", "check", "flip", "wait", "deafen", "listen", "heartbeat"]),
  key: Schema.Literals([0, 1]),
  seconds: Schema.Literals([1, 2, 4])
})

it.effect.prop(
  "CACHE-1 FRESH-2 FRESH-3 what was heard holds at once, what was not after three seconds, a denial after five",
  [Schema.Array(Step).check(Schema.isMinLength(20), Schema.isMaxLength(80))],
  ([steps]) =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      const keys = [testUuid(11), testUuid(12)]
      for (const id of keys) {
        platform.resource({ id })
        platform.grant(agent, id)
      }
      // The model: which keys have changed without being heard of, and when.
      const unheard = new Map<string, number>()
      const heard = () => platform.pushing && unheard.clear()
      let now = 0
      for (const step of steps) {
        const key = keys[step.key] ?? model
        const granted = platform.grantOf(agent, key, "use")?.status === "approved"
        switch (step.do) {
          case "flip":
            if (!platform.pushing) unheard.set(key, now)
            if (granted) platform.revoke(agent, key)
            else platform.grant(agent, key)
            heard()
            break
          case "wait":
            now += step.seconds * 1000
            yield* TestClock.adjust(`${step.seconds} seconds`)
            break
          case "deafen":
            platform.pushing = false
            break
          case "listen":
            platform.pushing = true
            break
          case "heartbeat":
            platform.heartbeat()
            heard()
            break
          case "check": {
            const decision = yield* cache.check({ resourceId: key })
            if (decision.allowed === granted) break
            const since = unheard.get(key)
            assert.isDefined(since, "a change that was heard of does not hold")
            assert.isBelow(now - (since ?? 0), decision.allowed ? 3000 : 5000)
          }
        }
      }
    }).pipe(fresh()),
  { arbitrary: { runs: 50 }, timeout: 60_000 }
)

describe("outages", () => {
  /** An agent at a score, on a platform that goes away after one check of `warm`. */
  const away = (score: number, warm: boolean, resource: { readonly id: string } = { id: model }) =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      platform.trust(agent, score)
      yield* cache.holdResources([resource.id])
      // Learns the agent's signed score on another resource.
      yield* cache.check({ resourceId: testUuid(9) })
      if (warm) yield* cache.preload([{ resourceId: resource.id }, { resourceId: database }])
      platform.fault = { _tag: "Refuse" }
      platform.line(false)
      return { cache, platform }
    })
  // Retries pause: time moves on while a check is under way.
  const checked = (cache: PermissionCache["Service"], input: CheckInput) =>
    Effect.gen(function* () {
      const asking = yield* Effect.forkChild(cache.check(input), { startImmediately: true })
      for (let i = 0; i < 40 && asking.pollUnsafe() === undefined; i++) yield* TestClock.adjust("250 millis")
      return yield* Fiber.join(asking)
    })

  it.effect("OUTAGE-4 without a warm approval an agent at 72 goes on degraded", () =>
    Effect.gen(function* () {
      const { cache } = yield* away(72, false)
      const decision = yield* checked(cache, { resourceId: model })
      assert.deepInclude(decision, { allowed: true, mode: "degraded", rule: "trusted", source: "outage" })
    }).pipe(fresh())
  )

  it.effect("OUTAGE-3 a record to be held that a missed push dropped is fetched again at once", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      platform.trust(agent, 72)
      yield* cache.holdResources([model])
      yield* cache.check({ resourceId: testUuid(9) })
      platform.pushing = false
      platform.revoke(agent, testUuid(9))
      platform.pushing = true
      platform.heartbeat()
      yield* TestClock.adjust("100 millis")
      platform.fault = { _tag: "Refuse" }
      platform.line(false)
      assert.notInclude((yield* checked(cache, { resourceId: model })).rule ?? "", "excluded")
    }).pipe(fresh())
  )

  for (const [first, meet] of [
    ["heartbeat", (platform: Platform) => Effect.sync(() => platform.heartbeat())],
    ["answer", () => Effect.flatMap(PermissionCache, (cache) => cache.check({ resourceId: testUuid(9) }))]
  ] as const)
    it.effect(`OUTAGE-3 a record that was held before the first ${first} named an epoch stays held`, () =>
      Effect.gen(function* () {
        const platform = yield* TestPlatform
        const cache = yield* PermissionCache
        platform.resource({ id: model })
        yield* cache.holdResources([model])
        yield* meet(platform)
        platform.fault = { _tag: "Refuse" }
        yield* TestClock.adjust("5 seconds")
        assert.isNotNull(cache.recordUnsafe(model))
      }).pipe(fresh())
    )

  it.effect(
    "OUTAGE-3 a record from before the first epoch is fetched again, and one that is gone is let go",
    () =>
      Effect.gen(function* () {
        const platform = yield* TestPlatform
        const cache = yield* PermissionCache
        platform.resource({ id: model })
        platform.resource({ id: database })
        yield* cache.holdResources([model, database])
        platform.pushing = false
        platform.resource({ id: model, riskLevel: "critical" })
        platform.resources.delete(database)
        platform.pushing = true
        platform.heartbeat()
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(cache.recordUnsafe(model)?.riskLevel, "critical")
        assert.isNull(cache.recordUnsafe(database))
        yield* seconds(platform, 3)
        assert.strictEqual(platform.arrived.filter(({ path }) => path.startsWith("/resources")).length, 4)
      }).pipe(fresh())
  )

  it.effect("FRESH-1 OUTAGE-3 the record of a replica that is behind its push is not held", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      yield* cache.holdResources([model])
      const { epoch } = platform
      platform.resource({ id: model, riskLevel: "critical" })
      const followed = platform.epoch
      platform.pushing = false
      platform.resource({ id: model })
      platform.epoch = epoch
      yield* TestClock.adjust("500 millis")
      assert.isNull(cache.recordUnsafe(model))
      platform.resource({ id: model, riskLevel: "critical" })
      platform.epoch = followed
      yield* TestClock.adjust("1 second")
      assert.strictEqual(cache.recordUnsafe(model)?.riskLevel, "critical")
    }).pipe(fresh())
  )

  it.effect("OUTAGE-3 a record that a push names while it is fetched is fetched again", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      const holding = yield* Effect.forkChild(cache.holdResources([model]), { startImmediately: true })
      yield* TestClock.adjust("500 millis")
      platform.resource({ id: model, riskLevel: "critical" })
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(holding)
      assert.strictEqual(cache.recordUnsafe(model)?.riskLevel, "critical")
    }).pipe(Effect.provide(slow))
  )

  it.effect(
    "OUTAGE-3 a record that may have changed unheard lets nothing through, also where an entry had it",
    () =>
      Effect.gen(function* () {
        const { cache, platform } = yield* ready
        platform.trust(agent, 72)
        yield* cache.check({ resourceId: model })
        platform.pushing = false
        platform.resource({ id: model, riskLevel: "critical" })
        platform.fault = { _tag: "Refuse" }
        platform.pushing = true
        platform.heartbeat()
        assert.isFalse((yield* checked(cache, { resourceId: model })).allowed)
      }).pipe(fresh())
  )

  it.effect("OUTAGE-2 local policies and DLP apply also to a check of which nothing is remembered", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      platform.trust(agent, 72)
      platform.setPolicies([
        policy({
          name: "No drops",
          expr: '!has(request.content) || !request.content.contains("DROP TABLE")'
        }),
        policy({ name: "No reading", expr: 'action != "read"' })
      ])
      yield* (yield* PolicySync).sync
      yield* cache.holdResources([model])
      yield* cache.check({ resourceId: testUuid(9) })
      platform.fault = { _tag: "Refuse" }
      platform.line(false)
      assert.isTrue((yield* checked(cache, { resourceId: model })).allowed)
      for (const asked of [
        { resourceId: model, context: { content: "DROP TABLE x" } },
        {
          resourceId: model,
          context: { content: ["sk", "proj", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"].join("-") }
        },
        { resourceId: model, permissionType: "read" as const }
      ])
        assert.isFalse((yield* checked(cache, asked)).allowed)
    }).pipe(fresh())
  )

  it.effect(
    "OUTAGE-2 CHECK-1 a resource known to be inactive, unhealthy or above the trust lets no degraded call through",
    () =>
      Effect.gen(function* () {
        const { cache, platform } = yield* away(72, false)
        platform.fault = { _tag: "None" }
        const closed = testUuid(31)
        const ill = testUuid(32)
        const high = testUuid(33)
        platform.resource({ id: closed, status: "inactive" })
        platform.resource({ id: ill, healthStatus: "unhealthy" })
        platform.resource({ id: high, trustTierRequired: 80 })
        yield* cache.holdResources([closed, ill, high])
        platform.fault = { _tag: "Refuse" }
        assert.isTrue((yield* checked(cache, { resourceId: model })).allowed)
        assert.deepInclude(yield* checked(cache, { resourceId: closed }), {
          allowed: false,
          reason: "Resource is inactive"
        })
        assert.deepInclude(yield* checked(cache, { resourceId: ill }), {
          allowed: false,
          reason: "Resource is unhealthy"
        })
        assert.deepInclude(yield* checked(cache, { resourceId: high }), {
          allowed: false,
          reason: "Trust score too low: 72 < 80"
        })
      }).pipe(fresh())
  )

  it.effect("OUTAGE-4 without a warm approval an agent at 64 is refused", () =>
    Effect.gen(function* () {
      const { cache } = yield* away(64, false)
      assert.deepInclude(yield* checked(cache, { resourceId: model }), { allowed: false, rule: "low_trust" })
    }).pipe(fresh())
  )

  it.effect("OUTAGE-4 with a warm approval both go on, stale, and on a critical database neither does", () =>
    Effect.gen(function* () {
      for (const score of [64, 72])
        yield* Effect.gen(function* () {
          const platform = yield* TestPlatform
          platform.resource({ id: database, riskLevel: "critical", resourceType: "database" })
          platform.grant(agent, database)
          const { cache } = yield* away(score, true)
          assert.deepInclude(yield* checked(cache, { resourceId: model }), { allowed: true, mode: "stale" })
          assert.deepInclude(yield* checked(cache, { resourceId: database }), {
            allowed: false,
            rule: "excluded"
          })
        }).pipe(fresh())
    })
  )

  it.effect("OUTAGE-2 a known denial stands, and so does what a push has named", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      platform.trust(agent, 90)
      yield* cache.check({ resourceId: model })
      yield* cache.check({ resourceId: testUuid(9) })
      platform.fault = { _tag: "Refuse" }
      platform.revoke(agent, model)
      platform.line(false)
      assert.deepInclude(yield* checked(cache, { resourceId: model }), { allowed: false, rule: "changed" })
      assert.deepInclude(yield* checked(cache, { resourceId: testUuid(9) }), {
        allowed: false,
        reason: "Resource not found"
      })
    }).pipe(fresh())
  )

  for (const failure of [FailurePolicy.trustAware(), FailurePolicy.failOpen]) {
    const under = Effect.provide(AgionTest.layer().pipe(Layer.provide(FailurePolicy.layer(failure))))

    it.effect(
      `OUTAGE-2 FRESH-3 a suspension that was told stands on every resource, under ${failure.name}`,
      () =>
        Effect.gen(function* () {
          const { cache, platform } = yield* ready
          platform.trust(agent, 90)
          platform.resource({ id: testUuid(3) })
          yield* cache.holdResources([testUuid(3), model])
          platform.suspend(agent)
          assert.isFalse((yield* cache.check({ resourceId: testUuid(9) })).allowed)
          platform.fault = { _tag: "Refuse" }
          platform.line(false)
          const decision = yield* checked(cache, { resourceId: model })
          assert.deepInclude(decision, { allowed: false, rule: "known_denial", reason: "Agent is suspended" })
          assert.deepInclude(decision.denial, { step: "agent", remedy: "operator" })
        }).pipe(under)
    )

    it.effect(`OUTAGE-2 FRESH-3 a suspension that was pushed stands unasked, under ${failure.name}`, () =>
      Effect.gen(function* () {
        const { cache, platform } = yield* ready
        platform.trust(agent, 90)
        yield* cache.check({ resourceId: testUuid(9) })
        yield* cache.holdResources([model])
        platform.fault = { _tag: "Refuse" }
        platform.suspend(agent)
        platform.line(false)
        assert.deepInclude(yield* checked(cache, { resourceId: model }), { allowed: false, rule: "changed" })
      }).pipe(under)
    )

    it.effect(
      `OUTAGE-2 FRESH-3 a revocation that was pushed stands where nothing was asked, under ${failure.name}`,
      () =>
        Effect.gen(function* () {
          const { cache, platform } = yield* ready
          platform.trust(agent, 90)
          yield* cache.check({ resourceId: testUuid(9) })
          yield* cache.holdResources([model])
          platform.fault = { _tag: "Refuse" }
          platform.revoke(agent, model)
          platform.line(false)
          assert.deepInclude(yield* checked(cache, { resourceId: model }), {
            allowed: false,
            rule: "changed"
          })
        }).pipe(under)
    )
  }

  it.effect("OUTAGE-2 an answer lifts what was heard of an agent, and what was granted is asked for", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      const [granted, untouched] = [testUuid(3), testUuid(4)]
      platform.resource({ id: granted })
      platform.resource({ id: untouched })
      platform.trust(agent, 90)
      yield* cache.holdResources([granted, untouched])
      platform.suspend(agent)
      yield* cache.check({ resourceId: database })
      platform.suspend(agent, false)
      yield* cache.check({ resourceId: database })
      platform.grant(agent, granted)
      yield* TestClock.adjust("1 second")
      platform.fault = { _tag: "Refuse" }
      platform.line(false)
      assert.deepInclude(yield* checked(cache, { resourceId: untouched }), {
        allowed: true,
        mode: "degraded"
      })
      assert.deepInclude(yield* checked(cache, { resourceId: granted }), { allowed: true, mode: "stale" })
    }).pipe(fresh())
  )

  it.effect("OUTAGE-2 what was heard of an agent is lifted, too, where the platform's data went back", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      yield* cache.check({ resourceId: model })
      platform.suspend(agent)
      assert.isFalse((yield* cache.check({ resourceId: model })).allowed)
      // From a backup of before the suspension.
      platform.epoch = 1
      platform.actor(agent).suspended = false
      for (let i = 0; i < 3; i++) platform.heartbeat()
      // A denial lives for five seconds.
      yield* seconds(platform, 5)
      assert.isTrue((yield* cache.check({ resourceId: model })).allowed)
      platform.fault = { _tag: "Refuse" }
      platform.line(false)
      assert.deepInclude(yield* checked(cache, { resourceId: model }), { allowed: true, mode: "stale" })
    }).pipe(fresh())
  )

  it.effect(
    "OUTAGE-2 the budget of degraded calls is small, and a warm approval ends after five minutes",
    () =>
      Effect.gen(function* () {
        const { cache } = yield* away(72, false)
        for (let i = 0; i < 20; i++) assert.isTrue((yield* checked(cache, { resourceId: model })).allowed)
        assert.deepInclude(yield* checked(cache, { resourceId: model }), { allowed: false, rule: "budget" })
        yield* TestClock.adjust("6 minutes")
        assert.deepInclude(yield* checked(cache, { resourceId: model }), {
          allowed: false,
          rule: "unknown_trust"
        })
      }).pipe(fresh())
  )

  it.effect("OUTAGE-6 what goes on is recorded before it does", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* away(72, false)
      yield* checked(cache, { resourceId: model })
      platform.fault = { _tag: "None" }
      platform.events.length = 0
      const flushing = yield* Effect.forkChild((yield* EventBuffer).flush({ deadline: "1 minute" }))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(flushing)
      assert.deepInclude(platform.events[0], { decision: "allow", mode: "degraded", agent_id: agent })
      assert.notProperty(platform.events[0], "reported_by")
    }).pipe(fresh())
  )

  it.effect("OUTAGE-6 what goes on for another actor is told as the word of the agent that decided it", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      platform.grant("agent-2", model)
      const other = { actorId: "agent-2", resourceId: model }
      assert.isTrue((yield* cache.check(other)).allowed)
      platform.fault = { _tag: "Refuse" }
      platform.line(false)
      assert.deepInclude(yield* checked(cache, other), { allowed: true, mode: "stale" })
      platform.fault = { _tag: "None" }
      const flushing = yield* Effect.forkChild((yield* EventBuffer).flush({ deadline: "1 minute" }))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(flushing)
      assert.deepInclude(platform.events[0], { mode: "stale", agent_id: "agent-2", reported_by: agent })
    }).pipe(fresh())
  )

  it.effect("OUTAGE-1 a refusal is no outage", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      platform.trust(agent, 99)
      yield* cache.check({ resourceId: testUuid(9) })
      for (const status of [400, 401, 403, 404, 422, 429, 500]) {
        platform.fault = { _tag: "Status", status, ...(status === 429 ? { retryAfter: "20" } : {}) }
        const error = yield* Effect.flip(cache.check({ resourceId: testUuid(700 + status) }))
        assert.deepInclude(error, { _tag: "PlatformRefused", status })
      }
    }).pipe(fresh())
  )

  it.effect("OUTAGE-1 refused connections, silence, 502 to 504 and garbage are outages", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      const faults = [
        { _tag: "Refuse" },
        { _tag: "Hang" },
        { _tag: "Garble" },
        { _tag: "Status", status: 502 },
        { _tag: "Status", status: 503 },
        { _tag: "Status", status: 504 }
      ] as const
      for (const fault of faults) {
        platform.fault = fault
        const decision = yield* checked(cache, { resourceId: model })
        assert.deepInclude(decision, { allowed: false, source: "outage" })
      }
    }).pipe(fresh())
  )

  const policies = [
    [FailurePolicy.failClosed, false, "fail_closed"],
    [FailurePolicy.staleOnly(), false, "stale_only"],
    [FailurePolicy.failOpen, true, "fail_open"]
  ] as const
  for (const [failure, allowed, rule] of policies)
    it.effect(`OUTAGE-2 the policy ${failure.name} decides by its own rule`, () =>
      Effect.gen(function* () {
        const { cache } = yield* away(72, false)
        assert.deepInclude(yield* checked(cache, { resourceId: model }), { allowed, rule })
      }).pipe(Effect.provide(AgionTest.layer().pipe(Layer.provide(FailurePolicy.layer(failure)))))
    )

  it.effect("OUTAGE-5 a score that another key signed lets nobody through", () =>
    Effect.gen(function* () {
      const { cache, platform } = yield* ready
      yield* cache.check({ resourceId: testUuid(9) })
      platform.rotateKey("test-key-2")
      platform.trust(agent, 95)
      yield* cache.holdResources([model])
      yield* cache.check({ resourceId: testUuid(8) })
      platform.fault = { _tag: "Refuse" }
      platform.line(false)
      assert.deepInclude(yield* checked(cache, { resourceId: model }), {
        allowed: false,
        rule: "unknown_trust"
      })
    }).pipe(fresh())
  )
})

it.effect("a caller that goes away takes nobody with it", () =>
  Effect.gen(function* () {
    const { cache } = yield* ready
    const started = yield* Deferred.make<void>()
    const first = yield* Effect.forkChild(
      Effect.andThen(Deferred.succeed(started, undefined), cache.check({ resourceId: model })),
      { startImmediately: true }
    )
    const second = yield* Effect.forkChild(cache.check({ resourceId: model }), { startImmediately: true })
    yield* Fiber.interrupt(first)
    assert.isTrue((yield* Fiber.join(second)).allowed)
  }).pipe(fresh())
)
