/** The audit log in SQL. */
import { Effect } from "effect"
import { SqlClient, type SqlError, type Statement } from "effect/sql"
import { array } from "../sql/Arrays.ts"
import { json } from "../sql/Database.ts"
import { all, type Page, page } from "../sql/page.ts"

type Sql<A> = Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>

/** A line to be written. */
export interface NewAuditEvent {
  readonly organizationId: string
  readonly eventId: string
  readonly eventType: string
  readonly entityId: string | null
  readonly entityType: string | null
  readonly action: string | null
  readonly decision: string | null
  readonly reason: string | null
  /** JSON. */
  readonly data: unknown
  /** ISO-8601; null: now. */
  readonly occurredAt: string | null
}

/** A line as it is stored. */
export interface AuditRow {
  readonly id: number
  readonly organization_id: string
  readonly event_id: string
  readonly event_type: string
  readonly entity_id: string | null
  readonly entity_type: string | null
  readonly action: string | null
  readonly decision: string | null
  readonly reason: string | null
  readonly data: { readonly [key: string]: never }
  readonly occurred_at: Date
  readonly created_at: Date
}

const columns = `
  id, organization_id, event_id, event_type, entity_id, entity_type, action, decision, reason, data,
  occurred_at, created_at`

/** Writes lines, each event id once in its organization; answers the new ones. */
export const insertAudit = (events: ReadonlyArray<NewAuditEvent>): Sql<ReadonlyArray<AuditRow>> =>
  Effect.gen(function* () {
    if (events.length === 0) return []
    const sql = yield* SqlClient.SqlClient
    return yield* sql<AuditRow>`
      INSERT INTO audit_events (organization_id, event_id, event_type, entity_id, entity_type, action, decision,
        reason, data, occurred_at)
      SELECT organization_id, event_id, event_type, entity_id, entity_type, action, decision, reason, data::jsonb,
        coalesce(occurred_at::timestamptz, clock_timestamp())
      FROM unnest(
        ${events.map((event) => event.organizationId)}::text[],
        ${events.map((event) => event.eventId)}::text[],
        ${events.map((event) => event.eventType)}::text[],
        ${array(events.map((event) => event.entityId))}::text[],
        ${array(events.map((event) => event.entityType))}::text[],
        ${array(events.map((event) => event.action))}::text[],
        ${array(events.map((event) => event.decision))}::text[],
        ${array(events.map((event) => event.reason))}::text[],
        ${events.map((event) => json(event.data))}::text[],
        ${array(events.map((event) => event.occurredAt))}::text[]
      ) WITH ORDINALITY AS t (organization_id, event_id, event_type, entity_id, entity_type, action, decision, reason,
        data, occurred_at, n)
      ORDER BY n
      ON CONFLICT DO NOTHING
      RETURNING ${sql.literal(columns)}`
  })

/** Which lines are wanted. */
export interface AuditFilter {
  readonly organizationId: string | null
  readonly entityId?: string | undefined
  readonly entityType?: string | undefined
  readonly eventType?: string | undefined
  readonly decision?: string | undefined
  readonly from?: string | undefined
  readonly to?: string | undefined
}

const conditions = (sql: SqlClient.SqlClient, filter: AuditFilter): Statement.Fragment =>
  all(sql, [
    filter.organizationId !== null && sql`organization_id = ${filter.organizationId}`,
    filter.entityId !== undefined && sql`entity_id = ${filter.entityId}`,
    filter.entityType !== undefined && sql`entity_type = ${filter.entityType}`,
    filter.eventType !== undefined && sql`event_type = ${filter.eventType}`,
    filter.decision !== undefined && sql`decision = ${filter.decision}`,
    filter.from !== undefined && sql`occurred_at >= ${filter.from}::timestamptz`,
    filter.to !== undefined && sql`occurred_at <= ${filter.to}::timestamptz`
  ])

/** A page of the lines that match, oldest first. */
export const listAudit = (filter: AuditFilter, limit: number, offset: number): Sql<Page<AuditRow>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* page<AuditRow>(sql, {
      columns: sql.literal(columns),
      from: sql`audit_events`,
      where: conditions(sql, filter),
      order: sql`id`,
      limit,
      offset
    })
  })

/** The newest lines that match, newest first. */
export const newestAudit = (
  filter: AuditFilter,
  limit: number
): Sql<{ readonly rows: ReadonlyArray<AuditRow> }> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<AuditRow>`
      SELECT ${sql.literal(columns)} FROM audit_events WHERE ${conditions(sql, filter)}
      ORDER BY occurred_at DESC, id DESC LIMIT ${limit}`
    return { rows }
  })

/** A line by its event id. */
export const findAudit = (organizationId: string, eventId: string): Sql<AuditRow | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<AuditRow>`
      SELECT ${sql.literal(columns)} FROM audit_events
      WHERE organization_id = ${organizationId} AND event_id = ${eventId}`
    return rows[0]
  })

/** What an entity was told, and how often it violated a policy. */
export interface AuditCounts {
  readonly total: number
  readonly allowed: number
  readonly denied: number
  readonly violations: number
}

/** Counts the lines that match. A decision that another agent reported is nobody's record but that agent's word. */
export const countAudit = (filter: AuditFilter): Sql<AuditCounts> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<AuditCounts>`
      SELECT count(*) AS total,
        count(*) FILTER (WHERE decision = 'allow') AS allowed,
        count(*) FILTER (WHERE decision IN ('deny', 'block')) AS denied,
        count(*) FILTER (WHERE event_type = 'policy_violation') AS violations
      FROM audit_events WHERE ${conditions(sql, filter)}
        AND NOT (event_type = 'decision' AND data ->> 'reported_by' IS NOT NULL)`
    return rows[0] ?? { total: 0, allowed: 0, denied: 0, violations: 0 }
  })
