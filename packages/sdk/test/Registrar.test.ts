/** Which event key an agent says that it has as it registers, and what it hears in the answer. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Streams } from "@agion/domain"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger, Redacted } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { GovernanceHttp, PlatformKeys, Registrar, Settings } from "../src/index.ts"
import { eventKeyIdOf } from "../src/live/EventKeys.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "agion-registrar-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const time = "2026-01-01T00:00:00.000Z"

const record = {
  id: "agent-1",
  agent_id: "agent-1",
  container_id: null,
  name: "agent-1",
  type: "agent",
  version: "0",
  framework: null,
  model: null,
  owner: null,
  capabilities: [],
  endpoints: {},
  status: "active",
  metadata: {},
  organization_id: "default",
  last_seen_at: time,
  registered_at: time,
  created_at: time,
  updated_at: time
}

/** A platform that answers a registration as it is told to, and remembers which key the agent named. */
class Registry {
  readonly named: Array<unknown> = []
  answer: object = {}
  status = 200

  readonly client = HttpClient.make((request) =>
    Effect.sync(() => {
      const isRegistering = request.url.endsWith("/agents/register")
      if (isRegistering && request.body._tag === "Uint8Array")
        this.named.push(JSON.parse(new TextDecoder().decode(request.body.body)).event_key_id)
      const body = JSON.stringify(isRegistering ? { ...record, ...this.answer } : {})
      const headers = { "content-type": "application/json" }
      return HttpClientResponse.fromWeb(request, new Response(body, { status: this.status, headers }))
    })
  )

  /** The registrar of a start on a folder. */
  readonly start = (directory: string) =>
    Registrar.layer.pipe(
      Layer.provide(PlatformKeys.layer),
      Layer.provide(GovernanceHttp.layer({ retries: 0 })),
      Layer.provide(Settings.layer({ agentId: "agent-1", gatewayUrl: "http://platform.test", directory })),
      Layer.provide(Layer.succeed(HttpClient.HttpClient, this.client))
    )
}

const idOf = (key: string) => eventKeyIdOf(Redacted.make(key))

const keyNow = Effect.map(Registrar, ({ eventKeyUnsafe }) => {
  const key = eventKeyUnsafe()
  return key === undefined ? undefined : Redacted.value(key)
})

it.effect("TRUST-6 names the event key that it has as it registers, and takes the one that is answered", () =>
  Effect.gen(function* () {
    const directory = yield* folder
    const registry = new Registry()
    const first = Effect.gen(function* () {
      const { register } = yield* Registrar
      registry.answer = { event_key: "k-1" }
      yield* register
      registry.answer = {}
      yield* register
      assert.strictEqual(yield* keyNow, "k-1")
      registry.answer = { event_key: "k-2" }
      yield* register
      assert.strictEqual(yield* keyNow, "k-2")
      registry.answer = {}
    })
    yield* Effect.provide(first, registry.start(directory), { local: true })
    // It registers in the background, too, at a time of its own.
    const named = [...new Set(registry.named.splice(0))]
    assert.deepStrictEqual(named.slice(0, 2), [Streams.noEventKey, idOf("k-1")])
    const next = Effect.gen(function* () {
      assert.strictEqual(yield* keyNow, "k-2")
      yield* (yield* Registrar).register
      assert.deepStrictEqual([...new Set(registry.named)], [idOf("k-2")])
    })
    yield* Effect.provide(next, registry.start(directory), { local: true })
    // What names a key tells nothing of it.
    assert.notInclude(idOf("k-2"), "k-2")
    assert.lengthOf(idOf("k-2"), Streams.eventKeyIdLength)
  }).pipe(Effect.scoped)
)

it.effect("EVENT-6 says once what the platform has set aside of its events", () =>
  Effect.gen(function* () {
    const registry = new Registry()
    const lines: Array<string> = []
    const heard = (refused: object | undefined) =>
      Effect.gen(function* () {
        registry.answer = refused === undefined ? {} : { refused_events: refused }
        return (yield* (yield* Registrar).register).problem
      })
    yield* Effect.gen(function* () {
      assert.isNull(yield* heard(undefined))
      const problem = (yield* heard({ count: 3, last_at: time })) ?? ""
      assert.include(problem, "set aside 3 events in this agent's name")
      assert.isNull(yield* heard({ count: 3, last_at: time }))
      assert.include((yield* heard({ count: 4, last_at: time })) ?? "", "set aside 4")
      assert.lengthOf(lines, 2)
    }).pipe(
      Effect.provide(registry.start(yield* folder)),
      Effect.provide(Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))]))
    )
  }).pipe(Effect.scoped)
)

it.effect("GOVERN-6 says once when it was answered first, and at once when it was", () =>
  Effect.gen(function* () {
    const registry = new Registry()
    const directory = yield* folder
    yield* Effect.gen(function* () {
      const { register, stateUnsafe, whenAnsweredUnsafe } = yield* Registrar
      const calls: Array<string> = []
      registry.status = 503
      whenAnsweredUnsafe(() => calls.push(`first ${stateUnsafe().registered}`))
      yield* register
      assert.isEmpty(calls)
      registry.status = 200
      yield* register
      yield* register
      assert.deepStrictEqual(calls, ["first true"])
      whenAnsweredUnsafe(() => calls.push("second"))
      assert.deepStrictEqual(calls, ["first true", "second"])
    }).pipe(Effect.provide(registry.start(directory)))
  }).pipe(Effect.scoped)
)
