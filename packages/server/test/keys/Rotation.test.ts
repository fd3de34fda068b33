/** Rotation of the key that encrypts credentials: in batches, broken off, finished, and while others write. */
import { PostgresServer } from "@agion/testing"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { contextOf, Secrets } from "../../src/keys/Secrets.ts"
import type { DatabaseOptions } from "../../src/sql/Database.ts"
import { database } from "../events/Live.ts"

const services = (options: DatabaseOptions) =>
  Layer.provideMerge(Secrets.layer({ batch: 2 }), database(options))

const onPostgres = Layer.unwrap(
  Effect.gen(function* () {
    const server = yield* PostgresServer.make()
    return services({ _tag: "Postgres", url: yield* server.database })
  })
)

const names = ["m1", "m2", "m3", "m4", "m5"]
const place = (id: string) => contextOf("models", "secrets", id)

const store = Effect.fnUntraced(function* (id: string) {
  const sql = yield* SqlClient.SqlClient
  const secret = yield* (yield* Secrets).encrypt(`words of ${id}`, place(id))
  yield* sql`
    INSERT INTO models (id, organization_id, name, purpose, provider, model_name, secrets)
    VALUES (${id}, 'o', ${id}, ${id}, 'p', 'm', ${secret})`
})

const readAll = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const secrets = yield* Secrets
  const rows = yield* sql<{ id: string; secrets: Uint8Array }>`SELECT id, secrets FROM models ORDER BY id`
  return yield* Effect.forEach(rows, (row) => secrets.decrypt(row.secrets, place(row.id)))
})

const keyIds = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ id: string }>`
    SELECT DISTINCT convert_from(substring(secrets FROM 3 FOR 16), 'UTF8') AS id FROM models`
  return rows.map(({ id }) => id)
})

/** Another process on the same data. */
const elsewhere = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provide(effect, Layer.fresh(Secrets.layer({ batch: 2 })))

const suite = (name: string, live: Layer.Layer<Secrets | SqlClient.SqlClient, unknown>) =>
  layer(live, { timeout: "90 seconds", excludeTestServices: true })(`secrets on ${name}`, (it) => {
    it.effect("a rotation that breaks off in the middle loses nothing and is finished by the next", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const secrets = yield* Secrets
        const plain = names.map((id) => `words of ${id}`)
        yield* Effect.forEach(names, store)
        const before = yield* secrets.keyId
        const [last] = yield* sql<{ secrets: Uint8Array }>`SELECT secrets FROM models WHERE id = 'm5'`
        const whole = last?.secrets ?? new Uint8Array()
        const broken = Uint8Array.from(whole, (byte, i) => (i === whole.length - 1 ? byte ^ 1 : byte))
        yield* sql`UPDATE models SET secrets = ${broken} WHERE id = 'm5'`
        const failure = yield* Effect.flip(elsewhere(Effect.flatMap(Secrets, ({ rotate }) => rotate)))
        assert.include(String(failure), "models.secrets/m5")
        yield* sql`UPDATE models SET secrets = ${whole} WHERE id = 'm5'`
        // Two keys are in use, and this process and a new one read both.
        assert.strictEqual((yield* keyIds).length, 2)
        assert.deepStrictEqual(yield* readAll, plain)
        assert.deepStrictEqual(yield* elsewhere(readAll), plain)
        const begun = yield* secrets.keyId
        assert.notStrictEqual(begun, before)
        assert.strictEqual(yield* secrets.rotate, 1)
        assert.deepStrictEqual(yield* keyIds, [begun])
        assert.deepStrictEqual(yield* elsewhere(readAll), plain)
      })
    )

    it.effect("a replaced key goes only when no secret needs it, and each rotation makes a new one", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const secrets = yield* Secrets
        const first = yield* secrets.keyId
        assert.strictEqual(yield* elsewhere(Effect.flatMap(Secrets, ({ rotate }) => rotate)), names.length)
        const second = yield* secrets.keyId
        assert.notStrictEqual(second, first)
        // This process encrypts by the key that another one made.
        yield* store("m6")
        assert.deepStrictEqual(yield* keyIds, [second])
        yield* sql`UPDATE secret_keys SET retired_at = retired_at - interval '2 minutes' WHERE retired_at IS NOT NULL`
        yield* elsewhere(Effect.asVoid(Secrets))
        const kept = yield* sql<{ key_id: string }>`SELECT key_id FROM secret_keys`
        assert.deepStrictEqual(
          kept.map(({ key_id }) => key_id),
          [second]
        )
        assert.strictEqual((yield* elsewhere(readAll)).length, names.length + 1)
      })
    )
  })

suite("PGlite", services({ _tag: "Memory" }))
describe.skipIf(!PostgresServer.isThere())("with a real server", () => suite("PostgreSQL", onPostgres))
