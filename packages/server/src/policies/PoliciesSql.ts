/** Policies in SQL, with what they were in each of their versions. */
import { type CreatePolicy, type Policy, PolicyScope, type UpdatePolicy } from "@agion/domain"
import { Effect, Schema } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { json } from "../sql/Database.ts"
import { all, type Page, page } from "../sql/page.ts"

interface PolicyRow {
  readonly id: number
  readonly organization_id: string | null
  readonly name: string
  readonly description: string
  readonly type: Policy["type"]
  readonly category: string
  readonly priority: number
  readonly status: Policy["status"]
  readonly policy_language: Policy["policyLanguage"]
  readonly policy_expr: string | null
  readonly rules: string | null
  readonly actions: string | null
  readonly tags: ReadonlyArray<string>
  readonly is_system_policy: boolean
  readonly enforcement: Policy["enforcement"]
  readonly enforcement_level: Policy["enforcementLevel"]
  readonly scope: unknown
  readonly version: number
  readonly created_by: string | null
  readonly updated_by: string | null
  readonly created_at: Date
  readonly updated_at: Date
}

const rowColumns = `
  id, organization_id, name, description, type, category, priority, status, policy_language, policy_expr,
  rules, actions, tags, is_system_policy, enforcement, enforcement_level, scope, version, created_by,
  updated_by, created_at, updated_at`

const decodeScope = Schema.decodeUnknownSync(PolicyScope)
const encodeScope = Schema.encodeSync(PolicyScope)

const toPolicy = (row: PolicyRow): Policy => ({
  id: row.id,
  name: row.name,
  description: row.description,
  type: row.type,
  category: row.category,
  priority: row.priority,
  enabled: row.status === "active",
  policyLanguage: row.policy_language,
  policyExpr: row.policy_expr,
  rules: row.rules,
  actions: row.actions,
  tags: row.tags,
  isSystemPolicy: row.is_system_policy,
  createdBy: row.created_by,
  updatedBy: row.updated_by,
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString(),
  enforcement: row.enforcement,
  enforcementLevel: row.enforcement_level,
  scope: decodeScope(row.scope),
  status: row.status,
  version: row.version,
  organizationId: row.organization_id
})

export interface PolicyFilter {
  /** Its own and everyone's; null: of all organizations. */
  readonly organizationId: string | null
  readonly type?: string | undefined
  readonly category?: string | undefined
  readonly enabled?: boolean | undefined
  readonly limit: number
  readonly offset: number
}

/** What a policy becomes. */
export type PolicyFields = Pick<
  Policy,
  | "name"
  | "description"
  | "type"
  | "category"
  | "priority"
  | "policyLanguage"
  | "policyExpr"
  | "rules"
  | "actions"
  | "tags"
  | "enforcement"
  | "enforcementLevel"
  | "scope"
  | "status"
>

/** Active policies of an organization, highest priority first, and the version of the whole. */
export interface ActivePolicies {
  readonly version: number
  readonly epoch: number
  readonly policies: ReadonlyArray<Policy>
}

type Query<A> = Effect.Effect<A, SqlError.SqlError>

/** The statements. */
export interface PoliciesSql {
  readonly find: (id: number, organizationId: string | null) => Query<Policy | undefined>
  readonly lock: (id: number, organizationId: string | null) => Query<Policy | undefined>
  readonly list: (filter: PolicyFilter) => Query<Page<Policy>>
  readonly insert: (organizationId: string | null, by: string | null, fields: PolicyFields) => Query<Policy>
  readonly update: (id: number, by: string | null, fields: PolicyFields) => Query<Policy | undefined>
  readonly remove: (id: number) => Query<void>
  readonly keepVersion: (policy: Policy, by: string | null) => Query<void>
  /** Raises the version of the policies of an organization, or of everyone's, and answers the organization's. */
  readonly raise: (organizationId: string | null) => Query<number>
  /** What an engine loads: CEL, active, without the system's. */
  readonly active: (organizationId: string) => Query<ActivePolicies>
}

export const make = (sql: SqlClient.SqlClient): PoliciesSql => {
  const from = sql.literal("policies")
  const row = sql.literal(rowColumns)
  const one = (rows: ReadonlyArray<PolicyRow>) => (rows[0] === undefined ? undefined : toPolicy(rows[0]))
  const visible = (organizationId: string | null) =>
    sql`(${organizationId}::text IS NULL OR organization_id = ${organizationId} OR organization_id IS NULL)`
  const versionOf = (organizationId: string | null) =>
    sql`(SELECT coalesce(sum(version), 0)::int8 FROM policy_counters WHERE scope IN ('*', ${organizationId ?? "*"}))`

  return {
    find: (id, organizationId) =>
      Effect.map(
        sql<PolicyRow>`SELECT ${row} FROM policies WHERE id = ${id} AND ${visible(organizationId)}`,
        one
      ),
    lock: (id, organizationId) =>
      Effect.map(
        sql<PolicyRow>`SELECT ${row} FROM policies WHERE id = ${id} AND ${visible(organizationId)} FOR UPDATE`,
        one
      ),
    list: (filter) =>
      Effect.map(
        page<PolicyRow>(sql, {
          columns: row,
          from,
          where: all(sql, [
            visible(filter.organizationId),
            filter.type !== undefined && sql`type = ${filter.type}`,
            filter.category !== undefined && sql`category = ${filter.category}`,
            filter.enabled !== undefined && sql`(status = 'active') = ${filter.enabled}`
          ]),
          order: sql.literal("priority DESC, id"),
          limit: filter.limit,
          offset: filter.offset
        }),
        ({ rows, total }) => ({ rows: rows.map(toPolicy), total })
      ),
    insert: (organizationId, by, fields) =>
      Effect.flatMap(
        sql<PolicyRow>`INSERT INTO policies ${sql.insert({
          ...columns(fields),
          organization_id: organizationId,
          created_by: by
        })} RETURNING ${row}`,
        (rows) => {
          const made = one(rows)
          return made === undefined ? Effect.die(new Error("INSERT returned no row")) : Effect.succeed(made)
        }
      ),
    update: (id, by, fields) =>
      Effect.map(
        sql<PolicyRow>`UPDATE policies SET ${sql.update(columns(fields))}, updated_by = coalesce(${by}, updated_by),
          updated_at = now(), version = version + 1 WHERE id = ${id} RETURNING ${row}`,
        one
      ),
    remove: (id) => Effect.asVoid(sql`DELETE FROM policies WHERE id = ${id}`),
    keepVersion: (policy, by) =>
      Effect.asVoid(sql`
        INSERT INTO policy_versions (policy_id, version, organization_id, snapshot, changed_by)
        VALUES (${policy.id}, ${policy.version}, ${policy.organizationId}, ${json(policy)}::jsonb, ${by})
        ON CONFLICT DO NOTHING`),
    raise: (organizationId) =>
      Effect.flatMap(
        sql`INSERT INTO policy_counters (scope, version) VALUES (${organizationId ?? "*"}, 1)
          ON CONFLICT (scope) DO UPDATE SET version = policy_counters.version + 1`,
        () =>
          Effect.map(
            sql<{ version: number }>`SELECT ${versionOf(organizationId)} AS version`,
            ([row]) => row?.version ?? 0
          )
      ),
    active: (organizationId) =>
      Effect.map(
        sql<PolicyRow & { whole: number; epoch: number | null; policy: boolean | null }>`
          SELECT whole, epoch, policy, ${row} FROM (
            SELECT ${versionOf(organizationId)} AS whole,
              (SELECT epoch FROM organizations WHERE id = ${organizationId}) AS epoch
          ) counted LEFT JOIN (
            SELECT *, true AS policy FROM policies
            WHERE status = 'active' AND NOT is_system_policy AND policy_language = 'cel'
              AND policy_expr IS NOT NULL AND (organization_id = ${organizationId} OR organization_id IS NULL)
          ) p ON true ORDER BY priority DESC, id`,
        (rows) => ({
          version: rows[0]?.whole ?? 0,
          epoch: rows[0]?.epoch ?? 0,
          policies: rows.filter((row) => row.policy === true).map(toPolicy)
        })
      )
  }
}

const columns = (fields: PolicyFields) => ({
  name: fields.name,
  description: fields.description,
  type: fields.type,
  category: fields.category,
  priority: fields.priority,
  policy_language: fields.policyLanguage,
  policy_expr: fields.policyExpr,
  rules: fields.rules,
  actions: fields.actions,
  tags: fields.tags,
  enforcement: fields.enforcement,
  enforcement_level: fields.enforcementLevel,
  scope: json(encodeScope(fields.scope)),
  status: fields.status
})

/** A new policy's fields; what is absent gets the contract's default. */
export const created = (policy: CreatePolicy): PolicyFields => ({
  name: policy.name,
  description: policy.description,
  type: policy.type,
  category: policy.category,
  priority: policy.priority,
  policyLanguage: policy.policyLanguage,
  policyExpr: policy.policyExpr ?? null,
  rules: jsonText(policy.rules),
  actions: jsonText(policy.actions),
  tags: policy.tags ?? [],
  enforcement: policy.enforcement ?? null,
  enforcementLevel: policy.enforcementLevel ?? "hard",
  scope: policy.scope ?? {},
  status: policy.status ?? (policy.enabled ? "active" : "inactive")
})

/** A policy's fields after a change; what is absent stays. */
export const updated = (before: Policy, change: UpdatePolicy): PolicyFields => ({
  name: change.name ?? before.name,
  description: change.description ?? before.description,
  type: change.type ?? before.type,
  category: change.category ?? before.category,
  priority: change.priority ?? before.priority,
  policyLanguage: before.policyLanguage,
  policyExpr: change.policyExpr ?? before.policyExpr,
  rules: jsonText(change.rules) ?? before.rules,
  actions: jsonText(change.actions) ?? before.actions,
  tags: change.tags ?? before.tags,
  enforcement: change.enforcement ?? before.enforcement,
  enforcementLevel: change.enforcementLevel ?? before.enforcementLevel,
  scope: change.scope ?? before.scope,
  status: statusAfter(before, change)
})

const statusAfter = (before: Policy, change: UpdatePolicy): Policy["status"] => {
  if (change.status != null) return change.status
  if (change.enabled == null || change.enabled === before.enabled) return before.status
  return change.enabled ? "active" : "inactive"
}

/** Clients want strings that hold JSON; requests may send an object. */
const jsonText = (value: unknown): string | null => {
  if (value === null || value === undefined) return null
  return typeof value === "string" ? value : JSON.stringify(value)
}
