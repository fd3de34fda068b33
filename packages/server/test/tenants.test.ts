import { Platform, PostgresServer } from "@agion/testing"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Database } from "../src/sql/Database.ts"
import { migrate } from "../src/sql/Migrations.ts"
import { tenants } from "./suites/tenants.ts"

layer(Platform.layer({ authentication: "keys" }), { timeout: "60 seconds", excludeTestServices: true })(
  "tenants on PGlite",
  tenants
)

const at = (url: string) => Layer.orDie(Database.layer({ _tag: "Postgres", url }))

/** A database of a user that is no superuser, as a server's should be; its address. */
const ofPlainUser = Effect.fnUntraced(function* (
  server: PostgresServer.PostgresServer["Service"],
  may: string
) {
  const url = yield* server.database
  yield* Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe(`CREATE ROLE plain LOGIN ${may}`)
    yield* sql`GRANT ALL ON SCHEMA public TO plain`
  }).pipe(Effect.provide(at(url)), Effect.orDie)
  return url.replace("postgres@", "plain@")
})

const platform = Layer.effect(
  Platform.Platform,
  Effect.gen(function* () {
    const url = yield* ofPlainUser(yield* PostgresServer.make(), "CREATEROLE")
    return yield* Platform.make({ database: { _tag: "Postgres", url }, authentication: "keys" })
  })
)

describe.skipIf(!PostgresServer.isThere())("with a real server", () => {
  layer(platform, { timeout: "60 seconds", excludeTestServices: true })("tenants on PostgreSQL", tenants)

  it.live("a user that may not take the role is told what to grant", () =>
    Effect.gen(function* () {
      const server = yield* PostgresServer.make()
      const other = yield* server.database
      yield* Effect.provide(Effect.orDie(migrate), at(other), { local: true })
      const url = yield* ofPlainUser(server, "")
      const refused = yield* Effect.exit(Effect.provide(migrate, at(url), { local: true }))
      assert.isTrue(Exit.isFailure(refused))
      assert.include(String(refused), "GRANT agion_tenant TO plain")
      const grant = Effect.gen(function* () {
        yield* (yield* SqlClient.SqlClient)`GRANT agion_tenant TO plain`
      })
      yield* Effect.provide(Effect.orDie(grant), at(other), { local: true })
      yield* Effect.provide(Effect.orDie(migrate), at(url), { local: true })
    }).pipe(Effect.scoped)
  )
})
