/** Organizations, resources, permissions with their usage, policies, and what every change needs. */
import { systemPolicies } from "@agion/domain"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { tenantRole, tenantTable } from "../rowSecurity.ts"
import { limitFunctions } from "./limitFunctions.ts"

const tables = [
  // The epoch rises with every change that can alter a decision; policy_version with every change of a policy.
  `CREATE TABLE organizations (
    id text PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    name text NOT NULL DEFAULT '',
    time_zone text NOT NULL DEFAULT 'UTC',
    trust_model jsonb NOT NULL DEFAULT '{}',
    enforcement text NOT NULL DEFAULT 'enforce',
    event_signature text NOT NULL DEFAULT 'optional',
    llm_content text NOT NULL DEFAULT 'full',
    budget_limit_micro bigint,
    retention jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
  )`,
  // Which organization an actor was last seen in; asked while authentication is off.
  `CREATE TABLE actor_organizations (
    actor_id text PRIMARY KEY,
    organization_id text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now()
  )`,
  `CREATE TABLE resources (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    organization_id text NOT NULL,
    resource_type text NOT NULL,
    parent_resource_id uuid,
    name text NOT NULL,
    description text,
    resource_data jsonb NOT NULL,
    compliance_labels text[] NOT NULL DEFAULT '{}',
    data_residency text,
    trust_tier_required int NOT NULL DEFAULT 0,
    risk_level text NOT NULL DEFAULT 'low',
    status text NOT NULL DEFAULT 'active',
    health_status text NOT NULL DEFAULT 'unknown',
    health_check_at timestamptz,
    health_message text,
    tags text[] NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL DEFAULT '{}',
    created_by text,
    updated_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, id),
    CONSTRAINT resources_name UNIQUE (organization_id, resource_type, name),
    FOREIGN KEY (organization_id, parent_resource_id)
      REFERENCES resources (organization_id, id) ON DELETE CASCADE
  )`,
  `CREATE INDEX resources_parent ON resources (parent_resource_id) WHERE parent_resource_id IS NOT NULL`,
  `CREATE INDEX resources_list ON resources (organization_id, seq)`,
  `CREATE TABLE permissions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    organization_id text NOT NULL,
    actor_id text NOT NULL,
    actor_type text NOT NULL,
    resource_id uuid NOT NULL,
    permission_type text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    purpose text NOT NULL,
    justification text,
    constraints jsonb NOT NULL DEFAULT '{}',
    requested_by text,
    requested_at timestamptz NOT NULL DEFAULT now(),
    approved_by text,
    approved_at timestamptz,
    approval_notes text,
    revoked_by text,
    revoked_at timestamptz,
    revocation_reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, id),
    CONSTRAINT permissions_grant UNIQUE (actor_id, actor_type, resource_id, permission_type),
    FOREIGN KEY (organization_id, resource_id) REFERENCES resources (organization_id, id) ON DELETE CASCADE
  )`,
  `CREATE INDEX permissions_list ON permissions (organization_id, seq)`,
  `CREATE INDEX permissions_resource ON permissions (resource_id)`,
  `CREATE INDEX permissions_actor ON permissions (organization_id, actor_id)`,
  // Apart from the permission: these rows change with every call. Costs are micro-dollars. \`day\` is the
  // organization's day that the day_ columns are about.
  `CREATE TABLE permission_usage (
    permission_id uuid PRIMARY KEY REFERENCES permissions (id) ON DELETE CASCADE,
    organization_id text NOT NULL,
    actor_id text NOT NULL,
    total_requests bigint NOT NULL DEFAULT 0,
    total_tokens bigint NOT NULL DEFAULT 0,
    total_cost_micro bigint NOT NULL DEFAULT 0,
    day date,
    day_requests bigint NOT NULL DEFAULT 0,
    day_tokens bigint NOT NULL DEFAULT 0,
    day_cost_micro bigint NOT NULL DEFAULT 0,
    reserved_tokens bigint NOT NULL DEFAULT 0,
    reserved_cost_micro bigint NOT NULL DEFAULT 0,
    -- Requests of the last minute, a number a second: second * 1000000 + count.
    rate_window bigint[] NOT NULL DEFAULT '{}',
    last_used_at timestamptz
  ) WITH (fillfactor = 70)`,
  `CREATE INDEX permission_usage_actor ON permission_usage (organization_id, actor_id)`,
  `CREATE TABLE usage_ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL,
    permission_id uuid NOT NULL REFERENCES permissions (id) ON DELETE CASCADE,
    kind text NOT NULL,
    event_id text,
    reservation_id uuid,
    requests bigint NOT NULL,
    tokens bigint NOT NULL,
    cost_micro bigint NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT usage_ledger_event UNIQUE (permission_id, event_id)
  )`,
  `CREATE INDEX usage_ledger_list ON usage_ledger (permission_id, id)`,
  `CREATE TABLE reservations (
    id uuid PRIMARY KEY,
    organization_id text NOT NULL,
    permission_id uuid NOT NULL REFERENCES permissions (id) ON DELETE CASCADE,
    status text NOT NULL DEFAULT 'open',
    requests bigint NOT NULL,
    tokens bigint NOT NULL,
    cost_micro bigint NOT NULL,
    -- The organization's day and the second of the rate window that it was counted in.
    day date NOT NULL,
    second bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    idempotency_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    CONSTRAINT reservations_key UNIQUE (permission_id, idempotency_key)
  )`,
  // organization_id null: for every organization.
  `CREATE TABLE policies (
    id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    organization_id text,
    name text NOT NULL,
    description text NOT NULL,
    type text NOT NULL,
    category text NOT NULL,
    priority int NOT NULL,
    status text NOT NULL DEFAULT 'active',
    policy_language text NOT NULL DEFAULT 'cel',
    policy_expr text,
    rules text,
    actions text,
    tags text[] NOT NULL DEFAULT '{}',
    is_system_policy boolean NOT NULL DEFAULT false,
    enforcement text,
    enforcement_level text NOT NULL DEFAULT 'hard',
    scope jsonb NOT NULL DEFAULT '{}',
    version int NOT NULL DEFAULT 1,
    created_by text,
    updated_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
  )`,
  `CREATE INDEX policies_organization ON policies (organization_id)`,
  // What a policy was in each of its versions; the row stays when the policy is deleted.
  `CREATE TABLE policy_versions (
    policy_id int NOT NULL,
    version int NOT NULL,
    organization_id text,
    snapshot jsonb NOT NULL,
    changed_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (policy_id, version)
  )`,
  // scope is an organization, or * for the policies of all. A bundle's version is the sum of both counters.
  `CREATE TABLE policy_counters (scope text PRIMARY KEY, version bigint NOT NULL)`,
  // What is to be told to others, written with the change itself. target: epoch, stream or channel.
  `CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL,
    epoch bigint NOT NULL,
    target text NOT NULL,
    name text NOT NULL,
    payload text NOT NULL,
    origin text NOT NULL,
    -- Which transaction wrote it: ids are given before the commit and say nothing of its order.
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
  )`,
  `CREATE INDEX outbox_waiting ON outbox (id) WHERE published_at IS NULL`,
  `CREATE INDEX outbox_tx ON outbox (tx) WHERE target = 'epoch'`,
  `CREATE INDEX outbox_epochs ON outbox (organization_id, epoch) WHERE target = 'epoch'`,
  `CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL`,
  // Which events have been applied; an event id counts once.
  `CREATE TABLE processed_events (
    organization_id text NOT NULL,
    event_id text NOT NULL,
    stream text NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, event_id)
  )`,
  // Who does what only one replica may do at a time; the fence rises with each new holder.
  `CREATE TABLE leases (
    name text PRIMARY KEY,
    holder text NOT NULL,
    fence bigint NOT NULL,
    expires_at timestamptz NOT NULL
  )`
]

const createRole = `DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${tenantRole}') THEN
    CREATE ROLE ${tenantRole} NOLOGIN;
  END IF;
END $$`

const ofOrganizations = [
  "resources",
  "permissions",
  "permission_usage",
  "usage_ledger",
  "reservations",
  "outbox",
  "processed_events",
  "actor_organizations"
]

export const core = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of [createRole, ...tables, ...limitFunctions]) yield* sql.unsafe(statement)
  yield* tenantTable("organizations", { column: "id" })
  for (const table of ofOrganizations) yield* tenantTable(table)
  for (const table of ["policies", "policy_versions"]) yield* tenantTable(table, { sharedReads: true })
  yield* tenantTable("policy_counters", { column: "scope" })
  for (const policy of systemPolicies) yield* sql`INSERT INTO policies ${sql.insert(systemRow(policy))}`
  yield* sql`INSERT INTO organizations (id, name) VALUES ('default', 'Default')`
  yield* sql`INSERT INTO policy_counters (scope, version) VALUES ('*', 1)`
})

const systemRow = (policy: (typeof systemPolicies)[number]) => ({
  name: policy.name,
  description: policy.description,
  type: policy.type,
  category: policy.type === "dlp" ? "data_protection" : "access_control",
  priority: 1,
  policy_expr: policy.expr,
  actions: policy.actions,
  is_system_policy: true,
  enforcement_level: policy.level,
  created_by: "system"
})
