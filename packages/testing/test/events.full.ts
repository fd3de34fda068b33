import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { Streams } from "@agion/domain"
import { Redis, RedisClient } from "@agion/redis"
import { EventBuffer, EventTransport } from "@agion/sdk"
import { RedisServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Schedule } from "effect"
import * as EventTargets from "./EventTargets.ts"

const stream = Streams.streamNames().trust

const trust = (n: number) => ({ agentId: `agent-${n}`, eventType: "task_completed" as const })

const start = Effect.fnUntraced(function* (url: string, directory: string) {
  const redis = Redis.layer({ url, commandTimeout: "500 millis" })
  const transport = Layer.provide(EventTransport.layerRedis(), redis)
  const layer = EventBuffer.layer({ directory }).pipe(
    Layer.provide(Layer.merge(transport, EventTargets.noReports))
  )
  return Context.get(yield* Layer.build(layer), EventBuffer)
})

/** Numbers of the events in the stream, in order. */
const numbers = (url: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const context = yield* Layer.build(Redis.layer({ url, commandTimeout: "30 seconds" }))
      const entries = yield* EventTargets.readStream(Context.get(context, RedisClient))(stream)
      return entries.map((entry) => Number(entry["agent_id"]?.slice("agent-".length)))
    })
  )

const drained = (events: EventBuffer["Service"]) =>
  events.flush({ deadline: "5 seconds" }).pipe(
    Effect.flatMap(({ pending }) =>
      pending === 0 ? Effect.void : Effect.fail(`${pending} events still wait`)
    ),
    Effect.retry(Schedule.recurs(20)),
    Effect.orDie
  )

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

describe.skipIf(!RedisServer.isThere())("events under faults that last", () => {
  /** A thousand events a second for so long, while something happens. */
  const load = (events: EventBuffer["Service"], seconds: number) =>
    Effect.gen(function* () {
      let n = 0
      for (let turn = 0; turn < seconds * 50; turn++) {
        for (let i = 0; i < 20; i++) {
          n += 1
          events.publishUnsafe("trust", trust(n))
        }
        yield* Effect.sleep("20 millis")
      }
      return n
    })

  it.live("EVENT-3 Redis killed for 20 s under 1,000 events a second: none lost, none twice, in order", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make({ appendonly: "always" })
      const events = yield* start(server.url, yield* EventTargets.folder)
      const loading = yield* Effect.forkChild(load(events, 25))
      yield* Effect.sleep("2 seconds")
      yield* server.kill
      yield* Effect.sleep("20 seconds")
      yield* server.restart()
      const count = yield* Fiber.join(loading)
      yield* drained(events)
      assert.deepStrictEqual(yield* numbers(server.url), upTo(count))
      assert.deepInclude(yield* events.statistics, { dropped: 0, refused: 0, pending: 0 })
    })
  )

  it.live("EVENT-3 Redis that stops for 5 s and goes on: none lost, none twice, in order", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const events = yield* start(server.url, yield* EventTargets.folder)
      const loading = yield* Effect.forkChild(load(events, 10))
      yield* Effect.sleep("2 seconds")
      yield* server.pause
      yield* Effect.sleep("5 seconds")
      yield* server.resume
      const count = yield* Fiber.join(loading)
      yield* drained(events)
      assert.deepStrictEqual(yield* numbers(server.url), upTo(count))
    })
  )

  it.live(
    "EVENT-4 EVENT-5 an agent killed again and again while Redis is killed too: none lost, none twice",
    () =>
      Effect.gen(function* () {
        const server = yield* RedisServer.make({ appendonly: "always" })
        const directory = yield* EventTargets.folder
        const fixture = join(import.meta.dirname, "fixtures", "eventPublisher.ts")
        const safe: Array<number> = []
        for (let life = 0; life < 6; life++) {
          const args = [
            "--conditions=@agion/source",
            fixture,
            directory,
            server.url,
            String(life * 1_000_000 + 1)
          ]
          const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
          const ended = once(child, "exit")
          const reading = (async () => {
            for await (const line of createInterface({ input: child.stdout }))
              safe.push(...line.split(" ").filter(Boolean).map(Number))
          })()
          yield* Effect.gen(function* () {
            const before = safe.length
            yield* Effect.sync(() => safe.length).pipe(
              Effect.repeat({ until: (n) => n > before + 200, schedule: Schedule.spaced("20 millis") }),
              Effect.timeout("60 seconds"),
              Effect.orDie
            )
            if (life % 2 === 0) yield* server.kill
            yield* Effect.sleep("700 millis")
          }).pipe(Effect.ensuring(Effect.sync(() => child.kill("SIGKILL"))))
          yield* Effect.promise(() => Promise.all([ended, reading]))
          if (life % 2 === 0) yield* server.restart()
        }
        const events = yield* start(server.url, directory)
        yield* drained(events)
        const got = yield* numbers(server.url)
        const known = new Set(got)
        assert.deepStrictEqual(
          safe.filter((n) => !known.has(n)),
          [],
          "lost"
        )
        assert.strictEqual(known.size, got.length, "twice")
        assert.deepStrictEqual(
          got,
          [...got].sort((a, b) => a - b),
          "order"
        )
        assert.isAbove(safe.length, 1_000)
      })
  )
})
