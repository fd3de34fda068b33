import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { AgionSdk, GovernanceHttp, PlatformKeys, Registrar, Settings } from "../src/index.ts"
import * as AgentFolder from "../src/internal/AgentFolder.ts"
import { AgionTest, TestPlatform } from "../src/testing/index.ts"
import { draftOf, thisProcess } from "../src/WriteAheadFolder.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "agion-agent-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const modes = (path: string) =>
  Effect.promise(async () => {
    const names = await readdir(path)
    return Promise.all(names.map(async (name) => (await stat(join(path, name))).mode & 0o777))
  })

const identity = { agentId: "agent-1", gatewayUrl: "http://platform.test" }

const settings = (directory: string) => Settings.layer({ ...identity, directory })

/** A start of the agent on a platform in memory, which keeps its key only while it runs. */
const start = (directory: string) =>
  PlatformKeys.layer.pipe(
    Layer.provide(GovernanceHttp.layer()),
    Layer.provide(settings(directory)),
    Layer.provideMerge(AgionTest.connections())
  )

describe("what an agent keeps for its next start", () => {
  it.effect("OUTAGE-5 the key that it pinned: another platform's is not taken after a restart", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const pinned = yield* Effect.gen(function* () {
        const keys = yield* PlatformKeys
        yield* keys.pin
        return keys.stateUnsafe().pinned
      }).pipe(Effect.provide(start(directory)))
      assert.strictEqual(pinned, "test-key-1")
      assert.deepEqual(yield* modes(directory), [0o600])
      yield* Effect.gen(function* () {
        const platform = yield* TestPlatform
        platform.rotateKey("somebody-else")
        const keys = yield* PlatformKeys
        yield* keys.pin
        assert.strictEqual(keys.stateUnsafe().pinned, "test-key-1")
        const signed = { payload: "", keyId: "somebody-else", signature: "" }
        const refused = yield* Effect.flip(keys.open(signed))
        assert.strictEqual(refused.reason, "unknown key")
        assert.include(refused.message, `remove \`${join(directory, "platform-keys-default.json")}\``)
        assert.include(refused.message, "set `signingKey`")
      }).pipe(Effect.provide(start(directory)))
    }).pipe(Effect.scoped)
  )

  it.effect("OUTAGE-5 its first contact's key where the file cannot be read", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      yield* Effect.promise(() => writeFile(join(directory, "platform-keys-default.json"), "{"))
      yield* Effect.gen(function* () {
        const keys = yield* PlatformKeys
        yield* keys.pin
        assert.strictEqual(keys.stateUnsafe().pinned, "test-key-1")
      }).pipe(Effect.provide(start(directory)))
    }).pipe(Effect.scoped)
  )

  it.live("the policies, whole, while several processes keep theirs", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const file = join(directory, "policies.json")
      const texts = [400_000, 10].map((size) => "x".repeat(size))
      const read = new Set<number>()
      yield* Effect.promise(async () => {
        for (let turn = 0; turn < 20; turn++) {
          await Promise.all([...texts, ...texts].map((text) => AgentFolder.replace(file, text)))
          read.add((await readFile(file, "utf8")).length)
        }
      })
      for (const size of read) assert.include([400_000, 10], size)
      assert.deepEqual(yield* Effect.promise(() => readdir(directory)), ["policies.json"])
      assert.deepEqual(yield* modes(directory), [0o600])
    }).pipe(Effect.scoped)
  )

  it.live("the key that signs its events, which the platform answers once", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      let answers = 0
      const agent = {
        id: "00000000-0000-4000-8000-000000000001",
        agent_id: "00000000-0000-4000-8000-000000000001",
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
        last_seen_at: "2026-01-01T00:00:00.000Z",
        registered_at: "2026-01-01T00:00:00.000Z",
        created_at: "2026-01-01T00:00:00.000Z",
        updated_at: "2026-01-01T00:00:00.000Z"
      }
      const client = HttpClient.make((request) =>
        Effect.sync(() => {
          const body =
            request.method === "POST" ? { ...agent, ...(answers++ === 0 ? { event_key: "k-1" } : {}) } : {}
          return HttpClientResponse.fromWeb(
            request,
            new Response(JSON.stringify(body), {
              status: 200,
              headers: { "content-type": "application/json" }
            })
          )
        })
      )
      const keyOf = Effect.gen(function* () {
        const registrar = yield* Registrar
        const state = yield* registrar.register
        assert.isNull(state.problem)
        const key = registrar.eventKeyUnsafe()
        return key === undefined ? undefined : Redacted.value(key)
      }).pipe(
        Effect.provide(
          Registrar.layer.pipe(
            Layer.provide(PlatformKeys.layer),
            Layer.provide(GovernanceHttp.layer({ retries: 0 })),
            Layer.provide(settings(directory)),
            Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
          )
        )
      )
      assert.strictEqual(yield* keyOf, "k-1")
      assert.strictEqual(yield* keyOf, "k-1")
      assert.isAtLeast(answers, 2)
      const { eventDirectory } = yield* Settings.make({ ...identity, directory })
      assert.deepEqual(yield* modes(eventDirectory ?? ""), [0o600])
    }).pipe(Effect.scoped)
  )

  it.live(
    "EVENT-2 no draft of a process that was killed while it wrote, and every one of a living process",
    () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const me = thisProcess()
        const gone = [
          { ...me, start: "1" },
          { ...me, pid: 4_194_305 },
          { host: "abcdef012345", pid: 7, start: "7" }
        ]
        const uuid = "0198c0de-0000-4000-8000-000000000001"
        const { eventDirectory } = yield* Settings.make({ ...identity, directory })
        assert(eventDirectory !== null)
        yield* Effect.promise(() => mkdir(eventDirectory, { recursive: true }))
        const writes = async (name: string, secondsAgo = 0) => {
          await writeFile(name, "{")
          const then = Date.now() / 1000 - secondsAgo
          await utimes(name, then, then)
        }
        const names = (of: string) =>
          Effect.promise(async () =>
            (await readdir(of)).filter((name) => /^(event-key-a|producer[.])/.test(name))
          )
        const living: Array<string> = []
        for (const at of [directory, eventDirectory]) {
          const file = join(at, "event-key-a.json")
          yield* Effect.promise(async () => {
            for (const owner of gone) await writes(draftOf(file, owner), 61)
            await writes(`${file}.${uuid}.new`, 61)
            await writes(join(at, `producer.${uuid}`), 61)
          })
          living.push(draftOf(file), draftOf(file, { host: "abcdef012345", pid: 7, start: "7" }))
          living.push(`${file}.${uuid.replace("1", "2")}.new`)
        }
        for (const file of living) yield* Effect.promise(() => writes(file))
        const sdk = AgionSdk.layerOver({ ...identity, directory, logLevel: "None" })
        yield* Effect.scoped(Layer.build(Layer.provide(sdk, AgionTest.connections())))
        const left = [...(yield* names(directory)), ...(yield* names(eventDirectory))]
        assert.sameMembers(
          left,
          living.map((file) => basename(file))
        )
      }).pipe(Effect.scoped)
  )
})
