/** Migrations beside replicas of the version before, which go on meanwhile. */
import { PostgresServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { Database } from "../src/sql/Database.ts"
import { migrate } from "../src/sql/Migrations.ts"

const clientOf = (url: string) =>
  Effect.map(Layer.build(Database.layer({ _tag: "Postgres", url })), (context) =>
    Context.get(context, SqlClient.SqlClient)
  )

describe.skipIf(!PostgresServer.isThere())("a real server", () => {
  // A settlement, and the first use of a day.
  for (const [first, second] of [
    ["reservations", "usage_ledger"],
    ["usage_ledger", "reservations"]
  ] as const)
    it.live(`LIMIT-3 who has written ${first} and the migration do not wait for each other`, () =>
      Effect.gen(function* () {
        const url = yield* (yield* PostgresServer.make()).database
        const [replica, migrating] = [yield* clientOf(url), yield* clientOf(url)]
        const migrated = Effect.provideService(migrate, SqlClient.SqlClient, migrating)
        yield* migrated
        // As it was before.
        yield* migrating`DROP INDEX reservations_closed`
        yield* migrating`ALTER TABLE usage_ledger DROP COLUMN day`
        yield* migrating`ALTER TABLE agents DROP COLUMN event_key_rotated_at`
        yield* migrating`DELETE FROM schema_migrations WHERE migration_id >= 13`

        const isHalfDone = yield* Deferred.make<void>()
        const isWaiting = yield* Deferred.make<void>()
        const closing = replica.withTransaction(
          Effect.gen(function* () {
            yield* replica`SELECT FROM permission_usage FOR UPDATE`
            yield* replica`UPDATE ${replica(first)} SET permission_id = permission_id`
            yield* Deferred.succeed(isHalfDone, undefined)
            yield* Deferred.await(isWaiting)
            yield* replica`UPDATE ${replica(second)} SET permission_id = permission_id`
          })
        )
        const closed = yield* Effect.forkChild(closing)
        yield* Deferred.await(isHalfDone)
        const migration = yield* Effect.forkChild(migrated)
        yield* Effect.repeat(replica<{ n: number }>`SELECT count(*) AS n FROM pg_locks WHERE NOT granted`, {
          until: ([row]) => row?.n === 1,
          schedule: Schedule.spaced("20 millis")
        })
        yield* Deferred.succeed(isWaiting, undefined)
        yield* Fiber.join(closed)
        assert.deepInclude(yield* Fiber.join(migration), [13, "closed_reservations"])
      }).pipe(Effect.scoped)
    )
})
