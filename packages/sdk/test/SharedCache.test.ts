import { CheckRequest, CheckResult, type Signed, type SignedPayload, Streams } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { PermissionCache, SharedCache, SharedEntries, type SharedMiss, TrustTracker } from "../src/index.ts"
import { AgionTest, type Platform, TestPlatform, testUuid } from "../src/testing/index.ts"

const agent = "agent-1"
const model = testUuid(1)
const other = testUuid(2)
const names = Streams.streamNames()

const nameOf = (actorId = agent, resourceId = model, organizationId = "default") =>
  names.shared("permission", organizationId, "agent", actorId, resourceId, "use")

const envelope = ({ payload, keyId, signature }: Signed) =>
  JSON.stringify({ payload, key_id: keyId, signature })

const encodeResult = Schema.encodeSync(Schema.toCodecJson(CheckResult))
const decodeRequest = Schema.decodeSync(CheckRequest)

const question = (actorId: string, resourceId: string) =>
  ({ actor_id: actorId, actor_type: "agent", resource_id: resourceId, permission_type: "use" }) as const

/** What the platform would write now about this agent's use of the model, as text. */
const entryOf = (platform: Platform): string => {
  const asked = question(agent, model)
  const result = platform.check(decodeRequest({ ...asked, fields: "entry" }))
  return envelope(
    platform.sign("permission", { ...asked, result: encodeResult(result) }, platform.epoch, 30_000)
  )
}

/** An allow of what nobody granted, signed by the platform's key unless told otherwise. */
const forgery = (
  platform: Platform,
  about: {
    readonly actorId?: string
    readonly resourceId?: string
    readonly life?: number
    readonly kind?: SignedPayload["kind"]
    readonly epoch?: number
    readonly organizationId?: string
  } = {}
): string => {
  const { actorId = agent, resourceId = other, kind = "permission", life = 30_000 } = about
  const result = platform.check(decodeRequest({ ...question(agent, model), fields: "entry" }))
  assert.isTrue(result.allowed)
  const value = { ...question(actorId, resourceId), result: encodeResult(result) }
  return envelope(platform.sign(kind, value, about.epoch ?? platform.epoch, life, about.organizationId))
}

/** A Redis of one's own: what stands there, how it behaves, and the readings it saw. */
const makeRedis = () => ({
  texts: new Map<string, string>(),
  mode: "up" as "up" | "away" | "slow",
  readings: [] as Array<ReadonlyArray<string>>
})

const within = <A, E>(
  test: (
    redis: ReturnType<typeof makeRedis>
  ) => Effect.Effect<A, E, TestPlatform | PermissionCache | SharedCache | TrustTracker>
) => {
  const redis = makeRedis()
  const reader = Layer.succeed(SharedEntries, {
    read: (asked) =>
      Effect.suspend(() => {
        redis.readings.push(asked)
        if (redis.mode === "away") return Effect.fail("away")
        if (redis.mode === "slow") return Effect.never
        return Effect.succeed(asked.map((name) => redis.texts.get(name) ?? null))
      })
  })
  return test(redis).pipe(Effect.provide(AgionTest.layer().pipe(Layer.provide(reader))))
}

const ready = Effect.gen(function* () {
  const platform = yield* TestPlatform
  platform.resource({ id: model })
  platform.resource({ id: other })
  platform.grant(agent, model)
  platform.heartbeat()
  const cache = yield* PermissionCache
  // The first answer brings the platform's key.
  yield* cache.check({ resourceId: testUuid(99) })
  yield* Effect.repeat(Effect.yieldNow, { times: 50 })
  return { platform, cache, shared: yield* SharedCache }
})

const missed = (shared: SharedCache["Service"], reason: SharedMiss) =>
  Effect.map(shared.statistics, ({ misses }) => misses[reason])

describe("reading what the platform signed", () => {
  it.effect("CACHE-3 an entry of the present epoch answers without the platform, and is remembered", () =>
    within((redis) =>
      Effect.gen(function* () {
        const { cache, platform, shared } = yield* ready
        redis.texts.set(nameOf(), entryOf(platform))
        const before = platform.arrived.length
        assert.deepInclude(yield* cache.check({ resourceId: model }), { allowed: true, source: "cache" })
        assert.deepInclude(yield* cache.check({ resourceId: model }), { allowed: true, source: "cache" })
        assert.strictEqual(platform.arrived.length, before)
        assert.strictEqual((yield* shared.statistics).hits, 1)
      })
    )
  )

  it.effect("FRESH-3 CACHE-3 nothing is read over a line on which everything comes late", () =>
    within((redis) =>
      Effect.gen(function* () {
        const { cache, platform } = yield* ready
        redis.texts.set(nameOf(), entryOf(platform))
        platform.pushDelayMs = 10_000
        for (let second = 0; second < 14; second++) {
          yield* TestClock.adjust("1 second")
          platform.heartbeat()
        }
        redis.readings.length = 0
        assert.strictEqual((yield* cache.check({ resourceId: model })).source, "platform")
        assert.lengthOf(redis.readings, 0)
      })
    )
  )

  it.effect("CACHE-3 it lives from its signature on, not from its reading", () =>
    within((redis) =>
      Effect.gen(function* () {
        const { cache, platform } = yield* ready
        redis.texts.set(nameOf(), entryOf(platform))
        yield* TestClock.adjust("20 seconds")
        platform.heartbeat()
        assert.deepInclude(yield* cache.check({ resourceId: model }), { allowed: true, source: "cache" })
        const entry = cache.heldUnsafe({ resourceId: model })
        assert.strictEqual((entry?.expiresAt ?? 0) - cache.nowUnsafe(), 10_000)
      })
    )
  )

  it.effect("names asked for in one turn are read together", () =>
    within((redis) =>
      Effect.gen(function* () {
        const { cache, platform } = yield* ready
        redis.texts.set(nameOf(), entryOf(platform))
        redis.readings.length = 0
        const ids = [model, ...Array.from({ length: 20 }, (_, n) => testUuid(500 + n))]
        yield* cache.preload(ids.map((resourceId) => ({ resourceId })))
        assert.deepStrictEqual(
          redis.readings.map((one) => one.length),
          [21]
        )
      })
    )
  )

  it.effect("a call with a context is never answered by an entry", () =>
    within((redis) =>
      Effect.gen(function* () {
        const { cache, platform } = yield* ready
        redis.texts.set(nameOf(), entryOf(platform))
        redis.readings.length = 0
        const decision = yield* cache.check({ resourceId: model, context: { content: "hello" } })
        assert.strictEqual(decision.source, "platform")
        assert.lengthOf(redis.readings, 0)
      })
    )
  )

  it.effect("CACHE-3 a score is taken where it is of the present epoch, else asked for", () =>
    within((redis) =>
      Effect.gen(function* () {
        const { platform, shared } = yield* ready
        const trust = yield* TrustTracker
        const sign = (score: number) =>
          envelope(
            platform.sign("trust", { entity_id: agent, entity_type: "agent", score }, platform.epoch, 300_000)
          )
        const name = names.shared("trust", "default", "agent", agent)
        redis.texts.set(name, sign(61))
        assert.strictEqual((yield* trust.refresh).score, 61)
        redis.texts.set(name, sign(99))
        platform.trust(agent, 12)
        assert.strictEqual((yield* trust.refresh).score, 12)
        assert.strictEqual(yield* missed(shared, "older"), 1)
      })
    )
  )

  it.effect("FRESH-2 without a line of pushes nothing is read", () =>
    within((redis) =>
      Effect.gen(function* () {
        const { cache, platform } = yield* ready
        redis.texts.set(nameOf(), entryOf(platform))
        redis.readings.length = 0
        platform.line(false)
        assert.strictEqual((yield* cache.check({ resourceId: model })).source, "platform")
        assert.lengthOf(redis.readings, 0)
      })
    )
  )

  it.effect(
    "FRESH-2 an entry confirms nothing: three seconds after the last push the platform is asked",
    () =>
      within((redis) =>
        Effect.gen(function* () {
          const { cache, platform } = yield* ready
          redis.texts.set(nameOf(), entryOf(platform))
          yield* TestClock.adjust("2900 millis")
          assert.strictEqual((yield* cache.check({ resourceId: model })).source, "cache")
          yield* TestClock.adjust("200 millis")
          assert.strictEqual((yield* cache.check({ resourceId: model })).source, "platform")
        })
      )
  )
})

/** A forgery, what is asked about it, and how the miss is counted. */
interface Attack {
  readonly what: string
  readonly miss: SharedMiss
  readonly plant: (platform: Platform) => string
}

const tampered = (text: string, change: (payload: string) => string): string => {
  const { payload, ...rest } = JSON.parse(text)
  const bytes = Buffer.from(String(payload), "base64url").toString("utf8")
  return JSON.stringify({ ...rest, payload: Buffer.from(change(bytes), "utf8").toString("base64url") })
}

const attacks: ReadonlyArray<Attack> = [
  { what: "text of an agent's own", miss: "unsigned", plant: () => '{"allowed":true}' },
  { what: "an empty text", miss: "unsigned", plant: () => "" },
  {
    what: "an entry that was cut off",
    miss: "unsigned",
    plant: (platform) => forgery(platform).slice(0, -20)
  },
  {
    what: "a payload that was cut off",
    miss: "bad signature",
    plant: (platform) => tampered(forgery(platform), (payload) => payload.slice(0, -5))
  },
  {
    what: "a payload that was changed",
    miss: "bad signature",
    plant: (platform) =>
      tampered(forgery(platform, { resourceId: model }), (payload) => payload.replaceAll(model, other))
  },
  {
    what: "a signature of another key",
    miss: "unknown key",
    plant: (platform) => {
      platform.rotateKey("key-of-nobody")
      return forgery(platform)
    }
  },
  {
    what: "an entry of another organization",
    miss: "other organization",
    plant: (platform) => forgery(platform, { organizationId: "elsewhere" })
  },
  {
    what: "an entry about another actor",
    miss: "other entry",
    plant: (platform) => forgery(platform, { actorId: "agent-2" })
  },
  {
    what: "an entry about another resource",
    miss: "other entry",
    plant: (platform) => forgery(platform, { resourceId: model })
  },
  {
    what: "something of another kind",
    miss: "other entry",
    plant: (platform) => forgery(platform, { kind: "resource" })
  },
  {
    what: "an entry that has run out",
    miss: "expired",
    plant: (platform) => forgery(platform, { life: -1 })
  },
  {
    what: "an entry of an earlier epoch",
    miss: "older",
    plant: (platform) => forgery(platform, { epoch: platform.epoch - 1 })
  },
  {
    what: "an entry of an epoch that nobody told of",
    miss: "ahead",
    plant: (platform) => forgery(platform, { epoch: platform.epoch + 1 })
  }
]

describe("attacks on the shared cache", () => {
  for (const { miss, plant, what } of attacks)
    it.effect(`CACHE-3 ${what} is a miss, counted as ${miss}`, () =>
      within((redis) =>
        Effect.gen(function* () {
          const { cache, platform, shared } = yield* ready
          // Nothing is granted on this resource: only a forgery could let the call through.
          redis.texts.set(nameOf(agent, other), plant(platform))
          const before = yield* missed(shared, miss)
          const decision = yield* cache.check({ resourceId: other })
          assert.deepInclude(decision, { allowed: false, source: "platform" })
          assert.strictEqual(yield* missed(shared, miss), before + 1)
          assert.strictEqual((yield* shared.statistics).hits, 0)
        })
      )
    )

  it.effect(
    "CACHE-3 what the attacks leave out is what lets a call through: the platform's own signature",
    () =>
      within((redis) =>
        Effect.gen(function* () {
          const { cache, platform } = yield* ready
          redis.texts.set(nameOf(agent, other), forgery(platform))
          assert.deepInclude(yield* cache.check({ resourceId: other }), { allowed: true, source: "cache" })
        })
      )
  )

  it.effect(
    "CACHE-3 what was signed before a revocation lets nothing through after it, however often it is written",
    () =>
      within((redis) =>
        Effect.gen(function* () {
          const { cache, platform, shared } = yield* ready
          const kept = entryOf(platform)
          redis.texts.set(nameOf(), kept)
          assert.isTrue((yield* cache.check({ resourceId: model })).allowed)
          platform.revoke(agent, model)
          for (let round = 0; round < 8; round++) {
            redis.texts.set(nameOf(), kept)
            assert.isFalse((yield* cache.check({ resourceId: model })).allowed)
            yield* TestClock.adjust("1 second")
            platform.heartbeat()
          }
          assert.isAtLeast(yield* missed(shared, "older"), 1)
        })
      )
  )

  it.effect("CACHE-3 a suspended agent is let through by no entry, not even one of the present epoch", () =>
    within((redis) =>
      Effect.gen(function* () {
        const { cache, platform } = yield* ready
        yield* cache.check({ resourceId: model })
        platform.suspend(agent)
        // As a replica would sign it that has not heard of the suspension.
        platform.actor(agent).suspended = false
        redis.texts.set(nameOf(), entryOf(platform))
        platform.actor(agent).suspended = true
        assert.isFalse((yield* cache.check({ resourceId: model })).allowed)
      })
    )
  )

  it.effect("CACHE-3 a push that comes while an entry is read makes it a miss", () =>
    within((redis) =>
      Effect.gen(function* () {
        const { cache, platform } = yield* ready
        const kept = entryOf(platform)
        redis.texts.get = (name: string) => {
          if (name === nameOf()) platform.revoke(agent, model)
          return kept
        }
        assert.isFalse((yield* cache.check({ resourceId: model })).allowed)
      })
    )
  )
})

it.effect("CACHE-3 entries of a new key count as soon as the pinned one is known to vouch for it", () =>
  within((redis) =>
    Effect.gen(function* () {
      const { cache, platform, shared } = yield* ready
      yield* TestClock.adjust("1 second")
      platform.heartbeat()
      platform.rotateKey("test-key-2", true)
      redis.texts.set(nameOf(), entryOf(platform))
      // The platform's answer is signed by the new key, too: the agent asks who vouches for it.
      assert.deepInclude(yield* cache.check({ resourceId: model }), { allowed: true, source: "platform" })
      assert.strictEqual(yield* missed(shared, "unknown key"), 1)
      yield* Effect.repeat(Effect.yieldNow, {
        until: () => platform.arrived.filter(({ path }) => path === "/signing-keys").length > 1,
        times: 1000
      })
      yield* Effect.repeat(Effect.yieldNow, { times: 200 })
      redis.texts.set(nameOf(agent, other), forgery(platform))
      assert.deepInclude(yield* cache.check({ resourceId: other }), { allowed: true, source: "cache" })
    })
  )
)

describe("a Redis that is away or slow", () => {
  it.effect("is a miss: the platform answers, and after a few nobody waits for it", () =>
    within((redis) =>
      Effect.gen(function* () {
        const { cache, shared } = yield* ready
        redis.mode = "away"
        redis.readings.length = 0
        for (let n = 0; n < 8; n++)
          assert.strictEqual((yield* cache.check({ resourceId: testUuid(700 + n) })).source, "platform")
        assert.strictEqual(yield* missed(shared, "unavailable"), 8)
        assert.isAtMost(redis.readings.length, 5)
      })
    )
  )

  it.effect("that says nothing holds a call up for fifty milliseconds and no longer", () =>
    within((redis) =>
      Effect.gen(function* () {
        const { cache, shared } = yield* ready
        redis.mode = "slow"
        const before = redis.readings.length
        const asked = yield* Effect.forkChild(cache.check({ resourceId: model }), { startImmediately: true })
        yield* Effect.repeat(Effect.yieldNow, { until: () => redis.readings.length > before, times: 1000 })
        yield* TestClock.adjust("49 millis")
        assert.isUndefined(asked.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual((yield* Fiber.join(asked)).source, "platform")
        assert.strictEqual(yield* missed(shared, "unavailable"), 1)
      })
    )
  )
})

it.effect("without a reader everything is as it was, and the statistics say that it is off", () =>
  Effect.gen(function* () {
    const { cache, shared } = yield* ready
    assert.strictEqual((yield* cache.check({ resourceId: model })).source, "platform")
    assert.deepInclude(yield* shared.statistics, { on: false, hits: 0 })
  }).pipe(Effect.provide(AgionTest.layer()))
)
