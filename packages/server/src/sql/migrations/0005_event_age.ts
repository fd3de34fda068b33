/** Old event ids are found without reading all of them: they lie in the order in which they came. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const eventAge = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE INDEX processed_events_age ON processed_events USING brin (processed_at)`
})
