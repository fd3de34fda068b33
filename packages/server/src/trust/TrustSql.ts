/**
 * Scores in SQL: whole tenths of a point, changed by one statement for a whole batch (TRUST-4).
 *
 * All functions that write run inside the caller's transaction.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { array } from "../sql/Arrays.ts"

/** Whose score. */
export interface ScoreKey {
  readonly organizationId: string
  readonly entityType: string
  readonly entityId: string
}

/** How an event counts in what stands beside the score (TRUST-8). */
export type Outcome = "success" | "failure" | "violation"

/** An event that changes a score. */
export interface ScoreEvent extends ScoreKey {
  readonly eventId: string
  readonly eventType: string
  /** Points; a multiple of 0.1. */
  readonly impact: number
  readonly outcome: Outcome | null
  readonly description: string
  /** JSON text. */
  readonly metadata: string
  /** ISO-8601; null: now. */
  readonly occurredAt: string | null
}

/** What an event did. Scores are points. */
export interface ScoreChange extends ScoreKey {
  readonly eventId: string
  readonly eventType: string
  readonly impact: number
  readonly oldScore: number
  readonly newScore: number
  readonly description: string
  readonly at: Date
}

/** A score as it is stored; points. */
export interface StoredScore extends ScoreKey {
  readonly id: number
  readonly score: number
  readonly behaviorScore: number
  readonly successes: number
  readonly failures: number
  readonly violations: number
  readonly updatedAt: Date
  readonly createdAt: Date
  /** The organization's epoch as the score was read. */
  readonly epoch: number
}

/** A line of the history; points. */
export interface StoredEvent {
  readonly id: number
  readonly eventType: string
  readonly impact: number
  readonly description: string
  readonly metadata: string
  readonly occurredAt: Date
  readonly createdAt: Date
}

type Sql<A> = Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>

const columnsOf = (keys: ReadonlyArray<ScoreKey>) => ({
  organizations: keys.map((key) => key.organizationId),
  types: keys.map((key) => key.entityType),
  entities: keys.map((key) => key.entityId)
})

/** Each key once, in the order in which rows are locked everywhere. */
const distinct = (keys: ReadonlyArray<ScoreKey>): ReadonlyArray<ScoreKey> => {
  const byName = new Map<string, ScoreKey>()
  for (const key of keys) byName.set(`${key.organizationId}\0${key.entityType}\0${key.entityId}`, key)
  return [...byName.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, key]) => key)
}

/** Creates scores at 40 where there are none. */
export const ensureScores = (keys: ReadonlyArray<ScoreKey>): Sql<void> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { organizations, types, entities } = columnsOf(distinct(keys))
    yield* sql`
      INSERT INTO trust_scores (organization_id, entity_type, entity_id)
      SELECT * FROM unnest(${organizations}::text[], ${types}::text[], ${entities}::text[])
      ON CONFLICT DO NOTHING`
  })

/** Locks the rows until the transaction ends, always in the same order. */
const lockScores = (keys: ReadonlyArray<ScoreKey>): Sql<void> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { organizations, types, entities } = columnsOf(keys)
    yield* sql`
      SELECT 1 FROM trust_scores
      WHERE (organization_id, entity_type, entity_id) IN (
        SELECT * FROM unnest(${organizations}::text[], ${types}::text[], ${entities}::text[]))
      ORDER BY organization_id COLLATE "C", entity_type COLLATE "C", entity_id COLLATE "C" FOR UPDATE`
  })

interface ChangeRow {
  readonly organization_id: string
  readonly entity_type: string
  readonly entity_id: string
  readonly event_id: string
  readonly event_type: string
  readonly impact: number
  readonly old_score: number
  readonly new_score: number
  readonly description: string
  readonly created_at: Date
}

const toChange = (row: ChangeRow): ScoreChange => ({
  organizationId: row.organization_id,
  entityType: row.entity_type,
  entityId: row.entity_id,
  eventId: row.event_id,
  eventType: row.event_type,
  impact: row.impact / 10,
  oldScore: row.old_score / 10,
  newScore: row.new_score / 10,
  description: row.description,
  at: row.created_at
})

/**
 * Applies events in their order, with a line of history for each; scores that are not there start at 40. The
 * events must be new: whoever calls has seen to it that an id counts once.
 */
export const applyScores = (events: ReadonlyArray<ScoreEvent>): Sql<ReadonlyArray<ScoreChange>> =>
  Effect.gen(function* () {
    if (events.length === 0) return []
    const sql = yield* SqlClient.SqlClient
    yield* ensureScores(events)
    yield* lockScores(events)
    const { organizations, types, entities } = columnsOf(events)
    const rows = yield* sql<ChangeRow>`
      WITH input AS (
        SELECT * FROM unnest(
          ${organizations}::text[], ${types}::text[], ${entities}::text[],
          ${events.map((event) => event.eventId)}::text[],
          ${events.map((event) => event.eventType)}::text[],
          ${events.map((event) => Math.round(event.impact * 10))}::int[],
          ${array(events.map((event) => event.outcome))}::text[],
          ${events.map((event) => event.description)}::text[],
          ${events.map((event) => event.metadata)}::text[],
          ${array(events.map((event) => event.occurredAt))}::text[]
        ) WITH ORDINALITY AS t (organization_id, entity_type, entity_id, event_id, event_type, impact, outcome,
          description, metadata, occurred_at, n)
      ), folded AS (
        SELECT i.*, s.score AS start,
          trust_fold(s.score, i.impact) OVER w AS new_score,
          recency_fold(s.behavior_score, CASE i.outcome WHEN 'success' THEN 1000 WHEN 'failure' THEN 0
            WHEN 'violation' THEN 0 END) OVER w AS behavior_score
        FROM input i JOIN trust_scores s USING (organization_id, entity_type, entity_id)
        WINDOW w AS (PARTITION BY i.organization_id, i.entity_type, i.entity_id ORDER BY i.n)
      ), lines AS (
        SELECT *, coalesce(lag(new_score) OVER w, start) AS old_score,
          lead(n) OVER w IS NULL AS is_last,
          count(*) FILTER (WHERE outcome = 'success') OVER w AS successes,
          count(*) FILTER (WHERE outcome = 'failure') OVER w AS failures,
          count(*) FILTER (WHERE outcome = 'violation') OVER w AS violations
        FROM folded WINDOW w AS (PARTITION BY organization_id, entity_type, entity_id ORDER BY n)
      ), updated AS (
        UPDATE trust_scores s SET
          score = l.new_score, behavior_score = l.behavior_score, successes = s.successes + l.successes,
          failures = s.failures + l.failures, violations = s.violations + l.violations,
          updated_at = clock_timestamp()
        FROM lines l
        WHERE l.is_last AND s.organization_id = l.organization_id AND s.entity_type = l.entity_type
          AND s.entity_id = l.entity_id
      )
      INSERT INTO trust_history (organization_id, entity_type, entity_id, event_id, event_type, impact, old_score,
        new_score, description, metadata, occurred_at)
      SELECT organization_id, entity_type, entity_id, event_id, event_type, impact, old_score, new_score,
        description, metadata, coalesce(occurred_at::timestamptz, clock_timestamp())
      FROM lines ORDER BY n
      RETURNING organization_id, entity_type, entity_id, event_id, event_type, impact, old_score, new_score,
        description, created_at`
    return rows.map(toChange)
  })

interface ScoreRow {
  readonly id: number
  readonly organization_id: string
  readonly entity_type: string
  readonly entity_id: string
  readonly score: number
  readonly behavior_score: number
  readonly successes: number
  readonly failures: number
  readonly violations: number
  readonly updated_at: Date
  readonly created_at: Date
  readonly epoch: number
}

/** A score, or undefined. */
export const findScore = (key: ScoreKey): Sql<StoredScore | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<ScoreRow>`
      SELECT id, organization_id, entity_type, entity_id, score, behavior_score, successes, failures, violations,
        updated_at, created_at,
        coalesce((SELECT epoch FROM organizations o WHERE o.id = trust_scores.organization_id), 0) AS epoch
      FROM trust_scores
      WHERE organization_id = ${key.organizationId} AND entity_type = ${key.entityType}
        AND entity_id = ${key.entityId}`
    return rows.map(toScore)[0]
  })

/** Every score of an actor in an organization, whatever type it was seen as. */
export const scoresOf = (organizationId: string, entityId: string): Sql<ReadonlyArray<StoredScore>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<ScoreRow>`
      SELECT id, organization_id, entity_type, entity_id, score, behavior_score, successes, failures, violations,
        updated_at, created_at,
        coalesce((SELECT epoch FROM organizations o WHERE o.id = trust_scores.organization_id), 0) AS epoch
      FROM trust_scores WHERE organization_id = ${organizationId} AND entity_id = ${entityId}
      ORDER BY entity_type = 'user' DESC, updated_at DESC`
    return rows.map(toScore)
  })

const toScore = (row: ScoreRow): StoredScore => ({
  id: row.id,
  organizationId: row.organization_id,
  entityType: row.entity_type,
  entityId: row.entity_id,
  score: row.score / 10,
  behaviorScore: row.behavior_score / 10,
  successes: row.successes,
  failures: row.failures,
  violations: row.violations,
  updatedAt: row.updated_at,
  createdAt: row.created_at,
  epoch: row.epoch
})

/** The newest lines of a score's history, newest first. */
export const historyOf = (key: ScoreKey, limit: number): Sql<ReadonlyArray<StoredEvent>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{
      id: number
      event_type: string
      impact: number
      description: string
      metadata: string
      occurred_at: Date
      created_at: Date
    }>`
      SELECT id, event_type, impact, description, metadata, occurred_at, created_at FROM trust_history
      WHERE organization_id = ${key.organizationId} AND entity_type = ${key.entityType}
        AND entity_id = ${key.entityId}
      ORDER BY id DESC LIMIT ${limit}`
    return rows.map((row) => ({
      id: row.id,
      eventType: row.event_type,
      impact: row.impact / 10,
      description: row.description,
      metadata: row.metadata,
      occurredAt: row.occurred_at,
      createdAt: row.created_at
    }))
  })

/** Points gained within the last hour and day, by key in the order given. Locks the scores first. */
export const gainsOf = (
  keys: ReadonlyArray<ScoreKey>
): Sql<ReadonlyArray<ScoreKey & { readonly hour: number; readonly day: number }>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* ensureScores(keys)
    yield* lockScores(keys)
    const { organizations, types, entities } = columnsOf(distinct(keys))
    const rows = yield* sql<{
      organization_id: string
      entity_type: string
      entity_id: string
      hour: number
      day: number
    }>`
      SELECT k.*, coalesce(sum(h.new_score - h.old_score)
          FILTER (WHERE h.created_at > clock_timestamp() - interval '1 hour'), 0)::int AS hour,
        coalesce(sum(h.new_score - h.old_score), 0)::int AS day
      FROM unnest(${organizations}::text[], ${types}::text[], ${entities}::text[])
        AS k (organization_id, entity_type, entity_id)
      LEFT JOIN trust_history h ON h.organization_id = k.organization_id AND h.entity_type = k.entity_type
        AND h.entity_id = k.entity_id AND h.new_score > h.old_score
        AND h.created_at > clock_timestamp() - interval '1 day'
      GROUP BY 1, 2, 3`
    return rows.map((row) => ({
      organizationId: row.organization_id,
      entityType: row.entity_type,
      entityId: row.entity_id,
      hour: row.hour / 10,
      day: row.day / 10
    }))
  })

/** Which of these have at least so many violations within so many minutes. */
export const violators = (
  keys: ReadonlyArray<ScoreKey>,
  limit: { readonly violations: number; readonly withinMinutes: number }
): Sql<ReadonlyArray<ScoreKey>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { organizations, types, entities } = columnsOf(distinct(keys))
    const rows = yield* sql<{ organization_id: string; entity_type: string; entity_id: string }>`
      SELECT k.* FROM unnest(${organizations}::text[], ${types}::text[], ${entities}::text[])
        AS k (organization_id, entity_type, entity_id)
      JOIN trust_history h ON h.organization_id = k.organization_id AND h.entity_type = k.entity_type
        AND h.entity_id = k.entity_id AND h.event_type = 'policy_violation'
        AND h.created_at > clock_timestamp() - ${limit.withinMinutes} * interval '1 minute'
      GROUP BY 1, 2, 3 HAVING count(*) >= ${limit.violations} ORDER BY 1, 2, 3`
    return rows.map((row) => ({
      organizationId: row.organization_id,
      entityType: row.entity_type,
      entityId: row.entity_id
    }))
  })

/** How many policy violations an entity has had since an instant. */
export const violationsOf = (organizationId: string, entityId: string, from: string): Sql<number> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ count: number }>`
      SELECT count(*) AS count FROM trust_history
      WHERE organization_id = ${organizationId} AND entity_id = ${entityId} AND event_type = 'policy_violation'
        AND occurred_at >= ${from}::timestamptz`
    return rows[0]?.count ?? 0
  })
