/** Which events have been applied: an id counts once, however often it arrives (TRUST-4, EVENT-5). */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** An event of an organization. */
export interface EventKey {
  readonly organizationId: string
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
    const rows = yield* sql<{ organization_id: string; event_id: string }>`
      INSERT INTO processed_events (organization_id, event_id, stream)
      SELECT * FROM unnest(${sorted.map((event) => event.organizationId)}::text[],
        ${sorted.map((event) => event.eventId)}::text[], ${sorted.map((event) => event.stream)}::text[])
      ON CONFLICT DO NOTHING
      RETURNING organization_id, event_id`
    const fresh = new Set(rows.map((row) => `${row.organization_id}\0${row.event_id}`))
    return names.map((name) => fresh.delete(name))
  })

const nameOf = (event: EventKey) => `${event.organizationId}\0${event.eventId}`
