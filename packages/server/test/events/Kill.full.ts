/**
 * Trust events under trouble: Redis, PostgreSQL or a replica dies by kill -9 in the middle of 10,000 events.
 * Afterwards each has counted exactly once and in order, by books that the test keeps itself.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Streams, Trust } from "@agion/domain"
import { Redis, RedisStream } from "@agion/redis"
import { PostgresServer, RedisServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, References, Schedule, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { Database } from "../../src/sql/Database.ts"
import { eventually } from "./Live.ts"

const names = Streams.streamNames()
const total = 10_000
const agents = 40
const batch = 200

/** What each event is, and what it does to the book: successes and failures that run into both ends of the scale. */
const eventOf = (n: number) => {
  const agent = `agent-${n % agents}`
  const good = Math.floor(n / agents / 40) % 2 === 0
  return {
    agent,
    id: `event-${n}`,
    type: good ? "task_completed" : "timeout_exceeded",
    points: good ? 2 : -3
  }
}

const expected = () => {
  const book = new Map<string, number>()
  for (let n = 0; n < total; n++) {
    const { agent, points } = eventOf(n)
    book.set(agent, Trust.apply(book.get(agent) ?? Trust.initialScore, points))
  }
  return book
}

/** Appends all events in order; a batch whose answer was lost is appended again, once. */
const produce = Effect.gen(function* () {
  const streams = yield* RedisStream
  for (let at = 0; at < total; at += batch) {
    const events = Array.from({ length: batch }, (_, i) => {
      const { agent, id, type } = eventOf(at + i)
      const fields = {
        event_id: id,
        organization_id: "o1",
        agent_id: agent,
        event_type: type,
        timestamp: "2026-01-01T00:00:00Z"
      }
      return { stream: names.trust, eventId: id, fields }
    })
    yield* Effect.retry(streams.appendGuarded(events), Schedule.spaced("50 millis"))
  }
})

/** How many lines of history there are; undefined while the database does not answer. */
const lines = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const counted = sql<{ n: number; ids: number }>`
    SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM trust_history`
  const rows = yield* Effect.orElseSucceed(Effect.timeout(counted, "5 seconds"), () => [])
  return rows[0]
})

const reached = (n: number) => eventually(`${n} events applied`, lines, (seen) => (seen?.n ?? 0) >= n, 240)

const assertBooks = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  assert.deepStrictEqual(yield* lines, { n: total, ids: total })
  const rows = yield* sql<{ entity_id: string; score: number }>`SELECT entity_id, score FROM trust_scores`
  const book = expected()
  assert.strictEqual(rows.length, book.size)
  for (const row of rows) assert.strictEqual(row.score / 10, book.get(row.entity_id), row.entity_id)
})

/** A replica in a process of its own. */
const replica = (url: string, redis: string): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<ChildProcess>((resume) => {
      const file = fileURLToPath(new URL("./replica.ts", import.meta.url))
      const child = spawn(process.execPath, ["--conditions=@agion/source", file, url, redis], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      child.stdout?.once("data", () => resume(Effect.succeed(child)))
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** Servers, a connection of the test's own to both, and a producer under way. */
const scene = Effect.gen(function* () {
  const postgres = yield* PostgresServer.make()
  const redis = yield* RedisServer.make({ appendonly: "always" })
  const url = yield* postgres.database
  const own = Layer.mergeAll(
    Database.layer({ _tag: "Postgres", url, maxConnections: 2 }),
    Redis.layer({ url: redis.url })
  )
  return { postgres, redis, url, own }
})

const quiet = Effect.provideService(References.MinimumLogLevel, "None")

describe.skipIf(!PostgresServer.isThere() || !RedisServer.isThere())("10,000 trust events", () => {
  it.live("TRUST-4 count exactly once when Redis is killed in the middle", () =>
    Effect.gen(function* () {
      const { redis, url, own } = yield* scene
      yield* replica(url, redis.url)
      yield* Effect.gen(function* () {
        yield* Effect.forkScoped(produce)
        for (const at of [2000, 5000]) {
          yield* reached(at)
          yield* redis.kill
          yield* redis.restart()
        }
        yield* reached(total)
        yield* assertBooks
      }).pipe(Effect.provide(own))
    }).pipe(Effect.scoped, quiet)
  )

  it.live("TRUST-4 count exactly once when PostgreSQL is killed in the middle", () =>
    Effect.gen(function* () {
      const { postgres, redis, url, own } = yield* scene
      yield* replica(url, redis.url)
      yield* Effect.gen(function* () {
        yield* Effect.forkScoped(produce)
        for (const at of [2000, 5000]) {
          yield* reached(at)
          yield* postgres.kill
          yield* postgres.restart
        }
        yield* reached(total)
        yield* assertBooks
      }).pipe(Effect.provide(own))
    }).pipe(Effect.scoped, quiet)
  )

  it.live("TRUST-4 count exactly once when the replica that reads is killed, and another takes over", () =>
    Effect.gen(function* () {
      const { redis, url, own } = yield* scene
      const first = yield* replica(url, redis.url)
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const holder = sql<{
          holder: string
        }>`SELECT holder FROM leases WHERE name = ${`stream/${names.trust}`}`
        // The first one's: nobody else is there yet.
        const [before] = yield* eventually("a lease", holder, (rows) => rows.length > 0)
        yield* replica(url, redis.url)
        yield* Effect.forkScoped(produce)
        yield* reached(2000)
        first.kill("SIGKILL")
        yield* reached(total)
        yield* assertBooks
        const [after] = yield* holder
        assert.notStrictEqual(after?.holder, before?.holder)
      }).pipe(Effect.provide(own))
    }).pipe(Effect.scoped, quiet)
  )
})
