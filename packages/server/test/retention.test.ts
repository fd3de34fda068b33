/** What is deleted by age, beside the requests of the same server. */
import { Platform, PostgresServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { Retention } from "../src/retention/Retention.ts"
import { Database } from "../src/sql/Database.ts"

describe.skipIf(!PostgresServer.isThere())("a real server", () => {
  it.live("EVENT-5 nobody waits behind a deletion that takes long", () =>
    Effect.gen(function* () {
      const url = yield* (yield* PostgresServer.make()).database
      const { services } = yield* Platform.make({ database: { _tag: "Postgres", url } })
      const other = Context.get(
        yield* Layer.build(Database.layer({ _tag: "Postgres", url })),
        SqlClient.SqlClient
      )
      const isLocked = yield* Deferred.make<void>()
      const isOver = yield* Deferred.make<void>()
      const locking = other.withTransaction(
        Effect.gen(function* () {
          yield* other`LOCK TABLE processed_events`
          yield* Deferred.succeed(isLocked, undefined)
          yield* Deferred.await(isOver)
        })
      )
      const lock = yield* Effect.forkChild(locking)
      yield* Deferred.await(isLocked)
      const pruning = yield* Effect.forkChild(Context.get(services, Retention).prune)
      yield* Effect.repeat(other<{ n: number }>`SELECT count(*) AS n FROM pg_locks WHERE NOT granted`, {
        until: ([row]) => row?.n === 1,
        schedule: Schedule.spaced("20 millis")
      })
      const sql = Context.get(services, SqlClient.SqlClient)
      assert.deepStrictEqual(yield* Effect.timeout(sql`SELECT 1 AS n`, "5 seconds"), [{ n: 1 }])
      yield* Deferred.succeed(isOver, undefined)
      yield* Fiber.join(lock)
      assert.strictEqual((yield* Fiber.join(pruning))?.event_ids, 0)
    }).pipe(Effect.scoped)
  )
})
