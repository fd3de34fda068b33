/** What a key may tell, and for whom. */
import { Platform } from "@agion/testing"
import { assert, layer } from "@effect/vitest"
import { Context, Effect } from "effect"
import { ApiKeys } from "../src/keys/ApiKeys.ts"
import { assertRefused, unique } from "./suites/words.ts"

const speaker = Effect.fnUntraced(function* (organizationId: string, agentId: string | null = null) {
  const platform = yield* Platform.Platform
  const keys = Context.get(platform.services, ApiKeys)
  const { key = "" } = yield* Effect.orDie(keys.create({ organizationId, name: "test", agentId }))
  return (method: string, path: string, body?: unknown) =>
    platform.request(method, path, body, { authorization: `Bearer ${key}` })
})

const success = (agent: string, more: object = {}) => ({
  stream: "agion:events:trust",
  event_id: unique("event"),
  agent_id: agent,
  event_type: "task_completed",
  ...more
})

layer(Platform.layer({ authentication: "keys" }), { timeout: "90 seconds", excludeTestServices: true })(
  "with keys",
  (it) => {
    it.effect("EVENT-7 an agent's key tells only of that agent, and only to its own organization", () =>
      Effect.gen(function* () {
        const org = unique("org")
        const operator = yield* speaker(org)
        const agent = yield* speaker(org, "agent-1")
        yield* operator("PUT", `/organizations/${org}`, { event_signature: "required" })
        const { results } = (yield* agent("POST", "/events", {
          events: [success("agent-1"), success("agent-2"), success("agent-1", { organization_id: "another" })]
        })).body
        assert.deepStrictEqual(
          results.map((one: { status: string }) => one.status),
          ["accepted", "refused", "refused"]
        )
        // Bound by its key, so no signature is asked for; without an allowed decision it gains nothing (TRUST-6).
        const path = "/trust/score/agent-1?entity_type=agent"
        assert.strictEqual((yield* operator("GET", path)).body.data.score, 40)
        const another = yield* speaker(unique("org"))
        assertRefused(yield* another("GET", path), 404)
        assertRefused(yield* agent("POST", "/events", { events: [], organization_id: "another" }), 403)
      })
    )

    it.effect("what only an operator may do is refused to an agent's key", () =>
      Effect.gen(function* () {
        const org = unique("org")
        const agent = yield* speaker(org, "agent-1")
        const raise = {
          entity_id: "agent-1",
          entity_type: "agent",
          event_type: "positive",
          impact: 50,
          description: ""
        }
        const praise = {
          response_id: "r",
          agent_id: "agent-1",
          user_id: "u",
          organization_id: org,
          star_rating: 5
        }
        yield* agent("POST", "/agents/register", { agent_id: "agent-1" })
        for (const [method, path, body] of [
          ["POST", "/trust/evaluate", raise],
          ["POST", "/feedback/submit", praise],
          ["PUT", "/agents/agent-1", { status: "active" }],
          ["PUT", "/agents/agent-2", { version: "2" }],
          ["DELETE", "/agents/agent-1", undefined],
          ["POST", "/agents/register", { agent_id: "agent-2" }],
          ["POST", "/audit/events", { event_type: "x", entity_id: "agent-2" }],
          ["POST", "/missions/m/join", { participant_id: "agent-2" }],
          ["GET", "/stream?agent_id=agent-2", undefined],
          ["POST", "/api-keys", { name: "mine" }],
          ["GET", "/api-keys", undefined],
          ["DELETE", "/api-keys/x", undefined]
        ] as const)
          assertRefused(yield* agent(method, path, body), 403)
      })
    )

    it.effect("each organization has its own record of an agent, its own prompts, missions and keys", () =>
      Effect.gen(function* () {
        const [mine, other] = [unique("org"), unique("org")]
        const me = yield* speaker(mine)
        const them = yield* speaker(other)
        yield* me("POST", "/agents/register", { agent_id: "shared", version: "1" })
        yield* them("POST", "/agents/register", { agent_id: "shared", version: "2" })
        yield* them("PUT", "/agents/shared", { status: "suspended" })
        assert.deepInclude((yield* me("GET", "/agents/shared")).body, { status: "active", version: "1" })
        assert.strictEqual((yield* me("GET", "/agents")).body.total, 1)
        const prompt = (yield* them("POST", "/prompts", { name: "p", location: "here", content: "c" })).body
        const mission = (yield* them("POST", "/missions", { name: "m" })).body
        const feedback = (yield* them("POST", "/feedback/submit", {
          response_id: "r",
          agent_id: "shared",
          user_id: "u",
          organization_id: other,
          star_rating: 5
        })).body.feedback
        const { key: _, ...key } = (yield* them("POST", "/api-keys", { name: "k" })).body
        for (const [method, path, body] of [
          ["GET", "/prompts/by-location/here", undefined],
          ["PUT", `/prompts/${prompt.id}`, { content: "mine" }],
          ["DELETE", `/prompts/${prompt.id}`, undefined],
          ["GET", `/missions/${mission.id}`, undefined],
          ["PUT", `/missions/${mission.id}/state`, { version: 0, state: {} }],
          ["GET", `/feedback/${feedback.id}`, undefined],
          ["DELETE", `/api-keys/${key.id}`, undefined]
        ] as const)
          assertRefused(yield* me(method, path, body), 404)
        const listed = (yield* them("GET", "/api-keys")).body.keys
        assert.deepInclude(listed, key)
        assert.isTrue(listed.every((one: object) => !("key" in one)))
        assert.strictEqual((yield* me("GET", "/feedback")).body.total, 0)
        assert.strictEqual((yield* them("GET", "/prompts/by-location/here")).body.content, "c")
      })
    )
  }
)
