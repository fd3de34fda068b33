import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Scheduler, Scope } from "effect"
import { TestClock } from "effect/testing"
import {
  AgentClosed,
  AgentHost,
  EventBuffer,
  Governance,
  PermissionCache,
  TrustTracker
} from "../src/index.ts"
import { AgionTest, TestPlatform, testUuid } from "../src/testing/index.ts"

const gateway = {
  gatewayUrl: "http://platform.test",
  directory: false,
  events: { shutdownDeadline: 0 }
} as const
const live = AgentHost.layerOver(gateway).pipe(Layer.provideMerge(AgionTest.connections()))
const resource = testUuid(1)

/** An agent in a scope of its own, to be closed by hand. */
const start = Effect.fnUntraced(function* (agentId: string) {
  const host = yield* AgentHost
  const scope = yield* Scope.make()
  const context = yield* Scope.provide(host.connect({ agentId }), scope)
  const call = Context.get(context, Governance).run("chat", resource)(Effect.succeed("done"))
  return { call, context, close: Scope.close(scope, Exit.void) }
})

const granted = Effect.fnUntraced(function* (...agents: ReadonlyArray<string>) {
  const platform = yield* TestPlatform
  platform.resource({ id: resource })
  for (const agent of agents) platform.grant(agent, resource)
  return platform
})

describe("agents of one host", () => {
  it.effect("CACHE-2 a permission of one is none of another", () =>
    Effect.gen(function* () {
      yield* granted("agent-1")
      const [first, second] = [yield* start("agent-1"), yield* start("agent-2")]
      assert.strictEqual(yield* first.call, "done")
      assert.strictEqual((yield* Effect.flip(second.call))._tag, "PermissionDenied")
      assert.strictEqual(yield* first.call, "done")
      const statistics = yield* Context.get(second.context, PermissionCache).statistics
      assert.strictEqual(statistics.size, 1)
    }).pipe(Effect.provide(live))
  )

  it.effect("TRUST-1 what one earns is expected of nobody else", () =>
    Effect.gen(function* () {
      yield* granted("agent-1", "agent-2")
      const [first, second] = [yield* start("agent-1"), yield* start("agent-2")]
      yield* first.call
      assert.strictEqual(yield* Context.get(first.context, TrustTracker).expected, 42)
      assert.strictEqual(yield* Context.get(second.context, TrustTracker).expected, 40)
    }).pipe(Effect.provide(live))
  )

  it.effect("EVENT-3 one producer numbers the events of all without a gap, and each speaks for itself", () =>
    Effect.gen(function* () {
      const platform = yield* granted("agent-1", "agent-2")
      const [first, second] = [yield* start("agent-1"), yield* start("agent-2")]
      for (const agent of [first, second, first]) yield* agent.call
      const events = Context.get(second.context, EventBuffer)
      const foreign = { agentId: "agent-1", eventType: "policy_violation" } as const
      assert.strictEqual(events.publishUnsafe("trust", foreign), "dropped")
      yield* Context.get(first.context, EventBuffer).flush()
      assert.deepStrictEqual(
        platform.events.map((event) => [event["agent_id"], Number(event["sequence"])]),
        ["agent-1", "agent-1", "agent-2", "agent-2", "agent-1", "agent-1"].map((agent, i) => [agent, i + 1])
      )
      assert.strictEqual(new Set(platform.events.map((event) => event["producer"])).size, 1)
    }).pipe(Effect.provide(live))
  )

  it.effect("EVENT-3 an agent that is closed publishes no more, and the others do", () =>
    Effect.gen(function* () {
      yield* granted("agent-1", "agent-2")
      const [first, second] = [yield* start("agent-1"), yield* start("agent-2")]
      const published = (agent: typeof first, agentId: string) =>
        Context.get(agent.context, EventBuffer).publish("trust", { agentId, eventType: "task_completed" })
      yield* published(first, "agent-1")
      yield* first.close
      const late = yield* Effect.flip(published(first, "agent-1"))
      assert.instanceOf(late, AgentClosed)
      assert.strictEqual(late.code, "closed")
      yield* published(second, "agent-2")
    }).pipe(Effect.provide(live))
  )

  it.effect("an agent that is closed leaves the others and the host, and its id is free again", () =>
    Effect.gen(function* () {
      yield* granted("agent-1", "agent-2")
      const [first, second] = [yield* start("agent-1"), yield* start("agent-2")]
      const twice = yield* Effect.flip(start("agent-1"))
      assert.include(twice.message, "is connected to this host already")
      yield* first.close
      assert.strictEqual(yield* second.call, "done")
      const again = yield* start("agent-1")
      assert.strictEqual(yield* again.call, "done")
    }).pipe(Effect.provide(live))
  )

  it.effect("OUTAGE-6 an agent of a closed host runs nothing, since nothing keeps what it would tell", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const outer = yield* Scope.make()
      const services = yield* Layer.buildWithScope(live, scope)
      const platform = yield* Effect.provideContext(granted("agent-1"), services)
      const agent = yield* Context.get(services, AgentHost)
        .connect({ agentId: "agent-1" })
        .pipe(Scope.provide(outer))
      let ran = 0
      const call = Context.get(agent, Governance).run("chat", resource)(Effect.sync(() => ran++))
      yield* call
      yield* call
      platform.line(false)
      yield* Scope.close(scope, Exit.void)
      assert.deepInclude(yield* Effect.flip(call), { _tag: "GovernanceUnavailable", rule: "closed" })
      const opened = Context.get(agent, Governance).open("chat", resource).pipe(Effect.scoped, Effect.flip)
      assert.deepInclude(yield* opened, { _tag: "GovernanceUnavailable", rule: "closed" })
      assert.strictEqual(ran, 2)
      const cache = Context.get(agent, PermissionCache)
      for (const resourceId of [resource, testUuid(5)])
        assert.deepInclude(yield* cache.check({ resourceId }), { allowed: false, source: "outage" })
      yield* Scope.close(outer, Exit.void)
    })
  )

  it.effect("of two who connect an id at once one gets it, wherever they are interrupted by each other", () =>
    Effect.gen(function* () {
      const host = yield* AgentHost
      const two = [0, 1].map(() => Effect.exit(start("agent-1")))
      // With fewer steps a fiber gets nowhere.
      for (let steps = 12; steps <= 60; steps++)
        yield* Effect.gen(function* () {
          const exits = yield* Effect.all(two, { concurrency: 2 })
          assert.lengthOf(exits.filter(Exit.isSuccess), 1, `after ${steps} steps each`)
          for (const exit of exits) if (Exit.isSuccess(exit)) yield* exit.value.close
          assert.strictEqual(host.connectedUnsafe(), 0)
        }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, steps))
    }).pipe(Effect.provide(live))
  )

  it.effect(
    "POLICY-8, GOVERN-5 what weakens governance of one agent is loud, and the host's is said once",
    () => {
      const logged: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (/observed|switched off/.test(String(message))) logged.push(`${logLevel} ${String(message)}`)
      })
      const observed = "policies are only observed: nothing is blocked but a suspended agent"
      const ungoverned = "governance is switched off: calls are let through as ungoverned"
      const connected = Effect.gen(function* () {
        const host = yield* AgentHost
        yield* host.connect({ agentId: "agent-1" })
        yield* host.connect({ agentId: "agent-2", enforcement: "observe" })
        yield* host.connect({ agentId: "agent-3", governance: false })
      }).pipe(Effect.scoped)
      const over = (options: { readonly enforcement?: "observe" }) =>
        AgentHost.layerOver({ ...gateway, ...options }).pipe(Layer.provide(AgionTest.connections()))
      return Effect.gen(function* () {
        yield* Effect.provide(connected, over({}))
        assert.deepStrictEqual(logged.splice(0), [
          `Warn agent \`agent-2\`: ${observed}`,
          `Warn agent \`agent-3\`: ${ungoverned}`
        ])
        yield* Effect.provide(connected, over({ enforcement: "observe" }))
        assert.deepStrictEqual(logged, [`Warn ${observed}`, `Warn agent \`agent-3\`: ${ungoverned}`])
      }).pipe(Effect.provide(Logger.layer([logger])))
    }
  )

  it.effect("CACHE-1 what each uses is renewed ahead of its expiry", () =>
    Effect.gen(function* () {
      const platform = yield* granted("agent-1", "agent-2")
      const caches = [yield* start("agent-1"), yield* start("agent-2")].map(({ context }) =>
        Context.get(context, PermissionCache)
      )
      for (let second = 0; second < 40; second++) {
        platform.heartbeat()
        for (const { check } of caches) assert.isTrue((yield* check({ resourceId: resource })).allowed)
        yield* TestClock.adjust("1 second")
      }
      for (const { statistics } of caches) {
        const { misses, refreshed } = yield* statistics
        assert.strictEqual(misses, 1)
        assert.isAtLeast(refreshed, 1)
      }
    }).pipe(Effect.provide(live))
  )

  it.effect("the scope that a program runs in is not replaced by the host's or the agent's", () =>
    Effect.gen(function* () {
      const outer = yield* Effect.scope
      const inner = yield* Effect.provide(Effect.scope, AgentHost.layerAgent({ agentId: "agent-1" }))
      assert.strictEqual(inner, outer)
    }).pipe(Effect.scoped, Effect.provide(live))
  )

  it.effect("a host that is closed closes its agents and takes no more", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(live, scope)
      const host = Context.get(context, AgentHost)
      yield* Effect.gen(function* () {
        yield* granted("agent-1")
        const first = yield* start("agent-1")
        yield* first.call
        assert.strictEqual(host.connectedUnsafe(), 1)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(host.connectedUnsafe(), 0)
        assert.include((yield* Effect.flip(start("agent-2"))).message, "the host is closed")
        const late = Context.get(first.context, EventBuffer)
        assert.strictEqual(
          late.publishUnsafe("trust", { agentId: "agent-1", eventType: "task_completed" }),
          "dropped"
        )
      }).pipe(Effect.provideContext(context))
    })
  )
})
