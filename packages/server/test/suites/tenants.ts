/** Organizations beside each other: what a key sees, and as whom its requests run. */
import { Api, type CallerInfo } from "@agion/domain/api"
import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Context, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { ApiKeys } from "../../src/keys/ApiKeys.ts"
import { Tenancy } from "../../src/organizations/Tenancy.ts"
import * as TenantRole from "../../src/sql/TenantRole.ts"
import { type It, unique } from "./words.ts"

type Answer = Effect.Success<ReturnType<Platform.Platform["Service"]["get"]>>

/** An organization with a row of each kind. `mark` stands in the rows and in no path. */
interface Seed {
  readonly organization: string
  readonly mark: string
  readonly agent: string
  readonly ids: {
    readonly [kind in "resource" | "permission" | "policy" | "feedback" | "mission"]: string
  }
  readonly request: (method: string, path: string, body?: unknown) => Effect.Effect<Answer>
}

const keyed = Effect.fnUntraced(function* (organizationId: string) {
  const platform = yield* Platform.Platform
  const keys = Context.get(platform.services, ApiKeys)
  const { key = "" } = yield* Effect.orDie(keys.create({ organizationId, name: "test", agentId: null }))
  return (method: string, path: string, body?: unknown) =>
    platform.request(method, path, body, { authorization: `Bearer ${key}` })
})

const seed = Effect.gen(function* () {
  const [organization, mark, agent] = [unique("org"), unique("mark"), unique("agent")]
  const mission = unique("mission")
  const request = yield* keyed(organization)
  const make = (method: string, path: string, body: unknown) =>
    Effect.map(request(method, path, body), (answer) => {
      assert.include([200, 201, 204], answer.status, `${method} ${path}: ${answer.text}`)
      return answer.body
    })
  const model = {
    organization_id: organization,
    resource_type: "ai_model",
    name: mark,
    resource_data: {},
    created_by: "operator"
  }
  const resource = yield* make("POST", "/resources", model)
  yield* make("POST", "/resources", { ...model, name: `${mark}-child`, parent_resource_id: resource.id })
  yield* make("POST", "/agents/register", { agent_id: agent, version: "1", owner: mark })
  const permission = yield* make("POST", "/permissions", {
    actor_id: agent,
    actor_type: "agent",
    resource_id: resource.id,
    permission_type: "use",
    purpose: mark
  })
  yield* make("POST", `/permissions/${permission.id}/approve`, { approved_by: "boss" })
  yield* make("POST", `/permissions/${permission.id}/usage`, { event_id: mark, token_count: 1 })
  const policy = yield* make("POST", "/policies", {
    name: mark,
    description: mark,
    type: "access",
    category: "c",
    priority: 1,
    enabled: true,
    policy_language: "cel",
    policy_expr: "true"
  })
  yield* make("POST", "/trust/evaluate", {
    entity_id: agent,
    entity_type: "agent",
    event_type: "positive",
    impact: 1,
    description: mark
  })
  const { feedback } = yield* make("POST", "/feedback/submit", {
    organization_id: organization,
    response_id: unique("response"),
    agent_id: agent,
    user_id: "user",
    is_helpful: true,
    feedback_text: mark
  })
  yield* make("POST", "/audit/events", { event_type: "test", entity_id: agent, reason: mark })
  yield* make("POST", "/prompts", { name: mark, location: agent, content: mark })
  yield* make("POST", "/models", {
    name: mark,
    purpose: agent,
    provider: "p",
    model_name: "m",
    credentials: { k: "v" }
  })
  yield* make("POST", "/resource-configs", { name: agent, resource_type: "api", config: { mark } })
  yield* make("POST", "/missions", { id: mission, name: mark })
  yield* make("POST", `/missions/${mission}/join`, { participant_id: agent })
  yield* make("POST", `/missions/${mission}/messages`, {
    from_participant: agent,
    message_type: "note",
    content: { mark }
  })
  yield* make("PUT", `/missions/${mission}/state`, { version: 0, state: { mark }, participant_id: agent })
  yield* make("PUT", `/organizations/${organization}`, { name: mark })
  yield* make("POST", "/api-keys", { name: mark })
  const ids = {
    resource: resource.id,
    permission: permission.id,
    policy: String(policy.id),
    feedback: feedback.id,
    mission
  }
  return { organization, mark, agent, ids, request } satisfies Seed
})

interface Read {
  readonly path: (of: Seed) => string
  /** Whether an answer shows something of the organization. Default: its mark stands in the text. */
  readonly shows?: (answer: Answer, of: Seed) => boolean
}

const includesMark = (answer: Answer, of: Seed) => answer.text.includes(of.mark)

/** Every GET of the contract with rows in its answer. */
const reads: { readonly [route: string]: Read } = {
  "resources.list": { path: (of) => `/resources?organization_id=${of.organization}` },
  "resources.get": { path: (of) => `/resources/${of.ids.resource}` },
  "resources.children": { path: (of) => `/resources/${of.ids.resource}/children` },
  "permissions.active": {
    path: (of) => `/permissions/active?actor_id=${of.agent}`,
    shows: (answer) => answer.body.total > 0
  },
  "permissions.list": { path: () => "/permissions" },
  "permissions.get": { path: (of) => `/permissions/${of.ids.permission}` },
  "permissions.ledger": { path: (of) => `/permissions/${of.ids.permission}/usage` },
  "policies.list": { path: () => "/policies" },
  "policies.bundle": { path: () => "/policies/bundle" },
  "policies.get": { path: (of) => `/policies/${of.ids.policy}` },
  "trust.score": {
    path: (of) => `/trust/score/${of.agent}?entity_type=agent`,
    shows: (answer) => answer.status === 200
  },
  "trust.history": { path: (of) => `/trust/history/${of.agent}?entity_type=agent` },
  "feedback.stats": {
    path: (of) => `/feedback/agent/${of.agent}/stats`,
    shows: (answer) => answer.body.stats.total_feedback > 0
  },
  "feedback.get": { path: (of) => `/feedback/${of.ids.feedback}` },
  "feedback.list": { path: () => "/feedback" },
  "audit.list": { path: () => "/audit/events" },
  "audit.compliance": { path: (of) => `/audit/compliance/${of.agent}` },
  "agents.list": { path: () => "/agents" },
  "agents.get": { path: (of) => `/agents/${of.agent}` },
  "registry.promptByLocation": { path: (of) => `/prompts/by-location/${of.agent}` },
  "registry.listPrompts": { path: () => "/prompts" },
  "registry.modelByPurpose": { path: (of) => `/models/by-purpose/${of.agent}` },
  "registry.listModels": { path: () => "/models" },
  "registry.resourceByName": { path: (of) => `/resources/by-name/${of.agent}` },
  "registry.listResourceConfigs": { path: () => "/resource-configs" },
  "registry.gatewayPolicies": { path: () => "/governance/policies" },
  "missions.get": { path: (of) => `/missions/${of.ids.mission}` },
  "missions.messages": { path: (of) => `/missions/${of.ids.mission}/messages` },
  "missions.state": { path: (of) => `/missions/${of.ids.mission}/state` },
  "organizations.get": { path: (of) => `/organizations/${of.organization}` },
  "organizations.usage": {
    path: () => "/usage/summary?by=agent",
    shows: (answer, of) => answer.text.includes(of.agent)
  },
  "organizations.listApiKeys": { path: () => "/api-keys" }
}

/** Whether the reader's key shows something of an organization. */
const shown = (reader: Seed, read: Read, of: Seed) =>
  Effect.map(reader.request("GET", read.path(of)), (answer) => (read.shows ?? includesMark)(answer, of))

const database = Effect.map(Platform.Platform, ({ services }) => Context.get(services, SqlClient.SqlClient))

/** Runs what a handler would, within a request of a key of the organization. */
const within = Effect.fnUntraced(function* <A, E>(
  organizationId: string,
  effect: Effect.Effect<A, E>,
  [group, endpoint] = ["resources", "list"]
) {
  const { services } = yield* Platform.Platform
  const caller: CallerInfo = { organizationId, agentId: null, keyId: "key" }
  return yield* Context.get(services, Tenancy).isolated(caller, group ?? "", endpoint ?? "")(effect)
})

const tablesUnderSecurity = Effect.flatMap(database, (sql) =>
  Effect.map(
    sql<{
      name: string
    }>`SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relrowsecurity ORDER BY 1`,
    (rows) => rows.map((row) => row.name)
  )
)

/** Shows the role nothing of these tables while an effect runs. */
const closed = <A, E, R>(tables: ReadonlyArray<string>, effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(database, (sql) =>
    Effect.acquireUseRelease(
      Effect.forEach(
        tables,
        (table) => sql`CREATE POLICY closed ON ${sql(table)} AS RESTRICTIVE TO agion_tenant USING (false)`
      ),
      () => effect,
      () => Effect.orDie(Effect.forEach(tables, (table) => sql`DROP POLICY closed ON ${sql(table)}`))
    )
  )

export const tenants = (it: It) => {
  it.effect("a statement without WHERE reaches the rows of the request's organization only", () =>
    Effect.gen(function* () {
      const sql = yield* database
      const [mine, other] = [unique("org"), unique("org")]
      for (const organization of [mine, other])
        yield* sql`INSERT INTO resources (organization_id, resource_type, name, resource_data)
          VALUES (${organization}, 'api', 'r', '{}')`
      const all = sql<{ of: string }>`SELECT organization_id AS of FROM resources GROUP BY 1 ORDER BY 1`
      const own = [{ of: mine }]
      assert.deepStrictEqual(yield* within(mine, all), own)
      assert.deepStrictEqual(yield* within(mine, sql.withTransaction(sql.withTransaction(all))), own)
      const update = sql<{
        of: string
      }>`UPDATE resources SET description = 'x' RETURNING organization_id AS of`
      assert.deepStrictEqual(yield* within(mine, update), own)
      assert.deepStrictEqual(yield* within(mine, sql.withTransaction(update)), own)
      const crossing = sql`INSERT INTO resources (organization_id, resource_type, name, resource_data)
        VALUES (${other}, 'api', 'crossing', '{}')`
      const refused = yield* Effect.flip(within(mine, crossing))
      assert.match(String(refused.reason.cause), /row-level security/)
      const drop = sql<{ of: string }>`DELETE FROM resources RETURNING organization_id AS of`
      assert.deepStrictEqual(yield* within(mine, drop), own)
      assert.deepInclude(yield* all, { of: other })
      // Neither the session nor what comes after keeps the role.
      assert.notDeepInclude(yield* sql`SELECT current_user AS role`, { role: "agion_tenant" })
    })
  )

  it.effect("a savepoint that rolls back keeps the role, what is the owner's gives it back", () =>
    Effect.gen(function* () {
      const sql = yield* database
      const organization = unique("org")
      const role = Effect.map(sql<{ role: string }>`SELECT current_user::text AS role`, ([row]) => row?.role)
      const owner = yield* role
      const roles = yield* within(
        organization,
        sql.withTransaction(
          Effect.gen(function* () {
            const before = yield* role
            const failed = yield* Effect.exit(sql.withTransaction(sql`SELECT 1 / 0`))
            assert.strictEqual(failed._tag, "Failure")
            const after = yield* role
            const asOwner = yield* TenantRole.asOwner(sql)(role)
            const undone = yield* Effect.exit(
              sql.withTransaction(TenantRole.asOwner(sql)(Effect.andThen(role, sql`SELECT 1 / 0`)))
            )
            assert.strictEqual(undone._tag, "Failure")
            assert.strictEqual(yield* TenantRole.asOwner(sql)(role), owner)
            const then: Array<string | undefined> = []
            yield* sql.afterCommit(Effect.orDie(Effect.map(role, (late) => assert.strictEqual(late, owner))))
            then.push(yield* role)
            return [before, after, asOwner, ...then]
          })
        )
      )
      assert.deepStrictEqual(roles, ["agion_tenant", "agion_tenant", owner, "agion_tenant"])
      assert.strictEqual(yield* within(organization, TenantRole.asOwner(sql)(role)), owner)
      assert.strictEqual(yield* within(organization, role, ["permissions", "check"]), owner)
    })
  )

  it.effect("every read of the contract shows an organization its own, and nothing of another", () =>
    Effect.gen(function* () {
      const known = Object.values(Api.groups).flatMap((group) =>
        Object.values(group.endpoints).flatMap(({ method, identifier }) =>
          method === "GET" ? [`${group.identifier}.${identifier}`] : []
        )
      )
      // The platform's public keys are everybody's.
      assert.sameMembers(
        Object.keys(reads),
        known.filter((route) => route !== "organizations.signingKeys")
      )
      const [mine, other] = [yield* seed, yield* seed]
      for (const [route, read] of Object.entries(reads)) {
        assert.isTrue(yield* shown(mine, read, mine), `${route} shows its own`)
        assert.isFalse(yield* shown(mine, read, other), `${route} shows another's`)
      }
    })
  )

  it.effect("every read of a key is the role's: it shows nothing where the role sees nothing", () =>
    Effect.gen(function* () {
      const mine = yield* seed
      const tables = yield* tablesUnderSecurity
      const { "organizations.get": settings, ...others } = reads
      yield* closed(
        tables.filter((table) => table !== "organizations"),
        Effect.gen(function* () {
          for (const [route, read] of Object.entries(others))
            assert.isFalse(yield* shown(mine, read, mine), route)
        })
      )
      assert.isDefined(settings)
      yield* closed(["organizations"], Effect.map(shown(mine, settings as Read, mine), assert.isFalse))
    })
  )

  it.effect("every row that a key's request makes is made by the role", () =>
    Effect.gen(function* () {
      const { organization } = yield* watched(seed)
      const sql = yield* database
      const rows = yield* sql<{ name: string; by: ReadonlyArray<string> }>`
        SELECT name, array_agg(DISTINCT role) AS by FROM made WHERE organization = ${organization} GROUP BY name`
      const others = rows.filter(({ by }) => by.join() !== "agion_tenant")
      // Where an actor was last seen, for who comes without a key; usage, which is counted on the hot way; the first
      // key, which this test made.
      assert.sameMembers(
        others.map((row) => row.name),
        ["actor_organizations", "usage_ledger", "api_keys"]
      )
      assert.includeMembers(
        rows.map((row) => row.name),
        ["outbox", "resources", "agents", "missions", "trust_history"]
      )
      yield* sql`DROP TABLE made`
    })
  )
}

/** Notes in a table \`made\` who makes which rows while an effect runs. */
const watched = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const sql = yield* database
  const tables = yield* tablesUnderSecurity
  const columns: { readonly [table: string]: string } = {
    organizations: "id",
    agents: "scope",
    policy_counters: "scope"
  }
  yield* sql`CREATE TABLE made (name text, organization text, role text)`
  yield* sql`GRANT INSERT ON made TO agion_tenant`
  yield* sql.unsafe(`CREATE FUNCTION note_made() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO made VALUES (TG_TABLE_NAME, to_jsonb(NEW) ->> TG_ARGV[0], current_user);
    RETURN NULL;
  END $$`)
  for (const table of tables)
    yield* sql`CREATE TRIGGER made AFTER INSERT ON ${sql(table)} FOR EACH ROW
      EXECUTE FUNCTION note_made(${sql.literal(`'${columns[table] ?? "organization_id"}'`)})`
  const answer = yield* effect
  yield* sql`DROP FUNCTION note_made CASCADE`
  return answer
})
