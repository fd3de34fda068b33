/**
 * Which events have been applied: an id counts once, however often it arrives (TRUST-4, EVENT-5). It is its
 * agent's: an id that one agent used makes no other agent's event a repetition.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** An event of an organization. */
export interface EventKey {
  readonly organizationId: string
  /** Of whom the event is; empty where that is not known. */
  readonly agentId: string
  readonly eventId: string
  readonly stream: string
}

/**
 * Claims ids in the caller's transaction and tells for each whether it was new; of two equal ones in a batch
 * the first is.
 */
export const claim = (
  events: ReadonlyArray<EventKey>
): Effect.Effect<ReadonlyArray<boolean>, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    if (events.length === 0) return []
    const sql = yield* SqlClient.SqlClient
    // In one order everywhere: two transactions with the same ids wait for each other instead of locking up.
    const names = events.map(nameOf)
    const sorted = events.map((event, n) => ({ ...event, name: names[n] ?? "" }))
    sorted.sort((a, b) => (a.name < b.name ? -1 : 1))
    // One that came while its agent was not known is the same one.
    const rows = yield* sql<{ organization_id: string; event_id: string; agent_id: string }>`
      INSERT INTO processed_events (organization_id, event_id, agent_id, stream)
      SELECT * FROM ${unnested(sql, sorted)}
      WHERE NOT EXISTS (SELECT FROM processed_events p WHERE p.organization_id = t.organization_id
        AND p.event_id = t.event_id AND p.agent_id = '' AND p.stream = t.stream)
      ON CONFLICT DO NOTHING
      RETURNING organization_id, event_id, agent_id`
    const fresh = new Set(rows.map((row) => `${row.organization_id}\0${row.agent_id}\0${row.event_id}`))
    return names.map((name) => fresh.delete(name))
  })

/**
 * Which ids have been claimed, in order, without claiming any. What is found stays until the caller's transaction
 * ends.
 */
export const known = (
  events: ReadonlyArray<EventKey>
): Effect.Effect<ReadonlyArray<boolean>, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    if (events.length === 0) return []
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ organization_id: string; event_id: string; agent_id: string }>`
      SELECT organization_id, event_id, agent_id FROM processed_events
      WHERE (organization_id, event_id, agent_id, stream) IN (SELECT * FROM ${unnested(sql, events)})
      FOR KEY SHARE`
    const found = new Set(rows.map((row) => `${row.organization_id}\0${row.agent_id}\0${row.event_id}`))
    return events.map((event) => found.has(nameOf(event)))
  })

const unnested = (sql: SqlClient.SqlClient, events: ReadonlyArray<EventKey>) => sql`
  unnest(${events.map((event) => event.organizationId)}::text[], ${events.map((event) => event.eventId)}::text[],
    ${events.map((event) => event.agentId)}::text[], ${events.map((event) => event.stream)}::text[])
    AS t (organization_id, event_id, agent_id, stream)`

const nameOf = (event: EventKey) => `${event.organizationId}\0${event.agentId}\0${event.eventId}`
