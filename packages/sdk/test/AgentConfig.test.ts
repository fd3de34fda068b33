import { inspect } from "node:util"
import type { EpochMessage } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Redacted } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { AgentConfig, GovernanceHttp, makeHub, Pushes, Settings } from "../src/index.ts"

const secret = "only for the model"

const model = {
  id: "m-1",
  name: "writer",
  purpose: "writing",
  provider: "house",
  model_name: "large",
  parameters: {},
  credentials: { api_key: secret },
  metadata: {},
  organization_id: "default",
  created_at: "2026-01-01T00:00:00.000Z",
  updated_at: "2026-01-01T00:00:00.000Z"
}

/** A platform that knows one model, and how often it was asked. */
const platform = () => {
  const state = { asked: 0, name: "large", status: 200, onAsked: () => {}, before: Effect.void }
  /** The next answer waits for `before`. */
  const asked = Effect.suspend(() => {
    const { before } = state
    state.before = Effect.void
    state.asked++
    state.onAsked()
    return before
  })
  const client = HttpClient.make((request, url) =>
    Effect.map(asked, () => {
      const found = url.pathname.endsWith("/models/by-purpose/writing")
      const away = { error: "Service Unavailable", message: "away", details: "", timestamp: "" }
      const missing = {
        _tag: "NotFound",
        error: "Not Found",
        message: "there is none",
        details: "",
        timestamp: model.created_at
      }
      const body = state.status !== 200 ? away : found ? { ...model, model_name: state.name } : missing
      const status = state.status !== 200 ? state.status : found ? 200 : 404
      return HttpClientResponse.fromWeb(
        request,
        new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } })
      )
    })
  )
  const hub = makeHub("up")
  /** A push of the agent's organization. */
  const tell = (
    previous: number,
    kind: EpochMessage["kind"],
    ids: ReadonlyArray<string>,
    epoch = previous + 1
  ) =>
    hub.tell({
      _tag: "Epoch",
      organizationId: "default",
      message: { previous, epoch, kind, ids, timestamp: model.created_at }
    })
  const layer = AgentConfig.layer.pipe(
    Layer.provide(Layer.succeed(Pushes, Pushes.of(hub))),
    Layer.provide(GovernanceHttp.layer({ retries: 0 })),
    Layer.provide(Settings.layer({ agentId: "agent-1", gatewayUrl: "http://platform.test" })),
    Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
  )
  return { state, layer, hub, tell }
}

describe("what agents look up", () => {
  it.effect("is kept for a minute, and asked for anew after it or when told to", () => {
    const { layer, state } = platform()
    return Effect.gen(function* () {
      const config = yield* AgentConfig
      assert.strictEqual((yield* config.model("writing")).modelName, "large")
      state.name = "larger"
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual((yield* config.model("writing")).modelName, "large")
      assert.strictEqual(state.asked, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* config.model("writing")).modelName, "larger")
      assert.strictEqual(state.asked, 2)
      state.name = "largest"
      yield* config.refresh
      assert.strictEqual((yield* config.model("writing")).modelName, "largest")
    }).pipe(Effect.provide(layer))
  })

  it.effect("is given as it was last while the platform is away, and is missing where it never was", () => {
    const { layer, state } = platform()
    return Effect.gen(function* () {
      const config = yield* AgentConfig
      yield* config.model("writing")
      state.status = 503
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* config.model("writing")).modelName, "large")
      state.status = 200
      const error = yield* Effect.flip(config.model("painting"))
      assert.strictEqual(error._tag, "ConfigMissing")
      assert.include(error.message, "there is no model `painting`")
    }).pipe(Effect.provide(layer))
  })

  it.effect("FRESH-3 is asked for anew as soon as a push says that it has changed, and only that", () => {
    const { layer, state, tell } = platform()
    return Effect.gen(function* () {
      const config = yield* AgentConfig
      tell(6, "heartbeat", [], 6)
      yield* config.model("writing")
      state.name = "larger"
      tell(6, "config", ["prompt", "writing", "model", "painting"])
      tell(7, "permission", ["p", "writing", "model"])
      assert.strictEqual((yield* config.model("writing")).modelName, "large")
      tell(8, "config", ["prompt", "greeting", "model", "writing"])
      assert.strictEqual((yield* config.model("writing")).modelName, "larger")
      assert.strictEqual(state.asked, 2)
      tell(9, "config", ["model", "writing"])
      state.status = 503
      // What is known to have changed is not given for want of better.
      assert.strictEqual((yield* Effect.flip(config.model("writing")))._tag, "PlatformUnavailable")
    }).pipe(Effect.provide(layer))
  })

  it.effect("FRESH-4 is asked for anew where a push may have been missed", () => {
    const { hub, layer, state, tell } = platform()
    return Effect.gen(function* () {
      const config = yield* AgentConfig
      tell(6, "heartbeat", [], 6)
      yield* config.model("writing")
      tell(8, "permission", ["p", "a", "r"])
      yield* config.model("writing")
      assert.strictEqual(state.asked, 2)
      hub.tell({ _tag: "Lost" })
      yield* config.model("writing")
      assert.strictEqual(state.asked, 3)
      hub.tell({ _tag: "Lost" })
      state.status = 503
      assert.strictEqual((yield* config.model("writing")).modelName, "large")
    }).pipe(Effect.provide(layer))
  })

  it.effect("what was held and has been dropped is not given for want of better", () => {
    const { layer, state, tell } = platform()
    return Effect.gen(function* () {
      const config = yield* AgentConfig
      tell(6, "heartbeat", [], 6)
      yield* config.model("writing")
      yield* TestClock.adjust("2 minutes")
      // While it is asked for again it changes, another fetches it anew, and its own answer is lost.
      const lost = yield* Deferred.make<void>()
      state.before = Deferred.await(lost)
      const asking = yield* Effect.forkChild(config.model("writing"), { startImmediately: true })
      yield* Effect.repeat(Effect.yieldNow, { until: () => state.asked === 2, times: 1000 })
      tell(6, "config", ["model", "writing"])
      state.name = "larger"
      yield* config.model("writing")
      state.status = 503
      yield* Deferred.succeed(lost, undefined)
      assert.strictEqual((yield* Fiber.join(asking)).modelName, "larger")
    }).pipe(Effect.provide(layer))
  })

  it.effect("FRESH-4 what was asked for before the first push is asked for anew with it", () => {
    const { layer, state, tell } = platform()
    return Effect.gen(function* () {
      const config = yield* AgentConfig
      yield* config.model("writing")
      // Changed while nothing was heard.
      state.name = "larger"
      tell(6, "heartbeat", [], 6)
      assert.strictEqual((yield* config.model("writing")).modelName, "larger")
      tell(6, "heartbeat", [], 6)
      yield* config.model("writing")
      assert.strictEqual(state.asked, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("an answer that a push overtook is not kept", () => {
    const { layer, state, tell } = platform()
    return Effect.gen(function* () {
      const config = yield* AgentConfig
      tell(6, "heartbeat", [], 6)
      state.onAsked = () => tell(6, "config", ["model", "writing"])
      yield* config.model("writing")
      state.onAsked = () => {}
      yield* config.model("writing")
      yield* config.model("writing")
      assert.strictEqual(state.asked, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is asked for once by all who want the same at once, whoever of them goes away", () => {
    const { layer, state } = platform()
    return Effect.gen(function* () {
      const config = yield* AgentConfig
      const answered = [yield* Deferred.make<void>(), yield* Deferred.make<void>()] as const
      const asking = Effect.forkChild(config.model("writing"), { startImmediately: true })
      const askedBy = (times: number) =>
        Effect.repeat(Effect.yieldNow, { until: () => state.asked === times, times: 1000 })
      state.before = Deferred.await(answered[0])
      const first = yield* asking
      const others = yield* Effect.all(Array.from({ length: 20 }, () => asking))
      yield* askedBy(1)
      // Who asked goes away, and another of them asks.
      state.before = Deferred.await(answered[0])
      yield* Fiber.interrupt(first)
      yield* askedBy(2)
      yield* Deferred.succeed(answered[0], undefined)
      for (const { modelName } of yield* Effect.forEach(others, Fiber.join))
        assert.strictEqual(modelName, "large")
      assert.strictEqual(state.asked, 2)
      yield* config.refresh
      state.status = 503
      state.before = Deferred.await(answered[1])
      const failing = yield* Effect.all(Array.from({ length: 20 }, () => asking))
      yield* askedBy(3)
      yield* Deferred.succeed(answered[1], undefined)
      for (const fiber of failing)
        assert.strictEqual((yield* Effect.flip(Fiber.join(fiber)))._tag, "PlatformUnavailable")
      assert.strictEqual(state.asked, 3)
    }).pipe(Effect.provide(layer))
  })

  it.effect("FRESH-3 an answer that a push overtook is nobody's who asks after the push", () => {
    const { layer, state, tell } = platform()
    return Effect.gen(function* () {
      const config = yield* AgentConfig
      tell(6, "heartbeat", [], 6)
      const answered = yield* Deferred.make<void>()
      state.before = Deferred.await(answered)
      const before = yield* Effect.forkChild(config.model("writing"), { startImmediately: true })
      yield* Effect.repeat(Effect.yieldNow, { until: () => state.asked === 1, times: 1000 })
      tell(6, "config", ["model", "writing"])
      assert.strictEqual((yield* config.model("writing")).modelName, "large")
      assert.strictEqual(state.asked, 2)
      yield* Deferred.succeed(answered, undefined)
      yield* Fiber.join(before)
    }).pipe(Effect.provide(layer))
  })

  it.effect("never prints credentials by itself", () =>
    Effect.gen(function* () {
      const found = yield* (yield* AgentConfig).model("writing")
      for (const text of [String(found), JSON.stringify(found), inspect(found, { depth: null })])
        assert.notInclude(text, secret)
      const { credentials } = found
      assert.deepEqual(credentials === null ? null : Redacted.value(credentials), { api_key: secret })
    }).pipe(Effect.provide(platform().layer))
  )
})
