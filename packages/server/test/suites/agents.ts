import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { assertRefused, check, grant, type It, resource, unique } from "./words.ts"

export const agents = (it: It) => {
  it.effect("an agent registers in either form; repeating it is fine and gives no second event key", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const agent = unique("agent")
      const body = { agent_id: agent, version: "1.0", status: "active", registered_at: "2026-01-01T00:00:00" }
      const first = yield* platform.post("/agents/register", body)
      assert.include([200, 201], first.status)
      assert.isString(first.body.event_key)
      const again = yield* platform.post("/agents/register", { ...body, version: "1.1" })
      assert.strictEqual(again.status, first.status)
      assert.strictEqual(again.body.version, "1.1")
      assert.isUndefined(again.body.event_key)
      // Nobody knows here whether it is the agent that asks.
      const asked = yield* platform.post("/agents/register", {
        ...body,
        version: "1.1",
        event_key_id: "none"
      })
      assert.isUndefined(asked.body.event_key)
      assertRefused(yield* platform.post(`/agents/${agent}/event-key/rotate`, {}), 403)
      const old = yield* platform.post("/agents/register", {
        name: unique("old"),
        type: "worker",
        capabilities: ["read"],
        version: "0.1",
        owner: "team",
        metadata: { a: 1 }
      })
      assert.deepStrictEqual(old.body.capabilities, ["read"])
      assert.strictEqual(old.body.agent_id, old.body.name)
      const got = yield* platform.get(`/agents/${agent}`)
      assert.strictEqual(got.body.agent_id, agent)
      assert.isString(got.body.last_seen_at)
      assert.isUndefined(got.body.event_key)
      assertRefused(yield* platform.post("/agents/register", { version: "1" }), 400)
    })
  )

  it.effect("the kill switch denies every check at once, everywhere, and registering does not undo it", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const agent = unique("agent")
      const orgs = [unique("org"), unique("org")]
      yield* platform.post("/agents/register", { agent_id: agent, organization_id: orgs[0] })
      const places: Array<readonly [string, string]> = []
      for (const org of orgs) {
        const { id } = yield* resource(org)
        yield* grant(agent, id)
        places.push([org, id])
      }
      for (const [org, id] of places) assert.isTrue((yield* check(org, agent, id)).allowed)
      const off = yield* platform.put(`/agents/${agent}`, { status: "suspended" })
      assert.strictEqual(off.body.status, "suspended")
      yield* platform.post("/agents/register", { agent_id: agent, status: "active" })
      for (const [org, id] of places) {
        const result = yield* check(org, agent, id)
        assert.isFalse(result.allowed)
        assert.strictEqual(result.reason, "Agent is suspended")
      }
      const late = unique("org")
      const { id } = yield* resource(late)
      yield* grant(agent, id)
      assert.isFalse((yield* check(late, agent, id)).allowed)
      yield* platform.put(`/agents/${agent}`, { status: "active" })
      for (const [org, resourceId] of places) assert.isTrue((yield* check(org, agent, resourceId)).allowed)
    })
  )

  it.effect(
    "a suspended agent cannot be removed: deleting and registering does not lift the kill switch",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const [org, agent] = [unique("org"), unique("agent")]
        const { id } = yield* resource(org)
        yield* platform.post("/agents/register", { agent_id: agent, organization_id: org })
        yield* grant(agent, id)
        yield* platform.put(`/agents/${agent}`, { status: "suspended" })
        const refused = yield* platform.delete(`/agents/${agent}`)
        assertRefused(refused, 409)
        assert.include(refused.body.message, "PUT status `active`")
        yield* platform.post("/agents/register", { agent_id: agent, organization_id: org, status: "active" })
        assert.strictEqual((yield* check(org, agent, id)).reason, "Agent is suspended")
        assert.strictEqual((yield* platform.get(`/agents/${agent}`)).body.status, "suspended")
        yield* platform.put(`/agents/${agent}`, { status: "active" })
        assert.strictEqual((yield* platform.delete(`/agents/${agent}`)).status, 204)
      })
  )

  it.effect(
    "the kill switch holds for an agent that has never registered, and registering does not lift it",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const [org, agent] = [unique("org"), unique("agent")]
        const { id } = yield* resource(org)
        yield* grant(agent, id)
        assert.isTrue((yield* check(org, agent, id)).allowed)
        const off = yield* platform.put(`/agents/${agent}`, { status: "suspended" })
        assert.strictEqual(off.status, 200, off.text)
        assert.deepInclude(off.body, { agent_id: agent, status: "suspended", last_seen_at: null })
        assert.strictEqual((yield* check(org, agent, id)).reason, "Agent is suspended")
        const body = { agent_id: agent, version: "1.1", status: "active" }
        const registered = yield* platform.post("/agents/register", body)
        assert.deepInclude(registered.body, { status: "suspended", version: "1.1" })
        assert.isString(registered.body.event_key)
        assert.isUndefined((yield* platform.post("/agents/register", body)).body.event_key)
        assert.strictEqual((yield* check(org, agent, id)).reason, "Agent is suspended")
        yield* platform.put(`/agents/${agent}`, { status: "active" })
        assert.isTrue((yield* check(org, agent, id)).allowed)
      })
  )

  it.effect("agents are listed, changed and removed", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      yield* platform.post("/agents/register", { agent_id: agent, organization_id: org })
      const changed = yield* platform.put(`/agents/${agent}`, {
        capabilities: ["write"],
        endpoints: { invoke: "http://127.0.0.1/x" }
      })
      assert.deepStrictEqual(changed.body.capabilities, ["write"])
      assert.strictEqual(changed.body.status, "active")
      const listed = yield* platform.get(`/agents?organization_id=${org}`)
      assert.strictEqual(listed.body.total, 1)
      assert.strictEqual(listed.body.agents[0].agent_id, agent)
      assert.strictEqual((yield* platform.delete(`/agents/${agent}`)).status, 204)
      assertRefused(yield* platform.get(`/agents/${agent}`), 404)
      for (const body of [{ status: "active" }, { version: "2" }, {}])
        assertRefused(yield* platform.put(`/agents/${agent}`, body), 404)
      assertRefused(yield* platform.delete(`/agents/${agent}`), 404)
    })
  )
}
