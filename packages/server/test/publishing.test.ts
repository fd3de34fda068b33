import { RedisClient, RedisPubSub, RedisStream } from "@agion/redis"
import { RedisMemory } from "@agion/redis-memory"
import { Platform } from "@agion/testing"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Queue } from "effect"
import { Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { check, grant, policy, request, resource, unique } from "./suites/words.ts"

/** What stands on a stream about an organization, oldest first. */
const entries = Effect.fnUntraced(function* (stream: string, organization: string) {
  const platform = yield* Platform.Platform
  const redis = Context.get(platform.services, Redis.Redis)
  const reply = yield* redis.send<ReadonlyArray<readonly [string, ReadonlyArray<string>]>>(
    "XRANGE",
    stream,
    "-",
    "+"
  )
  return reply
    .map(([, fields]) => RedisStream.decodeFields(fields))
    .filter((fields) => fields["organization_id"] === organization)
})

/** Waits until a stream holds as many entries about an organization. */
const told = Effect.fnUntraced(function* (stream: string, organization: string, count: number) {
  for (let round = 0; round < 400; round++) {
    const found = yield* entries(stream, organization)
    if (found.length >= count) return found
    yield* Effect.sleep("25 millis")
  }
  return yield* entries(stream, organization)
})

/** Waits for so many messages. */
const messages = Effect.fnUntraced(function* (
  queue: Queue.Dequeue<{ readonly _tag: string; readonly message?: string }>,
  keep: (message: { readonly [name: string]: unknown }) => boolean,
  count: number
) {
  const kept: Array<{ readonly [name: string]: unknown }> = []
  while (kept.length < count) {
    const event = yield* Effect.timeout(Queue.take(queue), "15 seconds")
    if (event._tag !== "Message") continue
    const message = JSON.parse(event.message ?? "{}")
    if (keep(message)) kept.push(message)
  }
  return kept
})

layer(Platform.layer(), { timeout: "60 seconds", excludeTestServices: true })(
  "what changes publish",
  (it) => {
    it.effect("moves of permissions and resources go to governance-events, in order, each once", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const organization = unique("org")
        const model = yield* resource(organization)
        const { id } = yield* grant(unique("agent"), model.id)
        yield* platform.put(`/permissions/${id}`, {
          status: "suspended",
          revoked_by: "boss",
          revocation_reason: "odd"
        })
        yield* platform.post(`/permissions/${id}/revoke`, { revoked_by: "boss", reason: "over" })
        yield* platform.put(`/resources/${model.id}`, { risk_level: "high", updated_by: "ops" })
        yield* platform.delete(`/resources/${model.id}`)
        const found = yield* told("governance-events", organization, 7)
        assert.deepStrictEqual(
          found.map((entry) => entry["event_type"]),
          [
            "resource_created",
            "permission_requested",
            "permission_approved",
            "permission_suspended",
            "permission_revoked",
            "resource_updated",
            "resource_deleted"
          ]
        )
        assert.strictEqual(new Set(found.map((entry) => entry["event_id"])).size, 7)
        assert.deepInclude(found[3], {
          permission_id: id,
          old_status: "approved",
          new_status: "suspended",
          changed_by: "boss",
          reason: "odd"
        })
        assert.deepInclude(found[5], {
          resource_name: model.name,
          changed_by: "ops",
          changes: '{"risk_level":"high"}'
        })
      })
    )

    it.effect("FRESH-2 pushes rise by one, name what caches must drop, and heartbeats follow", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const organization = unique("org")
        const pubsub = Context.get(platform.services, RedisPubSub)
        const queue = yield* pubsub.subscribe({ channels: [`agion:epoch:${organization}`] })
        const agent = unique("agent")
        const model = yield* resource(organization)
        const child = yield* resource(organization, { parent_resource_id: model.id })
        const permission = yield* grant(agent, child.id)
        yield* platform.put(`/resources/${model.id}`, { status: "inactive" })
        const found = yield* messages(queue, (message) => message["kind"] !== "heartbeat", 5)
        assert.deepStrictEqual(
          found.map(({ previous, epoch, kind }) => [previous, epoch, kind]),
          [
            [0, 1, "resource"],
            [1, 2, "resource"],
            [2, 3, "permission"],
            [3, 4, "permission"],
            [4, 5, "resource"]
          ]
        )
        assert.deepStrictEqual(found[3]?.["ids"], [permission.id, agent, child.id])
        assert.deepStrictEqual(found[4]?.["ids"], [model.id, child.id])
        const [beat] = yield* messages(queue, (message) => message["kind"] === "heartbeat", 1)
        assert.deepInclude(beat, { previous: 5, epoch: 5, ids: [] })
      }).pipe(Effect.scoped)
    )

    it.effect(
      "a policy is told on both channels and raises the epoch of every organization it concerns",
      () =>
        Effect.gen(function* () {
          const platform = yield* Platform.Platform
          const pubsub = Context.get(platform.services, RedisPubSub)
          const queue = yield* pubsub.subscribe({ channels: ["agion:policy:updates", "policy-updates"] })
          const organization = unique("org")
          const model = yield* resource(organization)
          const agent = unique("agent")
          yield* grant(agent, model.id)
          assert.isTrue((yield* check(organization, agent, model.id)).allowed)
          const made = yield* platform.post("/policies", policy("agent_id != 'x'", { name: "for all" }))
          const found = yield* messages(queue, (message) => message["policy_id"] === made.body.id, 2)
          for (const message of found)
            assert.deepInclude(message, { event: "policy_updated", organization_id: null })
          const after = yield* platform.get(`/resources/${model.id}`)
          assert.strictEqual(after.headers.get("agion-epoch"), "4")
          yield* platform.delete(`/policies/${made.body.id}`)
        }).pipe(Effect.scoped)
    )

    it.effect("denials are told as decisions, and a critical one raises an alert (POLICY-2)", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const organization = unique("org")
        const model = yield* resource(organization)
        const agent = unique("agent")
        yield* grant(agent, model.id)
        yield* platform.post(
          "/policies",
          policy("false", { organization_id: organization, enforcement_level: "critical", name: "Never" })
        )
        for (let n = 0; n < 3; n++) yield* check(organization, agent, model.id)
        const all = yield* told("governance-events", organization, 7)
        const decisions = all.filter((entry) => entry["event_type"] === "governance_decision")
        assert.strictEqual(decisions.length, 3)
        assert.deepInclude(decisions[0], {
          decision: "deny",
          actor_id: agent,
          reason: "Policy violation: Never"
        })
        const alerts = all.filter((entry) => entry["event_type"] === "alert_raised")
        assert.strictEqual(alerts.length, 1)
        assert.deepInclude(alerts[0], { severity: "critical", kind: "policy_violation" })
      })
    )

    it.effect("crossing a daily limit raises an alert", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const organization = unique("org")
        const model = yield* resource(organization)
        const { id } = yield* grant(unique("agent"), model.id, { constraints: { token_limit_per_day: 10 } })
        for (const tokens of [6, 6, 6])
          yield* platform.post(`/permissions/${id}/usage`, { token_count: tokens })
        const all = yield* told("governance-events", organization, 4)
        const alerts = all.filter((entry) => entry["event_type"] === "alert_raised")
        assert.deepStrictEqual(
          alerts.map(({ kind, subject }) => [kind, subject]),
          [["limit_crossed", `permission ${id}`]]
        )
      })
    )

    it.effect("a change that does not happen publishes nothing", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const organization = unique("org")
        const model = yield* resource(organization)
        const agent = unique("agent")
        yield* request(agent, model.id)
        yield* platform.post("/permissions", {
          actor_id: agent,
          actor_type: "agent",
          resource_id: model.id,
          permission_type: "use",
          purpose: "again"
        })
        const sql = Context.get(platform.services, SqlClient.SqlClient)
        const rows = yield* sql<{ n: number }>`
        SELECT count(*) AS n FROM outbox WHERE organization_id = ${organization} AND target = 'stream'`
        assert.strictEqual(rows[0]?.n, 2)
      })
    )

    it.effect("what Redis does not take waits, and arrives once it is back", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const organization = unique("org")
        const memory = Context.get(platform.services, RedisMemory)
        const client = Context.get(platform.services, RedisClient)
        // A value of another type stands where the stream should: every XADD is refused, as by a full Redis.
        const before = unique("kept")
        yield* client.pipeline([
          ["RENAME", "governance-events", before],
          ["SET", "governance-events", "in the way"]
        ])
        yield* memory.disconnect
        yield* resource(organization)
        const sql = Context.get(platform.services, SqlClient.SqlClient)
        const waiting = sql<{ n: number }>`
        SELECT count(*) AS n FROM outbox
        WHERE organization_id = ${organization} AND target = 'stream' AND published_at IS NULL`
        assert.strictEqual((yield* waiting)[0]?.n, 1)
        yield* client.pipeline([
          ["DEL", "governance-events"],
          ["RENAME", before, "governance-events"]
        ])
        const found = yield* told("governance-events", organization, 1)
        assert.strictEqual(found.length, 1)
      })
    )
  }
)
