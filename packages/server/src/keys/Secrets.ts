/**
 * Credentials at rest: encrypted by AES-256-GCM, never logged or listed.
 *
 * The key comes from the configuration (`key`, with `previous` ones that may still read), or is made at the
 * first start and kept with the data. `rotate` encrypts everything anew: with the configured key, or with a
 * new one where the platform keeps the key itself. It goes in batches while others read and write; one that was
 * broken off is finished by the next.
 *
 * **Gotchas**: a kept key that was replaced goes at the first start or rotation a minute later that finds no
 * secret by it, so that whoever was writing meanwhile is still read.
 */
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as TenantRole from "../sql/TenantRole.ts"
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

/** With which keys credentials are encrypted at rest. */
export interface SecretsOptions {
  /** 32 bytes in base64; absent: made and kept with the data. */
  readonly key?: Redacted.Redacted | undefined
  /** Keys that encrypted before and may still read. */
  readonly previous?: ReadonlyArray<Redacted.Redacted> | undefined
  /** Secrets that one transaction of a rotation encrypts anew. Default: 200. */
  readonly batch?: number
}

/** Encrypts and decrypts credentials at rest. */
export class Secrets extends Context.Service<
  Secrets,
  {
    /** Encrypts text for one place, such as `models.secrets/ID`. */
    readonly encrypt: (plain: string, context: string) => Effect.Effect<Uint8Array>
    /** The text that was encrypted for this place; fails where the key is gone, the bytes are changed, or the place is another. */
    readonly decrypt: (
      secret: Uint8Array,
      context: string
    ) => Effect.Effect<string, SecretUnreadable | SqlError.SqlError>
    /**
     * Encrypts every stored secret by the newest key and tells how many it changed. A kept key is replaced by a
     * new one first, unless a rotation before was broken off: then that one is finished.
     */
    readonly rotate: Effect.Effect<number, SecretUnreadable | SqlError.SqlError>
    /** The id of the key that encrypts now. */
    readonly keyId: Effect.Effect<string>
  }
>()("@agion/server/Secrets") {
  /** With the key of the options, else one that is made at the first start and kept with the data. */
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
  { table: "agents", column: "event_key_former", id: ["scope", "agent_id"] },
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
  /** The platform keeps the key with the data. */
  readonly managed: boolean
}

const make = Effect.fnUntraced(function* (options: SecretsOptions) {
  const sql = yield* SqlClient.SqlClient
  const managed = options.key === undefined
  const current = options.key === undefined ? yield* keptKey(sql) : yield* configured("key", options.key)
  const previous = yield* Effect.forEach(options.previous ?? [], (key, i) =>
    configured(`previous[${i}]`, key)
  )
  const ring: Ring = { current, keys: new Map([...previous, current].map((key) => [key.id, key])), managed }
  yield* prune(sql)

  const find = Effect.fnUntraced(function* (id: string) {
    if (!ring.keys.has(id)) yield* reload(sql, ring)
    return ring.keys.get(id)
  })

  const decrypt = Effect.fnUntraced(function* (secret: Uint8Array, context: string) {
    const keyId = Cipher.keyIdOf(secret) ?? null
    const key = keyId === null ? undefined : yield* find(keyId)
    const plain = key === undefined ? undefined : Cipher.decrypt(key, secret, context)
    return plain === undefined ? yield* new SecretUnreadable({ context, keyId }) : plain
  })

  /** The key that encrypts now: where it is kept with the data, another process may have replaced it. */
  const latest = managed
    ? Effect.map(Effect.orDie(reload(sql, ring)), () => ring.current)
    : Effect.succeed(ring.current)

  const rotate = Effect.gen(function* () {
    yield* sql.withTransaction(replaceKey(sql, managed))
    const key = yield* latest
    let changed = 0
    for (const column of columns) {
      const next = sql.withTransaction(reencrypt(sql, key, decrypt, column, options.batch ?? 200))
      for (let count = yield* next; count > 0; count = yield* next) changed += count
    }
    yield* prune(sql)
    return changed
  })

  return Secrets.of({
    encrypt: (plain, context) => Effect.map(latest, (key) => Cipher.encrypt(key, plain, context)),
    decrypt,
    rotate,
    keyId: Effect.map(latest, (key) => key.id)
  })
})

/** The id of the key of a secret, as bytes. */
const keyIdIn = (sql: SqlClient.SqlClient, column: string) => sql`substring(${sql(column)} FROM 3 FOR 16)`

/** Whether any secret is by the key of a row of `secret_keys`. */
const inUse = (sql: SqlClient.SqlClient) =>
  sql.or(
    columns.map(
      ({ table, column }) =>
        sql`EXISTS (SELECT 1 FROM ${sql(table)} WHERE ${keyIdIn(sql, column)} = convert_to(secret_keys.key_id, 'UTF8'))`
    )
  )

/** Forgets replaced keys that no secret needs. */
const prune = (sql: SqlClient.SqlClient) =>
  sql`DELETE FROM secret_keys WHERE retired_at < clock_timestamp() - interval '1 minute' AND NOT ${inUse(sql)}`

/** Begins a rotation: retires the kept key and makes the next one, unless a rotation was broken off. */
const replaceKey = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, managed: boolean) {
  yield* sql`SELECT pg_advisory_xact_lock(hashtext('agion.secret_keys'))`
  const broken = yield* sql`SELECT key_id FROM secret_keys WHERE retired_at IS NOT NULL AND ${inUse(sql)}`
  if (managed && broken.length > 0) return
  yield* sql`UPDATE secret_keys SET retired_at = clock_timestamp() WHERE retired_at IS NULL`
  if (!managed) return
  const next = Cipher.makeKey()
  yield* sql`INSERT INTO secret_keys (key_id, key) VALUES (${next.id}, ${next.bytes})`
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
  for (const { key, current } of yield* TenantRole.asOwner(sql)(keptKeys(sql))) {
    ring.keys.set(key.id, key)
    if (current && ring.managed) ring.current = key
  }
})

/** Encrypts the next few secrets of other keys; answers how many. */
const reencrypt = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  key: Cipher.CipherKey,
  decrypt: Secrets["Service"]["decrypt"],
  { table, column, id }: SecretColumn,
  batch: number
) {
  const names = sql.csv(id.map((name) => sql`${sql(name)}`))
  const rows = yield* sql<Record<string, string> & { secret: Uint8Array }>`
    SELECT ${names}, ${sql(column)} AS secret FROM ${sql(table)}
    WHERE ${sql(column)} IS NOT NULL AND ${keyIdIn(sql, column)} <> convert_to(${key.id}, 'UTF8')
    ORDER BY ${names} LIMIT ${batch} FOR UPDATE`
  for (const row of rows) {
    const ids = id.map((name) => row[name] ?? "")
    const context = contextOf(table, column, ...ids)
    const secret = Cipher.encrypt(key, yield* decrypt(row.secret, context), context)
    const where = sql.and(id.map((name, i) => sql`${sql(name)} = ${ids[i] ?? ""}`))
    yield* sql`UPDATE ${sql(table)} SET ${sql(column)} = ${secret} WHERE ${where}`
  }
  return rows.length
})
