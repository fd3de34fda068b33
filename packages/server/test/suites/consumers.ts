import { Streams } from "@agion/domain"
import { RedisStream } from "@agion/redis"
import { assert, type Vitest } from "@effect/vitest"
import { Clock, Effect, type Layer, Schema } from "effect"
import type { Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { Consumers } from "../../src/events/Consumers.ts"
import { Ingest } from "../../src/events/Ingest.ts"
import { signatureOf } from "../../src/events/Signatures.ts"
import { Signing } from "../../src/keys/Signing.ts"
import { Missions } from "../../src/missions/Missions.ts"
import { Agents } from "../../src/registry/Agents.ts"
import { TrustScores } from "../../src/trust/TrustScores.ts"
import { entriesOf, eventually, type live } from "../events/Live.ts"
import { unique } from "./words.ts"

type It = Vitest.MethodsNonLive<
  Layer.Success<ReturnType<typeof live>> | Layer.Services<ReturnType<typeof live>> | Redis.Redis
>

const names = Streams.streamNames()

const trustEvent = (agentId: string, eventType: string, fields: Record<string, string> = {}) => ({
  agent_id: agentId,
  event_type: eventType,
  severity: "positive",
  impact: "0.1",
  confidence: "1.0",
  context: "{}",
  timestamp: "2026-01-01T00:00:00Z",
  ...fields
})

const append = (stream: string, ...entries: ReadonlyArray<Record<string, string>>) =>
  Effect.flatMap(RedisStream, (streams) =>
    Effect.forEach(entries, (fields) => streams.append(stream, fields), { discard: true })
  )

const score = (agentId: string, organizationId = "default") =>
  Effect.flatMap(TrustScores, (trust) =>
    Effect.map(trust.find(organizationId, agentId, "agent"), (found) => found?.score)
  )

const reaches = (agentId: string, wanted: number, organizationId?: string) =>
  eventually(`\`${agentId}\` at ${wanted}`, score(agentId, organizationId), (seen) => seen === wanted)

/** Appends one more event of an agent and waits until it has been applied: whatever came before has been, too. */
const settled = Effect.fnUntraced(function* (stream: string) {
  const consumers = yield* Consumers
  const streams = yield* RedisStream
  yield* eventually(
    `${stream} read to the end`,
    streams.lag(stream, "agion"),
    ({ pending, lag }) => pending === 0 && (lag ?? 0) === 0
  )
  return yield* consumers.counts
})

export const consumers = (it: It) => {
  it.effect("TRUST-4 ten successes take an agent from 40 to exactly 60, and graduation is told once", () =>
    Effect.gen(function* () {
      const agent = unique("agent")
      yield* append(
        names.trust,
        ...Array.from({ length: 10 }, () =>
          trustEvent(agent, "task_completed", { event_id: unique("event") })
        )
      )
      yield* reaches(agent, 60)
      const mine = Effect.map(entriesOf(names.trustEvents), (all) =>
        all.filter((one) => one["entity_id"] === agent)
      )
      const told = yield* eventually("the story told", mine, (all) => all.length >= 11)
      assert.strictEqual(told.filter((one) => one["event_type"] === "trust_score_updated").length, 10)
      const [crossed, ...more] = told.filter((one) => one["event_type"] === "trust_tier_changed")
      assert.deepStrictEqual(more, [])
      assert.deepInclude(
        { ...crossed },
        { old_tier: "verified", new_tier: "trusted", old_score: "58", new_score: "60" }
      )
    })
  )

  it.effect(
    "EVENT-5 an id counts once; equal entries without one count once unless they have no timestamp",
    () =>
      Effect.gen(function* () {
        const [named, equal, timeless] = [unique("agent"), unique("agent"), unique("agent")]
        const once = trustEvent(named, "task_completed", { event_id: unique("event") })
        const { timestamp: _, ...bare } = trustEvent(timeless, "task_completed")
        yield* append(names.trust, once, once, { ...once, context: '{"other":1}' })
        yield* append(names.trust, trustEvent(equal, "task_failed"), trustEvent(equal, "task_failed"))
        yield* append(names.trust, bare, bare)
        yield* reaches(timeless, 44)
        assert.strictEqual(yield* score(named), 42)
        assert.strictEqual(yield* score(equal), 38)
      })
  )

  it.effect("TRUST-3 an event is worth what the table says, whatever impact its sender wishes", () =>
    Effect.gen(function* () {
      const worth = [
        ["task_completed", {}, 42],
        ["task_failed", {}, 38],
        ["task_failed", { error: "boom" }, 37],
        ["task_failed", { failure: "typed" }, 38],
        ["timeout_exceeded", {}, 37],
        ["resource_overuse", {}, 37],
        ["policy_violation", {}, 35],
        ["user_feedback", {}, 40]
      ] as const
      for (const [eventType, context, wanted] of worth) {
        const agent = unique("agent")
        yield* append(
          names.trust,
          trustEvent(agent, eventType, { context: JSON.stringify(context), impact: "100" })
        )
        yield* reaches(agent, wanted)
      }
    })
  )

  it.effect(
    "EVENT-6 poison goes to the dead letters with its reason and an alert; the next entry is applied",
    () =>
      Effect.gen(function* () {
        const agent = unique("agent")
        const poison = [
          trustEvent(agent, "task_completed", { context: '{"x": NaN}' }),
          trustEvent(agent, "no_such_event"),
          trustEvent(agent, "task_completed", { impact: "much" }),
          trustEvent("", "task_completed", { event_id: agent }),
          trustEvent(agent, "task_completed", { timestamp: "yesterday" }),
          trustEvent(`${agent}\u0000`, "task_completed"),
          trustEvent(agent.padEnd(600, "€"), "task_completed")
        ]
        yield* append(
          names.trust,
          ...poison,
          trustEvent(agent, "task_completed", { event_id: unique("event") })
        )
        yield* reaches(agent, 42)
        const mine = (stream: string) =>
          Effect.map(entriesOf(stream), (all) => all.filter((one) => JSON.stringify(one).includes(agent)))
        const dead = yield* eventually(
          "dead letters",
          mine(names.deadLetter),
          (all) => all.length >= poison.length
        )
        assert.strictEqual(dead.length, poison.length)
        for (const letter of dead) {
          assert.strictEqual(letter["stream"], names.trust)
          assert.match(letter["entry_id"] ?? "", /^\d+-\d+$/)
          assert.isAbove((letter["reason"] ?? "").length, 10)
          assert.isString(JSON.parse(letter["fields"] ?? "").event_type)
        }
        const alerts = yield* eventually("alerts", entriesOf(names.governanceEvents), (all) =>
          dead.every((letter) =>
            all.some((one) => (one["metadata"] ?? "").includes(letter["entry_id"] ?? "none"))
          )
        )
        assert.isTrue(
          alerts.some((one) => one["event_type"] === "alert_raised" && one["kind"] === "dead_letter")
        )
      })
  )

  it.effect.prop(
    "EVENT-6 no bytes at all end a consumer",
    [Schema.Array(Schema.Record(Schema.String, Schema.String)).check(Schema.isMaxLength(5))],
    ([entries]) =>
      Effect.gen(function* () {
        for (const stream of [
          names.trust,
          names.feedback,
          names.llmInteractions,
          names.missions,
          names.decisions
        ])
          for (const fields of entries)
            yield* append(stream, { agent_id: "any", event_type: "joined", ...fields, "": "x" })
        const agent = unique("agent")
        yield* append(names.trust, trustEvent(agent, "task_completed", { event_id: agent }))
        yield* reaches(agent, 42)
        for (const stream of [names.feedback, names.llmInteractions, names.missions, names.decisions])
          yield* settled(stream)
      }),
    { arbitrary: { runs: 15 } }
  )

  it.effect("TRUST-6 feedback of an agent's key takes no place of what comes over Redis", () =>
    Effect.gen(function* () {
      const ingest = yield* Ingest
      const [agent, run] = [unique("agent"), unique("run")]
      const rates = (feedback_type: string) => ({
        event_id: `feedback-${run}`,
        organization_id: "default",
        execution_id: run,
        agent_id: agent,
        user_id: "alice",
        feedback_type
      })
      const raw = {
        kind: "feedback" as const,
        stream: names.feedback,
        entryId: "1-1",
        fields: rates("thumbs_up")
      }
      const bearer = { organizationId: "default", agentId: unique("peer") }
      const [verdict] = yield* ingest.apply([{ raw, bearer }], { deadLetters: false })
      assert.strictEqual(verdict?._tag, "Accepted")
      assert.strictEqual(yield* score(agent), 40)
      yield* append(names.feedback, rates("thumbs_down"))
      yield* reaches(agent, 38)
    })
  )

  it.effect("EVENT-5 an id that is the text `null`, as older clients write it, is none", () =>
    Effect.gen(function* () {
      const [agent, org] = [unique("agent"), unique("org")]
      const nameless = (eventType: string, fields: Record<string, string> = {}) =>
        trustEvent(agent, eventType, { event_id: "null", organization_id: org, ...fields })
      const completed = nameless("task_completed")
      yield* append(names.trust, completed, completed, nameless("policy_violation"))
      yield* reaches(agent, 37, org)
      yield* append(names.trust, nameless("task_completed", { organization_id: "null", timestamp: "null" }))
      yield* reaches(agent, 42, "default")
      yield* append(names.trust, nameless("task_failed", { agent_id: "null" }))
      yield* settled(names.trust)
      assert.isUndefined(yield* score("null", org))
    })
  )

  it.effect(
    "feedback finds its agent by the execution; one that nobody tells of for an hour is set aside",
    () =>
      Effect.gen(function* () {
        const [agent, run, orphan] = [unique("agent"), unique("run"), unique("run")]
        const thumbs = (execution_id: string, user_id: string) => ({
          execution_id,
          user_id,
          feedback_type: "thumbs_down",
          timestamp: "2026-01-01T00:00:00Z"
        })
        yield* append(names.feedback, thumbs(run, "u1"), thumbs(run, "u1"), thumbs(orphan, "u1"))
        yield* settled(names.feedback)
        assert.isUndefined(yield* score(agent))
        yield* append(
          names.trust,
          trustEvent(agent, "task_completed", { context: JSON.stringify({ execution_id: run }) })
        )
        yield* reaches(agent, 40)
        const sql = yield* SqlClient.SqlClient
        yield* sql`
          UPDATE pending_feedback SET received_at = received_at - interval '1 hour' WHERE execution_id = ${orphan}`
        const aside = Effect.map(entriesOf(names.deadLetter), (all) =>
          all.filter((one) => (one["fields"] ?? "").includes(orphan))
        )
        const [letter] = yield* eventually("set aside", aside, (all) => all.length > 0)
        assert.include(letter?.["reason"], orphan)
      })
  )

  it.effect("TRUST-6 where signed events are demanded, a success counts that names an allowed decision", () =>
    Effect.gen(function* () {
      const [organizationId, agent] = [unique("org"), unique("agent")]
      const agents = yield* Agents
      const signing = yield* Signing
      const { eventKey = "" } = yield* agents.register({
        agentId: agent,
        keyOrganizationId: null,
        organizationId,
        fields: nothing
      })
      yield* demandSignatures(organizationId)
      const now = yield* Clock.currentTimeMillis
      const success = (decisionId: string, key = eventKey) => {
        const fields = trustEvent(agent, "task_completed", {
          event_id: unique("event"),
          organization_id: organizationId,
          context: JSON.stringify({ decision_id: decisionId })
        })
        return { ...fields, signature: signatureOf(key, names.trust, fields) }
      }
      const allowed = signing.decisionId(organizationId, agent, true, now)
      const stale = signing.decisionId(organizationId, agent, true, now - 25 * 3_600_000)
      yield* append(
        names.trust,
        success("none"),
        success(signing.decisionId(organizationId, agent, false, now)),
        success(signing.decisionId(organizationId, "another", true, now)),
        success(stale),
        success(allowed, "a key of somebody else"),
        { ...success(allowed), agent_id: agent, confidence: "0.5" },
        success(allowed),
        success(allowed)
      )
      yield* reaches(agent, 42, organizationId)
      const counts = yield* settled(names.trust)
      assert.isAtLeast(counts.refused, 2)
      yield* append(names.trust, success(allowed))
      yield* settled(names.trust)
      assert.strictEqual(yield* score(agent, organizationId), 42)
      const next = signing.decisionId(organizationId, agent, true, now)
      yield* append(names.trust, success(next))
      yield* reaches(agent, 44, organizationId)
    })
  )

  it.effect("TRUST-6 a replaced event key is good as long as it was said, and the new one at once", () =>
    Effect.gen(function* () {
      const [organizationId, agentId] = [unique("org"), unique("agent")]
      const agents = yield* Agents
      const sql = yield* SqlClient.SqlClient
      const asked = { agentId, keyOrganizationId: organizationId, organizationId, fields: nothing }
      const keyed = Effect.map(
        agents.register({ ...asked, eventKeyId: "none" }),
        ({ eventKey = "" }) => eventKey
      )
      const first = yield* keyed
      yield* demandSignatures(organizationId)
      const fail = (key: string) => {
        const fields = trustEvent(agentId, "task_failed", {
          event_id: unique("event"),
          organization_id: organizationId
        })
        return append(names.trust, { ...fields, signature: signatureOf(key, names.trust, fields) })
      }
      assert.isNotNull((yield* agents.rotateEventKey(agentId, organizationId, 60))?.formerValidUntil)
      const second = yield* keyed
      yield* fail(first)
      yield* fail(second)
      yield* reaches(agentId, 36, organizationId)
      yield* sql`UPDATE agents SET event_key_former_until = clock_timestamp() WHERE agent_id = ${agentId}`
      yield* fail(first)
      yield* fail(second)
      yield* reaches(agentId, 34, organizationId)
      // One that was stolen: at once.
      yield* agents.rotateEventKey(agentId, organizationId, 0)
      const third = yield* keyed
      yield* fail(second)
      yield* fail(third)
      yield* reaches(agentId, 32, organizationId)
      yield* settled(names.trust)
      assert.strictEqual(yield* score(agentId, organizationId), 32)
    })
  )

  it.effect("EVENT-6 an agent hears of what was set aside for its signature as it registers", () =>
    Effect.gen(function* () {
      const [organizationId, agentId] = [unique("org"), unique("agent")]
      const agents = yield* Agents
      const sql = yield* SqlClient.SqlClient
      const registered = Effect.map(
        agents.register({ agentId, keyOrganizationId: null, organizationId, fields: nothing }),
        ({ agent }) => agent
      )
      assert.isNull((yield* registered).events_refused_at)
      yield* demandSignatures(organizationId)
      const unsigned = (more: Record<string, string> = {}) =>
        trustEvent(agentId, "task_failed", {
          event_id: unique("event"),
          organization_id: organizationId,
          ...more
        })
      yield* append(
        names.trust,
        unsigned(),
        unsigned({ signature: "of nobody" }),
        unsigned({ event_type: "no" })
      )
      const heard = yield* eventually("heard", registered, ({ events_refused }) => events_refused === 2)
      assert.isNotNull(heard.events_refused_at)
      // After an hour without any it is an old story.
      yield* sql`UPDATE agents SET events_refused_at = events_refused_at - interval '1 hour' WHERE agent_id = ${agentId}`
      assert.isNull((yield* registered).events_refused_at)
      yield* append(names.trust, unsigned())
      yield* eventually("heard anew", registered, (agent) => agent.events_refused_at !== null)
      assert.strictEqual((yield* registered).events_refused, 1)
      // A record that holds everywhere counts those of all organizations.
      const other = unique("org")
      yield* demandSignatures(other)
      yield* append(names.trust, unsigned(), unsigned({ organization_id: other }))
      yield* eventually("all of them", registered, ({ events_refused }) => events_refused === 3)
      // However many they are, nobody is kept from registering.
      yield* sql`UPDATE agents SET events_refused = 3000000000 WHERE agent_id = ${agentId}`
      assert.strictEqual((yield* registered).events_refused, 3_000_000_000)
    })
  )

  it.effect("TRUST-6 where signed events are demanded, no agent's signature makes its praise count", () =>
    Effect.gen(function* () {
      const [organizationId, agent] = [unique("org"), unique("agent")]
      const { eventKey = "" } = yield* (yield* Agents).register({
        agentId: agent,
        keyOrganizationId: null,
        organizationId,
        fields: nothing
      })
      yield* demandSignatures(organizationId)
      const praise = {
        agent_id: agent,
        execution_id: unique("run"),
        user_id: "a user, it says",
        feedback_type: "thumbs_up",
        rating: "5",
        organization_id: organizationId,
        timestamp: "2026-01-01T00:00:00Z"
      }
      yield* append(names.feedback, { ...praise, signature: signatureOf(eventKey, names.feedback, praise) })
      yield* settled(names.feedback)
      const letters = yield* eventually(
        "set aside",
        Effect.map(entriesOf(names.deadLetter), (all) =>
          all.filter((one) => (one["fields"] ?? "").includes(praise.execution_id))
        ),
        (all) => all.length > 0
      )
      assert.include(letters[0]?.["reason"], "operator's key")
      assert.strictEqual(yield* score(agent, organizationId), 40)
    })
  )

  it.effect("EVENT-5 the platform's own entries of missions come back as known, signed or not", () =>
    Effect.gen(function* () {
      const [mission, organizationId] = [unique("mission"), unique("org")]
      yield* demandSignatures(organizationId)
      const missions = yield* Missions
      const key = { organizationId, missionId: mission }
      yield* missions.join(key, "a", null)
      yield* missions.putState(key, 0, { n: 1 }, "a")
      yield* missions.leave(key, "a")
      const mine = Effect.map(entriesOf(names.missions), (all) =>
        all.filter((one) => one["mission_id"] === mission)
      )
      yield* eventually("told", mine, (all) => all.length === 3)
      yield* append(names.missions, {
        mission_id: mission,
        event_type: "joined",
        participant_id: "forged",
        organization_id: organizationId
      })
      yield* settled(names.missions)
      const letters = yield* eventually(
        "the forged one set aside",
        Effect.map(entriesOf(names.deadLetter), (all) =>
          all.filter((one) => (one["fields"] ?? "").includes(mission))
        ),
        (all) => all.length > 0
      )
      assert.deepStrictEqual(
        letters.map((one) => JSON.parse(one["fields"] ?? "").participant_id),
        ["forged"]
      )
    })
  )

  it.effect("EVENT-5 an id is its agent's: another agent's event with it counts, too", () =>
    Effect.gen(function* () {
      const [one, other, id] = [unique("agent"), unique("agent"), unique("event")]
      yield* append(names.trust, trustEvent(one, "task_completed", { event_id: id }))
      yield* reaches(one, 42)
      yield* append(names.trust, trustEvent(other, "policy_violation", { event_id: id }))
      yield* reaches(other, 35)
    })
  )

  it.effect("MISSION-1 what participants with Redis do shows in the mission", () =>
    Effect.gen(function* () {
      const [mission, organizationId] = [unique("mission"), unique("org")]
      const event = (participant_id: string, event_type: string, data: object = {}) => ({
        mission_id: mission,
        event_type,
        participant_id,
        organization_id: organizationId,
        data: JSON.stringify(data),
        timestamp: "2026-01-01T00:00:00Z"
      })
      yield* append(
        names.missions,
        event("a", "joined", { role: "planner" }),
        event("b", "joined"),
        event("a", "message_sent"),
        event("b", "left")
      )
      yield* settled(names.missions)
      const missions = yield* Missions
      const found = yield* missions.find(mission, organizationId)
      assert.isDefined(found)
      if (found === undefined) return
      const { participants } = yield* missions.view(found)
      assert.deepStrictEqual(
        participants.map(({ participantId, role, status }) => [participantId, role, status]).sort(),
        [
          ["a", "planner", "active"],
          ["b", "member", "left"]
        ]
      )
    })
  )

  it.effect("EVENT-6 a dead letter holds no more of a conversation than the organization keeps", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const address = ["someone", "example.org"].join("@")
      const kept: Record<string, ReadonlyArray<string>> = {}
      for (const keep of ["full", "redacted", "none"]) {
        const [organizationId, agent] = [unique("org"), unique("agent")]
        yield* sql`INSERT INTO organizations (id, llm_content) VALUES (${organizationId}, ${keep})`
        yield* (yield* Agents).register({
          agentId: agent,
          keyOrganizationId: null,
          organizationId,
          fields: nothing
        })
        const poison = {
          execution_id: "run",
          agent_id: agent,
          interaction_id: unique("talk"),
          model: "m",
          provider: "p",
          system_prompt: `you write to ${address}`,
          conversation_history: JSON.stringify([address]),
          response_text: `wrote to ${address}`,
          total_tokens: "many"
        }
        yield* append(names.llmInteractions, poison, { ...poison, organization_id: organizationId })
        const letters = yield* eventually(
          "set aside",
          Effect.map(entriesOf(names.deadLetter), (all) =>
            all.filter((one) => (one["fields"] ?? "").includes(agent))
          ),
          (all) => all.length >= 2
        )
        kept[keep] = letters.map((one) => one["fields"] ?? "")
      }
      for (const fields of kept["full"] ?? []) assert.include(fields, `wrote to ${address}`)
      for (const fields of kept["redacted"] ?? []) {
        assert.include(fields, "wrote to [email")
        assert.notInclude(fields, address)
      }
      for (const fields of kept["none"] ?? []) assert.notInclude(fields, "wrote to")
    })
  )

  it.effect("a conversation is stored and passed on with no more of it than the organization keeps", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const address = ["someone", "example.org"].join("@")
      const kept: Record<string, string | undefined> = {}
      for (const keep of ["full", "redacted", "none"]) {
        const organizationId = unique("org")
        yield* sql`INSERT INTO organizations (id, llm_content) VALUES (${organizationId}, ${keep})`
        yield* append(names.llmInteractions, {
          execution_id: unique("run"),
          agent_id: "writer",
          interaction_id: unique("talk"),
          organization_id: organizationId,
          model: "m",
          provider: "p",
          user_prompt: `write to ${address}`,
          total_tokens: "12",
          cost_estimate: "0.25",
          timestamp: "2026-01-01T00:00:00"
        })
        const passed = Effect.map(entriesOf(names.llmInteractionLogs), (all) =>
          all.find((one) => one["organization_id"] === organizationId)
        )
        const entry = yield* eventually("passed on", passed, (one) => one !== undefined)
        assert.isString(entry?.["event_id"])
        kept[keep] = entry?.["user_prompt"]
        const [row] = yield* sql<{ content: unknown; cost_micro: number }>`
          SELECT content, cost_micro FROM llm_interactions WHERE organization_id = ${organizationId}`
        assert.strictEqual(row?.cost_micro, 250_000)
        assert.strictEqual(JSON.stringify(row?.content ?? null).includes(address), keep === "full")
      }
      assert.deepStrictEqual([kept["full"], kept["none"]], [`write to ${address}`, undefined])
      assert.match(kept["redacted"] ?? "", /^write to \[email/)
    })
  )
}

const demandSignatures = (organizationId: string) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`
      INSERT INTO organizations (id, event_signature) VALUES (${organizationId}, 'required')
      ON CONFLICT (id) DO UPDATE SET event_signature = 'required'`
  )

const nothing = {
  containerId: null,
  name: null,
  type: null,
  version: null,
  framework: null,
  model: null,
  owner: null,
  capabilities: null,
  endpoints: null,
  metadata: null,
  status: null,
  bySelf: false
}
