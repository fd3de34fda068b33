/** What agents of one host must not have of each other. */
import { createHmac } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Streams } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Context, type Duration, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { EventTransport } from "../src/events/EventTransport.ts"
import { ReportTransport } from "../src/events/ReportTransport.ts"
import {
  AgentHost,
  EventBuffer,
  Governance,
  PermissionCache,
  PermissionDenied,
  Registrar
} from "../src/index.ts"
import { makeTurns } from "../src/internal/CacheTurns.ts"
import { AgionTest, type Platform, TestPlatform, testUuid } from "../src/testing/index.ts"

const url = "http://platform.test"
const resource = testUuid(1)
const options = (directory: string | false, shutdownDeadline: Duration.Input = 0) => ({
  gatewayUrl: url,
  directory,
  events: { shutdownDeadline }
})
const live = AgentHost.layerOver(options(false)).pipe(Layer.provideMerge(AgionTest.connections()))

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "agion-host-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

/** An agent in a scope of its own, to be closed by hand. */
const start = Effect.fnUntraced(function* (agentId: string) {
  const host = yield* AgentHost
  const scope = yield* Scope.make()
  const context = yield* Scope.provide(host.connect({ agentId }), scope)
  const governance = Context.get(context, Governance)
  return {
    call: governance.run("chat", resource)(Effect.succeed("done")),
    using: (tokens: number) =>
      governance.run("chat", resource, { estimate: { tokens } })((call) =>
        Effect.sync(() => call.report({ tokens }))
      ),
    permissions: Context.get(context, PermissionCache),
    events: Context.get(context, EventBuffer),
    register: Context.get(context, Registrar).register,
    close: Scope.close(scope, Exit.void)
  }
})

const granted = (platform: Platform, constraints: Parameters<Platform["grant"]>[3] = {}) => {
  platform.resource({ id: resource })
  for (const agent of ["agent-1", "agent-2"]) platform.grant(agent, resource, "use", constraints)
}

describe("agents of one host, apart", () => {
  it.effect("FRESH-3 a revocation that is pushed denies whom it names, and drops nothing of another", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      granted(platform)
      const [first, second] = [yield* start("agent-1"), yield* start("agent-2")]
      platform.heartbeat()
      yield* first.call
      yield* second.call
      platform.arrived.length = 0
      platform.revoke("agent-1", resource)
      assert.instanceOf(yield* Effect.flip(first.call), PermissionDenied)
      assert.strictEqual(yield* second.call, "done")
      const asked = platform.arrived.filter(({ path }) => path.startsWith("/permissions/check"))
      assert.isAtLeast(asked.length, 1)
      for (const { body } of asked) assert.notInclude(JSON.stringify(body), "agent-2")
      const [one, other] = [yield* first.permissions.statistics, yield* second.permissions.statistics]
      assert.strictEqual(one.invalidated, 1)
      assert.deepInclude(other, { invalidated: 0, size: 1, misses: 1 })
    }).pipe(Effect.provide(live))
  )

  it.effect("LIMIT-3 what one uses and spends is charged to it alone", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      granted(platform, { tokenLimitPerDay: 100 })
      const [first, second] = [yield* start("agent-1"), yield* start("agent-2")]
      yield* first.using(90)
      yield* first.events.flush()
      const refused = yield* Effect.flip(first.using(20))
      assert.instanceOf(refused, PermissionDenied)
      yield* second.using(20)
      yield* second.events.flush()
      const used = (agent: string) => platform.grantOf(agent, resource, "use")?.usageTracking.currentDayTokens
      assert.deepStrictEqual([used("agent-1"), used("agent-2")], [90, 20])
    }).pipe(Effect.provide(live))
  )

  it.effect("EVENT-4 what a host could not send as it closed is sent by the next start", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      const directory = yield* folder
      granted(platform)
      const host = (deadline: Duration.Input) => AgentHost.layerOver(options(directory, deadline))
      yield* Effect.gen(function* () {
        const [first, second] = [yield* start("agent-1"), yield* start("agent-2")]
        yield* first.call
        yield* second.call
        platform.fault = { _tag: "Refuse" }
        yield* first.close
      }).pipe(Effect.provide(host(0)))
      assert.lengthOf(platform.events, 0)
      platform.fault = { _tag: "None" }
      yield* Effect.provide(start("agent-3"), host("2 seconds"))
      assert.deepStrictEqual(
        platform.events.map((event) => [event["agent_id"], Number(event["sequence"])]),
        [
          ["agent-1", 1],
          ["agent-1", 2],
          ["agent-2", 3],
          ["agent-2", 4]
        ]
      )
    }).pipe(Effect.provide(AgionTest.connections()))
  )
})

/** Retries pause: time moves on while a check is under way. */
const passing = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(work, { startImmediately: true })
    for (let i = 0; i < 40 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust("250 millis")
    return yield* Fiber.join(fiber)
  })

describe("an agent of a host that checks for another actor", () => {
  it.effect(
    "OUTAGE-6 answers stale in an outage and tells the decision under its own name and signature",
    () =>
      Effect.gen(function* () {
        const platform = yield* TestPlatform
        platform.resource({ id: resource })
        for (const actor of ["user-1", "agent-2"]) platform.grant(actor, resource)
        const [first, second] = [yield* start("agent-1"), yield* start("agent-2")]
        yield* first.register
        yield* second.register
        platform.heartbeat()
        const others = [
          { actorId: "user-1", actorType: "user", resourceId: resource },
          { actorId: "agent-2", resourceId: resource }
        ] as const
        for (const input of others) assert.isTrue((yield* first.permissions.check(input)).allowed)
        platform.fault = { _tag: "Refuse" }
        platform.line(false)
        for (const input of others)
          assert.deepInclude(yield* passing(first.permissions.check(input)), { allowed: true, mode: "stale" })
        platform.fault = { _tag: "None" }
        yield* passing(first.events.flush())
        assert.deepStrictEqual(
          platform.events.map((event) => [event["stream"], event["agent_id"], event["mode"]]),
          [
            ["agion:events:decisions", "user-1", "stale"],
            ["agion:events:decisions", "agent-2", "stale"]
          ]
        )
        for (const event of platform.events) {
          assert.strictEqual(event["reported_by"], "agent-1")
          assert.isTrue(isSignedBy("agent-1", event))
        }
      }).pipe(Effect.provide(signing(false, 0)), Effect.provide(AgionTest.connections()))
  )
})

describe("seconds that caches of a host share", () => {
  it.effect("CACHE-1 one that throws is logged, and the others are kept current", () => {
    const logged: Array<string> = []
    const logger = Logger.make(({ message }) => {
      logged.push(String(message))
    })
    return Effect.gen(function* () {
      const turns = yield* makeTurns
      let count = 0
      const counts = () => {
        count += 1
      }
      const throws = () => {
        throw new Error("broken")
      }
      for (const turn of [throws, counts]) yield* turns.join(turn)
      yield* TestClock.adjust("3 seconds")
      assert.isAtLeast(count, 3)
      assert.lengthOf(logged, count)
      assert.include(logged[0], "could not be kept current")
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([logger])))
  })
})

/** What an agent's registration answers as its key. */
const keyOf = (agentId: string): string => `key of ${agentId}`

/** The platform's client, which hands out event keys, but for agents that are `away`: those it does not answer. */
const handingOutKeys = (away: ReadonlySet<string>) =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (client) =>
      HttpClient.make((request) =>
        Effect.gen(function* () {
          const answer = yield* client.execute(request)
          if (!request.url.endsWith("/agents/register")) return answer
          const agent = (yield* answer.json) as { readonly agent_id: string }
          if (away.has(agent.agent_id))
            return HttpClientResponse.fromWeb(request, new Response("", { status: 503 }))
          const body = JSON.stringify({ ...agent, event_key: keyOf(agent.agent_id) })
          return HttpClientResponse.fromWeb(
            request,
            new Response(body, { status: 200, headers: { "content-type": "application/json" } })
          )
        })
      )
    )
  )

/** Events go over HTTP, though as over a line where only signatures say whose they are, if they are `signed`. */
const signing = (
  directory: string | false,
  deadline: Duration.Input,
  { away = new Set<string>(), signed = false } = {}
) => {
  const transport = Layer.effect(
    EventTransport,
    Effect.map(EventTransport, (http) => ({ ...http, signed }))
  ).pipe(Layer.provide(EventTransport.layerHttp({ url })))
  return AgentHost.layerOver(options(directory, deadline)).pipe(
    Layer.provideMerge(Layer.mergeAll(transport, ReportTransport.layerHttp({ url }))),
    Layer.provide(handingOutKeys(away))
  )
}

/** Whether the key of `agentId` signed what arrived, as the platform finds it out. */
const isSignedBy = (agentId: string, event: { readonly [name: string]: unknown }): boolean => {
  const { signature, stream, ...fields } = event as Record<string, string>
  const input = Streams.signatureInput(stream ?? "", fields)
  return signature === createHmac("sha256", keyOf(agentId)).update(input).digest("base64url")
}

describe("signed events of agents of one host", () => {
  it.effect(
    "TRUST-6 each agent's are signed with its own key, after it closed and by the next start too",
    () =>
      Effect.gen(function* () {
        const platform = yield* TestPlatform
        const directory = yield* folder
        granted(platform)
        yield* Effect.gen(function* () {
          const [first, second] = [yield* start("agent-1"), yield* start("agent-2")]
          yield* first.register
          yield* second.register
          yield* first.call
          yield* second.call
          platform.fault = { _tag: "Refuse" }
          yield* first.close
          platform.fault = { _tag: "None" }
          yield* second.events.flush()
          assert.lengthOf(platform.events, 4)
          yield* second.call
          platform.fault = { _tag: "Refuse" }
        }).pipe(Effect.provide(signing(directory, 0)))
        platform.fault = { _tag: "None" }
        // Neither of them is connected now.
        yield* Effect.provide(start("agent-3"), signing(directory, "2 seconds"))
        assert.deepStrictEqual(
          platform.events.map((event) => event["agent_id"]),
          ["agent-1", "agent-1", "agent-2", "agent-2", "agent-2", "agent-2"]
        )
        for (const event of platform.events) {
          const own = String(event["agent_id"])
          assert.isTrue(isSignedBy(own, event), `${own} did not sign`)
          assert.isFalse(isSignedBy(own === "agent-1" ? "agent-2" : "agent-1", event))
        }
      }).pipe(Effect.provide(AgionTest.connections()))
  )

  it.effect(
    "EVENT-3 TRUST-6 one that is not registered yet holds up no other, and is heard once it has its key",
    () => {
      const away = new Set(["agent-1"])
      return Effect.gen(function* () {
        const platform = yield* TestPlatform
        granted(platform)
        const [first, second] = [yield* start("agent-1"), yield* start("agent-2")]
        yield* second.register
        yield* first.call
        yield* second.call
        assert.deepInclude(yield* second.events.flush(), { pending: 0 })
        const heard = () => platform.events.map((event) => event["agent_id"])
        assert.deepStrictEqual(heard(), ["agent-2", "agent-2"])
        assert.deepInclude(yield* passing(first.events.flush()), { sent: 0, pending: 2 })
        away.clear()
        yield* first.register
        assert.deepInclude(yield* first.events.flush(), { pending: 0 })
        assert.deepStrictEqual(heard(), ["agent-2", "agent-2", "agent-1", "agent-1"])
        for (const event of platform.events) assert.isTrue(isSignedBy(String(event["agent_id"]), event))
        yield* first.close
      }).pipe(
        Effect.provide(signing(false, 0, { away, signed: true })),
        Effect.provide(AgionTest.connections())
      )
    }
  )
})
