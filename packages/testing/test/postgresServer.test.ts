import { PostgresServer } from "@agion/testing"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"

const query = (url: string, statement: string) =>
  Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe<Record<string, unknown>>(statement)).pipe(
    Effect.provide(PgClient.layer({ url: Redacted.make(url) }))
  )

describe.skipIf(!PostgresServer.isThere())("a PostgreSQL of one's own", () => {
  it.live(
    "gives an empty database for each call and keeps its rows over a crash",
    () =>
      Effect.gen(function* () {
        const server = yield* PostgresServer.make()
        const [one, two] = [yield* server.database, yield* server.database]
        yield* query(one, "create table t as select 42 as n")
        assert.deepStrictEqual(yield* query(two, "select to_regclass('t') as t"), [{ t: null }])
        yield* server.kill
        assert.strictEqual((yield* Effect.exit(query(one, "select 1")))._tag, "Failure")
        yield* server.restart
        assert.deepStrictEqual(yield* query(one, "select n from t"), [{ n: 42 }])
      }),
    60_000
  )
})
