/**
 * What was used, by agent, model and day: from the ledger of permissions, and from conversations with models.
 *
 * The two tell of the same calls and share no id, so they are summed apart. What counts as used is the ledger's on
 * a day of an agent for which it knows anything, requests and amounts each by themselves, else the conversations'.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** By what sums are asked for. */
export interface SumBy {
  readonly agent: boolean
  readonly model: boolean
  readonly day: boolean
}

/** Requests, tokens and micro-dollars. */
export interface Amounts {
  readonly requests: number
  readonly tokens: number
  readonly cost_micro: number
}

/** A sum: what counts as used, and what either source says. */
export interface UsageSum extends Amounts {
  readonly agent_id: string | null
  readonly model: string | null
  readonly day: string | null
  readonly ledger: Amounts
  readonly interactions: Amounts
}

/** Sums over the days of the organization's zone that lie within two instants. */
export const sumUsage = (
  by: SumBy,
  filter: {
    readonly organizationId: string | null
    readonly from?: string | undefined
    readonly to?: string | undefined
  }
): Effect.Effect<ReadonlyArray<UsageSum>, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { organizationId, from = null, to = null } = filter
    const group = sql`
      ${by.agent ? sql`agent_id` : sql`NULL::text`} AS agent_id,
      ${by.model ? sql`model` : sql`NULL::text`} AS model,
      ${by.day ? sql`to_char(day, 'YYYY-MM-DD')` : sql`NULL::text`} AS day`
    const of = (column: string, where: string) => {
      const [value, rows] = [sql.literal(column), sql.literal(where)]
      // Answers are whole numbers that JSON can carry.
      return sql`least(coalesce(sum(${value}) FILTER (WHERE ${rows}), 0), ${maxWhole}::numeric)::int8`
    }
    const amounts = (where: string) => sql`jsonb_build_object('requests', ${of("requests", where)},
      'tokens', ${of("tokens", where)}, 'cost_micro', ${of("cost_micro", where)})`
    return yield* sql<UsageSum>`
      WITH charged AS (
        SELECT l.organization_id, p.actor_id AS agent_id,
          coalesce(r.resource_data->>'model', CASE WHEN r.resource_type = 'ai_model' THEN r.name END) AS model,
          coalesce(v.day, l.day, (l.occurred_at AT TIME ZONE coalesce(o.time_zone, 'UTC'))::date) AS day,
          sum(l.requests) AS requests,
          sum(CASE WHEN l.kind = 'reservation' AND v.status IS DISTINCT FROM 'open' THEN 0 ELSE l.tokens END) AS tokens,
          sum(CASE WHEN l.kind = 'reservation' AND v.status IS DISTINCT FROM 'open' THEN 0 ELSE l.cost_micro END) AS cost_micro
        FROM usage_ledger l
        JOIN permissions p ON p.id = l.permission_id
        JOIN resources r ON r.id = p.resource_id
        LEFT JOIN reservations v ON v.id = l.reservation_id
        LEFT JOIN organizations o ON o.id = l.organization_id
        WHERE (${organizationId}::text IS NULL OR l.organization_id = ${organizationId})
        GROUP BY 1, 2, 3, 4
      ),
      days AS (
        SELECT organization_id, agent_id, day, sum(requests) > 0 AS has_requests,
          sum(tokens) > 0 OR sum(cost_micro) > 0 AS has_amounts
        FROM charged GROUP BY 1, 2, 3
      ),
      told AS (
        SELECT organization_id, agent_id, model, day, requests, tokens, cost_micro, true AS charged,
          true AS counts_request, true AS counts_amount
        FROM charged
        UNION ALL
        SELECT u.organization_id, u.agent_id, u.model, u.day, u.requests, u.tokens, u.cost_micro, false,
          NOT coalesce(d.has_requests, false), NOT coalesce(d.has_amounts, false)
        FROM llm_usage u LEFT JOIN days d USING (organization_id, agent_id, day)
        WHERE (${organizationId}::text IS NULL OR u.organization_id = ${organizationId})
      )
      SELECT ${group},
        ${of("requests", "counts_request")} AS requests, ${of("tokens", "counts_amount")} AS tokens,
        ${of("cost_micro", "counts_amount")} AS cost_micro,
        ${amounts("charged")} AS ledger, ${amounts("NOT charged")} AS interactions
      FROM told t LEFT JOIN organizations o ON o.id = t.organization_id
      WHERE (${from}::timestamptz IS NULL
          OR t.day >= (${from}::timestamptz AT TIME ZONE coalesce(o.time_zone, 'UTC'))::date)
        AND (${to}::timestamptz IS NULL
          OR t.day <= (${to}::timestamptz AT TIME ZONE coalesce(o.time_zone, 'UTC'))::date)
      GROUP BY 1, 2, 3 HAVING count(*) > 0 ORDER BY 3, 1, 2`
  })

const maxWhole = String(Number.MAX_SAFE_INTEGER)
