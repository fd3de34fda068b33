/** Agents of one user on one folder: what one of them leaves behind, and who may send it. */
import { createHmac } from "node:crypto"
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { Streams } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { AgionSdk, EventBuffer, Settings } from "../src/index.ts"
import * as AgentFolder from "../src/internal/AgentFolder.ts"
import { AgionTest, TestPlatform } from "../src/testing/index.ts"
import { folder } from "./Agents.ts"

interface Start {
  readonly agentId: string
  readonly organizationId: string
  readonly gatewayUrl: string
  readonly directory: string
}

const prod = { agentId: "prod-agent", organizationId: "prod-org", gatewayUrl: "https://prod.test" }
const dev = { agentId: "dev-agent", organizationId: "dev-org", gatewayUrl: "http://127.0.0.1:8080" }

/** A start of an agent; answers what it sent, and what `work` did. */
const started = (
  options: Start,
  work: (events: EventBuffer["Service"]) => Effect.Effect<unknown>,
  up = true
) =>
  Effect.gen(function* () {
    const platform = yield* TestPlatform
    if (!up) platform.fault = { _tag: "Refuse" }
    const sdk = AgionSdk.layerOver({ ...options, events: { shutdownDeadline: 0 }, logLevel: "None" })
    yield* Effect.gen(function* () {
      yield* work(yield* EventBuffer)
    }).pipe(Effect.provide(sdk), Effect.scoped)
    return platform.events
  }).pipe(Effect.provide(AgionTest.connections(options.organizationId)))

const publish =
  ({ agentId }: Start) =>
  (events: EventBuffer["Service"]) =>
    Effect.sync(() => events.publishUnsafe("trust", { agentId, eventType: "task_completed" }))

const flush = (events: EventBuffer["Service"]) => events.flush({ deadline: "2 seconds" })

const agentsIn = (events: ReadonlyArray<{ readonly [name: string]: unknown }>) =>
  events.map((event) => event["agent_id"])

/** Keeps a key as an earlier start of the agent did. */
const keepKey = (options: Start, eventKey: string) =>
  Effect.gen(function* () {
    const file = AgentFolder.eventKeyFile(yield* Settings.make(options), options.agentId)
    assert(file !== null)
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    writeFileSync(file, JSON.stringify({ eventKey }), { mode: 0o600 })
    return file
  })

describe("agents of one user on one folder", () => {
  it.live("EVENT-4 what is left for one platform or organization is not sent to another", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const left = { ...prod, directory }
      yield* keepKey(left, "k")
      yield* started(left, publish(left), false)
      for (const other of [
        { ...dev, directory },
        { ...left, organizationId: "dev-org" },
        { ...left, gatewayUrl: "https://dev.test" }
      ])
        assert.deepStrictEqual(yield* started(other, flush), [])
      assert.deepStrictEqual(agentsIn(yield* started(left, flush)), ["prod-agent"])
    })
  )

  it.live(
    "EVENT-4 what an agent leaves is sent by another one of its platform, signed with its own key",
    () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const left = { ...prod, directory }
        yield* keepKey(left, "its key")
        yield* started(left, publish(left), false)
        const [event, ...more] = yield* started({ ...left, agentId: "another" }, flush)
        assert.isEmpty(more)
        const { signature, stream, ...fields } = event as Streams.Fields
        const expected = createHmac("sha256", "its key").update(Streams.signatureInput(stream ?? "", fields))
        assert.strictEqual(signature, expected.digest("base64url"))
      })
  )

  it.live("EVENT-4 what an agent leaves whose key is lost is sent by no other, until the key is back", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const left = { ...prod, directory }
      const file = yield* keepKey(left, "its key")
      yield* started(left, publish(left), false)
      rmSync(file)
      const another = { ...left, agentId: "another" }
      assert.isEmpty(yield* started(another, flush))
      yield* keepKey(left, "its key")
      assert.deepStrictEqual(agentsIn(yield* started(another, flush)), ["prod-agent"])
    })
  )

  it.effect("EVENT-2 the key that signs events is kept beside them, in the user's state folder too", () =>
    Effect.gen(function* () {
      const named = yield* Settings.make({ ...prod, directory: "/named" })
      const usual = yield* Settings.make(prod)
      assert.match(AgentFolder.eventKeyFile(named, "a") ?? "", /^\/named\/prod\.test_prod-org-[0-9a-f]+\//)
      assert.include(AgentFolder.eventKeyFile(usual, "a") ?? "", join("agion", "events"))
      assert.notStrictEqual(AgentFolder.eventKeyFile(usual, "a"), AgentFolder.eventKeyFile(usual, "A"))
      assert.isNull(AgentFolder.eventKeyFile(yield* Settings.make({ ...prod, directory: false }), "a"))
    })
  )

  it.live("EVENT-2 what lies in the folder is for its owner alone", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const left = { ...prod, directory }
      yield* keepKey(left, "its key")
      yield* started(left, publish(left), false)
      assert.isTrue(
        readdirSync(directory, { recursive: true, encoding: "utf8" }).some((name) => /\/agent$/.test(name))
      )
      for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
        const stat = statSync(join(directory, name))
        assert.strictEqual(stat.mode & 0o077, 0, name)
      }
    })
  )
})
