import { Streams } from "@agion/domain"
import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { signatureOf } from "../../src/events/Signatures.ts"
import { assertRefused, grant, type It, question, resource, unique } from "./words.ts"

const nothing = { requests: 0, tokens: 0, cost_usd: 0 }

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

  it.effect("EVENT-7 a field that is null is as if it were left out", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent, mission] = [unique("org"), unique("agent"), unique("mission")]
      const send = (...events: ReadonlyArray<object>) =>
        Effect.map(platform.post("/events", { events }), ({ body }) => body.results)
      const statuses = (results: ReadonlyArray<{ status: string }>) => results.map(({ status }) => status)
      const nameless = trustEvent(agent, org, { event_id: null })
      const taken = yield* send(
        nameless,
        nameless,
        trustEvent(agent, org, { event_id: null, event_type: "task_failed" }),
        trustEvent(agent, org, { organization_id: null, timestamp: null, severity: null, context: null })
      )
      assert.deepStrictEqual(statuses(taken), ["accepted", "duplicate", "accepted", "accepted"])
      assert.match(taken[0].event_id, /^[0-9a-f]{64}$/)
      assert.deepStrictEqual([yield* score(agent, org), yield* score(agent, "default")], [40, 42])
      assert.isUndefined(yield* score(agent, "null"))
      const joined = {
        stream: "agion:events:missions",
        organization_id: org,
        mission_id: mission,
        event_type: "joined",
        participant_id: agent
      }
      const decision = {
        stream: "agion:events:decisions",
        organization_id: org,
        agent_id: agent,
        action: "act",
        actor_type: "agent",
        resource_id: "r",
        resource_type: null,
        permission_type: "use",
        decision: "allow",
        mode: "normal",
        reason: "ok",
        execution_id: null
      }
      const missing: ReadonlyArray<readonly [object, string]> = [
        [{ ...nameless, agent_id: null }, "agent_id"],
        [{ ...joined, mission_id: null }, "mission_id"],
        [{ ...joined, participant_id: null }, "participant_id"],
        [{ ...decision, reason: null }, "reason"],
        [{ ...decision, resource_id: null }, "resource_id"]
      ]
      for (const [event, name] of missing) {
        const [refused] = yield* send(event)
        assert.strictEqual(refused.status, "refused", name)
        assert.include(refused.reason, name)
      }
      assert.deepStrictEqual(statuses(yield* send(joined, decision)), ["accepted", "accepted"])
      assertRefused(yield* platform.get(`/missions/null?organization_id=${org}`), 404)
    })
  )

  it.effect("TRUST-5 a policy costs an agent trust once per resource and minute, whoever tells of it", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      const violates = (policy: string | undefined, resource_id: string, timestamp: string) =>
        trustEvent(agent, org, {
          event_type: "policy_violation",
          context: { policy, resource_id },
          timestamp
        })
      const costs = Effect.fnUntraced(function* (...events: ReadonlyArray<object>) {
        const before = (yield* score(agent, org)) ?? 40
        const { results } = (yield* platform.post("/events", { events })).body
        for (const { status } of results) assert.strictEqual(status, "accepted")
        return before - (yield* score(agent, org))
      })
      const [first, within, next] = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:59.9Z", "2026-01-01T00:01:00Z"]
      const one = violates("p", "r", first)
      assert.strictEqual(yield* costs(one, violates("p", "r", within), violates("p", "r", first)), 5)
      assert.strictEqual(yield* costs(violates("p", "r", within)), 0)
      assert.strictEqual(
        yield* costs(violates("q", "r", first), violates("p", "s", first), violates("p", "r", next)),
        15
      )
      // What names no policy stands for itself.
      assert.strictEqual(yield* costs(violates(undefined, "r", first), violates(undefined, "r", first)), 10)
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
      const told = (sums: object) => ({ ...sums, ledger: nothing, interactions: sums })
      assert.deepStrictEqual(yield* by("agent,model,day"), [
        {
          agent_id: agent,
          model: "m1",
          day: "2026-03-01",
          ...told({ requests: 2, tokens: 15, cost_usd: 0.003 })
        },
        {
          agent_id: agent,
          model: "m2",
          day: "2026-03-02",
          ...told({ requests: 1, tokens: 7, cost_usd: 0.000001 })
        }
      ])
      assert.deepStrictEqual(yield* by("agent"), [
        { agent_id: agent, ...told({ requests: 3, tokens: 22, cost_usd: 0.003001 }) }
      ])
      assertRefused(yield* platform.get("/usage/summary?by=nothing"), 400)
    })
  )

  it.effect("LIMIT-4 the ledger is summed too, and no call counts twice", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      const model = yield* resource(org, { resource_type: "ai_model", name: "m1" })
      const tool = yield* resource(org, { resource_type: "tool", name: "t1" })
      const [onModel, onTool] = [yield* grant(agent, model.id), yield* grant(agent, tool.id)]
      const day = "2026-03-01"
      const use = (id: string, token_count: number, event_id: string) =>
        platform.post(`/permissions/${id}/usage`, {
          token_count,
          cost_usd: token_count / 1000,
          event_id,
          occurred_at: `${day}T10:00:00Z`
        })
      for (const id of ["1", "2", "2"]) yield* use(onModel.id, 100, `${agent}-${id}`)
      yield* use(onTool.id, 0, `${agent}-3`)
      const talk = (of: string, timestamp: string) => ({
        stream: "agion:events:llm_interactions",
        event_id: unique("event"),
        organization_id: org,
        execution_id: unique("run"),
        agent_id: of,
        interaction_id: unique("talk"),
        model: "m1",
        provider: "p",
        total_tokens: 90,
        timestamp
      })
      // The same calls again, as conversations; a day and an agent that the ledger knows nothing of.
      const other = unique("agent")
      yield* platform.post("/events", {
        events: [
          talk(agent, `${day}T10:00:00Z`),
          talk(agent, `${day}T10:00:00Z`),
          talk(agent, "2026-03-02T10:00:00Z"),
          talk(other, `${day}T10:00:00Z`)
        ]
      })
      const rows = (list: string, range = "") =>
        Effect.map(
          platform.get(`/usage/summary?organization_id=${org}&by=${list}${range}`),
          ({ body }) => body.rows
        )
      const sums = (requests: number, tokens: number, cost_usd = tokens / 1000) => ({
        requests,
        tokens,
        cost_usd
      })
      assert.deepStrictEqual(yield* rows("agent,day"), [
        { agent_id: agent, day, ...sums(3, 200), ledger: sums(3, 200), interactions: sums(2, 180, 0) },
        { agent_id: other, day, ...sums(1, 90, 0), ledger: nothing, interactions: sums(1, 90, 0) },
        {
          agent_id: agent,
          day: "2026-03-02",
          ...sums(1, 90, 0),
          ledger: nothing,
          interactions: sums(1, 90, 0)
        }
      ])
      assert.deepStrictEqual(yield* rows("model", `&to=${day}T12:00:00Z`), [
        { model: "m1", ...sums(3, 290, 0.2), ledger: sums(2, 200), interactions: sums(3, 270, 0) },
        { model: null, ...sums(1, 0), ledger: sums(1, 0), interactions: nothing }
      ])
    })
  )

  it.effect("LIMIT-3 the sums replace a reservation by its settlement and drop what was released", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      const { id } = yield* resource(org)
      yield* grant(agent, id, { constraints: { token_limit_per_day: 1000 } })
      const reserve = Effect.map(
        platform.post("/permissions/reserve", { ...question(org, agent, id), amounts: { tokens: 100 } }),
        ({ body }) => `/permissions/reservations/${body.reservation.id}`
      )
      const [settled, released] = [yield* reserve, yield* reserve]
      yield* reserve
      yield* platform.post(`${settled}/settle`, { tokens: 30, cost_usd: 0.5 })
      yield* platform.post(`${released}/release`, {})
      const { rows } = (yield* platform.get(`/usage/summary?organization_id=${org}`)).body
      assert.deepInclude(rows[0], { requests: 2, tokens: 130, cost_usd: 0.5 })
    })
  )

  it.effect(
    "EVENT-6 each event of a batch is decoded by itself: what is none, or too deep, is refused alone",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const [org, agent] = [unique("org"), unique("agent")]
        const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`
        const good = JSON.stringify(trustEvent(agent, org)).slice(0, -1)
        const events = [
          "null",
          "42",
          '"text"',
          "[]",
          `${good},"event_id":"${unique("deep")}","context":${deep(40)}}`,
          `${good},"event_id":"${unique("deep")}","unheard_of":${deep(20_000)}}`,
          `${good},"event_id":"${unique("deep")}","context":${deep(32)}}`,
          '{"stream":7}'
        ]
        const sent = yield* platform.request("POST", "/events", `{"events":[${events.join(",")}]}`)
        assert.strictEqual(sent.status, 200, sent.text)
        assert.deepStrictEqual(
          sent.body.results.map((one: { status: string }) => one.status),
          ["refused", "refused", "refused", "refused", "refused", "refused", "accepted", "refused"]
        )
        assert.include(sent.body.results[0].reason, "an event is an object")
        assert.include(sent.body.results[5].reason, "`unheard_of`")
        assert.strictEqual(yield* score(agent, org), 42)
        assertRefused(yield* platform.post("/events", { events: {} }), 400)
      })
  )

  it.effect("EVENT-6 a conversation whose numbers are out of bounds is refused by its field", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const talk = (more: object) => ({
        stream: "agion:events:llm_interactions",
        organization_id: unique("org"),
        execution_id: "e",
        agent_id: unique("agent"),
        interaction_id: "i",
        model: "m",
        provider: "p",
        ...more
      })
      const wrong = [
        { latency_ms: 1e300 },
        { total_tokens: -1 },
        { prompt_tokens: 2 ** 60 },
        { cost_estimate: 1e15 },
        { cost_estimate: -1 }
      ]
      const { results } = (yield* platform.post("/events", { events: wrong.map(talk) })).body
      for (const [i, more] of wrong.entries()) {
        assert.strictEqual(results[i].status, "refused")
        assert.include(results[i].reason, Object.keys(more)[0] ?? "")
      }
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
        assert.strictEqual(result.code, "signature")
      }
      assert.strictEqual(yield* score(agent, org), 40)
    })
  )

  it.effect("TRUST-6 a signature is over what was sent, with the fields in it that are null", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const { org, keyOf } = yield* demanding
      const agent = unique("agent")
      const key = yield* keyOf(agent)
      const failure = () =>
        trustEvent(agent, org, { event_type: "task_failed", confidence: null, context: null })
      const signed = sign(key, failure())
      const without = trustEvent(agent, org, { event_type: "task_failed", confidence: null })
      const events = [
        signed,
        { ...sign(key, without), context: null },
        { ...sign(key, failure()), severity: null }
      ]
      const { results } = (yield* platform.post("/events", { events })).body
      assert.deepStrictEqual(statuses(results), ["accepted", "refused", "refused"])
      assert.strictEqual(yield* score(agent, org), 38)
    })
  )

  it.effect("OUTAGE-6 TRUST-6 a decision about another is the word of the agent that signed it", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const { org, keyOf } = yield* demanding
      const [reporter, subject] = [unique("agent"), unique("agent")]
      const [key, subjectKey] = [yield* keyOf(reporter), yield* keyOf(subject)]
      const about = (more: object = {}) => decisionAbout(subject, { organization_id: org, ...more })
      const reported = about({ reported_by: reporter })
      const { results } = (yield* platform.post("/events", {
        events: [
          sign(key, reported),
          sign(key, reported),
          sign(subjectKey, about({ reported_by: reporter })),
          sign(key, about()),
          sign(key, about({ reported_by: subject })),
          about({ reported_by: reporter })
        ]
      })).body
      assert.deepStrictEqual(statuses(results), [
        "accepted",
        "duplicate",
        "refused",
        "refused",
        "refused",
        "refused"
      ])
      const listed = (yield* platform.get(`/audit/events?organization_id=${org}&entity_id=${subject}`)).body
      assert.deepStrictEqual(
        listed.events.map(
          (line: { readonly data: { readonly reported_by: string } }) => line.data.reported_by
        ),
        [reporter]
      )
    })
  )
}

/** An organization that demands signed events, and the event keys that it gives. */
const demanding = Effect.gen(function* () {
  const platform = yield* Platform.Platform
  const org = unique("org")
  const keyOf = (agent: string) =>
    Effect.map(
      platform.post("/agents/register", { agent_id: agent, organization_id: org }),
      ({ body }): string => body.event_key
    )
  yield* keyOf(unique("agent"))
  yield* platform.put(`/organizations/${org}`, { event_signature: "required" })
  return { org, keyOf }
})

/** An event as its agent signs it: what is sent, null too. */
const sign = (key: string, event: { readonly stream: string }) => {
  const { stream, ...fields } = event
  return { ...event, signature: signatureOf(key, stream, Streams.toFields(fields)) }
}

const decisionAbout = (agent: string, more: object = {}) => ({
  stream: "agion:events:decisions",
  event_id: unique("event"),
  agent_id: agent,
  action: "use",
  actor_type: "agent",
  resource_id: "resource-1",
  permission_type: "use",
  decision: "allow",
  mode: "stale",
  reason: "Platform unavailable: a warm approval is used",
  ...more
})

const statuses = (results: ReadonlyArray<{ readonly status: string }>) => results.map(({ status }) => status)
