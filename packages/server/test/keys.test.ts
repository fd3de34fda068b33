import { Platform } from "@agion/testing"
import { assert, layer } from "@effect/vitest"
import { Clock, Context, Effect } from "effect"
import { ApiKeys } from "../src/keys/ApiKeys.ts"
import { listen } from "./suites/stream.ts"
import { assertRefused, nowhere, question, unique } from "./suites/words.ts"

/** Requests as somebody with a key for an organization, perhaps an agent's. */
const speaker = Effect.fnUntraced(function* (organizationId: string, agentId: string | null = null) {
  const platform = yield* Platform.Platform
  const keys = Context.get(platform.services, ApiKeys)
  const { key = "" } = yield* Effect.orDie(keys.create({ organizationId, name: "test", agentId }))
  return (method: string, path: string, body?: unknown) =>
    platform.request(method, path, body, { authorization: `Bearer ${key}` })
})

const model = (name: string, organization?: string) => ({
  organization_id: organization,
  resource_type: "ai_model",
  name,
  resource_data: {},
  created_by: "operator"
})

const wanted = (actor: string, id: string) => ({
  actor_id: actor,
  actor_type: "agent",
  resource_id: id,
  permission_type: "use",
  purpose: "to work"
})

layer(Platform.layer({ authentication: "keys" }), { timeout: "60 seconds", excludeTestServices: true })(
  "with keys",
  (it) => {
    it.effect("without a key, or with a wrong one, nothing is answered", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        assertRefused(yield* platform.get("/policies"), 401)
        for (const headers of [
          { authorization: "Bearer nonsense" },
          { authorization: "Basic abc" },
          { "x-api-key": "'; --" }
        ])
          assertRefused(yield* platform.request("GET", "/policies", undefined, headers), 401)
      })
    )

    it.effect("a stream ends when its key is removed, and those of other keys go on", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const keys = Context.get(platform.services, ApiKeys)
        const organizationId = unique("org")
        const made = Effect.orDie(keys.create({ organizationId, name: "test", agentId: null }))
        const [removed, kept] = [yield* made, yield* made]
        const line = yield* listen("a", organizationId, undefined, removed.key)
        const other = yield* listen("a", organizationId, undefined, kept.key)
        yield* line.next("heartbeat")
        const operator = { authorization: `Bearer ${kept.key}` }
        const answer = yield* platform.request("DELETE", `/api-keys/${removed.id}`, undefined, operator)
        assert.strictEqual(answer.status, 204)
        yield* line.end
        yield* other.next("heartbeat")
        yield* other.next("heartbeat")
      }).pipe(Effect.scoped)
    )

    it.effect("another organization in a request is 403, an id of another organization is 404", () =>
      Effect.gen(function* () {
        const [mine, other] = [unique("org"), unique("org")]
        const me = yield* speaker(mine)
        const them = yield* speaker(other)
        const theirs = (yield* them("POST", "/resources", model("m", other))).body
        const permission = (yield* them("POST", "/permissions", wanted("a", theirs.id))).body
        const policy = (yield* them("POST", "/policies", {
          name: "p",
          description: "",
          type: "access",
          category: "c",
          priority: 1,
          enabled: true,
          policy_language: "cel",
          policy_expr: "true"
        })).body
        assert.strictEqual(policy.organization_id, other)
        for (const [method, path, body] of [
          ["POST", "/resources", model("x", other)],
          ["GET", `/resources?organization_id=${other}`, undefined],
          ["GET", `/permissions?organization_id=${other}`, undefined],
          ["POST", "/permissions/check", question(other, "a", nowhere)],
          ["POST", "/permissions/check/batch", { checks: [question(other, "a", nowhere)] }],
          ["GET", `/policies/bundle?organization_id=${other}`, undefined]
        ] as const)
          assertRefused(yield* me(method, path, body), 403)
        for (const [method, path, body] of [
          ["GET", `/resources/${theirs.id}`, undefined],
          ["PUT", `/resources/${theirs.id}`, { name: "mine now" }],
          ["DELETE", `/resources/${theirs.id}`, undefined],
          ["GET", `/resources/${theirs.id}/children`, undefined],
          ["POST", "/permissions", wanted("a", theirs.id)],
          ["GET", `/permissions/${permission.id}`, undefined],
          ["PUT", `/permissions/${permission.id}`, { constraints: {} }],
          ["POST", `/permissions/${permission.id}/approve`, { approved_by: "me" }],
          ["POST", `/permissions/${permission.id}/usage`, {}],
          ["GET", `/permissions/${permission.id}/usage`, undefined],
          ["GET", `/policies/${policy.id}`, undefined],
          ["PUT", `/policies/${policy.id}`, { enabled: false }],
          ["DELETE", `/policies/${policy.id}`, undefined],
          ["GET", `/organizations/${other}`, undefined],
          ["PUT", `/organizations/${other}`, { name: "mine now" }]
        ] as const)
          assertRefused(yield* me(method, path, body), 404)
        assert.strictEqual((yield* me("GET", "/permissions")).body.total, 0)
        assert.strictEqual((yield* them("GET", `/resources/${theirs.id}`)).body.name, "m")
        const denied = (yield* me("POST", "/permissions/check", question(mine, "a", theirs.id))).body
        assert.strictEqual(denied.reason, "Resource not found")
      })
    )

    it.effect("an agent's key asks for itself, narrows its own, and approves nothing", () =>
      Effect.gen(function* () {
        const organization = unique("org")
        const operator = yield* speaker(organization)
        const agent = yield* speaker(organization, "agent-1")
        const { id } = (yield* operator("POST", "/resources", model("m", organization))).body
        assertRefused(yield* agent("POST", "/permissions", wanted("agent-2", id)), 403)
        const own = (yield* agent("POST", "/permissions", wanted("agent-1", id))).body
        const other = (yield* operator("POST", "/permissions", wanted("agent-2", id))).body
        assertRefused(yield* agent("POST", `/permissions/${own.id}/approve`, { approved_by: "boss" }), 403)
        assertRefused(
          yield* agent("POST", `/permissions/${own.id}/deny`, { denied_by: "b", reason: "" }),
          403
        )
        yield* operator("PUT", `/permissions/${own.id}`, { constraints: { rate_limit_rpm: 10 } })
        const narrow = (rate_limit_rpm: number | undefined, of = own.id) =>
          agent("PUT", `/permissions/${of}`, { constraints: { rate_limit_rpm } })
        assert.strictEqual((yield* narrow(5)).body.constraints.rate_limit_rpm, 5)
        assertRefused(yield* narrow(6), 403)
        assertRefused(yield* narrow(undefined), 403)
        assertRefused(yield* narrow(1, other.id), 403)
        yield* operator("POST", `/permissions/${own.id}/approve`, { approved_by: "boss" })
        yield* operator("POST", `/permissions/${other.id}/approve`, { approved_by: "boss" })
        assert.strictEqual((yield* agent("POST", `/permissions/${own.id}/usage`, {})).status, 204)
        assertRefused(yield* agent("POST", `/permissions/${other.id}/usage`, {}), 404)
        assertRefused(
          yield* agent("POST", `/permissions/${other.id}/revoke`, { revoked_by: "a", reason: "" }),
          403
        )
        assert.strictEqual(
          (yield* agent("POST", `/permissions/${own.id}/revoke`, { revoked_by: "a", reason: "" })).status,
          200
        )
        const asked = yield* Clock.currentTimeMillis
        const refused = yield* agent("PUT", `/organizations/${organization}`, { name: "mine" })
        assertRefused(refused, 403)
        assert.isAtLeast(Date.parse(refused.body.timestamp), asked)
      })
    )

    it.effect("an agent's key changes nothing that governs it, and nothing of another agent", () =>
      Effect.gen(function* () {
        const organization = unique("org")
        const operator = yield* speaker(organization)
        const agent = yield* speaker(organization, "agent-1")
        const { id } = (yield* operator("POST", "/resources", model("m", organization))).body
        const other = (yield* operator("POST", "/permissions", wanted("agent-2", id))).body
        yield* operator("POST", `/permissions/${other.id}/approve`, { approved_by: "boss" })
        const rule = {
          name: "auditors",
          description: "",
          type: "access",
          category: "c",
          priority: 1,
          enabled: true,
          policy_language: "cel",
          policy_expr: 'actor.role == "auditor" && actor.budget_limit >= 10.0'
        }
        const policy = (yield* operator("POST", "/policies", rule)).body
        const prompt = { name: "p", location: "l", content: "c", organization_id: organization }
        for (const [method, path, body] of [
          ["POST", "/resources", model("x", organization)],
          ["PUT", `/resources/${id}`, { trust_tier_required: 0 }],
          ["DELETE", `/resources/${id}?cascade=true`, undefined],
          ["POST", "/policies", { ...rule, name: "mine" }],
          ["PUT", `/policies/${policy.id}`, { enabled: false }],
          ["DELETE", `/policies/${policy.id}`, undefined],
          ["POST", "/prompts", prompt],
          ["DELETE", `/prompts/${nowhere}`, undefined],
          ["DELETE", `/models/${nowhere}`, undefined],
          ["PUT", `/permissions/${other.id}`, {}],
          ["PUT", `/permissions/${other.id}`, { revoked_by: "agent-1" }],
          [
            "POST",
            "/permissions/reserve",
            {
              ...question(organization, "agent-2", id),
              amounts: { requests: 1 },
              ttl_ms: 60_000,
              idempotency_key: unique("key")
            }
          ]
        ] as const)
          assertRefused(yield* agent(method, path, body), 403)

        const own = (yield* agent("POST", "/permissions", wanted("agent-1", id))).body
        yield* operator("POST", `/permissions/${own.id}/approve`, { approved_by: "boss" })
        const asks = agent("POST", "/permissions/check", question(organization, "agent-1", id))
        const claims = { role: "auditor", budget_limit: 1e9, team: "red" }
        const registered = yield* agent("POST", "/agents/register", { agent_id: "agent-1", metadata: claims })
        assert.deepStrictEqual(registered.body.metadata, { team: "red" })
        assert.isFalse((yield* asks).body.allowed)
        yield* agent("PUT", "/agents/agent-1", { metadata: claims })
        assert.isFalse((yield* asks).body.allowed)
        yield* operator("PUT", "/agents/agent-1", { metadata: { role: "auditor", budget_limit: 20 } })
        assert.isTrue((yield* asks).body.allowed)
        const again = yield* agent("POST", "/agents/register", { agent_id: "agent-1", metadata: claims })
        assert.deepStrictEqual(again.body.metadata, { role: "auditor", budget_limit: 20, team: "red" })
      })
    )

    it.effect("policies of all organizations are read by everyone and changed by no key", () =>
      Effect.gen(function* () {
        const me = yield* speaker(unique("org"))
        assert.strictEqual((yield* me("GET", "/policies/1")).body.organization_id, null)
        assertRefused(yield* me("DELETE", "/policies/1"), 403)
      })
    )
  }
)
