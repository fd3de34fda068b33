/**
 * Credentials at rest: encrypted by AES-256-GCM, never logged or listed.
 *
 * The key comes from the configuration (`key`, with `previous` ones that may still read), or is made at the
 * first start and kept with the data. `rotate` encrypts everything anew: with the configured key, or with a
 * new one where the platform keeps the key itself.
 */
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as Cipher from "./Cipher.ts"

/** A secret that cannot be read, or a key that is none. */
export class SecretUnreadable extends Schema.TaggedError<SecretUnreadable>()("SecretUnreadable", {
  context: Schema.String,
  keyId: Schema.NullOr(Schema.String)
}) {
  override get message() {
    const by = this.keyId === null ? "an unknown key" : `key \`${this.keyId}\``
    return `the secret of \`${this.context}\` was encrypted by ${by} or changed since; give that key as a previous one`
  }
}

/** A configured key that is not 32 bytes of base64 or base64url. */
export class InvalidSecretKey extends Schema.TaggedError<InvalidSecretKey>()("InvalidSecretKey", {
  name: Schema.String
}) {
  override get message() {
    return `\`${this.name}\` must be 32 random bytes in base64`
  }
}

export interface SecretsOptions {
  /** 32 bytes in base64; absent: made and kept with the data. */
  readonly key?: Redacted.Redacted | undefined
  /** Keys that encrypted before and may still read. */
  readonly previous?: ReadonlyArray<Redacted.Redacted> | undefined
}

export class Secrets extends Context.Service<
  Secrets,
  {
    /** Encrypts text for one place, such as `models.secrets/ID`. */
    readonly encrypt: (plain: string, context: string) => Effect.Effect<Uint8Array>
    readonly decrypt: (
      secret: Uint8Array,
      context: string
    ) => Effect.Effect<string, SecretUnreadable | SqlError.SqlError>
    /** Encrypts every stored secret by the current key and tells how many there were. */
    readonly rotate: Effect.Effect<number, SecretUnreadable | SqlError.SqlError>
    /** The id of the key that encrypts now. */
    readonly keyId: Effect.Effect<string>
  }
>()("@agion/server/Secrets") {
  static readonly layer = (
    options: SecretsOptions = {}
  ): Layer.Layer<Secrets, InvalidSecretKey | SqlError.SqlError, SqlClient.SqlClient> =>
    Layer.effect(Secrets, make(options))
}

/** A column that holds secrets, and what names its rows in the context. */
interface SecretColumn {
  readonly table: string
  readonly column: string
  readonly id: ReadonlyArray<string>
}

const columns: ReadonlyArray<SecretColumn> = [
  { table: "models", column: "secrets", id: ["id"] },
  { table: "resource_configs", column: "secrets", id: ["id"] },
  { table: "agents", column: "event_key", id: ["scope", "agent_id"] },
  { table: "signing_keys", column: "private_key", id: ["key_id"] }
]

/** What names the secret of a row: `models.secrets/ID`. */
export const contextOf = (table: string, column: string, ...id: ReadonlyArray<string>): string =>
  `${table}.${column}/${id.join("/")}`

const configured = (name: string, key: Redacted.Redacted) => {
  const made = Cipher.keyOf(Buffer.from(Redacted.value(key), "base64"))
  return made === undefined ? Effect.fail(new InvalidSecretKey({ name })) : Effect.succeed(made)
}

/** Keys by id, and the one that encrypts. */
interface Ring {
  current: Cipher.CipherKey
  readonly keys: Map<string, Cipher.CipherKey>
}

const make = Effect.fnUntraced(function* (options: SecretsOptions) {
  const sql = yield* SqlClient.SqlClient
  const managed = options.key === undefined
  const current = options.key === undefined ? yield* keptKey(sql) : yield* configured("key", options.key)
  const previous = yield* Effect.forEach(options.previous ?? [], (key, i) =>
    configured(`previous[${i}]`, key)
  )
  const ring: Ring = { current, keys: new Map([...previous, current].map((key) => [key.id, key])) }

  const find = Effect.fnUntraced(function* (id: string) {
    if (!ring.keys.has(id) && managed) yield* reload(sql, ring)
    return ring.keys.get(id)
  })

  const decrypt = Effect.fnUntraced(function* (secret: Uint8Array, context: string) {
    const keyId = Cipher.keyIdOf(secret) ?? null
    const key = keyId === null ? undefined : yield* find(keyId)
    const plain = key === undefined ? undefined : Cipher.decrypt(key, secret, context)
    return plain === undefined ? yield* new SecretUnreadable({ context, keyId }) : plain
  })

  const rotate = sql
    .withTransaction(
      Effect.gen(function* () {
        if (managed) {
          yield* sql`UPDATE secret_keys SET retired_at = clock_timestamp() WHERE retired_at IS NULL`
          const next = Cipher.makeKey()
          yield* sql`INSERT INTO secret_keys (key_id, key) VALUES (${next.id}, ${next.bytes})`
          ring.keys.set(next.id, next)
          ring.current = next
        }
        const counts = yield* Effect.forEach(columns, (column) => reencrypt(sql, ring, decrypt, column))
        if (managed) yield* sql`DELETE FROM secret_keys WHERE retired_at IS NOT NULL`
        return counts.reduce((sum, n) => sum + n, 0)
      })
    )
    .pipe(Effect.tapError(() => (managed ? Effect.ignore(reload(sql, ring)) : Effect.void)))

  return Secrets.of({
    encrypt: (plain, context) => Effect.sync(() => Cipher.encrypt(ring.current, plain, context)),
    decrypt,
    rotate,
    keyId: Effect.sync(() => ring.current.id)
  })
})

/** The key that is kept with the data; the first start makes it, and of several starts at once one does. */
const keptKey = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  const made = Cipher.makeKey()
  yield* sql`INSERT INTO secret_keys (key_id, key) VALUES (${made.id}, ${made.bytes}) ON CONFLICT DO NOTHING`
  const rows = yield* keptKeys(sql)
  return rows.find((row) => row.current)?.key ?? made
})

const keptKeys = (sql: SqlClient.SqlClient) =>
  sql<{ key_id: string; key: Uint8Array; current: boolean }>`
    SELECT key_id, key, retired_at IS NULL AS current FROM secret_keys`.pipe(
    Effect.map((rows) =>
      rows.map((row) => ({
        key: { id: row.key_id, bytes: row.key } as Cipher.CipherKey,
        current: row.current
      }))
    )
  )

const reload = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, ring: Ring) {
  for (const { key, current } of yield* keptKeys(sql)) {
    ring.keys.set(key.id, key)
    if (current) ring.current = key
  }
})

const reencrypt = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  ring: Ring,
  decrypt: Secrets["Service"]["decrypt"],
  { table, column, id }: SecretColumn
) {
  const rows = yield* sql<Record<string, string> & { secret: Uint8Array }>`
    SELECT ${sql.csv(id.map((name) => sql`${sql(name)}`))}, ${sql(column)} AS secret
    FROM ${sql(table)} WHERE ${sql(column)} IS NOT NULL FOR UPDATE`
  for (const row of rows) {
    const ids = id.map((name) => row[name] ?? "")
    const context = contextOf(table, column, ...ids)
    const secret = Cipher.encrypt(ring.current, yield* decrypt(row.secret, context), context)
    const where = sql.and(id.map((name, i) => sql`${sql(name)} = ${ids[i] ?? ""}`))
    yield* sql`UPDATE ${sql(table)} SET ${sql(column)} = ${secret} WHERE ${where}`
  }
  return rows.length
})
