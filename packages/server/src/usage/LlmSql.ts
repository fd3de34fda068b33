/** Conversations with models in SQL, added up by agent, model and day as they come. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { array, numbers } from "../sql/Arrays.ts"
import { json } from "../sql/Database.ts"

type Sql<A> = Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>

/** A conversation to be stored. */
export interface NewInteraction {
  readonly organizationId: string
  readonly eventId: string
  readonly executionId: string
  readonly interactionId: string
  readonly agentId: string
  readonly userId: string | null
  readonly model: string
  readonly provider: string
  readonly promptTokens: number | null
  readonly completionTokens: number | null
  readonly totalTokens: number | null
  readonly costMicroUsd: number
  readonly latencyMs: number | null
  readonly finishReason: string | null
  /** JSON. */
  readonly parameters: unknown
  /** What was said, as the organization's `llm_content` wants it; null: not kept. */
  readonly content: unknown
  readonly metadata: unknown
  /** ISO-8601; null: now. */
  readonly occurredAt: string | null
}

/** Stores conversations and adds them to the sums of the organization's day, in one statement. */
export const insertInteractions = (rows: ReadonlyArray<NewInteraction>): Sql<void> =>
  Effect.gen(function* () {
    if (rows.length === 0) return
    const sql = yield* SqlClient.SqlClient
    yield* sql`
      WITH stored AS (
        INSERT INTO llm_interactions (organization_id, event_id, execution_id, interaction_id, agent_id, user_id,
          model, provider, prompt_tokens, completion_tokens, total_tokens, cost_micro, latency_ms, finish_reason,
          parameters, content, metadata, occurred_at)
        SELECT organization_id, event_id, execution_id, interaction_id, agent_id, user_id, model, provider,
          prompt_tokens::int8, completion_tokens::int8, total_tokens::int8, cost_micro::int8, latency_ms::float8,
          finish_reason, parameters::jsonb, content::jsonb, metadata::jsonb,
          coalesce(occurred_at::timestamptz, clock_timestamp())
        FROM unnest(
          ${rows.map((row) => row.organizationId)}::text[], ${rows.map((row) => row.eventId)}::text[],
          ${rows.map((row) => row.executionId)}::text[], ${rows.map((row) => row.interactionId)}::text[],
          ${rows.map((row) => row.agentId)}::text[], ${array(rows.map((row) => row.userId))}::text[],
          ${rows.map((row) => row.model)}::text[], ${rows.map((row) => row.provider)}::text[],
          ${numbers(rows.map((row) => row.promptTokens))}::text[],
          ${numbers(rows.map((row) => row.completionTokens))}::text[],
          ${numbers(rows.map((row) => row.totalTokens))}::text[],
          ${numbers(rows.map((row) => row.costMicroUsd))}::text[],
          ${numbers(rows.map((row) => row.latencyMs))}::text[],
          ${array(rows.map((row) => row.finishReason))}::text[],
          ${rows.map((row) => json(row.parameters))}::text[],
          ${array(rows.map((row) => (row.content === null ? null : json(row.content))))}::text[],
          ${rows.map((row) => json(row.metadata))}::text[],
          ${array(rows.map((row) => row.occurredAt))}::text[]
        ) WITH ORDINALITY AS t (organization_id, event_id, execution_id, interaction_id, agent_id, user_id, model,
          provider, prompt_tokens, completion_tokens, total_tokens, cost_micro, latency_ms, finish_reason,
          parameters, content, metadata, occurred_at, n)
        ORDER BY n
        ON CONFLICT DO NOTHING
        RETURNING organization_id, agent_id, model, occurred_at, cost_micro,
          coalesce(total_tokens, coalesce(prompt_tokens, 0) + coalesce(completion_tokens, 0)) AS tokens
      )
      INSERT INTO llm_usage (organization_id, agent_id, model, day, requests, tokens, cost_micro)
      SELECT s.organization_id, s.agent_id, s.model,
        (s.occurred_at AT TIME ZONE coalesce(o.time_zone, 'UTC'))::date AS day,
        count(*), sum(s.tokens), sum(s.cost_micro)
      FROM stored s LEFT JOIN organizations o ON o.id = s.organization_id
      GROUP BY 1, 2, 3, 4 ORDER BY 1, 4, 2, 3
      ON CONFLICT (organization_id, day, agent_id, model) DO UPDATE SET
        requests = llm_usage.requests + excluded.requests,
        tokens = llm_usage.tokens + excluded.tokens,
        cost_micro = llm_usage.cost_micro + excluded.cost_micro`
  })
