/** Resources in SQL. */
import type { CreateResource, Resource, ResourceId, UpdateResource } from "@agion/domain"
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { json } from "../sql/Database.ts"
import { all, type Page, page } from "../sql/page.ts"

/** A row of the table. */
export interface ResourceRow {
  readonly id: string
  readonly organization_id: string
  readonly resource_type: Resource["resourceType"]
  readonly parent_resource_id: string | null
  readonly name: string
  readonly description: string | null
  readonly resource_data: Resource["resourceData"]
  readonly compliance_labels: ReadonlyArray<string>
  readonly data_residency: string | null
  readonly trust_tier_required: number
  readonly risk_level: Resource["riskLevel"]
  readonly status: Resource["status"]
  readonly health_status: Resource["healthStatus"]
  readonly health_check_at: Date | null
  readonly health_message: string | null
  readonly tags: ReadonlyArray<string>
  readonly metadata: Resource["metadata"]
  readonly created_by: string | null
  readonly updated_by: string | null
  readonly created_at: Date
  readonly updated_at: Date
}

/** Its columns. */
export const columns = `
  id, organization_id, resource_type, parent_resource_id, name, description, resource_data,
  compliance_labels, data_residency, trust_tier_required, risk_level, status, health_status,
  health_check_at, health_message, tags, metadata, created_by, updated_by, created_at, updated_at`

/** What a list may be narrowed to; several labels or tags: all of them. */
export interface ResourceFilter {
  readonly organizationId: string
  readonly resourceType?: string | undefined
  readonly status?: string | undefined
  readonly healthStatus?: string | undefined
  readonly riskLevel?: string | undefined
  readonly parentResourceId?: string | undefined
  readonly tags?: ReadonlyArray<string> | undefined
  readonly complianceLabels?: ReadonlyArray<string> | undefined
  readonly limit: number
  readonly offset: number
}

/** A row as the words of the domain. */
export const toResource = (row: ResourceRow): Resource => ({
  id: row.id as Resource["id"],
  organizationId: row.organization_id as Resource["organizationId"],
  resourceType: row.resource_type,
  parentResourceId: row.parent_resource_id as Resource["parentResourceId"],
  name: row.name,
  description: row.description,
  resourceData: row.resource_data,
  complianceLabels: row.compliance_labels,
  dataResidency: row.data_residency,
  trustTierRequired: row.trust_tier_required,
  riskLevel: row.risk_level,
  status: row.status,
  healthStatus: row.health_status,
  healthCheckAt: row.health_check_at?.toISOString() ?? null,
  healthMessage: row.health_message,
  tags: row.tags,
  metadata: row.metadata,
  createdBy: row.created_by,
  updatedBy: row.updated_by,
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString()
})

type Query<A> = Effect.Effect<A, SqlError.SqlError>

/** The statements. */
export interface ResourcesSql {
  readonly insert: (resource: CreateResource) => Query<Resource>
  /** Of any organization when `organizationId` is null. */
  readonly find: (id: ResourceId, organizationId: string | null) => Query<Resource | undefined>
  /** The same, and nobody else changes or refers to it anew until the transaction ends. */
  readonly lock: (id: ResourceId, organizationId: string | null) => Query<Resource | undefined>
  readonly list: (filter: ResourceFilter) => Query<Page<Resource>>
  readonly children: (id: ResourceId) => Query<ReadonlyArray<Resource>>
  readonly update: (id: ResourceId, changes: UpdateResource) => Query<Resource | undefined>
  /** It and everything below it, itself first. */
  readonly tree: (id: ResourceId) => Query<ReadonlyArray<Resource>>
  readonly remove: (id: ResourceId) => Query<void>
}

export const make = (sql: SqlClient.SqlClient): ResourcesSql => {
  const from = sql.literal("resources")
  const row = sql.literal(columns)
  const order = sql.literal("seq")
  const one = (rows: ReadonlyArray<ResourceRow>) => (rows[0] === undefined ? undefined : toResource(rows[0]))
  const byId = (id: string, organizationId: string | null) =>
    sql`id = ${id} AND (${organizationId}::text IS NULL OR organization_id = ${organizationId})`

  return {
    insert: (resource) =>
      Effect.flatMap(
        sql<ResourceRow>`INSERT INTO resources ${sql.insert(toRow(resource))} RETURNING ${row}`,
        (rows) => {
          const made = one(rows)
          return made === undefined ? Effect.die(new Error("INSERT returned no row")) : Effect.succeed(made)
        }
      ),
    find: (id, organizationId) =>
      Effect.map(sql<ResourceRow>`SELECT ${row} FROM resources WHERE ${byId(id, organizationId)}`, one),
    lock: (id, organizationId) =>
      Effect.map(
        sql<ResourceRow>`SELECT ${row} FROM resources WHERE ${byId(id, organizationId)} FOR UPDATE`,
        one
      ),
    list: (filter) =>
      Effect.map(
        page<ResourceRow>(sql, {
          columns: row,
          from,
          where: all(sql, [
            sql`organization_id = ${filter.organizationId}`,
            filter.resourceType !== undefined && sql`resource_type = ${filter.resourceType}`,
            filter.status !== undefined && sql`status = ${filter.status}`,
            filter.healthStatus !== undefined && sql`health_status = ${filter.healthStatus}`,
            filter.riskLevel !== undefined && sql`risk_level = ${filter.riskLevel}`,
            filter.parentResourceId !== undefined && sql`parent_resource_id = ${filter.parentResourceId}`,
            filter.tags !== undefined && sql`tags @> ${filter.tags}::text[]`,
            filter.complianceLabels !== undefined &&
              sql`compliance_labels @> ${filter.complianceLabels}::text[]`
          ]),
          order,
          limit: filter.limit,
          offset: filter.offset
        }),
        ({ rows, total }) => ({ rows: rows.map(toResource), total })
      ),
    children: (id) =>
      Effect.map(
        sql<ResourceRow>`SELECT ${row} FROM resources WHERE parent_resource_id = ${id} ORDER BY seq`,
        (rows) => rows.map(toResource)
      ),
    update: (id, changes) =>
      Effect.map(
        sql<ResourceRow>`
          UPDATE resources SET
            name = coalesce(${changes.name ?? null}, name),
            description = coalesce(${changes.description ?? null}, description),
            resource_data = coalesce(${changes.resourceData == null ? null : json(changes.resourceData)}::jsonb, resource_data),
            trust_tier_required = coalesce(${changes.trustTierRequired ?? null}::int, trust_tier_required),
            risk_level = coalesce(${changes.riskLevel ?? null}, risk_level),
            status = coalesce(${changes.status ?? null}, status),
            health_status = coalesce(${changes.healthStatus ?? null}, health_status),
            health_check_at = CASE WHEN ${changes.healthStatus ?? null}::text IS NULL THEN health_check_at ELSE now() END,
            health_message = coalesce(${changes.healthMessage ?? null}, health_message),
            tags = coalesce(${changes.tags ?? null}::text[], tags),
            updated_by = coalesce(${changes.updatedBy ?? null}, updated_by),
            updated_at = now()
          WHERE id = ${id} RETURNING ${row}`,
        one
      ),
    tree: (id) =>
      Effect.map(
        sql<ResourceRow>`
          WITH RECURSIVE tree AS (
            SELECT *, 0 AS depth FROM resources WHERE id = ${id}
            UNION ALL
            SELECT r.*, tree.depth + 1 FROM resources r JOIN tree ON r.parent_resource_id = tree.id
          ) SELECT ${row} FROM tree ORDER BY depth, seq`,
        (rows) => rows.map(toResource)
      ),
    remove: (id) => Effect.asVoid(sql`DELETE FROM resources WHERE id = ${id}`)
  }
}

/** What is absent gets the column's default. */
const toRow = (resource: CreateResource): Record<string, unknown> => {
  const row: Record<string, unknown> = {
    organization_id: resource.organizationId,
    resource_type: resource.resourceType,
    name: resource.name,
    resource_data: json(resource.resourceData),
    created_by: resource.createdBy,
    parent_resource_id: resource.parentResourceId,
    description: resource.description,
    compliance_labels: resource.complianceLabels,
    data_residency: resource.dataResidency,
    trust_tier_required: resource.trustTierRequired,
    risk_level: resource.riskLevel,
    status: resource.status,
    health_status: resource.healthStatus,
    health_message: resource.healthMessage,
    tags: resource.tags,
    metadata: resource.metadata == null ? undefined : json(resource.metadata)
  }
  for (const [name, value] of Object.entries(row)) if (value == null) delete row[name]
  return row
}
