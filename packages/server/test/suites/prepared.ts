/**
 * A connection keeps its statements prepared while another replica brings the schema further. What PostgreSQL would
 * then answer with other columns it refuses, and in a transaction nothing asks again.
 */
import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import type { It } from "./words.ts"

interface Prepared {
  readonly statement: string
  readonly types: ReadonlyArray<string>
}

/** By platform: every statement that its one session has prepared, by its text. */
const books = new WeakMap<Platform.Platform["Service"], Map<string, Prepared>>()

/** A platform on PGlite that notes after each request what its session holds prepared. */
export const noting = (platform: Layer.Layer<Platform.Platform>): Layer.Layer<Platform.Platform> =>
  Layer.effect(
    Platform.Platform,
    Effect.gen(function* () {
      const plain = yield* Platform.Platform
      const sql = Context.get(plain.services, SqlClient.SqlClient)
      const book = new Map<string, Prepared>()
      const note = Effect.map(
        Effect.orDie(sql<Prepared>`
          SELECT statement, parameter_types::text[] AS types FROM pg_prepared_statements
          WHERE statement ~* '^\\s*(SELECT|INSERT|UPDATE|DELETE|WITH)'`),
        (rows) => {
          for (const row of rows) book.set(row.statement, row)
        }
      )
      const request: Platform.Platform["Service"]["request"] = (...asked) =>
        Effect.tap(plain.request(...asked), () => note)
      const noted = Platform.Platform.of({
        ...plain,
        request,
        get: (path) => request("GET", path),
        post: (path, body) => request("POST", path, body),
        put: (path, body) => request("PUT", path, body),
        delete: (path) => request("DELETE", path)
      })
      books.set(noted, book)
      return noted
    })
  ).pipe(Layer.provide(platform))

/** Comes after all other suites: it changes every table. */
export const prepared = (it: It) => {
  it.effect("a column that a later version adds breaks no statement that is prepared", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const sql = Context.get(platform.services, SqlClient.SqlClient)
      const noted = [...(books.get(platform)?.values() ?? [])]
      assert.isAbove(noted.length, 20)
      const names = noted.map((_, n) => `later_${n}`)
      const failed: Array<string> = []
      yield* sql.withTransaction(
        Effect.gen(function* () {
          for (const [n, { statement, types }] of noted.entries()) {
            const given = types.length === 0 ? "" : `(${types.join(", ")})`
            yield* sql.unsafe(`PREPARE ${names[n]}${given} AS ${statement}`)
          }
          const tables = yield* sql<{ name: string }>`
            SELECT table_name AS name FROM information_schema.tables
            WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'`
          for (const { name } of tables)
            yield* sql`ALTER TABLE ${sql(name)} ADD COLUMN of_a_later_version int`
          for (const [n, { statement, types }] of noted.entries()) {
            const nulls = types.length === 0 ? "" : `(${types.map(() => "NULL").join(", ")})`
            yield* sql
              .withTransaction(sql.unsafe(`EXPLAIN EXECUTE ${names[n]}${nulls}`))
              .pipe(
                Effect.catchIf(SqlError.isSqlError, (error) =>
                  Effect.sync(() => failed.push(`${causeOf(error)}: ${statement.replace(/\s+/g, " ")}`))
                )
              )
          }
        })
      )
      assert.deepStrictEqual(failed, [])
    })
  )
}

const causeOf = ({ reason }: SqlError.SqlError): string =>
  reason.cause instanceof Error ? reason.cause.message : (reason.message ?? reason._tag)
