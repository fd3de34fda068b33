/** The shared cache between a platform that signs and agents that read, over Redis' protocol. */
import { Streams } from "@agion/domain"
import { AgentConfig, AgionSdk, PermissionCache, SharedCache, TrustTracker } from "@agion/sdk"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schedule } from "effect"
import { Redis } from "effect/persistence"
import { Platform } from "../src/index.ts"

const names = Streams.streamNames()

/** Waits for a condition, with a bound. */
const until = <A, E, R>(effect: Effect.Effect<A, E, R>, holds: (value: A) => boolean) =>
  effect.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("20 seconds")
  )

const stands = (name: string) =>
  Effect.gen(function* () {
    const platform = yield* Platform.Platform
    return yield* Context.get(platform.services, Redis.Redis).send<string | null>("GET", name)
  })

const put = (name: string, text: string) =>
  Effect.gen(function* () {
    const platform = yield* Platform.Platform
    yield* Context.get(platform.services, Redis.Redis).send("SET", name, text)
  })

/** An agent of its own, connected and told of the epoch. */
const started = Effect.fnUntraced(function* (organizationId: string, redis = true) {
  const platform = yield* Platform.Platform
  const context = yield* Layer.build(
    AgionSdk.layer({
      agentId: "agent-1",
      organizationId,
      gatewayUrl: platform.url,
      directory: false,
      ...(redis ? { redisUrl: platform.redisUrl } : {})
    })
  )
  const cache = Context.get(context, PermissionCache)
  const shared = Context.get(context, SharedCache)
  return {
    cache,
    shared,
    config: Context.get(context, AgentConfig),
    trust: Context.get(context, TrustTracker)
  }
})

/** A resource and the agent's permission to use it. */
const granted = Effect.fnUntraced(function* (organizationId: string, name: string, constraints = {}) {
  const platform = yield* Platform.Platform
  const made = yield* platform.post("/resources", {
    organization_id: organizationId,
    resource_type: "ai_model",
    name,
    resource_data: {},
    created_by: "tester"
  })
  const asked = yield* platform.post("/permissions", {
    actor_id: "agent-1",
    actor_type: "agent",
    resource_id: made.body.id,
    permission_type: "use",
    purpose: "test",
    constraints
  })
  const approved = yield* platform.post(`/permissions/${asked.body.id}/approve`, { approved_by: "boss" })
  assert.strictEqual(approved.status, 200, approved.text)
  return { resourceId: String(made.body.id), permissionId: String(asked.body.id) }
})

const keyOf = (organizationId: string, resourceId: string) =>
  names.shared("permission", organizationId, "agent", "agent-1", resourceId, "use")

type Agent = Effect.Success<ReturnType<typeof started>>

/** Asks until the answer came from the shared cache: then pushes have confirmed the epoch that was signed. */
const readsShared = (agent: Agent, resourceId: string) =>
  until(
    Effect.andThen(
      Effect.andThen(agent.cache.invalidate, agent.cache.check({ resourceId })),
      agent.shared.statistics
    ),
    ({ hits }) => hits > 0
  )

/** Does something, with what is shared brought to the present epoch before, until it came from the shared cache. */
const reads = <A, B, E, F>(agent: Agent, shares: Effect.Effect<A, E>, asks: Effect.Effect<B, F>) =>
  Effect.flatMap(agent.shared.statistics, (before) =>
    until(
      Effect.andThen(Effect.andThen(shares, asks), agent.shared.statistics),
      ({ hits }) => hits > before.hits
    )
  )

layer(Platform.layer({ server: { sharedCache: true } }), {
  timeout: "60 seconds",
  excludeTestServices: true
})("the shared cache", (it) => {
  it.effect("CACHE-3 what one agent asked is signed into Redis, and another is answered by it", () =>
    Effect.gen(function* () {
      const { resourceId } = yield* granted("org-a", "model-a")
      const first = yield* started("org-a")
      yield* until(
        Effect.andThen(
          Effect.andThen(first.cache.invalidate, first.cache.check({ resourceId })),
          stands(keyOf("org-a", resourceId))
        ),
        (text) => text !== null
      )
      const second = yield* started("org-a")
      yield* readsShared(second, resourceId)
      assert.isTrue((yield* second.cache.check({ resourceId })).allowed)
      assert.isNotNull(yield* stands(names.shared("trust", "org-a", "agent", "agent-1")))
      assert.isNotNull(yield* stands(names.shared("resource", "org-a", resourceId)))
      const shares = Effect.andThen(first.cache.invalidate, first.cache.check({ resourceId }))
      yield* reads(second, shares, second.trust.refresh)
      assert.strictEqual((yield* second.trust.score).score, 40)
      yield* reads(second, shares, second.cache.holdResources([resourceId]))
    })
  )

  it.effect(
    "CACHE-3 a revocation makes what was signed before it a miss, however often it is written again",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const { permissionId, resourceId } = yield* granted("org-b", "model-b")
        const agent = yield* started("org-b")
        yield* readsShared(agent, resourceId)
        const kept = (yield* stands(keyOf("org-b", resourceId))) ?? ""
        assert.include(kept, "signature")
        const revoked = yield* platform.post(`/permissions/${permissionId}/revoke`, {
          revoked_by: "boss",
          reason: "test"
        })
        assert.strictEqual(revoked.status, 200, revoked.text)
        yield* until(agent.cache.check({ resourceId }), ({ allowed }) => !allowed)
        for (let round = 0; round < 20; round++) {
          yield* put(keyOf("org-b", resourceId), kept)
          yield* agent.cache.invalidate
          assert.isFalse((yield* agent.cache.check({ resourceId })).allowed)
        }
        const late = yield* started("org-b")
        yield* until(
          Effect.gen(function* () {
            yield* put(keyOf("org-b", resourceId), kept)
            yield* late.cache.invalidate
            assert.isFalse((yield* late.cache.check({ resourceId })).allowed)
            return yield* late.shared.statistics
          }),
          ({ misses }) => misses.older > 0
        )
      })
  )

  it.effect("CACHE-3 an entry moved to another organization's name is a miss there", () =>
    Effect.gen(function* () {
      const { resourceId } = yield* granted("org-c", "model-c")
      const agent = yield* started("org-c")
      yield* readsShared(agent, resourceId)
      const foreign = (yield* stands(keyOf("org-c", resourceId))) ?? ""
      yield* granted("org-d", "model-d")
      const stranger = yield* started("org-d")
      yield* until(
        Effect.gen(function* () {
          yield* put(keyOf("org-d", resourceId), foreign)
          yield* stranger.cache.invalidate
          assert.isFalse((yield* stranger.cache.check({ resourceId })).allowed)
          return yield* stranger.shared.statistics
        }),
        ({ misses }) => misses["other organization"] > 0
      )
    })
  )

  it.effect("what depends on usage is not shared", () =>
    Effect.gen(function* () {
      const plain = yield* granted("org-e", "model-e")
      const limited = yield* granted("org-e", "model-f", { rate_limit_rpm: 10 })
      const agent = yield* started("org-e")
      yield* agent.cache.check({ resourceId: limited.resourceId })
      yield* readsShared(agent, plain.resourceId)
      assert.isNull(yield* stands(keyOf("org-e", limited.resourceId)))
    })
  )

  it.effect("FRESH-3 a changed prompt is looked up anew, over Redis and over HTTP", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const prompt = { name: "greet", location: "door", content: "Hello", organization_id: "org-g" }
      const made = yield* platform.post("/prompts", prompt)
      const agents = [yield* started("org-g"), yield* started("org-g", false)]
      for (const { config } of agents) assert.strictEqual((yield* config.prompt("door")).content, "Hello")
      yield* platform.put(`/prompts/${made.body.id}`, { content: "Good day" })
      for (const { config } of agents)
        yield* until(config.prompt("door"), ({ content }) => content === "Good day")
    })
  )
})

layer(Platform.layer(), { timeout: "60 seconds", excludeTestServices: true })(
  "a platform that shares nothing",
  (it) => {
    it.effect("writes nothing, and its agents are answered as before", () =>
      Effect.gen(function* () {
        const { resourceId } = yield* granted("org-a", "model-a")
        const agent = yield* started("org-a")
        assert.isTrue((yield* agent.cache.check({ resourceId })).allowed)
        assert.isNull(yield* stands(keyOf("org-a", resourceId)))
      })
    )
  }
)
