/**
 * An agent's event key is replaced with an overlap: the former one stays beside it until its time is over. And what
 * was set aside for its signature is counted at its agent, who asks for it when it registers.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const eventKeys = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    ALTER TABLE agents
      ADD COLUMN event_key_former bytea,
      ADD COLUMN event_key_former_until timestamptz,
      ADD COLUMN events_refused bigint NOT NULL DEFAULT 0,
      ADD COLUMN events_refused_at timestamptz`
})
