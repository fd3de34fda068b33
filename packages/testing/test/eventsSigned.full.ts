/** Agents of one folder at a platform whose organization demands signed events. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { AgionSdk, EventBuffer, Registrar } from "@agion/sdk"
import { FaultProxy, Platform } from "@agion/testing"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schedule } from "effect"
import * as EventTargets from "./EventTargets.ts"

const until = <A, E, R>(effect: Effect.Effect<A, E, R>, holds: (value: A) => boolean) =>
  effect.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOrElse({
      duration: "15 seconds",
      orElse: () => Effect.die(new Error("it never came true"))
    })
  )

const organization = "default"

/** An agent on a folder, for as long as the scope is open. */
const agent = Effect.fnUntraced(function* (agentId: string, directory: string, port: number) {
  const live = AgionSdk.layer({
    agentId,
    organizationId: organization,
    gatewayUrl: `http://127.0.0.1:${port}`,
    directory,
    events: { shutdownDeadline: "10 millis" },
    logLevel: "None"
  })
  const services = yield* Layer.build(live)
  const events = Context.get(services, EventBuffer)
  const registrar = Context.get(services, Registrar)
  return {
    events,
    registered: until(registrar.register, ({ registered }) => registered),
    fail: () => events.publishUnsafe("trust", { agentId, eventType: "task_failed" })
  }
})

const keyFileOf = (directory: string, agentId: string) => {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" })
  const name = names.find((one) => one.includes(`event-key-${agentId}-`))
  assert(name !== undefined, `no key of ${agentId} is kept`)
  return join(directory, name)
}

const scoreOf = (agentId: string) =>
  Effect.gen(function* () {
    const platform = yield* Platform.Platform
    const { body } = yield* platform.get(`/trust/score/${agentId}?entity_type=agent`)
    return Number(body.data?.score)
  })

/** A platform behind a proxy, and a folder. */
const scene = Effect.gen(function* () {
  const platform = yield* Platform.Platform
  yield* platform.put(`/organizations/${organization}`, { event_signature: "required" })
  const proxy = yield* FaultProxy.make({ port: Number(new URL(platform.url).port) })
  return { platform, proxy, directory: yield* EventTargets.folder }
})

layer(Platform.layer(), { timeout: "90 seconds", excludeTestServices: true })(
  "a platform that demands signed events",
  (it) => {
    it.effect(
      "EVENT-4 gets what an agent left from who has its key, and from nobody else",
      () =>
        Effect.gen(function* () {
          const { directory, proxy } = yield* scene
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { fail, registered } = yield* agent("left", directory, proxy.port)
              yield* registered
              yield* proxy.apply({ _tag: "Reset" })
              assert.strictEqual(fail(), "durable")
            })
          )
          yield* proxy.apply({ _tag: "None" })
          const file = keyFileOf(directory, "left")
          const key = readFileSync(file)
          rmSync(file)
          const { events, registered } = yield* agent("other", directory, proxy.port)
          yield* registered
          yield* events.flush()
          assert.deepInclude(yield* events.health, { keyless: 1, refused: 0, kept: 0 })
          assert.strictEqual(yield* scoreOf("left"), 40)
          writeFileSync(file, key, { mode: 0o600 })
          yield* until(events.health, ({ keyless }) => keyless === 0)
          assert.strictEqual(yield* until(scoreOf("left"), (score) => score !== 40), 38)
          assert.deepInclude(yield* events.health, { keyless: 0, refused: 0, kept: 0 })
        }).pipe(Effect.scoped),
      60_000
    )

    it.effect(
      "EVENT-3 EVENT-4 gets what it refused for its signature once the agent has another key",
      () =>
        Effect.gen(function* () {
          const { directory, platform, proxy } = yield* scene
          yield* Effect.scoped(
            Effect.flatMap(agent("again", directory, proxy.port), ({ registered }) => registered)
          )
          writeFileSync(keyFileOf(directory, "again"), JSON.stringify({ eventKey: "of somebody else" }))
          const { events, fail, registered } = yield* agent("again", directory, proxy.port)
          yield* registered
          fail()
          fail()
          yield* events.flush()
          assert.deepInclude(yield* events.statistics, { kept: 2, refused: 0, dropped: 0, pending: 0 })
          assert.strictEqual(yield* scoreOf("again"), 40)
          assert.strictEqual((yield* platform.delete("/agents/again")).status, 204)
          yield* registered
          assert.deepInclude(yield* events.flush(), { pending: 0 })
          assert.deepInclude(yield* events.statistics, { kept: 0, refused: 0, dropped: 0, sent: 2 })
          assert.strictEqual(yield* until(scoreOf("again"), (score) => score !== 40), 36)
        }).pipe(Effect.scoped),
      60_000
    )
  }
)
