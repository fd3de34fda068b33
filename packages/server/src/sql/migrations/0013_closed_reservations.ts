/**
 * Reservations that are closed go by age, and the ledger keeps what it needs of them: the day that they counted on,
 * which is another one than the line's own where a call went on over midnight.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { release, settle } from "./limitFunctions.ts"

const index = `CREATE INDEX reservations_closed ON reservations (closed_at) WHERE status IN ('settled', 'released')`

/** What was written before: of most lines the day is their own. */
const days = `UPDATE usage_ledger l SET day = v.day
  FROM reservations v LEFT JOIN organizations o ON o.id = v.organization_id
  WHERE v.id = l.reservation_id AND v.day <> (l.occurred_at AT TIME ZONE coalesce(o.time_zone, 'UTC'))::date`

const parts = { create: "CREATE OR REPLACE", column: ", day", value: ", held.day" } as const

export const closedReservations = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // Replicas of the version before go on meanwhile. Whatever they write of both tables begins with a row of this one, so
  // that none of it is half done while both are taken.
  yield* sql`LOCK TABLE permission_usage IN EXCLUSIVE MODE`
  // Null: the day of `occurred_at`.
  yield* sql`ALTER TABLE usage_ledger ADD COLUMN day date`
  for (const statement of [index, days, settle(parts), release(parts)]) yield* sql.unsafe(statement)
})
