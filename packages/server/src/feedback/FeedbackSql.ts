/** Feedback in SQL, who answered in which execution, and what waits for an execution to become known. */
import { Effect } from "effect"
import { SqlClient, type SqlError, type Statement } from "effect/sql"
import { array } from "../sql/Arrays.ts"
import { json } from "../sql/Database.ts"
import { all, type Page, page } from "../sql/page.ts"

type Sql<A> = Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>

/** Feedback to be stored. */
export interface NewFeedback {
  readonly id: string
  readonly organizationId: string
  readonly responseId: string
  readonly conversationId: string | null
  readonly agentId: string
  readonly userId: string
  readonly isHelpful: boolean | null
  readonly starRating: number | null
  readonly feedbackText: string | null
  readonly feedbackCategory: string | null
  /** Points. */
  readonly impact: number
  readonly trustEventId: string
  readonly responseMetadata: unknown
  readonly userMetadata: unknown
  /** False for what an agent's key brings: it is kept, and worth nothing. A name of a user in it proves nothing. */
  readonly counts: boolean
}

export interface FeedbackRow {
  readonly id: string
  readonly organization_id: string
  readonly response_id: string
  readonly conversation_id: string | null
  readonly agent_id: string
  readonly user_id: string
  readonly is_helpful: boolean | null
  readonly star_rating: number | null
  readonly feedback_text: string | null
  readonly feedback_category: string | null
  readonly trust_impact: number
  readonly trust_event_id: string | null
  readonly applied_at: Date | null
  readonly review_status: "pending" | "approved" | "rejected" | "flagged"
  readonly reviewed_by: string | null
  readonly reviewed_at: Date | null
  readonly review_notes: string | null
  readonly response_metadata: { readonly [key: string]: never }
  readonly user_metadata: { readonly [key: string]: never }
  readonly created_at: Date
  readonly updated_at: Date
}

const columns = `
  id, organization_id, response_id, conversation_id, agent_id, user_id, is_helpful, star_rating,
  feedback_text, feedback_category, trust_impact, trust_event_id, applied_at, review_status, reviewed_by,
  reviewed_at, review_notes, response_metadata, user_metadata, created_at, updated_at`

/**
 * Stores feedback, once per user and response; undefined when there is some already. What does not count is heard
 * apart from what does, and takes no place of it.
 */
export const insertFeedback = (feedback: NewFeedback): Sql<FeedbackRow | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<FeedbackRow>`
      INSERT INTO feedback (id, organization_id, response_id, conversation_id, agent_id, user_id, is_helpful,
        star_rating, feedback_text, feedback_category, trust_impact, trust_event_id, applied_at,
        response_metadata, user_metadata, counts)
      VALUES (${feedback.id}, ${feedback.organizationId}, ${feedback.responseId}, ${feedback.conversationId},
        ${feedback.agentId}, ${feedback.userId}, ${feedback.isHelpful}, ${feedback.starRating},
        ${feedback.feedbackText}, ${feedback.feedbackCategory}, ${Math.round(feedback.impact * 10)},
        ${feedback.trustEventId}, clock_timestamp(), ${json(feedback.responseMetadata)}::jsonb,
        ${json(feedback.userMetadata)}::jsonb, ${feedback.counts})
      ON CONFLICT ON CONSTRAINT feedback_once DO NOTHING
      RETURNING ${sql.literal(columns)}`
    return rows[0]
  })

/** Feedback by its id, of one organization or of any. */
export const findFeedback = (id: string, organizationId: string | null): Sql<FeedbackRow | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<FeedbackRow>`
      SELECT ${sql.literal(columns)} FROM feedback
      WHERE id = ${id} AND (${organizationId}::text IS NULL OR organization_id = ${organizationId})`
    return rows[0]
  })

/** Which feedback is wanted. */
export interface FeedbackFilter {
  readonly organizationId: string | null
  readonly agentId?: string | undefined
  readonly userId?: string | undefined
  readonly reviewStatus?: string | undefined
  readonly minStarRating?: number | undefined
  readonly maxStarRating?: number | undefined
}

const conditions = (sql: SqlClient.SqlClient, filter: FeedbackFilter): Statement.Fragment =>
  all(sql, [
    filter.organizationId !== null && sql`organization_id = ${filter.organizationId}`,
    filter.agentId !== undefined && sql`agent_id = ${filter.agentId}`,
    filter.userId !== undefined && sql`user_id = ${filter.userId}`,
    filter.reviewStatus !== undefined && sql`review_status = ${filter.reviewStatus}`,
    filter.minStarRating !== undefined && sql`star_rating >= ${filter.minStarRating}`,
    filter.maxStarRating !== undefined && sql`star_rating <= ${filter.maxStarRating}`
  ])

/** A page of the feedback that matches, oldest first. */
export const listFeedback = (filter: FeedbackFilter, limit: number, offset: number): Sql<Page<FeedbackRow>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* page<FeedbackRow>(sql, {
      columns: sql.literal(columns),
      from: sql`feedback`,
      where: conditions(sql, filter),
      order: sql`seq`,
      limit,
      offset
    })
  })

export interface FeedbackSums {
  readonly total: number
  readonly helpful: number
  readonly not_helpful: number
  readonly ratings: number
  readonly stars: number
  readonly impact: number
  readonly pending: number
  readonly flagged: number
}

/** Sums over an agent's feedback of the last days, of what counts. */
export const sumFeedback = (
  agentId: string,
  organizationId: string | null,
  days: number
): Sql<FeedbackSums> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<FeedbackSums>`
      SELECT count(*) AS total, count(*) FILTER (WHERE is_helpful) AS helpful,
        count(*) FILTER (WHERE NOT is_helpful) AS not_helpful, count(star_rating) AS ratings,
        coalesce(sum(star_rating), 0)::int8 AS stars, coalesce(sum(trust_impact), 0)::int8 AS impact,
        count(*) FILTER (WHERE review_status = 'pending') AS pending,
        count(*) FILTER (WHERE review_status = 'flagged') AS flagged
      FROM feedback
      WHERE agent_id = ${agentId} AND (${organizationId}::text IS NULL OR organization_id = ${organizationId})
        AND counts AND created_at >= clock_timestamp() - ${days} * interval '1 day'`
    return rows[0] ?? noSums
  })

const noSums: FeedbackSums = {
  total: 0,
  helpful: 0,
  not_helpful: 0,
  ratings: 0,
  stars: 0,
  impact: 0,
  pending: 0,
  flagged: 0
}

/** Who answered in an execution. */
export interface Execution {
  readonly organizationId: string
  readonly executionId: string
  readonly agentId: string
}

/** Remembers executions; the first agent that named one stays. */
export const noteExecutions = (executions: ReadonlyArray<Execution>): Sql<void> =>
  Effect.gen(function* () {
    if (executions.length === 0) return
    const sql = yield* SqlClient.SqlClient
    const sorted = [...executions].sort((a, b) => (a.executionId < b.executionId ? -1 : 1))
    yield* sql`
      INSERT INTO execution_agents (organization_id, execution_id, agent_id)
      SELECT * FROM unnest(${sorted.map((one) => one.organizationId)}::text[],
        ${sorted.map((one) => one.executionId)}::text[], ${sorted.map((one) => one.agentId)}::text[])
      ON CONFLICT DO NOTHING`
  })

/** Executions by their ids, the newest of an id last. */
export const findExecutions = (executionIds: ReadonlyArray<string>): Sql<ReadonlyArray<Execution>> =>
  Effect.gen(function* () {
    if (executionIds.length === 0) return []
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ organization_id: string; execution_id: string; agent_id: string }>`
      SELECT organization_id, execution_id, agent_id FROM execution_agents
      WHERE execution_id = ANY(${executionIds}::text[]) ORDER BY seen_at`
    return rows.map((row) => ({
      organizationId: row.organization_id,
      executionId: row.execution_id,
      agentId: row.agent_id
    }))
  })

/** Feedback that waits for its execution. */
export interface Waiting {
  readonly organizationId: string | null
  /** Who brought it over HTTP. */
  readonly bearer: { readonly organizationId: string | null; readonly agentId: string | null } | null
  readonly eventId: string
  readonly executionId: string
  readonly stream: string
  readonly entryId: string
  /** JSON of the entry's fields. */
  readonly fields: string
}

export const insertWaiting = (waiting: ReadonlyArray<Waiting>): Sql<void> =>
  Effect.gen(function* () {
    if (waiting.length === 0) return
    const sql = yield* SqlClient.SqlClient
    yield* sql`
      INSERT INTO pending_feedback (organization_id, event_id, execution_id, stream, entry_id, fields, with_key,
        key_agent_id)
      SELECT organization_id, event_id, execution_id, stream, entry_id, fields, with_key, key_agent_id FROM unnest(
        ${array(waiting.map((one) => one.organizationId))}::text[],
        ${waiting.map((one) => one.eventId)}::text[], ${waiting.map((one) => one.executionId)}::text[],
        ${waiting.map((one) => one.stream)}::text[], ${waiting.map((one) => one.entryId)}::text[],
        ${waiting.map((one) => one.fields)}::text[],
        ${waiting.map((one) => one.bearer?.organizationId != null)}::boolean[],
        ${array(waiting.map((one) => one.bearer?.agentId ?? null))}::text[]
      ) WITH ORDINALITY AS t (organization_id, event_id, execution_id, stream, entry_id, fields, with_key,
        key_agent_id, n) ORDER BY n`
  })

interface WaitingRow {
  readonly id: number
  readonly organization_id: string | null
  readonly event_id: string
  readonly execution_id: string
  readonly stream: string
  readonly entry_id: string
  readonly fields: string
  readonly with_key: boolean
  readonly key_agent_id: string | null
}

const waitingColumns = `
  id, organization_id, event_id, execution_id, stream, entry_id, fields, with_key, key_agent_id`

const toWaiting = (row: WaitingRow): Waiting => ({
  organizationId: row.organization_id,
  bearer: row.with_key ? { organizationId: row.organization_id, agentId: row.key_agent_id } : null,
  eventId: row.event_id,
  executionId: row.execution_id,
  stream: row.stream,
  entryId: row.entry_id,
  fields: row.fields
})

/** Takes feedback whose execution is known by now; what another transaction takes is left to it. */
export const takeKnown = (limit: number): Sql<ReadonlyArray<Waiting>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<WaitingRow>`
      DELETE FROM pending_feedback WHERE id IN (
        SELECT id FROM pending_feedback p WHERE EXISTS (
          SELECT FROM execution_agents e WHERE e.execution_id = p.execution_id
            AND (p.organization_id IS NULL OR p.organization_id = e.organization_id))
        ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED)
      RETURNING ${sql.literal(waitingColumns)}`
    return [...rows].sort((a, b) => a.id - b.id).map(toWaiting)
  })

/** Takes feedback that has waited for longer than so many milliseconds. */
export const takeExpired = (waitMillis: number, limit: number): Sql<ReadonlyArray<Waiting>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<WaitingRow>`
      DELETE FROM pending_feedback WHERE id IN (
        SELECT id FROM pending_feedback
        WHERE received_at <= clock_timestamp() - ${waitMillis} * interval '1 millisecond'
        ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED)
      RETURNING ${sql.literal(waitingColumns)}`
    return [...rows].sort((a, b) => a.id - b.id).map(toWaiting)
  })

/** Forgets executions that nobody will rate any more. */
export const forgetExecutions: Sql<void> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`DELETE FROM execution_agents WHERE seen_at < clock_timestamp() - interval '30 days'`
})
