/**
 * An event's id is its agent's, not its organization's: one agent cannot use up another's. Feedback that waits
 * remembers with whose key it came.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const eventOwners = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of statements) yield* sql.unsafe(statement)
})

const statements = [
  // Empty: what came before, or an event of which the agent is not known.
  `ALTER TABLE processed_events ADD COLUMN agent_id text NOT NULL DEFAULT ''`,
  `ALTER TABLE processed_events DROP CONSTRAINT processed_events_pkey,
    ADD PRIMARY KEY (organization_id, event_id, agent_id)`,
  `ALTER TABLE llm_interactions DROP CONSTRAINT llm_interactions_organization_id_event_id_key,
    ADD UNIQUE (organization_id, event_id, agent_id)`,
  `ALTER TABLE audit_events DROP CONSTRAINT audit_events_organization_id_event_id_key`,
  `CREATE UNIQUE INDEX audit_events_once ON audit_events (organization_id, event_id, (coalesce(entity_id, '')))`,
  `ALTER TABLE mission_messages DROP CONSTRAINT mission_messages_once,
    ADD CONSTRAINT mission_messages_once UNIQUE (organization_id, mission_id, event_id, from_participant)`,
  `ALTER TABLE pending_feedback ADD COLUMN with_key boolean NOT NULL DEFAULT false,
    ADD COLUMN key_agent_id text`
]
