import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { AgentHost } from "../src/index.ts"
import { openHost } from "../src/promise/Host.ts"
import { AgentClosed, Agion, type Host, PermissionDenied, SettingsInvalid } from "../src/promise/index.ts"
import { AgionTest, type Platform, TestPlatform, testUuid } from "../src/testing/index.ts"

const model = testUuid(1)
const options = {
  gatewayUrl: "http://platform.test",
  directory: false,
  events: { shutdownDeadline: "2 seconds" }
} as const

/** A host on a platform in memory, which grants the model to `agents`. */
const open = async (
  ...agents: ReadonlyArray<string>
): Promise<{ readonly host: Host; readonly platform: Platform }> => {
  let platform: Platform | undefined
  const seen = Layer.effectDiscard(
    Effect.map(TestPlatform, (made) => {
      platform = made
    })
  )
  const live = Layer.merge(AgentHost.layerOver(options), seen)
  const host = await Agion.hostOver(live.pipe(Layer.provide(AgionTest.connections())))
  if (platform === undefined) throw new Error("no platform")
  platform.resource({ id: model })
  for (const agent of agents) platform.grant(agent, model)
  return { host, platform }
}

const chat = (agion: Agion) => agion.governed({ action: "chat", resource: model }, () => "done")

describe("the promise front of a host", () => {
  it("GOVERN-3 runs governed calls of each agent, and rejects with a class that has a code", async () => {
    const { host, platform } = await open("agent-1")
    await using _ = host
    await using first = await host.connect({ agentId: "agent-1" })
    await using second = await host.connect({ agentId: "agent-2" })
    assert.strictEqual(await chat(first), "done")
    const error = await chat(second).catch((e) => e)
    assert.instanceOf(error, PermissionDenied)
    assert.strictEqual(error.code, "permission_denied")
    await first.flush()
    const succeeded = platform.events.filter((event) => event["event_type"] === "task_completed")
    assert.deepStrictEqual(
      succeeded.map((event) => event["agent_id"]),
      ["agent-1"]
    )
    assert.strictEqual(platform.actor("agent-1").score, 42)
    assert.strictEqual(platform.actor("agent-2").score, 40)
  })

  it("TRUST-5 an aborted call of one stops its work and costs nothing, and the other's goes on", async () => {
    const { host, platform } = await open("agent-1", "agent-2")
    await using _ = host
    await using first = await host.connect({ agentId: "agent-1" })
    await using second = await host.connect({ agentId: "agent-2" })
    const stop = new AbortController()
    const reason = new Error("enough")
    const { promise: stopped, resolve } = Promise.withResolvers<void>()
    const call = first.governed({ action: "chat", resource: model, signal: stop.signal }, ({ signal }) => {
      signal.addEventListener("abort", () => resolve())
      stop.abort(reason)
      return new Promise(() => {})
    })
    assert.strictEqual(await call.catch((error) => error), reason)
    await stopped
    assert.strictEqual(await chat(second), "done")
    await first.flush()
    await second.flush()
    assert.strictEqual(platform.actor("agent-1").score, 40)
    assert.strictEqual(platform.actor("agent-2").score, 42)
  })

  it("an agent that is closed leaves the host and the others, and its id is free again", async () => {
    const { host } = await open("agent-1", "agent-2")
    await using _ = host
    await using second = await host.connect({ agentId: "agent-2" })
    {
      await using first = await host.connect({ agentId: "agent-1" })
      assert.strictEqual(await chat(first), "done")
      const twice = await host.connect({ agentId: "agent-1" }).catch((e) => e)
      assert.instanceOf(twice, SettingsInvalid)
      assert.strictEqual(twice.code, "settings_invalid")
      assert.include(twice.message, "is connected to this host already")
      assert.strictEqual(host.connected(), 2)
    }
    assert.strictEqual(host.connected(), 1)
    assert.strictEqual(await chat(second), "done")
    await using again = await host.connect({ agentId: "agent-1" })
    assert.strictEqual(await chat(again), "done")
  })

  it("a host that is closed has closed its agents and takes no more", async () => {
    const { host } = await open("agent-1")
    const first = await host.connect({ agentId: "agent-1" })
    assert.strictEqual(await chat(first), "done")
    await host.close()
    assert.strictEqual(host.connected(), 0)
    const late = await host.connect({ agentId: "agent-2" }).catch((e) => e)
    assert.instanceOf(late, SettingsInvalid)
    assert.include(late.message, "the host is closed")
    await first.close()
  })

  it("GOVERN-2 closes its agents first: a call under way is told of, and none runs after", async () => {
    const { host, platform } = await open("agent-1")
    const first = await host.connect({ agentId: "agent-1" })
    const { promise: begun, resolve } = Promise.withResolvers<void>()
    const running = first.governed({ action: "chat", resource: model }, () => {
      resolve()
      return new Promise(() => {})
    })
    const ended = running.catch((error: unknown) => error)
    await begun
    await host.close()
    assert.instanceOf(await ended, AgentClosed)
    const late: unknown = await chat(first).catch((error: unknown) => error)
    assert.instanceOf(late, AgentClosed)
    assert.include(late, { code: "closed" })
    assert.include(JSON.stringify(platform.events), "interrupted")
  })

  it("flushes once for all when the platform is away, not for each agent before", async () => {
    const host = await Agion.host({ gatewayUrl: "http://127.0.0.1:9", directory: false })
    const first = await host.connect({ agentId: "agent-1" })
    first.publish("trust", { agentId: "agent-1", eventType: "task_completed" })
    const before = performance.now()
    await host.close()
    // Two seconds is what one flush may take.
    assert.isBelow(performance.now() - before, 4000)
  })

  it("lets go of everything where an agent's end fails, and says so", async () => {
    const failure = new Error("its last word was lost")
    let isReleased = false
    const layer = Layer.effectDiscard(
      Effect.addFinalizer(() =>
        Effect.sync(() => {
          isReleased = true
        })
      )
    ).pipe(Layer.provideMerge(AgentHost.layerOver(options)), Layer.provide(AgionTest.connections()))
    const host = await openHost(layer, async (parts) => {
      const agent = await Agion.over(parts)
      return Object.assign(agent, { close: () => Promise.reject(failure) })
    })
    await host.connect({ agentId: "agent-1" })
    const error = await host.close().catch((thrown: unknown) => thrown)
    assert.strictEqual(error, failure)
    assert.isTrue(isReleased)
  })

  it("refuses options that cannot be, and says what to do", async () => {
    const error = await Agion.host({ gatewayUrl: "nowhere" }).catch((e) => e)
    assert.instanceOf(error, SettingsInvalid)
    assert.include(error.message, "`gatewayUrl` must be an http or https address")
  })
})
