import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { AgionSdk, Health, Registrar, Settings } from "../src/index.ts"
import { AgionTest, TestPlatform } from "../src/testing/index.ts"

const options = { agentId: "agent-1", gatewayUrl: "http://platform.test", directory: false } as const

/** The SDK over a platform that is away while the layer is built. */
const builtDuringOutage = AgionSdk.layerOver(options).pipe(
  Layer.provideMerge(
    Layer.effectDiscard(
      Effect.map(TestPlatform, (platform) => {
        platform.fault = { _tag: "Refuse" }
      })
    ).pipe(Layer.provideMerge(AgionTest.connections()))
  )
)

describe("the whole SDK", () => {
  it.effect(
    "GOVERN-6 a platform that is away does not keep the agent from starting, and it registers later",
    () =>
      Effect.gen(function* () {
        const platform = yield* TestPlatform
        const registrar = yield* Registrar
        yield* TestClock.adjust("10 seconds")
        assert.isFalse(registrar.stateUnsafe().registered)
        const report = yield* (yield* Health).now
        assert.strictEqual(report.status, "degraded")
        assert.isFalse(report.ready)
        platform.fault = { _tag: "None" }
        for (let i = 0; i < 120 && !registrar.stateUnsafe().registered; i++)
          yield* TestClock.adjust("1 second")
        assert.isTrue(registrar.stateUnsafe().registered)
        assert.isTrue(platform.arrived.some(({ path }) => path === "/agents/register"))
      }).pipe(Effect.provide(builtDuringOutage))
  )

  it.effect("GOVERN-6 a client of the program's that throws at first ends nothing in the background", () => {
    let requests = 0
    const throwing = Layer.effect(
      HttpClient.HttpClient,
      Effect.map(
        HttpClient.HttpClient,
        HttpClient.mapRequest((request) => {
          if (requests++ < 10) throw new Error("no key at hand")
          return request
        })
      )
    )
    const layer = AgionSdk.layerOver(options).pipe(
      Layer.provide(throwing),
      Layer.provideMerge(AgionTest.connections())
    )
    return Effect.gen(function* () {
      const registrar = yield* Registrar
      const health = yield* Health
      assert.include((yield* registrar.register).problem ?? "", "a defect")
      for (let i = 0; i < 900 && !(yield* health.now).ready; i++) yield* TestClock.adjust("1 second")
      assert.deepInclude(registrar.stateUnsafe(), { registered: true, problem: null })
      assert.isNotNull((yield* health.now).policies.version)
    }).pipe(Effect.provide(layer))
  })

  it.effect("GOVERN-6 the agent is seen again every minute", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      const seen = () => platform.arrived.filter(({ path }) => path === "/agents/register").length
      for (let i = 0; i < 10; i++) yield* TestClock.adjust("20 seconds")
      assert.isAtLeast(seen(), 3)
    }).pipe(Effect.provide(AgionTest.layer()))
  )

  const environment = (env: Record<string, string>) =>
    Effect.provide(
      AgionSdk.layerConfig.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(env))))
    )
  const base = {
    AGION_AGENT_ID: "agent-7",
    AGION_GATEWAY_URL: "http://127.0.0.1:1",
    AGION_DIRECTORY: "false"
  }

  it.effect("reads its settings from the environment", () =>
    Effect.gen(function* () {
      const settings: object = { ...(yield* Settings) }
      assert.deepInclude(settings, {
        agentId: "agent-7",
        organizationId: "acme",
        governance: true,
        enforcement: "observe",
        production: true,
        signingKey: { keyId: "key:1", publicKey: "A".repeat(43) }
      })
    }).pipe(
      environment({
        ...base,
        AGION_ORG_ID: "acme",
        AGION_ENV: "production",
        AGION_ENFORCEMENT: "observe",
        AGION_SIGNING_KEY: `key:1:${"A".repeat(43)}`
      })
    )
  )

  it.effect("GOVERN-5 refuses to switch governance off in production", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Effect.scoped(
          Layer.build(AgionSdk.layer({ ...options, environment: "production", governance: false }))
        )
      )
      assert.include(error.message, "cannot be switched off in production")
    })
  )
})
