/** The registry of agents in SQL. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { json } from "../sql/Database.ts"
import { all, type Page, page } from "../sql/page.ts"

type Sql<A> = Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>

/** The scope of agents that register without a key: their record holds in every organization. */
export const everywhere = "*"

/** The status that denies every check of the agent. */
export const suspended = "suspended"

/** An agent's record. */
export interface AgentRow {
  readonly scope: string
  readonly agent_id: string
  readonly organization_id: string | null
  readonly container_id: string | null
  readonly name: string
  readonly type: string
  readonly version: string
  readonly framework: string | null
  readonly model: string | null
  readonly owner: string | null
  readonly capabilities: ReadonlyArray<string>
  readonly endpoints: { readonly [key: string]: never }
  readonly status: string
  readonly metadata: { readonly [key: string]: never }
  readonly last_seen_at: Date | null
  readonly registered_at: Date
  readonly created_at: Date
  readonly updated_at: Date
}

const columns = (sql: SqlClient.SqlClient) => sql`
  scope, agent_id, organization_id, container_id, name, type, version, framework, model, owner, capabilities,
  endpoints, status, metadata, last_seen_at, registered_at, created_at, updated_at`

/** What a registration or an update says; null: it does not say. */
export interface AgentFields {
  readonly containerId: string | null
  readonly name: string | null
  readonly type: string | null
  readonly version: string | null
  readonly framework: string | null
  readonly model: string | null
  readonly owner: string | null
  readonly capabilities: ReadonlyArray<string> | null
  readonly endpoints: unknown
  readonly metadata: unknown
  readonly status: string | null
  /** The agent says it with a key of its own: what policies ask of it stays as an operator has set it. */
  readonly bySelf: boolean
}

/** Fields of the metadata that policies and limits read as facts of the agent (contract 2.1). */
const facts = ["role", "roles", "location", "budget_limit"]

/** The metadata to write: null when it is not said. An agent's own words about such facts are left out. */
const metadataOf = ({ metadata, bySelf }: AgentFields): string | null => {
  if (!bySelf || typeof metadata !== "object" || metadata === null) return jsonOrNull(metadata)
  return json(Object.fromEntries(Object.entries(metadata).filter(([name]) => !facts.includes(name))))
}

/** What of the old metadata stays when new one is written. */
const kept = (sql: SqlClient.SqlClient, { bySelf }: AgentFields) =>
  bySelf
    ? sql`(SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(agents.metadata)
        WHERE key = ANY(${sql.literal(`ARRAY[${facts.map((name) => `'${name}'`).join(", ")}]`)}))`
    : sql`'{}'::jsonb`

const jsonOrNull = (value: unknown): string | null =>
  value === null || value === undefined ? null : json(value)

/** A record as registering answers it. */
export interface RegisteredRow extends AgentRow {
  readonly event_key: Uint8Array
  /** The key was written just now. */
  readonly keyed: boolean
  readonly events_refused: number
  /** Null: there were none within the last hour. */
  readonly events_refused_at: Date | null
}

/**
 * Registers an agent or refreshes its record; a status that was set by hand stays.
 * The event key is only written where there is none; `keyed`: it was.
 */
export const upsertAgent = (
  scope: string,
  agentId: string,
  organizationId: string | null,
  fields: AgentFields,
  eventKey: Uint8Array
): Sql<RegisteredRow> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<RegisteredRow>`
      INSERT INTO agents (scope, agent_id, organization_id, container_id, name, type, version, framework, model,
        owner, capabilities, endpoints, status, metadata, event_key, last_seen_at)
      VALUES (${scope}, ${agentId}, ${organizationId}, ${fields.containerId}, ${fields.name ?? agentId},
        ${fields.type ?? "agent"}, ${fields.version ?? "0.0.0"}, ${fields.framework}, ${fields.model},
        ${fields.owner}, ${json(fields.capabilities ?? [])}::jsonb,
        coalesce(${jsonOrNull(fields.endpoints)}::jsonb, '{}'), ${fields.status ?? "active"},
        coalesce(${metadataOf(fields)}::jsonb, '{}'), ${eventKey}, clock_timestamp())
      ON CONFLICT (scope, agent_id) DO UPDATE SET
        organization_id = coalesce(${organizationId}, agents.organization_id),
        container_id = coalesce(${fields.containerId}, agents.container_id),
        name = coalesce(${fields.name}, agents.name),
        type = coalesce(${fields.type}, agents.type),
        version = coalesce(${fields.version}, agents.version),
        framework = coalesce(${fields.framework}, agents.framework),
        model = coalesce(${fields.model}, agents.model),
        owner = coalesce(${fields.owner}, agents.owner),
        capabilities = coalesce(${jsonOrNull(fields.capabilities)}::jsonb, agents.capabilities),
        endpoints = coalesce(${jsonOrNull(fields.endpoints)}::jsonb, agents.endpoints),
        status = CASE WHEN agents.status_set THEN agents.status ELSE coalesce(${fields.status}, agents.status) END,
        metadata = coalesce(${metadataOf(fields)}::jsonb || ${kept(sql, fields)}, agents.metadata),
        event_key = coalesce(agents.event_key, excluded.event_key),
        last_seen_at = clock_timestamp(), updated_at = clock_timestamp()
      RETURNING ${columns(sql)}, event_key, event_key = ${eventKey} AS keyed,
        events_refused, CASE WHEN events_refused_at > clock_timestamp() - interval '1 hour'
          THEN events_refused_at END AS events_refused_at`
    return yield* one(rows)
  })

const one = <A>(rows: ReadonlyArray<A>): Effect.Effect<A> => {
  const [row] = rows
  return row === undefined ? Effect.die(new Error("a statement returned no row")) : Effect.succeed(row)
}

/** An agent as an organization sees it: its own record, else the one that holds everywhere; null: any. */
export const findAgent = (agentId: string, organizationId: string | null): Sql<AgentRow | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<AgentRow>`
      SELECT ${columns(sql)} FROM agents
      WHERE agent_id = ${agentId} AND (${organizationId}::text IS NULL OR scope = ${organizationId})
      ORDER BY scope = ${everywhere} DESC, seq LIMIT 1`
    return rows[0]
  })

/** Changes what is given; a status given here is set by hand and stays. Answers the status before, too. */
export const updateAgent = (
  scope: string,
  agentId: string,
  fields: AgentFields
): Sql<(AgentRow & { readonly old_status: string }) | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const before = yield* sql<{ status: string }>`
      SELECT status FROM agents WHERE scope = ${scope} AND agent_id = ${agentId} FOR UPDATE`
    const rows = yield* sql<AgentRow>`
      UPDATE agents SET
        container_id = coalesce(${fields.containerId}, container_id),
        name = coalesce(${fields.name}, name), type = coalesce(${fields.type}, type),
        version = coalesce(${fields.version}, version), framework = coalesce(${fields.framework}, framework),
        model = coalesce(${fields.model}, model), owner = coalesce(${fields.owner}, owner),
        capabilities = coalesce(${jsonOrNull(fields.capabilities)}::jsonb, capabilities),
        endpoints = coalesce(${jsonOrNull(fields.endpoints)}::jsonb, endpoints),
        metadata = coalesce(${metadataOf(fields)}::jsonb || ${kept(sql, fields)}, metadata),
        status = coalesce(${fields.status}, status),
        status_set = status_set OR ${fields.status !== null},
        updated_at = clock_timestamp()
      WHERE scope = ${scope} AND agent_id = ${agentId}
      RETURNING ${columns(sql)}`
    const [row] = rows
    return row === undefined ? undefined : { ...row, old_status: before[0]?.status ?? row.status }
  })

/** Makes a suspended record of an agent that has none; undefined when there is one by now. */
export const insertSuspended = (
  scope: string,
  agentId: string,
  organizationId: string | null
): Sql<AgentRow | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<AgentRow>`
      INSERT INTO agents (scope, agent_id, organization_id, name, type, version, capabilities, endpoints, status,
        status_set, metadata)
      VALUES (${scope}, ${agentId}, ${organizationId}, ${agentId}, 'agent', '0.0.0', '[]', '{}', ${suspended}, true,
        '{}')
      ON CONFLICT DO NOTHING
      RETURNING ${columns(sql)}`
    return rows[0]
  })

/** The event keys of a record, which stays locked until the transaction ends. */
export const lockEventKeys = (
  scope: string,
  agentId: string
): Sql<
  | { readonly present: Uint8Array | null; readonly former: Uint8Array | null; readonly unheard: boolean }
  | undefined
> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    // A former key that is valid, and no registration since: nobody was given the present one.
    const rows = yield* sql<{ present: Uint8Array | null; former: Uint8Array | null; unheard: boolean }>`
      SELECT event_key AS present, event_key_former AS former,
        coalesce(event_key_former_until > clock_timestamp() AND event_key_rotated_at > last_seen_at, false) AS unheard
      FROM agents WHERE scope = ${scope} AND agent_id = ${agentId} FOR UPDATE`
    return rows[0]
  })

/** Writes event keys; answers until when the former one is valid, which is no shorter than was said of the same before. */
export const replaceEventKey = (
  scope: string,
  agentId: string,
  keys: {
    readonly next: Uint8Array
    readonly former: Uint8Array | null
    readonly sameFormer: boolean
    readonly overlapSeconds: number
  }
): Sql<Date | null> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { former, next, overlapSeconds, sameFormer } = keys
    const rows = yield* sql<{ until: Date | null }>`
      UPDATE agents SET event_key = ${next}, event_key_former = ${former},
        event_key_former_until = CASE WHEN ${former !== null}
          THEN greatest(clock_timestamp() + ${overlapSeconds}::int * interval '1 second',
            CASE WHEN ${sameFormer} THEN event_key_former_until END) END,
        event_key_rotated_at = clock_timestamp(), updated_at = clock_timestamp()
      WHERE scope = ${scope} AND agent_id = ${agentId}
      RETURNING event_key_former_until AS until`
    return rows[0]?.until ?? null
  })

/** Notes events that were set aside for their signature: counted anew after an hour without any. */
export const noteRefused = (
  refused: ReadonlyArray<{
    readonly organizationId: string
    readonly agentId: string
    readonly count: number
  }>
): Sql<void> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`
      UPDATE agents SET events_refused_at = clock_timestamp(), events_refused = r.count + CASE
        WHEN events_refused_at > clock_timestamp() - interval '1 hour' THEN events_refused ELSE 0 END
      FROM (
        SELECT a.scope, a.agent_id, sum(r.count)::int8 AS count
        FROM unnest(${refused.map((one) => one.organizationId)}::text[], ${refused.map((one) => one.agentId)}::text[],
          ${refused.map((one) => one.count)}::int[]) AS r (organization_id, agent_id, count)
        JOIN agents a ON a.agent_id = r.agent_id AND a.scope IN (r.organization_id, ${everywhere})
        GROUP BY a.scope, a.agent_id
      ) r
      WHERE agents.scope = r.scope AND agents.agent_id = r.agent_id`
  })

/** Deletes a record unless its agent is suspended by then; tells whether it did. */
export const deleteAgent = (scope: string, agentId: string): Sql<boolean> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`
      DELETE FROM agents WHERE scope = ${scope} AND agent_id = ${agentId} AND status <> ${suspended}
      RETURNING agent_id`
    return rows.length > 0
  })

/** A page of agents in order of their registration. */
export const listAgents = (filter: {
  readonly scope: string | null
  readonly organizationId: string | null
  readonly status: string | undefined
  readonly limit: number
  readonly offset: number
}): Sql<Page<AgentRow>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* page<AgentRow>(sql, {
      columns: columns(sql),
      from: sql`agents`,
      where: all(sql, [
        filter.scope !== null && sql`scope = ${filter.scope}`,
        filter.organizationId !== null && sql`organization_id = ${filter.organizationId}`,
        filter.status !== undefined && sql`status = ${filter.status}`
      ]),
      order: sql`seq`,
      limit: filter.limit,
      offset: filter.offset
    })
  })

/** Every organization in which something may depend on the agent, in order of id. */
export const organizationsOfAgent = (agentId: string): Sql<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ organization_id: string }>`
      SELECT organization_id FROM permissions WHERE actor_id = ${agentId}
      UNION SELECT organization_id FROM trust_scores WHERE entity_id = ${agentId}
      UNION SELECT organization_id FROM actor_organizations WHERE actor_id = ${agentId}`
    return rows.map((row) => row.organization_id).sort()
  })
