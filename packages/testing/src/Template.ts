/**
 * A migrated PGlite as a file: tests that start from it open several times faster than from nothing. It is made
 * once for each state of the migrations and kept beside the installed packages.
 */
import { createHash } from "node:crypto"
import { openAsBlob } from "node:fs"
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Database, type DatabaseOptions, migrate } from "@agion/server"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const root = fileURLToPath(new URL("../../../", import.meta.url))
const sqlFolder = join(root, "packages/server/src/sql")

/** Options for a database in memory that is at the present schema already. */
export const memory: Effect.Effect<DatabaseOptions> = Effect.suspend(() =>
  Effect.flatMap(Effect.promise(fileOfTemplate), (file) =>
    Effect.promise(() => read(file)).pipe(
      Effect.flatMap((found) => (found === undefined ? make(file) : Effect.succeed(found))),
      Effect.map((template): DatabaseOptions => ({ _tag: "Memory", template }))
    )
  )
)

/** Named by everything that decides what the schema is. */
const fileOfTemplate = async (): Promise<string> => {
  const hash = createHash("sha256")
  const sources = (await readdir(sqlFolder, { recursive: true }))
    .filter((name) => name.endsWith(".ts"))
    .sort()
  for (const name of sources) hash.update(name).update(await readFile(join(sqlFolder, name)))
  hash.update(await readFile(fileURLToPath(import.meta.url)))
  hash.update(createRequire(import.meta.url).resolve("@electric-sql/pglite"))
  hash.update(await readFile(join(root, "packages/domain/src/Policy.ts")))
  return join(root, "node_modules/.cache/agion", `pglite-${hash.digest("hex").slice(0, 16)}.tar`)
}

const read = async (file: string): Promise<Blob | undefined> => {
  try {
    return await openAsBlob(file)
  } catch {
    return undefined
  }
}

/** Makes the template; of several processes that do so at once the last one's file stays. */
const make = (file: string): Effect.Effect<Blob> =>
  Effect.orDie(
    Effect.gen(function* () {
      yield* migrate
      yield* alone
      const { dump } = yield* Database
      if (dump === undefined) return yield* Effect.die(new Error("PGlite cannot be dumped"))
      const blob = yield* dump
      yield* Effect.promise(async () => {
        await mkdir(dirname(file), { recursive: true })
        const draft = `${file}.${process.pid}`
        await writeFile(draft, new Uint8Array(await blob.arrayBuffer()))
        await rename(draft, file)
      })
      return blob
    }).pipe(Effect.provide(Database.layer({ _tag: "Memory" })))
  )

/** Drops the databases that nobody opens, half of the files; and leaves nothing for a start to recover. */
const alone = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`UPDATE pg_database SET datistemplate = false WHERE datname <> current_database()`
  for (const name of ["template0", "template1"]) yield* sql`DROP DATABASE ${sql(name)}`
  yield* sql`CHECKPOINT`
})
