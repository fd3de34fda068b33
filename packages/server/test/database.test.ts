import { spawn } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PostgresServer, Template } from "@agion/testing"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Exit, Layer, References } from "effect"
import { SqlClient } from "effect/sql"
import { Database } from "../src/sql/Database.ts"
import { take } from "../src/sql/DirectoryLock.ts"
import * as Leases from "../src/sql/Leases.ts"
import { migrate } from "../src/sql/Migrations.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "agion-database-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

it.live(
  "a database that a newer version has used is left alone, and a zone that is not known becomes UTC",
  () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* migrate
      yield* sql`INSERT INTO organizations (id, time_zone) VALUES ('a', 'US/Pacific-New'), ('b', '+05:30'),
        ('c', 'Europe/Berlin')`
      assert.deepStrictEqual(yield* migrate, [])
      const zones = yield* sql<{ time_zone: string }>`
        SELECT time_zone FROM organizations WHERE id IN ('a', 'b', 'c') ORDER BY id`
      assert.deepStrictEqual(
        zones.map((row) => row.time_zone),
        ["UTC", "UTC", "Europe/Berlin"]
      )
      yield* sql`INSERT INTO schema_migrations (migration_id, name) VALUES (9000, 'later')`
      const refused = yield* Effect.flip(migrate)
      assert.strictEqual(refused._tag, "DatabaseTooNew")
      assert.include(refused.message, "`9000_later`")
      assert.include(refused.message, "start that version or a later one")
    }).pipe(
      Effect.provide(Layer.unwrap(Effect.map(Template.memory, Database.layer))),
      Effect.provideService(References.MinimumLogLevel, "None")
    ),
  60_000
)

it.live.runIf(process.platform === "linux")("a folder that cannot be made fails at once", () =>
  Effect.gen(function* () {
    const refused = yield* Effect.exit(Effect.tryPromise(() => take("/proc/nope/deeper")))
    assert.isTrue(Exit.isFailure(refused))
  })
)

it.live("a lock that a dead process left is taken over by one of many that see it at once", () =>
  Effect.gen(function* () {
    for (let round = 0; round < 10; round++) {
      const path = yield* directory
      // No process has such a number.
      yield* Effect.promise(() => writeFile(join(path, "lock.1"), "999999999 1"))
      const all = yield* Effect.promise(() => Promise.all(Array.from({ length: 20 }, () => take(path))))
      const taken = all.flatMap((one) => (one._tag === "Taken" ? [one] : []))
      assert.strictEqual(taken.length, 1)
      assert.isTrue(all.every((one) => one._tag === "Taken" || one.pid === process.pid))
      for (const { release } of taken) yield* Effect.promise(release)
      assert.strictEqual((yield* Effect.promise(() => take(path)))._tag, "Taken")
    }
  }).pipe(Effect.scoped)
)

/** A process that has ended and that its parent, another program by now, does not wait for. */
const zombie = Effect.acquireRelease(
  Effect.promise(async () => {
    const parent = spawn("sh", ["-c", "sleep 0 & echo $!; exec sleep 600"], {
      stdio: ["ignore", "pipe", "ignore"]
    })
    const pid = await new Promise<string>((resolve) =>
      parent.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString("utf8").trim()))
    )
    const fields = async () => {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8")
      return stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    }
    while ((await fields())[0] !== "Z") await new Promise((resolve) => setTimeout(resolve, 5))
    return { parent, pid, startedAt: (await fields())[19] ?? "" }
  }),
  ({ parent }) => Effect.sync(() => parent.kill("SIGKILL"))
)

it.live.runIf(process.platform === "linux")(
  "a lock of a process that died and was not waited for is taken over",
  () =>
    Effect.gen(function* () {
      const path = yield* directory
      const { pid, startedAt } = yield* zombie
      yield* Effect.promise(() => writeFile(join(path, "lock.1"), `${pid} ${startedAt}`))
      assert.strictEqual((yield* Effect.promise(() => take(path)))._tag, "Taken")
    }).pipe(Effect.scoped)
)

/** Tables without rows of organizations: what the platform's own processes hold, know or have done. */
const platformTables = [
  // Who does what one replica may do at a time.
  "leases",
  // Which migrations have run.
  "schema_migrations",
  // The keys that encrypt at rest, and those that sign for all organizations.
  "secret_keys",
  "signing_keys"
]

/** What every database promises. */
const contract = (name: string, database: Layer.Layer<SqlClient.SqlClient>) =>
  layer(Layer.provideMerge(Layer.effectDiscard(Effect.orDie(migrate)), database), {
    timeout: "60 seconds",
    excludeTestServices: true
  })(`the database on ${name}`, (it) => {
    it.effect("row-level security keeps a role inside its organization, whatever its WHERE forgets", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        for (const organization of ["one", "two"])
          yield* sql`INSERT INTO resources (organization_id, resource_type, name, resource_data)
            VALUES (${organization}, 'api', 'r', '{}')`
        const as = <A, E>(organization: string | undefined, effect: Effect.Effect<A, E>) =>
          sql.withTransaction(
            Effect.gen(function* () {
              yield* sql`SET LOCAL ROLE agion_tenant`
              if (organization !== undefined)
                yield* sql`SELECT set_config('agion.organization', ${organization}, true)`
              return yield* effect
            })
          )
        const organizations = sql<{ organization_id: string }>`SELECT DISTINCT organization_id FROM resources`
        assert.deepStrictEqual(yield* as("one", organizations), [{ organization_id: "one" }])
        assert.deepStrictEqual(yield* as(undefined, organizations), [])
        const changed = sql`UPDATE resources SET name = 'mine' RETURNING organization_id`
        assert.deepStrictEqual(yield* as("two", changed), [{ organization_id: "two" }])
        const crossing = sql`INSERT INTO resources (organization_id, resource_type, name, resource_data)
          VALUES ('one', 'api', 'crossing', '{}')`
        assert.isTrue(Exit.isFailure(yield* Effect.exit(as("two", crossing))))
        const shared = sql<{ n: number }>`SELECT count(*) AS n FROM policies`
        assert.strictEqual((yield* as("two", shared))[0]?.n, 7)
        assert.deepStrictEqual(yield* as("two", sql`DELETE FROM policies WHERE id = 1 RETURNING id`), [])
      })
    )

    it.effect(
      "a table with rows of organizations is under row-level security, and others are closed to tenants",
      () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const tables = yield* sql<{ name: string; secured: boolean; closed: boolean }>`
          SELECT t.table_name AS name,
            c.relrowsecurity AND EXISTS (SELECT FROM pg_policies p WHERE p.schemaname = t.table_schema
              AND p.tablename = t.table_name AND 'agion_tenant' = ANY(p.roles)) AS secured,
            NOT EXISTS (SELECT FROM information_schema.role_table_grants g WHERE g.table_schema = t.table_schema
              AND g.table_name = t.table_name AND g.grantee IN ('agion_tenant', 'PUBLIC')) AS closed
          FROM information_schema.tables t
          JOIN pg_class c ON c.oid = format('%I.%I', t.table_schema, t.table_name)::regclass
          WHERE t.table_schema = current_schema() AND t.table_type = 'BASE TABLE'`
          assert.isAbove(tables.length, 30)
          const unsecured = tables.filter((table) => !table.secured)
          assert.sameMembers(
            unsecured.map((table) => table.name),
            platformTables
          )
          for (const { name, closed } of unsecured) assert.isTrue(closed, name)
        })
    )

    it.effect("a lease is one holder's, renewed by it, and fenced when another takes it over", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const first = yield* Leases.take("work", "a", 60_000)
        assert.strictEqual(first?.fence, 1)
        assert.isUndefined(yield* Leases.take("work", "b", 60_000))
        assert.strictEqual((yield* Leases.take("work", "a", 60_000))?.fence, 1)
        yield* Leases.release("work", "a")
        assert.strictEqual((yield* Leases.take("work", "b", 60_000))?.fence, 2)
        yield* sql`UPDATE leases SET expires_at = now() - interval '1 second'`
        assert.strictEqual((yield* Leases.take("work", "a", 60_000))?.fence, 3)
      })
    )

    it.effect("replicas that start together migrate once", () =>
      Effect.gen(function* () {
        const applied = yield* Effect.all([migrate, migrate, migrate], {
          concurrency: database === undefined ? 1 : 3
        })
        assert.deepStrictEqual(applied.flat(), [])
      })
    )
  })

contract(
  "PGlite",
  Layer.unwrap(Effect.map(Template.memory, (options) => Layer.orDie(Database.layer(options))))
)

describe.skipIf(!PostgresServer.isThere())("with a real server", () => {
  contract(
    "PostgreSQL",
    Layer.unwrap(
      Effect.gen(function* () {
        const server = yield* PostgresServer.make()
        return Layer.orDie(Database.layer({ _tag: "Postgres", url: yield* server.database }))
      })
    )
  )
})
