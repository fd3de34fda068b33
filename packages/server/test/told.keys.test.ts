/** What a key may tell, and for whom. */
import { Platform, PostgresServer } from "@agion/testing"
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { ApiKeys } from "../src/keys/ApiKeys.ts"
import { eventKeys } from "./suites/eventKeys.ts"
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
    eventKeys(it)

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

    it.effect(
      "OUTAGE-6 an agent's key reports a decision about another, which is nothing to whom it is about",
      () =>
        Effect.gen(function* () {
          const org = unique("org")
          const operator = yield* speaker(org)
          const agent = yield* speaker(org, "agent-1")
          const subject = yield* speaker(org, "agent-2")
          yield* operator("PUT", `/organizations/${org}`, { event_signature: "required" })
          const run = unique("run")
          const decision = (more: object) => ({
            stream: "agion:events:decisions",
            event_id: "decision-1",
            agent_id: "agent-2",
            action: "use",
            actor_type: "agent",
            resource_id: "resource-1",
            permission_type: "use",
            decision: "deny",
            mode: "degraded",
            reason: "trust",
            execution_id: run,
            ...more
          })
          const tell = (speak: typeof agent, ...events: ReadonlyArray<object>) =>
            Effect.map(speak("POST", "/events", { events }), ({ body }) =>
              body.results.map((one: { readonly status: string }) => one.status)
            )
          const reports = [
            decision({ reported_by: "agent-1" }),
            decision({ reported_by: "agent-3" }),
            decision({})
          ]
          assert.deepStrictEqual(yield* tell(agent, ...reports), ["accepted", "refused", "refused"])
          const praise = {
            stream: "agion:events:feedback",
            execution_id: run,
            user_id: "user-1",
            feedback_type: "thumbs_down"
          }
          yield* tell(operator, praise)
          const report = (yield* operator("GET", "/audit/compliance/agent-2")).body
          assert.deepInclude(report, { total_events: 0, denied: 0, compliance_rate: 100 })
          assert.deepInclude(report.events[0], { entity_id: "agent-2", decision: "deny" })
          assert.deepInclude(report.events[0].data, { reported_by: "agent-1", execution_id: run })
          assert.strictEqual((yield* operator("GET", "/feedback?agent_id=agent-2")).body.total, 0)
          // The id is not used up for the one that it is about.
          assert.deepStrictEqual(yield* tell(subject, decision({ decision: "allow" })), ["accepted"])
          const own = (yield* operator("GET", "/audit/compliance/agent-2")).body
          assert.deepInclude(own, { total_events: 1, allowed: 1, denied: 0 })
        })
    )

    it.effect("TRUST-3 an agent's key rates nobody: not itself, and no other with any worth", () =>
      Effect.gen(function* () {
        const org = unique("org")
        const operator = yield* speaker(org)
        const agent = yield* speaker(org, "agent-1")
        const praise = (agent_id: string | undefined, more: object = {}) => ({
          stream: "agion:events:feedback",
          execution_id: unique("run"),
          user_id: unique("user"),
          feedback_type: "thumbs_up",
          rating: 5,
          agent_id,
          ...more
        })
        const statuses = (body: { readonly results: ReadonlyArray<{ readonly status: string }> }) =>
          body.results.map(({ status }) => status)
        const tell = (events: ReadonlyArray<object>, by = agent) => by("POST", "/events", { events })
        const score = (id: string) =>
          Effect.map(operator("GET", `/trust/score/${id}?entity_type=agent`), ({ body }) => body.data.score)
        const run = unique("run")
        yield* tell([success("agent-1", { event_type: "user_feedback", context: { execution_id: run } })])
        const self = yield* tell([praise("agent-1"), praise(undefined, { execution_id: run })])
        assert.deepStrictEqual(statuses(self.body), ["refused", "refused"])
        assert.include(self.body.results[0].reason, "cannot rate itself")
        // Not told yet whose execution it is: it waits, and is refused then.
        const later = unique("run")
        assert.deepStrictEqual(statuses((yield* tell([praise(undefined, { execution_id: later })])).body), [
          "accepted"
        ])
        yield* tell([success("agent-1", { event_type: "user_feedback", context: { execution_id: later } })])
        assert.strictEqual(yield* score("agent-1"), 40)
        const listed = (path: string) => Effect.map(operator("GET", path), ({ body }) => body.total)
        assert.strictEqual(yield* listed("/feedback?agent_id=agent-1"), 0)
        const peer = yield* tell([praise("agent-2")])
        assert.deepStrictEqual(statuses(peer.body), ["accepted"])
        const given = { response_id: "r", agent_id: "agent-2", user_id: "u", organization_id: org }
        const down = yield* agent("POST", "/feedback/submit", { ...given, is_helpful: false })
        assert.strictEqual(down.body.feedback.trust_impact_calculated, 0)
        assert.strictEqual(yield* listed("/feedback?agent_id=agent-2"), 2)
        assert.strictEqual(yield* score("agent-2"), 40)
        yield* operator("PUT", `/organizations/${org}`, { event_signature: "required" })
        yield* tell([praise("agent-2"), praise(undefined, { execution_id: unique("run") })], operator)
        assert.strictEqual(yield* score("agent-2"), 42)
      })
    )

    it.effect("TRUST-6 what an agent's key says in a user's name takes no place of what the user says", () =>
      Effect.gen(function* () {
        const org = unique("org")
        const operator = yield* speaker(org)
        const agent = yield* speaker(org, "agent-1")
        const given = (agent_id: string, more: object) => ({
          response_id: "answer",
          agent_id,
          user_id: "alice",
          organization_id: org,
          ...more
        })
        const score = Effect.map(
          operator("GET", "/trust/score/agent-1?entity_type=agent"),
          ({ body }) => body.data.score
        )
        const early = yield* agent("POST", "/feedback/submit", given("another", { star_rating: 5 }))
        assert.strictEqual(early.body.feedback.trust_impact_calculated, 0)
        const real = yield* operator("POST", "/feedback/submit", given("agent-1", { is_helpful: false }))
        assert.strictEqual(real.body.feedback?.trust_impact_calculated, -2, real.text)
        assert.strictEqual(yield* score, 38)
        for (const [speak, about] of [
          [agent, "another"],
          [operator, "agent-1"]
        ] as const)
          assertRefused(yield* speak("POST", "/feedback/submit", given(about, { star_rating: 1 })), 400)
        yield* agent("POST", "/feedback/submit", given("another", { user_id: "bob", star_rating: 1 }))
        const { stats } = (yield* operator("GET", "/feedback/agent/another/stats")).body
        assert.deepInclude(stats, { total_feedback: 0, rating_count: 0, avg_star_rating: 0 })
      })
    )

    it.effect("TRUST-6 nor does it as an event: not by its execution, its id, nor while it waits", () =>
      Effect.gen(function* () {
        const org = unique("org")
        const operator = yield* speaker(org)
        const agent = yield* speaker(org, "agent-1")
        const rates = (run: string, feedback_type: string, more: object = {}) => ({
          stream: "agion:events:feedback",
          event_id: `feedback-${run}`,
          execution_id: run,
          user_id: "alice",
          feedback_type,
          ...more
        })
        const tell = (speak: typeof agent, event: object) =>
          Effect.map(speak("POST", "/events", { events: [event] }), ({ body }) => body.results[0].status)
        const score = Effect.map(
          operator("GET", "/trust/score/agent-1?entity_type=agent"),
          ({ body }) => body.data.score
        )
        const begun = (run: string) =>
          tell(agent, success("agent-1", { event_type: "user_feedback", context: { execution_id: run } }))
        const [known, later] = [unique("run"), unique("run")]
        yield* begun(known)
        assert.strictEqual(yield* tell(agent, rates(known, "thumbs_up", { agent_id: "another" })), "accepted")
        const down = rates(known, "thumbs_down")
        assert.strictEqual(yield* tell(operator, down), "accepted")
        assert.strictEqual(yield* score, 38)
        assert.strictEqual(yield* tell(operator, down), "duplicate")
        const peer = yield* speaker(org, "agent-2")
        assert.strictEqual(yield* tell(peer, rates(later, "thumbs_up")), "accepted")
        assert.strictEqual(yield* tell(operator, rates(later, "thumbs_down")), "accepted")
        yield* begun(later)
        assert.strictEqual(yield* score, 36)
      })
    )

    it.effect("TRUST-6 feedback that an operator's key brings waits for its execution and counts then", () =>
      Effect.gen(function* () {
        const [org, run] = [unique("org"), unique("run")]
        const operator = yield* speaker(org)
        const agent = yield* speaker(org, "agent-1")
        yield* operator("PUT", `/organizations/${org}`, { event_signature: "required" })
        const praise = {
          stream: "agion:events:feedback",
          execution_id: run,
          user_id: "user-1",
          feedback_type: "thumbs_up",
          rating: 5
        }
        yield* operator("POST", "/events", { events: [praise] })
        yield* agent("POST", "/events", { events: [success("agent-1", { context: { execution_id: run } })] })
        const score = yield* operator("GET", "/trust/score/agent-1?entity_type=agent")
        assert.strictEqual(score.body.data.score, 42)
      })
    )

    it.effect(
      "TRUST-6 a decision counts for one outcome; one that observing let through counts for none",
      () =>
        Effect.gen(function* () {
          const org = unique("org")
          const operator = yield* speaker(org)
          const agent = yield* speaker(org, "agent-1")
          const resource = (yield* operator("POST", "/resources", {
            organization_id: org,
            resource_type: "ai_model",
            name: "m",
            resource_data: {},
            created_by: "operator"
          })).body
          const asked = {
            organization_id: org,
            actor_id: "agent-1",
            actor_type: "agent",
            resource_id: resource.id,
            permission_type: "use",
            context: {}
          }
          yield* operator("PUT", `/organizations/${org}`, {
            event_signature: "required",
            enforcement: "observe"
          })
          const decided = Effect.map(agent("POST", "/permissions/check", asked), ({ body }) => {
            assert.isTrue(body.allowed)
            return body.metadata.decision_id
          })
          const succeeds = (decision_id: string, times: number) =>
            agent("POST", "/events", {
              events: Array.from({ length: times }, () => success("agent-1", { context: { decision_id } }))
            })
          const score = Effect.map(
            operator("GET", "/trust/score/agent-1?entity_type=agent"),
            ({ body }) => body.data.score
          )
          yield* succeeds(yield* decided, 1)
          assert.strictEqual(yield* score, 40)
          const wanted = { ...asked, purpose: "to work" }
          const { id } = (yield* operator("POST", "/permissions", wanted)).body
          yield* operator("POST", `/permissions/${id}/approve`, { approved_by: "boss" })
          const allowed = yield* decided
          yield* succeeds(allowed, 30)
          yield* succeeds(allowed, 1)
          assert.strictEqual(yield* score, 42)
          yield* succeeds(yield* decided, 1)
          assert.strictEqual(yield* score, 44)
        })
    )

    it.effect("MISSION-1 messages of who takes no part are refused as events, too", () =>
      Effect.gen(function* () {
        const [org, mission] = [unique("org"), unique("mission")]
        const agent = yield* speaker(org, "agent-1")
        const message = (event_id: string) => ({
          stream: `agion:missions:${mission}:messages`,
          event_id,
          mission_id: mission,
          from_participant: "agent-1",
          to_participant: null,
          message_type: "note",
          content: {}
        })
        const tell = (...events: ReadonlyArray<object>) =>
          Effect.map(agent("POST", "/events", { events }), ({ body }) => body.results)
        const join = {
          stream: "agion:events:missions",
          event_type: "joined",
          mission_id: mission,
          participant_id: "agent-1"
        }
        const [refused] = yield* tell(message("one"))
        assert.strictEqual(refused.status, "refused")
        assert.include(refused.reason, "join it first")
        assertRefused(yield* agent("GET", `/missions/${mission}`), 404)
        const taken = yield* tell(join, message("one"), { ...join, event_type: "left" }, message("two"))
        assert.deepStrictEqual(
          taken.map((one: { status: string }) => one.status),
          ["accepted", "accepted", "accepted", "refused"]
        )
        const { messages } = (yield* agent("GET", `/missions/${mission}/messages`)).body
        assert.strictEqual(messages.length, 1)
      })
    )

    it.effect(
      "MISSION-2 an agent's key reads what is for everyone, to it or from it; ids are their sender's",
      () =>
        Effect.gen(function* () {
          const [org, mission] = [unique("org"), unique("mission")]
          const operator = yield* speaker(org)
          const speakers = { a: yield* speaker(org, "a"), b: yield* speaker(org, "b") }
          for (const [participant_id, speak] of Object.entries(speakers))
            yield* speak("POST", `/missions/${mission}/join`, { participant_id })
          const send = (from: "a" | "b", to_participant: string | undefined, n: number, event_id?: string) =>
            speakers[from]("POST", `/missions/${mission}/messages`, {
              from_participant: from,
              to_participant,
              message_type: "note",
              content: { n },
              event_id
            })
          const secret = yield* send("a", "a", 1, "same")
          yield* send("a", undefined, 2)
          const other = yield* send("b", "a", 3, "same")
          assert.deepStrictEqual([other.status, other.body.content], [201, { n: 3 }])
          assert.strictEqual((yield* send("a", "a", 1, "same")).body.sequence, secret.body.sequence)
          assertRefused(yield* send("a", undefined, 1, "same"), 409)
          assertRefused(yield* send("a", "a", 4, "same"), 409)
          const read = (speak: typeof operator) =>
            Effect.map(speak("GET", `/missions/${mission}/messages`), ({ body }) =>
              body.messages.map((one: { content: { n: number } }) => one.content.n)
            )
          assert.deepStrictEqual(yield* read(speakers.a), [1, 2, 3])
          assert.deepStrictEqual(yield* read(speakers.b), [2, 3])
          assert.deepStrictEqual(yield* read(operator), [1, 2, 3])
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

const onPostgres = Layer.effect(
  Platform.Platform,
  Effect.gen(function* () {
    const server = yield* PostgresServer.make()
    const url = yield* server.database
    return yield* Platform.make({ database: { _tag: "Postgres", url }, authentication: "keys" })
  })
)

describe.skipIf(!PostgresServer.isThere())("with a real server", () => {
  layer(onPostgres, { timeout: "60 seconds", excludeTestServices: true })(
    "with keys, on PostgreSQL",
    eventKeys
  )
})
