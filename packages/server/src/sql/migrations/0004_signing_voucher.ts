/** A signing key says who vouches for it: the key before it signed it (OUTAGE-5). */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Adds the column: a signed envelope as JSON, null for the first key. */
export const signingVoucher = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE signing_keys ADD COLUMN signed_by text`
})
