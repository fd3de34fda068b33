import { spawn } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { SqlClient } from "effect/sql"
import { Database } from "../src/sql/Database.ts"
import { migrate } from "../src/sql/Migrations.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "agion-database-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

describe("a directory of PGlite", () => {
  it.live("keeps its rows, is held by one process, and is taken over from one that died", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const database = Database.layer({ _tag: "Directory", path })
      const write = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* migrate
        yield* sql`INSERT INTO organizations (id) VALUES ('kept')`
        const second = yield* Effect.exit(Effect.provide(Effect.void, database, { local: true }))
        assert.isTrue(Exit.isFailure(second))
        assert.match(String(second), /is in use by process/)
      })
      yield* Effect.provide(write, database, { local: true })
      // What a process left that is gone, and one whose number another process has by now.
      const gone = spawn(process.execPath, ["-e", ""])
      yield* Effect.promise(() => new Promise((resolve) => gone.on("exit", resolve)))
      yield* Effect.promise(() => writeFile(join(path, "lock.7"), `${gone.pid} 1`))
      const read = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* migrate, [])
        const rows = yield* sql<{ id: string }>`SELECT id FROM organizations WHERE id = 'kept'`
        assert.deepStrictEqual(rows, [{ id: "kept" }])
        const lock = yield* Effect.promise(() => readFile(join(path, "lock.8"), "utf8"))
        assert.match(lock, new RegExp(`^${process.pid} `))
      })
      yield* Effect.provide(read, database, { local: true })
    }).pipe(Effect.scoped)
  )
})
