import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Context, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { assertRefused, type It, unique } from "./words.ts"

export const missions = (it: It) => {
  it.effect(
    "MISSION-1 joining creates the mission; who is silent for longer than the lease is lost; leaving is told",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const [mission, org] = [unique("mission"), unique("org")]
        const join = (participant_id: string, role?: string) =>
          platform.post(`/missions/${mission}/join`, { participant_id, role, organization_id: org })
        const first = yield* join("lead", "planner")
        assert.strictEqual(first.status, 200, first.text)
        assert.strictEqual(first.body.organization_id, org)
        yield* join("helper")
        const sql = Context.get(platform.services, SqlClient.SqlClient)
        yield* sql`
        UPDATE mission_participants SET last_seen_at = clock_timestamp() - interval '31 seconds'
        WHERE mission_id = ${mission} AND participant_id = 'helper'`
        const states = Effect.map(platform.get(`/missions/${mission}`), ({ body }) =>
          Object.fromEntries(
            body.participants.map((one: { participant_id: string; status: string }) => [
              one.participant_id,
              one.status
            ])
          )
        )
        assert.deepStrictEqual(yield* states, { lead: "active", helper: "lost" })
        const beat = yield* platform.post(`/missions/${mission}/heartbeat`, { participant_id: "helper" })
        assert.strictEqual(beat.status, 204)
        yield* platform.post(`/missions/${mission}/leave`, { participant_id: "lead" })
        assert.deepStrictEqual(yield* states, { lead: "left", helper: "active" })
        assertRefused(yield* platform.post(`/missions/${mission}/heartbeat`, { participant_id: "lead" }), 404)
        assertRefused(yield* platform.post(`/missions/${mission}/leave`, { participant_id: "nobody" }), 404)
        assertRefused(yield* platform.get("/missions/none"), 404)
      })
  )

  it.effect(
    "MISSION-2 messages are ordered, directed or for all, replayable, each participant with its cursor",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const mission = unique("mission")
        const made = yield* platform.post("/missions", { id: mission, name: "work" })
        assert.strictEqual(made.status, 201, made.text)
        assertRefused(yield* platform.post("/missions", { id: mission }), 409)
        for (const participant_id of ["a", "b"])
          yield* platform.post(`/missions/${mission}/join`, { participant_id })
        const send = (n: number, to?: string) =>
          platform.post(`/missions/${mission}/messages`, {
            from_participant: "a",
            to_participant: to,
            message_type: "note",
            content: { n },
            event_id: `${mission}-${n}`
          })
        yield* Effect.forEach([1, 2, 3, 4], (n) => send(n, n === 2 ? "a" : n === 3 ? "b" : undefined))
        const twice = yield* send(4)
        assert.strictEqual(twice.body.sequence, 4)
        const read = (query: string) =>
          Effect.map(platform.get(`/missions/${mission}/messages${query}`), ({ body }) =>
            body.messages.map((one: { sequence: number }) => one.sequence)
          )
        assert.deepStrictEqual(yield* read(""), [1, 2, 3, 4])
        assert.deepStrictEqual(yield* read("?after=2"), [3, 4])
        assert.deepStrictEqual(yield* read("?participant_id=b&after=0"), [1, 3, 4])
        assert.deepStrictEqual(yield* read("?participant_id=b&after=3"), [4])
        assert.deepStrictEqual(yield* read("?participant_id=b"), [4])
        assert.deepStrictEqual(yield* read("?participant_id=b&after=0"), [1, 3, 4])
        const many = yield* Effect.forEach([5, 6, 7, 8, 9, 10], (n) => send(n), { concurrency: "unbounded" })
        assert.deepStrictEqual(
          many.map(({ body }) => body.sequence).sort((x: number, y: number) => x - y),
          [5, 6, 7, 8, 9, 10]
        )
      })
  )

  it.effect("MISSION-1 only members write messages and change the state; who left joins again first", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const mission = unique("mission")
      yield* platform.post(`/missions/${mission}/join`, { participant_id: "a" })
      const send = (from_participant: string) =>
        platform.post(`/missions/${mission}/messages`, {
          from_participant,
          message_type: "note",
          content: {}
        })
      const put = (participant_id: string, version: number) =>
        platform.put(`/missions/${mission}/state`, { version, state: { by: participant_id }, participant_id })
      assert.strictEqual((yield* send("a")).status, 201)
      assert.strictEqual((yield* put("a", 0)).status, 200)
      assertRefused(yield* send("stranger"), 403)
      assertRefused(yield* put("stranger", 1), 403)
      yield* platform.post(`/missions/${mission}/leave`, { participant_id: "a" })
      assertRefused(yield* send("a"), 409)
      assertRefused(yield* put("a", 1), 409)
      const { messages } = (yield* platform.get(`/missions/${mission}/messages`)).body
      assert.strictEqual(messages.length, 1)
      assert.strictEqual((yield* platform.get(`/missions/${mission}/state`)).body.version, 1)
      yield* platform.post(`/missions/${mission}/join`, { participant_id: "a" })
      assert.strictEqual((yield* send("a")).status, 201)
    })
  )

  it.effect("MISSION-3 an update of the state names the version it saw and conflicts otherwise", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const mission = unique("mission")
      yield* platform.post("/missions", { id: mission })
      const put = (version: number, state: object) =>
        platform.put(`/missions/${mission}/state`, { version, state })
      assert.deepInclude((yield* platform.get(`/missions/${mission}/state`)).body, { version: 0, state: {} })
      assert.deepInclude((yield* put(0, { n: 1 })).body, { version: 1, state: { n: 1 } })
      assertRefused(yield* put(0, { n: 2 }), 409)
      const racing = yield* Effect.forEach([1, 2, 3, 4], (n) => put(1, { n }), { concurrency: "unbounded" })
      assert.deepStrictEqual(racing.map(({ status }) => status).sort(), [200, 409, 409, 409])
      assert.strictEqual((yield* platform.get(`/missions/${mission}/state`)).body.version, 2)
    })
  )
}
