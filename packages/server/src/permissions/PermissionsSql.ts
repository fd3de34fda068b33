/** Permissions in SQL, each with what it has used. */
import {
  type ActivePermission,
  type ActorType,
  Constraints,
  type Permission,
  type PermissionStatus,
  type PermissionType,
  type RequestPermission,
  type Resource,
  type UsageTracking
} from "@agion/domain"
import { Effect, Schema } from "effect"
import type { SqlClient, SqlError, Statement } from "effect/sql"
import { json } from "../sql/Database.ts"
import { all, type Page, page } from "../sql/page.ts"

/** Usage as the columns beside a permission hold it: the day's are zero once the day is over. */
export interface UsageRow {
  readonly total_requests: number
  readonly total_tokens: number
  readonly total_cost_micro: number
  readonly day_requests: number
  readonly day_tokens: number
  readonly day_cost_micro: number
  readonly day_start: Date | null
  readonly last_used_at: Date | null
}

export interface PermissionRow extends UsageRow {
  readonly id: string
  readonly organization_id: string
  readonly actor_id: string
  readonly actor_type: ActorType
  readonly resource_id: string
  readonly permission_type: PermissionType
  readonly status: PermissionStatus
  readonly purpose: string
  readonly justification: string | null
  readonly constraints: unknown
  readonly requested_by: string | null
  readonly requested_at: Date
  readonly approved_by: string | null
  readonly approved_at: Date | null
  readonly approval_notes: string | null
  readonly revoked_by: string | null
  readonly revoked_at: Date | null
  readonly revocation_reason: string | null
  readonly created_at: Date
  readonly updated_at: Date
}

const columns = `
  total_requests, total_tokens, total_cost_micro, day_requests, day_tokens, day_cost_micro, day_start,
  last_used_at, id, organization_id, actor_id, actor_type, resource_id, permission_type, status, purpose,
  justification, constraints, requested_by, requested_at, approved_by, approved_at, approval_notes,
  revoked_by, revoked_at, revocation_reason, created_at, updated_at`

interface ActiveRow extends PermissionRow {
  readonly resource_name: string
  readonly resource_type: Resource["resourceType"]
  readonly compliance_labels: ReadonlyArray<string>
}

/** A permission and whose it is. */
export interface Owned {
  readonly organizationId: string
  readonly permission: Permission
}

export interface PermissionFilter {
  readonly organizationId: string | null
  readonly actorId?: string | undefined
  readonly actorType?: string | undefined
  readonly resourceId?: string | undefined
  readonly permissionType?: string | undefined
  readonly status?: string | undefined
  readonly limit: number
  readonly offset: number
}

const decodeConstraints = Schema.decodeUnknownSync(Constraints)
const encodeConstraints = Schema.encodeSync(Constraints)

const toUsage = (row: UsageRow): UsageTracking => ({
  totalRequests: row.total_requests,
  totalTokens: row.total_tokens,
  totalCostUsd: row.total_cost_micro / 1e6,
  currentDayRequests: row.day_requests,
  currentDayTokens: row.day_tokens,
  currentDayCostUsd: row.day_cost_micro / 1e6,
  lastUsedAt: row.last_used_at?.toISOString() ?? null,
  currentDayStart: row.day_start?.toISOString() ?? null
})

/** A row as the words of the domain. */
const toPermission = (row: PermissionRow): Permission => ({
  id: row.id as Permission["id"],
  actorId: row.actor_id as Permission["actorId"],
  actorType: row.actor_type,
  resourceId: row.resource_id as Permission["resourceId"],
  permissionType: row.permission_type,
  status: row.status,
  purpose: row.purpose,
  justification: row.justification,
  constraints: decodeConstraints(row.constraints),
  usageTracking: toUsage(row),
  requestedBy: row.requested_by,
  requestedAt: row.requested_at.toISOString(),
  approvedBy: row.approved_by,
  approvedAt: row.approved_at?.toISOString() ?? null,
  approvalNotes: row.approval_notes,
  revokedBy: row.revoked_by,
  revokedAt: row.revoked_at?.toISOString() ?? null,
  revocationReason: row.revocation_reason,
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString()
})

const toActive = (row: ActiveRow): ActivePermission => {
  const permission = toPermission(row)
  return {
    permissionId: permission.id,
    actorId: permission.actorId,
    actorType: permission.actorType,
    permissionType: permission.permissionType,
    status: permission.status,
    resourceName: row.resource_name,
    resourceType: row.resource_type,
    complianceLabels: row.compliance_labels,
    constraints: permission.constraints,
    usageTracking: permission.usageTracking,
    approvedAt: permission.approvedAt,
    createdAt: permission.createdAt
  }
}

/** Constraints as a column holds them, as the wire spells them, without what is not there. */
const constraintsJson = (constraints: Constraints): string =>
  json(
    Object.fromEntries(Object.entries(encodeConstraints(constraints)).filter(([, value]) => value != null))
  )

/** Permissions with their usage of today, as a FROM item. */
const withUsage = `(SELECT p.*, u.total_requests, u.total_tokens, u.total_cost_micro, u.last_used_at,
  u.day_requests, u.day_tokens, u.day_cost_micro,
  CASE WHEN used.day IS NOT NULL THEN u.day::timestamp AT TIME ZONE agion_zone(p.organization_id) END AS day_start
  FROM permissions p JOIN permission_usage used ON used.permission_id = p.id
  CROSS JOIN LATERAL agion_usage_today(used) u) permission`

type Query<A> = Effect.Effect<A, SqlError.SqlError>

/** What moves a permission: columns and their new values. */
export interface Move {
  readonly status?: PermissionStatus
  readonly constraints?: Constraints
  readonly approval?: { readonly by: string; readonly notes: string | null }
  /** Who denied, suspended or revoked, and why. */
  readonly ending?: { readonly by: string | null; readonly reason: string | null }
}

/** The statements. */
export interface PermissionsSql {
  readonly find: (id: string, organizationId: string | null) => Query<Owned | undefined>
  /** The same, and nobody else moves it until the transaction ends. */
  readonly lock: (id: string, organizationId: string | null) => Query<Owned | undefined>
  /** The one of an actor, a resource and a type, locked. */
  readonly lockGrant: (request: RequestPermission) => Query<Owned | undefined>
  readonly insert: (organizationId: string, request: RequestPermission) => Query<Permission>
  /** Makes a denied or revoked one pending again: the request is new, the approval cleared, usage kept. */
  readonly reopen: (id: string, request: RequestPermission) => Query<Permission | undefined>
  readonly move: (id: string, move: Move) => Query<Permission | undefined>
  readonly list: (filter: PermissionFilter) => Query<Page<Permission>>
  /** What an actor may use now, with the names of what it is. */
  readonly active: (
    actorId: string,
    actorType: string | null,
    organizationId: string | null
  ) => Query<ReadonlyArray<ActivePermission>>
  /** The approved ones of an actor, locked, in order of id. */
  readonly lockApproved: (
    organizationId: string,
    actorId: string,
    actorType: string
  ) => Query<ReadonlyArray<Permission>>
  /** All of some actors in an organization. */
  readonly ofActors: (
    organizationId: string,
    actorIds: ReadonlyArray<string>
  ) => Query<ReadonlyArray<Permission>>
}

export const make = (sql: SqlClient.SqlClient): PermissionsSql => {
  const from = sql.literal(withUsage)
  const row = sql.literal(columns)
  const owned = (rows: ReadonlyArray<PermissionRow>): Owned | undefined =>
    rows[0] === undefined
      ? undefined
      : { organizationId: rows[0].organization_id, permission: toPermission(rows[0]) }
  const inside = (organizationId: string | null) =>
    sql`(${organizationId}::text IS NULL OR organization_id = ${organizationId})`
  const read = (where: Statement.Fragment) => sql<PermissionRow>`SELECT ${row} FROM ${from} WHERE ${where}`
  const reread = (id: string) => Effect.map(read(sql`id = ${id}`), (rows) => owned(rows)?.permission)

  const lock = (where: Statement.Fragment) =>
    Effect.flatMap(sql<{ id: string }>`SELECT id FROM permissions WHERE ${where} FOR UPDATE`, ([row]) =>
      row === undefined ? Effect.succeed(undefined) : Effect.map(read(sql`id = ${row.id}`), owned)
    )

  const insert = Effect.fnUntraced(function* (organizationId: string, request: RequestPermission) {
    const [row] = yield* sql<{ id: string }>`
      WITH made AS (INSERT INTO permissions ${sql.insert({
        organization_id: organizationId,
        actor_id: request.actorId,
        actor_type: request.actorType,
        resource_id: request.resourceId,
        permission_type: request.permissionType,
        purpose: request.purpose,
        justification: request.justification ?? null,
        constraints: constraintsJson(request.constraints ?? {}),
        requested_by: request.requestedBy ?? request.actorId
      })} RETURNING id, organization_id, actor_id)
      INSERT INTO permission_usage (permission_id, organization_id, actor_id) SELECT * FROM made
      RETURNING permission_id AS id`
    const made = row === undefined ? undefined : yield* reread(row.id)
    return made ?? (yield* Effect.die(new Error("INSERT returned no row")))
  })

  const reopen = (id: string, request: RequestPermission) =>
    Effect.andThen(
      sql`UPDATE permissions SET status = 'pending', purpose = ${request.purpose},
          justification = ${request.justification ?? null},
          constraints = ${constraintsJson(request.constraints ?? {})}::jsonb,
          requested_by = ${request.requestedBy ?? request.actorId}, requested_at = now(),
          approved_by = NULL, approved_at = NULL, approval_notes = NULL, updated_at = now()
        WHERE id = ${id}`,
      reread(id)
    )

  const move = (id: string, change: Move) => {
    const { approval, ending } = change
    const constraints = change.constraints === undefined ? null : constraintsJson(change.constraints)
    return Effect.andThen(
      sql`UPDATE permissions SET status = coalesce(${change.status ?? null}, status),
          constraints = coalesce(${constraints}::jsonb, constraints),
          approved_by = coalesce(${approval?.by ?? null}, approved_by),
          approved_at = CASE WHEN ${approval !== undefined} THEN now() ELSE approved_at END,
          approval_notes = CASE WHEN ${approval !== undefined} THEN ${approval?.notes ?? null} ELSE approval_notes END,
          revoked_by = CASE WHEN ${ending !== undefined} THEN ${ending?.by ?? null} ELSE revoked_by END,
          revoked_at = CASE WHEN ${ending !== undefined} THEN now() ELSE revoked_at END,
          revocation_reason = CASE WHEN ${ending !== undefined} THEN ${ending?.reason ?? null}
            ELSE revocation_reason END,
          updated_at = now()
        WHERE id = ${id}`,
      reread(id)
    )
  }

  const list = (filter: PermissionFilter) =>
    Effect.map(
      page<PermissionRow>(sql, {
        columns: row,
        from,
        where: all(sql, [
          filter.organizationId !== null && sql`organization_id = ${filter.organizationId}`,
          filter.actorId !== undefined && sql`actor_id = ${filter.actorId}`,
          filter.actorType !== undefined && sql`actor_type = ${filter.actorType}`,
          filter.resourceId !== undefined && sql`resource_id = ${filter.resourceId}`,
          filter.permissionType !== undefined && sql`permission_type = ${filter.permissionType}`,
          filter.status !== undefined && sql`status = ${filter.status}`
        ]),
        order: sql.literal("seq"),
        limit: filter.limit,
        offset: filter.offset
      }),
      ({ rows, total }) => ({ rows: rows.map(toPermission), total })
    )

  return {
    find: (id, organizationId) => Effect.map(read(sql`id = ${id} AND ${inside(organizationId)}`), owned),
    lock: (id, organizationId) => lock(sql`id = ${id} AND ${inside(organizationId)}`),
    lockGrant: (request) =>
      lock(sql`actor_id = ${request.actorId} AND actor_type = ${request.actorType}
        AND resource_id = ${request.resourceId} AND permission_type = ${request.permissionType}`),
    insert,
    reopen,
    move,
    list,
    active: (actorId, actorType, organizationId) =>
      Effect.map(
        sql<ActiveRow>`
          SELECT ${row}, resource_name, resource_type, compliance_labels
          FROM ${from} JOIN (SELECT id AS used_id, name AS resource_name, resource_type, compliance_labels FROM resources)
            used ON used_id = resource_id
          WHERE actor_id = ${actorId} AND (${actorType}::text IS NULL OR actor_type = ${actorType})
            AND (${organizationId}::text IS NULL OR organization_id = ${organizationId}) AND status = 'approved'
          ORDER BY seq`,
        (rows) => rows.map(toActive)
      ),
    lockApproved: (organizationId, actorId, actorType) =>
      Effect.andThen(
        sql`SELECT id FROM permissions WHERE organization_id = ${organizationId} AND actor_id = ${actorId}
          AND actor_type = ${actorType} AND status = 'approved' ORDER BY id FOR UPDATE`,
        Effect.map(
          read(sql`organization_id = ${organizationId} AND actor_id = ${actorId}
            AND actor_type = ${actorType} AND status = 'approved'`),
          (rows) => rows.map(toPermission)
        )
      ),
    ofActors: (organizationId, actorIds) =>
      Effect.map(
        read(sql`organization_id = ${organizationId} AND actor_id = ANY(${actorIds}::text[])`),
        (rows) => rows.map(toPermission)
      )
  }
}
