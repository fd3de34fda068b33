/** What a check needs to know, as it is read from SQL for the snapshot. */
import type { Permission, Resource } from "@agion/domain"
import { type PermissionCheck, PolicyFacts } from "@agion/policy"
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { columns, type ResourceRow, toResource } from "../resources/ResourcesSql.ts"
import * as PermissionsSql from "./PermissionsSql.ts"

/** An organization's settings that decide. */
export interface Settings {
  readonly epoch: number
  readonly timeZone: string
  readonly enforcement: "enforce" | "observe"
  /** US dollars a day. */
  readonly budgetLimit: number | null
}

/** A resource that is there. */
export interface KnownResource {
  readonly resource: Resource
  readonly facts: PermissionCheck.ResourceFacts
}

/** An actor, by id: what the registry says of it, its scores by type, its permissions. */
export interface KnownActor {
  readonly id: string
  /** `active` when the registry does not know it. */
  readonly status: string
  readonly view: PermissionCheck.View
  readonly scores: ReadonlyMap<string, number>
  readonly permissions: ReadonlyArray<Permission>
}

interface AgentRow {
  readonly agent_id: string
  readonly scope: string
  readonly status: string
  readonly capabilities: ReadonlyArray<string>
  readonly metadata: { readonly [name: string]: unknown }
}

type Query<A> = Effect.Effect<A, SqlError.SqlError>

/** The statements. */
export interface SnapshotSql {
  /** Undefined: there is no such organization yet. */
  readonly settings: (organizationId: string) => Query<Settings | undefined>
  /** Resources of an organization by id; those that are not there are left out. */
  readonly resources: (
    organizationId: string,
    ids: ReadonlyArray<string>
  ) => Query<ReadonlyMap<string, KnownResource>>
  readonly actors: (
    organizationId: string,
    ids: ReadonlyArray<string>,
    budgetLimit: number | null
  ) => Query<ReadonlyArray<KnownActor>>
  /** Which organization a resource belongs to. */
  readonly ownerOf: (resourceIds: ReadonlyArray<string>) => Query<ReadonlyMap<string, string>>
}

export const make = (sql: SqlClient.SqlClient): SnapshotSql => {
  const permissions = PermissionsSql.make(sql)

  const resources = Effect.fnUntraced(function* (organizationId: string, ids: ReadonlyArray<string>) {
    const rows = yield* sql<ResourceRow & { ancestor_status: string | null }>`
      WITH RECURSIVE chain AS (
        SELECT id AS leaf, parent_resource_id AS parent, NULL::text AS status, 0 AS depth FROM resources
        WHERE id = ANY(${ids}::uuid[]) AND organization_id = ${organizationId}
        UNION ALL
        SELECT chain.leaf, r.parent_resource_id, r.status, chain.depth + 1
        FROM chain JOIN resources r ON r.id = chain.parent
      ), blocked AS (
        SELECT DISTINCT ON (leaf) leaf, status AS ancestor_status FROM chain WHERE depth > 0 AND status <> 'active'
        ORDER BY leaf, depth
      )
      SELECT ${sql.literal(columns)}, ancestor_status FROM resources LEFT JOIN blocked ON leaf = id
      WHERE id = ANY(${ids}::uuid[]) AND organization_id = ${organizationId}`
    return new Map(
      rows.map((row): [string, KnownResource] => {
        const resource = toResource(row)
        return [row.id, { resource, facts: PolicyFacts.resourceFacts(resource, row.ancestor_status) }]
      })
    )
  })

  const actors = Effect.fnUntraced(function* (
    organizationId: string,
    ids: ReadonlyArray<string>,
    budgetLimit: number | null
  ) {
    const [granted, scores, agents] = yield* Effect.all(
      [
        permissions.ofActors(organizationId, ids),
        sql<{ entity_type: string; entity_id: string; score: number }>`
          SELECT entity_type, entity_id, score FROM trust_scores
          WHERE organization_id = ${organizationId} AND entity_id = ANY(${ids}::text[])`,
        sql<AgentRow>`
          SELECT agent_id, scope, status, capabilities, metadata FROM agents
          WHERE agent_id = ANY(${ids}::text[]) AND scope IN ('*', ${organizationId})`
      ],
      { concurrency: 3 }
    )
    return ids.map((id): KnownActor => {
      const records = agents.filter((agent) => agent.agent_id === id)
      const own = records.find((agent) => agent.scope === organizationId) ?? records[0]
      return {
        id,
        status: records.some((agent) => agent.status === "suspended")
          ? "suspended"
          : (own?.status ?? "active"),
        view: actorView(organizationId, own, budgetLimit),
        scores: new Map(
          scores.flatMap((row) => (row.entity_id === id ? [[row.entity_type, row.score / 10] as const] : []))
        ),
        permissions: granted.filter((permission) => permission.actorId === id)
      }
    })
  })

  return {
    settings: (organizationId) =>
      Effect.map(
        sql<{
          epoch: number
          time_zone: string
          enforcement: Settings["enforcement"]
          budget_limit_micro: number | null
        }>`SELECT epoch, time_zone, enforcement, budget_limit_micro FROM organizations WHERE id = ${organizationId}`,
        ([row]) =>
          row === undefined
            ? undefined
            : {
                epoch: row.epoch,
                timeZone: row.time_zone,
                enforcement: row.enforcement,
                budgetLimit: row.budget_limit_micro === null ? null : row.budget_limit_micro / 1e6
              }
      ),
    resources,
    actors,
    ownerOf: (resourceIds) =>
      Effect.map(
        sql<{ id: string; organization_id: string }>`
          SELECT id, organization_id FROM resources WHERE id = ANY(${resourceIds}::uuid[])`,
        (rows) => new Map(rows.map((row) => [row.id, row.organization_id]))
      )
  }
}

/** The actor as policies see it, without id, type, score and tier (contract 2.1). */
const actorView = (
  organizationId: string,
  agent: AgentRow | undefined,
  budgetLimit: number | null
): PermissionCheck.View => {
  const metadata = agent?.metadata ?? {}
  const own = metadata["budget_limit"]
  return PolicyFacts.viewOf({
    role: metadata["role"],
    roles: metadata["roles"],
    location: metadata["location"],
    capabilities: agent?.capabilities ?? [],
    metadata,
    organizationId,
    budgetLimit: typeof own === "number" ? own : budgetLimit
  })
}
