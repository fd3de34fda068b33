/** When an agent's event key was replaced last: where it has not registered since, it has another key than the present one. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const eventKeyRotations = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE agents ADD COLUMN event_key_rotated_at timestamptz`
})
