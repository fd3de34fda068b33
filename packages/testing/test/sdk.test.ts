import {
  AgionSdk,
  EventBuffer,
  governed,
  Health,
  PermissionCache,
  PolicyEngine,
  PolicySync,
  TrustTracker
} from "@agion/sdk"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Schedule, Stream } from "effect"
import { Platform } from "../src/index.ts"

const agent = "sdk-agent"

/** Waits for a condition of the platform, with a bound. */
const until = <A, E, R>(effect: Effect.Effect<A, E, R>, holds: (value: A) => boolean) =>
  effect.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("10 seconds")
  )

const resource = (name: string, more: object = {}) =>
  Effect.gen(function* () {
    const platform = yield* Platform.Platform
    const made = yield* platform.post("/resources", {
      organization_id: "default",
      resource_type: "ai_model",
      name,
      resource_data: {},
      created_by: "tester",
      ...more
    })
    assert.strictEqual(made.status, 201, made.text)
    return String(made.body.id)
  })

const permission = (resourceId: string, more: object = {}) =>
  Effect.gen(function* () {
    const platform = yield* Platform.Platform
    const asked = yield* platform.post("/permissions", {
      actor_id: agent,
      actor_type: "agent",
      resource_id: resourceId,
      permission_type: "use",
      purpose: "test",
      ...more
    })
    assert.strictEqual(asked.status, 201, asked.text)
    const approved = yield* platform.post(`/permissions/${asked.body.id}/approve`, { approved_by: "boss" })
    assert.strictEqual(approved.status, 200, approved.text)
    return String(asked.body.id)
  })

const sdk = (redis: boolean) =>
  Layer.unwrap(
    Effect.map(Platform.Platform, (platform) =>
      AgionSdk.layer({
        agentId: agent,
        gatewayUrl: platform.url,
        directory: false,
        ...(redis ? { redisUrl: platform.redisUrl } : {})
      })
    )
  )

for (const redis of [true, false])
  layer(sdk(redis).pipe(Layer.provideMerge(Platform.layer())), {
    timeout: "60 seconds",
    excludeTestServices: true
  })(`the SDK on a platform, ${redis ? "over Redis" : "over HTTP alone"}`, (it) => {
    it.effect("runs a governed call and earns trust for it", () =>
      Effect.gen(function* () {
        const model = yield* resource("model-a")
        yield* permission(model)
        const trust = yield* TrustTracker
        const changed = yield* trust.changes.pipe(
          Stream.runHead,
          Effect.forkChild({ startImmediately: true })
        )
        assert.strictEqual(yield* Effect.succeed(1).pipe(governed("chat", model)), 1)
        yield* (yield* EventBuffer).flush()
        yield* Fiber.join(changed).pipe(Effect.timeout("10 seconds"))
        assert.strictEqual((yield* trust.score).score, 42)
        const cache = yield* PermissionCache
        // The push of the approval names what was asked meanwhile, and drops it, whenever it comes (FRESH-2).
        const hit = yield* until(cache.check({ resourceId: model }), ({ source }) => source === "cache")
        assert.isTrue(hit.allowed)
      })
    )

    it.effect("FRESH-3 a revocation reaches the agent by push", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const cache = yield* PermissionCache
        const model = yield* resource("model-b")
        const id = yield* permission(model)
        yield* cache.check({ resourceId: model })
        yield* until(cache.check({ resourceId: model }), (decision) => decision.source === "cache")
        const revoked = yield* platform.post(`/permissions/${id}/revoke`, {
          revoked_by: "boss",
          reason: "test"
        })
        assert.strictEqual(revoked.status, 200)
        yield* until(cache.check({ resourceId: model }), (decision) => !decision.allowed)
      })
    )

    it.effect("POLICY-7 a policy that is created reaches the agent by push and denies", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const engine = yield* PolicyEngine
        const sync = yield* PolicySync
        const before = yield* sync.sync
        const created = yield* platform.post("/policies", {
          name: `No refunds ${redis}`,
          description: "",
          type: "access",
          category: "test",
          priority: 10,
          enabled: true,
          policy_language: "cel",
          policy_expr: 'action != "refund"'
        })
        assert.strictEqual(created.status, 201, created.text)
        yield* until(engine.version, (version) => version !== before)
        const model = yield* resource("model-c")
        yield* permission(model)
        const error = yield* Effect.void.pipe(governed("refund", model), Effect.flip)
        assert.strictEqual(error._tag, "PolicyViolation")
      })
    )

    it.effect("LIMIT-6 a call on a limited permission is reserved and settled", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const model = yield* resource("model-d")
        const id = yield* permission(model, { constraints: { token_limit_per_day: 1000 } })
        const call = governed<number>("chat", model, {
          estimate: { tokens: 600 },
          usage: (tokens: number) => ({ tokens })
        })
        yield* call(Effect.succeed(550))
        yield* (yield* EventBuffer).flush()
        const used = yield* platform.get(`/permissions/${id}`)
        assert.strictEqual(used.body.usage_tracking.current_day_tokens, 550)
        const error = yield* Effect.flip(call(Effect.succeed(1)))
        assert.include(error.message, "Token limit would be exceeded")
      })
    )

    it.effect("GOVERN-6 the agent is registered, and everything is well", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const health = yield* Health
        const report = yield* until(health.now, (now) => now.ready && now.status === "ok")
        assert.deepStrictEqual(report.problems, [])
        const record = yield* platform.get(`/agents/${agent}`)
        assert.strictEqual(record.body.agent_id, agent)
      })
    )
  })
