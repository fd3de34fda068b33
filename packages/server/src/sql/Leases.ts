/**
 * What only one replica may do at a time. A lease is held for a while and renewed before it ends; its fence
 * rises with each new holder, so that a write of a former holder can be told and refused.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** A held lease. */
export interface Lease {
  readonly fence: number
}

/** Takes or renews a lease for so many milliseconds of the database's clock; undefined: another holds it. */
export const take = (
  name: string,
  holder: string,
  ttlMs: number
): Effect.Effect<Lease | undefined, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const ends = sql`clock_timestamp() + ${ttlMs} * interval '1 millisecond'`
    const rows = yield* sql<Lease>`
      INSERT INTO leases (name, holder, fence, expires_at) VALUES (${name}, ${holder}, 1, ${ends})
      ON CONFLICT (name) DO UPDATE SET
        holder = excluded.holder,
        fence = leases.fence + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END,
        expires_at = excluded.expires_at
      WHERE leases.holder = excluded.holder OR leases.expires_at < clock_timestamp()
      RETURNING fence`
    return rows[0]
  })

/** Gives a lease back, so that another need not wait for its end. */
export const release = (
  name: string,
  holder: string
): Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`UPDATE leases SET expires_at = '-infinity' WHERE name = ${name} AND holder = ${holder}`
  })
