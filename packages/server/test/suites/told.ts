import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { assertRefused, type It, unique } from "./words.ts"

const trustEvent = (agent: string, org: string, more: object = {}) => ({
  stream: "agion:events:trust",
  event_id: unique("event"),
  organization_id: org,
  agent_id: agent,
  event_type: "task_completed",
  timestamp: "2026-01-01T00:00:00Z",
  ...more
})

const score = (agent: string, org: string) =>
  Effect.gen(function* () {
    const platform = yield* Platform.Platform
    const answer = yield* platform.get(`/trust/score/${agent}?entity_type=agent&organization_id=${org}`)
    return answer.body?.data?.score
  })

export const told = (it: It) => {
  it.effect("EVENT-7 POST /events says of each event whether it was accepted, a duplicate or refused", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      const first = trustEvent(agent, org)
      const sent = yield* platform.post("/events", {
        events: [
          first,
          first,
          trustEvent(agent, org, { event_type: "unheard_of" }),
          trustEvent(agent, org, { stream: "no:such:stream" }),
          trustEvent(agent, org, { impact: "much" }),
          { stream: "agion:events:trust" },
          trustEvent(agent, org, { context: { error: "boom" }, event_type: "task_failed" })
        ]
      })
      assert.strictEqual(sent.status, 200, sent.text)
      const { results } = sent.body
      assert.deepStrictEqual(
        results.map((one: { status: string }) => one.status),
        ["accepted", "duplicate", "refused", "refused", "refused", "refused", "accepted"]
      )
      for (const refused of results.slice(2, 6)) assert.isAbove(refused.reason.length, 10)
      assert.strictEqual(yield* score(agent, org), 39)
      const again = yield* platform.post("/events", { events: [first] })
      assert.strictEqual(again.body.results[0].status, "duplicate")
      assert.strictEqual(yield* score(agent, org), 39)
      assertRefused(
        yield* platform.post("/events", { events: Array.from({ length: 1001 }, () => ({})) }),
        400
      )
    })
  )

  it.effect(
    "a value that the database cannot hold is refused alone, and the rest of the batch is applied",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const [org, agent] = [unique("org"), unique("agent")]
        const monster = {
          stream: "agion:events:llm_interactions",
          organization_id: org,
          execution_id: "e",
          agent_id: agent,
          interaction_id: "i",
          model: "m",
          provider: "p",
          prompt_tokens: 1e300
        }
        const events = [trustEvent(agent, org), monster, trustEvent(agent, org)]
        const { results } = (yield* platform.post("/events", { events })).body
        assert.deepStrictEqual(
          results.map((one: { status: string }) => one.status),
          ["accepted", "refused", "accepted"]
        )
        assert.strictEqual(yield* score(agent, org), 44)
      })
  )

  it.effect(
    "feedback on an execution finds the agent that told of it, before or afterwards, once per user",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const [org, agent, known, later] = [unique("org"), unique("agent"), unique("run"), unique("run")]
        const stars = (execution_id: string, user_id: string, more: object = {}) => ({
          stream: "agion:events:feedback",
          execution_id,
          user_id,
          feedback_type: "thumbs_up",
          rating: 5,
          ...more
        })
        const send = (...events: ReadonlyArray<object>) => platform.post("/events", { events })
        yield* send(trustEvent(agent, org, { context: { execution_id: known } }))
        assert.strictEqual(yield* score(agent, org), 42)
        yield* send(
          stars(known, "u1"),
          stars(known, "u1"),
          stars(known, "u2", { feedback_type: "thumbs_down" })
        )
        assert.strictEqual(yield* score(agent, org), 42)
        yield* send(stars(later, "u1"))
        assert.strictEqual(yield* score(agent, org), 42)
        yield* send({
          stream: "agion:events:decisions",
          organization_id: org,
          agent_id: agent,
          action: "act",
          actor_type: "agent",
          resource_id: "r",
          permission_type: "use",
          decision: "allow",
          mode: "normal",
          reason: "ok",
          execution_id: later
        })
        assert.strictEqual(yield* score(agent, org), 44)
      })
  )

  it.effect("conversations are summed by agent, model and day, and kept as the organization wants", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      const said = (model: string, tokens: number, cost: number, timestamp: string) => ({
        stream: "agion:events:llm_interactions",
        event_id: unique("event"),
        organization_id: org,
        execution_id: unique("run"),
        agent_id: agent,
        interaction_id: unique("talk"),
        model,
        provider: "p",
        user_prompt: "write to someone@example.org",
        response_text: "done",
        total_tokens: tokens,
        cost_estimate: cost,
        latency_ms: 12.5,
        timestamp
      })
      yield* platform.put(`/organizations/${org}`, { llm_content: "redacted" })
      const { results } = (yield* platform.post("/events", {
        events: [
          said("m1", 10, 0.001, "2026-03-01T10:00:00Z"),
          said("m1", 5, 0.002, "2026-03-01T11:00:00Z"),
          said("m2", 7, 0.0000005, "2026-03-02T00:00:00Z")
        ]
      })).body
      assert.isTrue(
        results.every((one: { status: string }) => one.status === "accepted"),
        JSON.stringify(results)
      )
      const by = (list: string) =>
        Effect.map(platform.get(`/usage/summary?organization_id=${org}&by=${list}`), ({ body }) => body.rows)
      assert.deepStrictEqual(yield* by("agent,model,day"), [
        { agent_id: agent, model: "m1", day: "2026-03-01", requests: 2, tokens: 15, cost_usd: 0.003 },
        { agent_id: agent, model: "m2", day: "2026-03-02", requests: 1, tokens: 7, cost_usd: 0.000001 }
      ])
      assert.deepStrictEqual(yield* by("agent"), [
        { agent_id: agent, requests: 3, tokens: 22, cost_usd: 0.003001 }
      ])
      assertRefused(yield* platform.get("/usage/summary?by=nothing"), 400)
    })
  )

  it.effect("the audit log keeps a line once, finds it, and reports on an entity", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      const line = {
        event_type: "login",
        event_id: unique("event"),
        organization_id: org,
        entity_id: agent,
        decision: "allow",
        data: { from: "here" }
      }
      const first = yield* platform.post("/audit/events", line)
      assert.strictEqual(first.status, 201, first.text)
      assert.strictEqual((yield* platform.post("/audit/events", line)).body.created_at, first.body.created_at)
      yield* platform.post("/events", {
        events: [
          {
            stream: "agion:events:decisions",
            organization_id: org,
            agent_id: agent,
            action: "delete",
            actor_type: "agent",
            resource_id: "r",
            permission_type: "use",
            decision: "deny",
            mode: "normal",
            reason: "No approved permission found"
          },
          trustEvent(agent, org, { event_type: "policy_violation" })
        ]
      })
      const listed = (yield* platform.get(`/audit/events?organization_id=${org}&entity_id=${agent}`)).body
      assert.strictEqual(listed.total, 2)
      const denied = (yield* platform.get(`/audit/events?organization_id=${org}&decision=deny`)).body
      assert.strictEqual(denied.events[0].reason, "No approved permission found")
      const report = (yield* platform.get(`/audit/compliance/${agent}?organization_id=${org}&days=3650`)).body
      assert.deepInclude(report, { total_events: 2, allowed: 1, denied: 1, violations: 1, trust_score: 35 })
    })
  )

  it.effect("TRUST-6 where signed events are demanded, an unsigned one is refused", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      yield* platform.post("/agents/register", { agent_id: agent, organization_id: org })
      yield* platform.put(`/organizations/${org}`, { event_signature: "required" })
      const { results } = (yield* platform.post("/events", {
        events: [trustEvent(agent, org), trustEvent(agent, org, { signature: "AAAA" })]
      })).body
      for (const result of results) {
        assert.strictEqual(result.status, "refused")
        assert.include(result.reason, "signature")
      }
      assert.strictEqual(yield* score(agent, org), 40)
    })
  )
}
