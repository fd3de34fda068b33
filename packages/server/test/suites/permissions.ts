import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { assertRefused, check, grant, type It, nowhere, request, resource, unique } from "./words.ts"

export const permissions = (it: It) => {
  it.effect("the kill switch is understood in any case, and what only looks like it is refused", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const agentId = unique("agent")
      yield* platform.post("/agents/register", { agent_id: agentId })
      for (const status of ["SUSPENDED", "AgentStatus.SUSPENDED", " Suspended "]) {
        const answer = yield* platform.put(`/agents/${agentId}`, { status })
        assert.strictEqual(answer.body.status, "suspended", answer.text)
      }
      for (const status of ["suspend", "Suspnded", " "])
        assert.strictEqual((yield* platform.put(`/agents/${agentId}`, { status })).status, 400)
    })
  )

  it.effect("a new agent registers and asks at once, and neither waits for the other for ever", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organizationId = unique("org")
      const resources = [yield* resource(organizationId), yield* resource(organizationId)]
      const statuses = yield* Effect.forEach(
        Array.from({ length: 25 }, () => unique("agent")),
        (agentId) =>
          Effect.all(
            [
              platform.post("/agents/register", { agent_id: agentId, organization_id: organizationId }),
              ...resources.map(({ id }) =>
                platform.post("/permissions", {
                  actor_id: agentId,
                  actor_type: "agent",
                  resource_id: id,
                  permission_type: "use",
                  purpose: "test"
                })
              )
            ],
            { concurrency: "unbounded" }
          ),
        { concurrency: 4 }
      )
      for (const answers of statuses)
        for (const answer of answers) assert.isBelow(answer.status, 300, answer.text)
    })
  )

  it.effect("a permission moves as the contract says and no other way", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const { id: resourceId } = yield* resource(unique("org"))
      const act = (id: string, verb: string) =>
        verb === "approve"
          ? platform.post(`/permissions/${id}/approve`, { approved_by: "boss" })
          : verb === "deny"
            ? platform.post(`/permissions/${id}/deny`, { denied_by: "boss", reason: "no" })
            : verb === "revoke"
              ? platform.post(`/permissions/${id}/revoke`, { revoked_by: "boss", reason: "over" })
              : platform.put(`/permissions/${id}`, { status: verb, revoked_by: "boss" })
      /** How each state is reached, and what each verb then answers. */
      const reached = {
        pending: [],
        approved: ["approve"],
        denied: ["deny"],
        suspended: ["approve", "suspended"],
        revoked: ["approve", "revoke"]
      } as const
      const expected: Record<string, Record<string, string | number>> = {
        pending: {
          approve: "approved",
          deny: "denied",
          revoke: 409,
          denied: "denied",
          suspended: 409,
          revoked: 409,
          approved: 409,
          pending: 409
        },
        approved: {
          approve: 409,
          deny: 409,
          revoke: "revoked",
          denied: 409,
          suspended: "suspended",
          revoked: "revoked",
          approved: 409
        },
        denied: {
          approve: 409,
          deny: 409,
          revoke: 409,
          denied: 409,
          suspended: 409,
          revoked: 409,
          approved: 409,
          pending: 409
        },
        suspended: {
          approve: "approved",
          deny: 409,
          revoke: "revoked",
          denied: 409,
          suspended: 409,
          revoked: "revoked",
          approved: 409
        },
        revoked: {
          approve: 409,
          deny: 409,
          revoke: 409,
          denied: 409,
          suspended: 409,
          revoked: 409,
          approved: 409,
          pending: 409
        }
      }
      for (const [state, verbs] of Object.entries(reached))
        for (const [verb, outcome] of Object.entries(expected[state] ?? {})) {
          const { id } = yield* request(unique("agent"), resourceId)
          for (const before of verbs) yield* act(id, before)
          const answer = yield* act(id, verb)
          if (typeof outcome === "number") assertRefused(answer, outcome)
          else assert.deepInclude(answer.body, { id, status: outcome }, `${state}, ${verb}`)
        }
    })
  )

  it.effect("what was denied or revoked is opened again: same row, new request, usage kept", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const { id: resourceId } = yield* resource(unique("org"))
      const agent = unique("agent")
      const first = yield* grant(agent, resourceId, { constraints: { rate_limit_rpm: 5 } })
      yield* platform.post(`/permissions/${first.id}/usage`, { token_count: 7 })
      assertRefused(
        yield* platform.post("/permissions", {
          actor_id: agent,
          actor_type: "agent",
          resource_id: resourceId,
          permission_type: "use",
          purpose: "again"
        }),
        409
      )
      yield* platform.post(`/permissions/${first.id}/revoke`, { revoked_by: "boss", reason: "over" })
      const again = yield* request(agent, resourceId, { purpose: "again", requested_by: "somebody" })
      assert.deepInclude(again, {
        id: first.id,
        status: "pending",
        purpose: "again",
        requested_by: "somebody",
        approved_by: null,
        approved_at: null,
        constraints: {}
      })
      assert.strictEqual(again.usage_tracking.total_tokens, 7)
    })
  )

  it.effect("constraints change in every state, and the state stays", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const { id: resourceId } = yield* resource(unique("org"))
      const { id } = yield* request(unique("agent"), resourceId)
      const steps = [
        ["pending", platform.get(`/permissions/${id}`)],
        ["approved", platform.post(`/permissions/${id}/approve`, { approved_by: "boss" })],
        ["suspended", platform.put(`/permissions/${id}`, { status: "suspended" })],
        ["revoked", platform.post(`/permissions/${id}/revoke`, { revoked_by: "boss", reason: "over" })]
      ] as const
      for (const [i, [status, step]] of steps.entries()) {
        assert.strictEqual((yield* step).body.status, status)
        const constraints = { token_limit_per_day: i + 1 }
        const put = yield* platform.put(`/permissions/${id}`, { constraints })
        assert.strictEqual(put.status, 200, put.text)
        assert.deepInclude(put.body, { status, constraints })
      }
    })
  )

  it.effect("LIMIT-5 who requested a permission cannot approve it", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const { id: resourceId } = yield* resource(unique("org"))
      const agent = unique("agent")
      const own = yield* request(agent, resourceId)
      assertRefused(yield* platform.post(`/permissions/${own.id}/approve`, { approved_by: agent }), 403)
      const other = yield* request(agent, resourceId, { permission_type: "read", requested_by: "alice" })
      for (const alice of ["alice", "Alice", " alice\t", "\uFF41lice", "al\u200Bice", "alice\u00AD"])
        assertRefused(yield* platform.post(`/permissions/${other.id}/approve`, { approved_by: alice }), 403)
      assert.strictEqual((yield* platform.get(`/permissions/${other.id}`)).body.status, "pending")
      assert.strictEqual(
        (yield* platform.post(`/permissions/${other.id}/approve`, { approved_by: "bob", notes: "fine" })).body
          .approval_notes,
        "fine"
      )
    })
  )

  it.effect("FRESH-1 a revocation and a suspension hold for the check that follows their answer", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization = unique("org")
      const { id: resourceId } = yield* resource(organization)
      const agent = unique("agent")
      const { id } = yield* grant(agent, resourceId)
      for (let round = 0; round < 5; round++) {
        assert.isTrue((yield* check(organization, agent, resourceId)).allowed)
        yield* platform.put(`/permissions/${id}`, { status: "suspended" })
        const denied = yield* check(organization, agent, resourceId)
        assert.deepInclude(denied, { allowed: false, reason: "No approved permission found" })
        yield* platform.post(`/permissions/${id}/approve`, { approved_by: "boss" })
      }
      yield* platform.post(`/permissions/${id}/revoke`, { revoked_by: "boss", reason: "over" })
      assert.isFalse((yield* check(organization, agent, resourceId)).allowed)
    })
  )

  it.effect("the active view and the lists show what there is", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization = unique("org")
      const model = yield* resource(organization, { compliance_labels: ["gdpr"] })
      const agent = unique("agent")
      const granted = yield* grant(agent, model.id)
      yield* request(agent, model.id, { permission_type: "write" })
      const active = (yield* platform.get(`/permissions/active?actor_id=${agent}`)).body
      assert.strictEqual(active.total, 1)
      assert.deepInclude(active.permissions[0], {
        permission_id: granted.id,
        resource_name: model.name,
        resource_type: "ai_model",
        compliance_labels: ["gdpr"],
        constraints: {}
      })
      const list = (query: string) => platform.get(`/permissions?actor_id=${agent}${query}`)
      assert.strictEqual((yield* list("")).body.total, 2)
      assert.strictEqual((yield* list("&status=PermissionStatus.PENDING")).body.total, 1)
      assert.strictEqual((yield* list(`&resource_id=${nowhere}`)).body.total, 0)
      assert.strictEqual((yield* list("&organization_id=elsewhere")).body.total, 0)
    })
  )

  it.effect("usage is added up, and the same event id counts once", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const { id: resourceId } = yield* resource(unique("org"))
      const { id } = yield* grant(unique("agent"), resourceId)
      for (let n = 0; n < 3; n++)
        assert.strictEqual(
          (yield* platform.post(`/permissions/${id}/usage`, {
            token_count: 10,
            cost_usd: 0.1,
            event_id: "e"
          })).status,
          204
        )
      yield* platform.post(`/permissions/${id}/usage`, { request_count: 2, cost_usd: 0.2 })
      const { usage_tracking } = (yield* platform.get(`/permissions/${id}`)).body
      assert.deepInclude(usage_tracking, {
        total_requests: 3,
        total_tokens: 10,
        total_cost_usd: 0.3,
        current_day_requests: 3,
        current_day_cost_usd: 0.3
      })
      const ledger = (yield* platform.get(`/permissions/${id}/usage`)).body
      assert.strictEqual(ledger.total, 2)
      assert.deepInclude(ledger.entries[0], { kind: "usage", event_id: "e", tokens: 10, cost_usd: 0.1 })
      assertRefused(yield* platform.post(`/permissions/${nowhere}/usage`, {}), 404)
    })
  )
}
