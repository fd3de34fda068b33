import { randomUUID } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { ActorId, OrganizationId } from "@agion/domain"
import { Redis, RedisStream } from "@agion/redis"
import { Agion } from "@agion/sdk/promise"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Platform, type Program, path, start, startPlatform } from "./Programs.ts"

let directory = ""
let started: Array<Program> = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "agion-processes-"))
  started = []
})

afterEach(async () => {
  await Promise.all(started.map((program) => program.end("SIGKILL")))
  await rm(directory, { recursive: true, force: true })
})

const kept = <P extends Program>(program: P): P => {
  started.push(program)
  return program
}

const freePort = (): Promise<string> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(String(typeof address === "object" ? address?.port : "")))
    })
  })

/** Asks until the answer is so, for at most half a minute. */
const becomes = async <A>(what: string, ask: () => Promise<A>, isSo: (answer: A) => boolean): Promise<A> => {
  const end = Date.now() + 30_000
  for (;;) {
    const answer = await ask()
    if (isSo(answer)) return answer
    if (Date.now() > end) throw new Error(`waited for ${what}; it is ${JSON.stringify(answer)}`)
    await pause(50)
  }
}

/** Somebody who looks at the platform from outside. */
const watcher = (platform: Platform) =>
  Agion.connect({ agentId: "watcher", gatewayUrl: platform.url, directory: join(directory, "watcher") })

const organizationId = OrganizationId.make("default")

/** What an agent's history of trust says: how often each impact. */
const impacts = async (agion: Agion, agentId: string): Promise<ReadonlyArray<number>> => {
  const history = await agion.http((api) =>
    api.trust.history({
      params: { entityId: ActorId.make(agentId) },
      query: { entityType: "agent", organizationId, limit: 1000 }
    })
  )
  return history.data.events.map(({ impact }) => impact)
}

describe("a worker", () => {
  const queue = (platform: Platform, prompts: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const streams = yield* RedisStream
      for (const prompt of prompts) yield* streams.append("jobs", { prompt })
    }).pipe(Effect.provide(Redis.layer({ url: platform.redisUrl })), Effect.scoped, Effect.runPromise)

  it("EVENT-4 finishes, flushes and closes on SIGTERM, and after a crash its next start sends what was left", async () => {
    const platform = kept(await startPlatform())
    const port = await freePort()
    const worker = () =>
      kept(
        start([path("worker.ts")], {
          AGION_AGENT_ID: "worker-1",
          AGION_GATEWAY_URL: platform.url,
          AGION_REDIS_URL: platform.redisUrl,
          AGION_DIRECTORY: join(directory, "worker"),
          PORT: port
        })
      )
    await using agion = await watcher(platform)
    const successes = () => impacts(agion, "worker-1")

    const first = worker()
    await queue(platform, ["one", "two for ada@example.com"])
    assert.strictEqual(await first.line(/one/), 'done: an answer to "one"')
    assert.notInclude(await first.line(/two/), "ada@example.com")
    const health = await becomes(
      "a healthy worker",
      () => fetch(`http://127.0.0.1:${port}/health`),
      ({ status }) => status === 200
    )
    assert.deepInclude(await health.json(), { agentId: "worker-1", status: "ok", ready: true })
    assert.strictEqual(await first.end("SIGTERM"), 0)
    await becomes("two successes", successes, (all) => all.length >= 2)

    const second = worker()
    await queue(platform, ["three", "DROP TABLE customers"])
    await second.line(/three/)
    assert.include(await second.line(/denied/), "No drops")
    await second.end("SIGKILL")

    const third = worker()
    await queue(platform, ["four"])
    await third.line(/four/)
    await third.end("SIGTERM")
    const all = await becomes("four successes", successes, (now) => now.length >= 4)
    // A violation by what a user wrote costs nothing.
    assert.deepStrictEqual(all, [2, 2, 2, 2])
  })
})

describe("an outage", () => {
  it("OUTAGE-2 OUTAGE-3 OUTAGE-6 calls go on as far as they may, and what happened arrives", async () => {
    const at = { data: join(directory, "platform"), port: await freePort(), redisPort: await freePort() }
    const before = kept(await startPlatform(at))
    const trust = async (agentId: string, impact: number) => {
      await using agion = await watcher(before)
      await agion.http((api) =>
        api.trust.evaluate({
          payload: {
            entityId: ActorId.make(agentId),
            entityType: "agent",
            eventType: "positive",
            impact,
            description: randomUUID(),
            organizationId
          }
        })
      )
    }
    // A registration is news of an agent, which then asks how it stands, by a resource that it holds: one that has
    // been here before does not.
    await (async () => {
      await using agion = await Agion.connect({
        agentId: "steady-1",
        gatewayUrl: before.url,
        directory: join(directory, "agent")
      })
      await becomes(
        "a registered agent",
        () => agion.health(),
        ({ ready }) => ready
      )
    })()
    await trust("steady-1", 32)
    const agent = kept(
      start([path("outage.ts")], {
        AGION_AGENT_ID: "steady-1",
        AGION_GATEWAY_URL: before.url,
        AGION_DIRECTORY: join(directory, "agent"),
        LOG_LEVEL: "error"
      })
    )
    await agent.line(/^acme-small: normal$/)
    await before.end("SIGKILL")
    await agent.line(/^acme-small: stale$/)
    assert.strictEqual(await agent.line(/^notes: /), "notes: degraded")
    assert.match(await agent.line(/^ledger: /), /^ledger: denied, Platform unavailable: risk critical/)

    const after = kept(await startPlatform(at))
    await agent.line(/^acme-small: normal$/, agent.lines.length)
    await using agion = await watcher(after)
    const arrived = () => impacts(agion, "steady-1")
    // Each call that ran, and the evaluation.
    const expected = () => agent.lines.filter((line) => /: (?:normal|stale|degraded)$/.test(line)).length + 1
    const meanwhile = expected()
    await becomes("what happened meanwhile", arrived, (now) => now.length >= meanwhile)
    const code = await agent.end("SIGTERM")
    assert.strictEqual(code, 0)
    assert.match(agent.lines.at(-1) ?? "", /^events sent: \d+, left for the next start: 0$/)

    const all = await becomes("all of it", arrived, (now) => now.length >= expected())
    assert.lengthOf(all, expected())
  })
})
