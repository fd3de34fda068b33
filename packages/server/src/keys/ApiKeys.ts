/**
 * Keys of the API: `agion_ID_SECRET`, shown once, stored as a hash, compared in constant time.
 *
 * The secret has 256 random bits, so one SHA-256 is as good as any slow hash. A key that was found valid is
 * believed for a second; in this process a removed key is refused at once.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import { type ApiKey, Wire } from "@agion/domain"
import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** For whom a key speaks. */
export interface KeyHolder {
  readonly keyId: string
  readonly organizationId: string
  /** The agent that the key belongs to; null: an operator's key. */
  readonly agentId: string | null
}

/** For whom a key is made. */
export interface NewApiKey {
  readonly organizationId: string
  /** What lists show of it. */
  readonly name: string
  /** The agent that it belongs to; null: an operator's key. */
  readonly agentId: string | null
}

/** Makes, lists, revokes and verifies keys of the API. */
export class ApiKeys extends Context.Service<
  ApiKeys,
  {
    /** Makes a key; only this answer holds it. */
    readonly create: (options: NewApiKey) => Effect.Effect<ApiKey, SqlError.SqlError>
    /** The keys of an organization, or of all with null; without what is secret. */
    readonly list: (organizationId: string | null) => Effect.Effect<ReadonlyArray<ApiKey>, SqlError.SqlError>
    /** Revokes a key; false when the organization has none of that id. */
    readonly remove: (id: string, organizationId: string | null) => Effect.Effect<boolean, SqlError.SqlError>
    /** Who holds a key; undefined when it is not valid. */
    readonly verify: (key: string) => Effect.Effect<KeyHolder | undefined, SqlError.SqlError>
    /** The same of a key that was found valid within the last second; undefined: ask `verify`. */
    readonly peek: (key: string) => KeyHolder | undefined
  }
>()("@agion/server/ApiKeys") {
  /** Keys in the database, as hashes. */
  static readonly layer: Layer.Layer<ApiKeys, never, SqlClient.SqlClient> = Layer.suspend(() =>
    Layer.effect(ApiKeys, Effect.zipWith(SqlClient.SqlClient, Clock.Clock, make))
  )
}

interface Row {
  readonly id: string
  readonly organization_id: string
  readonly name: string
  readonly agent_id: string | null
  readonly created_at: Date
  readonly revoked_at: Date | null
}

interface Believed {
  readonly holder: KeyHolder
  readonly hash: Uint8Array
  readonly until: number
}

const prefix = "agion"
const believedFor = 1000
const maxBelieved = 10_000

/** Id and secret of a key; undefined for what has not its form. */
export const parseKey = (key: string): { readonly id: string; readonly secret: string } | undefined => {
  const match = /^agion_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/.exec(key)
  const [, id, secret] = match ?? []
  return id === undefined || secret === undefined ? undefined : { id, secret }
}

const hashOf = (secret: string) => createHash("sha256").update(secret).digest()

const toApiKey = (row: Row): ApiKey => ({
  id: row.id,
  organizationId: row.organization_id,
  name: row.name,
  agentId: row.agent_id,
  createdAt: Wire.timestamp(row.created_at.getTime()),
  revokedAt: row.revoked_at === null ? null : Wire.timestamp(row.revoked_at.getTime())
})

const make = (sql: SqlClient.SqlClient, clock: Clock.Clock): ApiKeys["Service"] => {
  const believed = new Map<string, Believed>()

  const peek: ApiKeys["Service"]["peek"] = (key) => {
    const parsed = parseKey(key)
    const known = parsed === undefined ? undefined : believed.get(parsed.id)
    if (parsed === undefined || known === undefined || clock.currentTimeMillisUnsafe() >= known.until)
      return undefined
    return timingSafeEqual(known.hash, hashOf(parsed.secret)) ? known.holder : undefined
  }

  const verify: ApiKeys["Service"]["verify"] = Effect.fnUntraced(function* (key) {
    const parsed = parseKey(key)
    if (parsed === undefined) return undefined
    const hash = hashOf(parsed.secret)
    const now = yield* Clock.currentTimeMillis
    const known = believed.get(parsed.id)
    if (known !== undefined && now < known.until)
      return timingSafeEqual(known.hash, hash) ? known.holder : undefined
    believed.delete(parsed.id)
    const rows = yield* sql<Row & { hash: Uint8Array }>`
      SELECT id, organization_id, name, agent_id, hash, created_at, revoked_at
      FROM api_keys WHERE id = ${parsed.id} AND revoked_at IS NULL`
    const row = rows[0]
    if (row === undefined || !timingSafeEqual(row.hash, hash)) return undefined
    const holder = { keyId: row.id, organizationId: row.organization_id, agentId: row.agent_id }
    if (believed.size >= maxBelieved) believed.clear()
    believed.set(row.id, { holder, hash: row.hash, until: now + believedFor })
    return holder
  })

  return ApiKeys.of({
    create: Effect.fnUntraced(function* ({ organizationId, name, agentId }) {
      const id = randomBytes(8).toString("hex")
      const secret = randomBytes(32).toString("base64url")
      const rows = yield* sql<Row>`
        INSERT INTO api_keys (id, organization_id, name, agent_id, hash)
        VALUES (${id}, ${organizationId}, ${name}, ${agentId}, ${hashOf(secret)})
        RETURNING id, organization_id, name, agent_id, created_at, revoked_at`
      const row = rows[0]
      if (row === undefined) return yield* Effect.die(new Error("an insert returned no row"))
      return { ...toApiKey(row), key: `${prefix}_${id}_${secret}` }
    }),
    list: (organizationId) =>
      sql<Row>`
        SELECT id, organization_id, name, agent_id, created_at, revoked_at FROM api_keys
        WHERE ${organizationId === null ? sql`TRUE` : sql`organization_id = ${organizationId}`}
        ORDER BY created_at, id`.pipe(Effect.map((rows) => rows.map(toApiKey))),
    remove: Effect.fnUntraced(function* (id, organizationId) {
      believed.delete(id)
      const rows = yield* sql`
        UPDATE api_keys SET revoked_at = clock_timestamp()
        WHERE id = ${id} AND revoked_at IS NULL
          AND ${organizationId === null ? sql`TRUE` : sql`organization_id = ${organizationId}`}
        RETURNING id`
      believed.delete(id)
      return rows.length > 0
    }),
    verify,
    peek
  })
}
