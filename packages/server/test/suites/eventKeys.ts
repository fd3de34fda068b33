/** Who is given an agent's event key, where registrations are authenticated. */
import { ApiKeys } from "@agion/server"
import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Context, Effect } from "effect"
import { agentName, eventKeyId, eventKeysOf } from "../../src/events/Signatures.ts"
import { Secrets } from "../../src/keys/Secrets.ts"
import { assertRefused, type It, unique } from "./words.ts"

/** Speaks with a key of the API: an operator's, or an agent's own. */
const speaker = Effect.fnUntraced(function* (organizationId: string, agentId: string | null = null) {
  const platform = yield* Platform.Platform
  const keys = Context.get(platform.services, ApiKeys)
  const { id, key = "" } = yield* Effect.orDie(keys.create({ organizationId, name: "test", agentId }))
  const ask = (method: string, path: string, body?: unknown) =>
    platform.request(method, path, body, { authorization: `Bearer ${key}` })
  return {
    ask,
    register: (agent: string, more: object = {}) =>
      ask("POST", "/agents/register", { agent_id: agent, ...more }),
    revoke: Effect.orDie(keys.remove(id, organizationId))
  }
})

const scene = Effect.gen(function* () {
  const [org, agent] = [unique("org"), unique("agent")]
  const [operator, own] = [yield* speaker(org), yield* speaker(org, agent)]
  const first: string = (yield* own.register(agent)).body.event_key
  assert.isString(first)
  return { org, agent, operator, own, first }
})

export const eventKeys = (it: It) => {
  it.effect("TRUST-6 a registration that shows no event key, or another, is given the present one", () =>
    Effect.gen(function* () {
      const { agent, first, operator, own } = yield* scene
      const given = (shown: object, by = own) =>
        Effect.map(by.register(agent, shown), ({ body }): unknown => body.event_key)
      assert.isUndefined(yield* given({}))
      assert.isUndefined(yield* given({ event_key_id: null }))
      assert.isUndefined(yield* given({ event_key_id: eventKeyId(first) }))
      // A second process with a folder of its own, and the first again: one key, which no registration replaces.
      assert.strictEqual(yield* given({ event_key_id: "none" }), first)
      assert.strictEqual(yield* given({ event_key_id: "none" }), first)
      assert.strictEqual(yield* given({ event_key_id: eventKeyId("of somebody else") }), first)
      assert.strictEqual(yield* given({ event_key_id: "none" }, operator), first)
      assert.isUndefined(yield* given({ event_key_id: eventKeyId(first) }))
      assert.isUndefined((yield* operator.ask("GET", `/agents/${agent}`)).body.event_key)
    })
  )

  it.effect(
    "TRUST-6 nobody without the agent's API key, or an operator's, is given an event key or replaces it",
    () =>
      Effect.gen(function* () {
        const { agent, first, org, own } = yield* scene
        const platform = yield* Platform.Platform
        const asked = { agent_id: agent, event_key_id: "none" }
        assertRefused(yield* platform.post("/agents/register", asked), 401)
        const neighbour = yield* speaker(org, unique("agent"))
        assertRefused(yield* neighbour.register(agent, asked), 403)
        // Of the same name in another organization: another agent.
        const foreign = yield* (yield* speaker(unique("org"))).register(agent, asked)
        assert.isString(foreign.body.event_key)
        assert.notStrictEqual(foreign.body.event_key, first)
        const rotate = `/agents/${agent}/event-key/rotate`
        assertRefused(yield* platform.post(rotate, {}), 401)
        assertRefused(yield* neighbour.ask("POST", rotate, {}), 403)
        assertRefused(yield* own.ask("POST", rotate, {}), 403)
        assertRefused(yield* (yield* speaker(unique("org"))).ask("POST", rotate, {}), 404)
        assert.isUndefined((yield* own.register(agent, { event_key_id: eventKeyId(first) })).body.event_key)
        yield* own.revoke
        assertRefused(yield* own.register(agent, asked), 401)
      })
  )

  it.effect("TRUST-6 an operator replaces an event key, and the agent gets the new one as it registers", () =>
    Effect.gen(function* () {
      const { agent, first, operator, own } = yield* scene
      const rotate = (body: object) => operator.ask("POST", `/agents/${agent}/event-key/rotate`, body)
      assertRefused(yield* rotate({ overlap_seconds: -1 }), 400)
      assertRefused(yield* rotate({ overlap_seconds: 2_592_001 }), 400)
      const rotated = yield* rotate({})
      assert.strictEqual(rotated.status, 200, rotated.text)
      assert.strictEqual(rotated.body.agent_id, agent)
      assert.isString(rotated.body.former_valid_until)
      assert.notInclude(rotated.text, first)
      const second = (yield* own.register(agent, { event_key_id: eventKeyId(first) })).body.event_key
      assert.isString(second)
      assert.notStrictEqual(second, first)
      assert.isUndefined((yield* own.register(agent, { event_key_id: eventKeyId(second) })).body.event_key)
      assert.isNull((yield* rotate({ overlap_seconds: 0 })).body.former_valid_until)
    })
  )

  it.effect(
    "TRUST-6 of an agent that has no event key yet none is replaced, and its first registration makes one",
    () =>
      Effect.gen(function* () {
        const [org, agent] = [unique("org"), unique("agent")]
        const operator = yield* speaker(org)
        // The kill switch makes a record of an agent that never registered.
        assert.strictEqual(
          (yield* operator.ask("PUT", `/agents/${agent}`, { status: "suspended" })).status,
          200
        )
        const rotated = yield* operator.ask("POST", `/agents/${agent}/event-key/rotate`, {})
        assert.strictEqual(rotated.status, 200, rotated.text)
        assert.isNull(rotated.body.former_valid_until)
        // Who says nothing of its key is given one at its first registration alone.
        const own = yield* speaker(org, agent)
        assert.isString((yield* own.register(agent)).body.event_key)
        assert.isUndefined((yield* own.register(agent)).body.event_key)
      })
  )

  it.effect(
    "TRUST-6 a rotation that is repeated before the agent heard of it leaves the key valid that it has",
    () =>
      Effect.gen(function* () {
        const { agent, first, operator, org, own } = yield* scene
        const rotate = (body: object) => operator.ask("POST", `/agents/${agent}/event-key/rotate`, body)
        const platform = yield* Platform.Platform
        const valid = Effect.gen(function* () {
          const name = { organizationId: org, agentId: agent }
          const keys = yield* eventKeysOf(Context.get(platform.services, Secrets), [name])
          return keys.get(agentName(name)) ?? []
        }).pipe(Effect.provideContext(platform.services), Effect.orDie)
        const shown = (key: string) => own.register(agent, { event_key_id: eventKeyId(key) })
        yield* rotate({ overlap_seconds: 3600 })
        const again = yield* rotate({ overlap_seconds: 60 })
        assert.include(yield* valid, first)
        // No rotation shortens what one before it has promised.
        const left = Date.parse(again.body.former_valid_until) - Date.now()
        assert.isAbove(left, 1_800_000)
        const third = (yield* shown(first)).body.event_key
        assert.deepStrictEqual(yield* valid, [third, first])
        // Once somebody was given the new one, that one is the former.
        yield* rotate({})
        const fourth = (yield* shown(third)).body.event_key
        assert.deepStrictEqual(yield* valid, [fourth, third])
        // A stolen one is worth nothing, heard of or not.
        yield* rotate({})
        assert.isNull((yield* rotate({ overlap_seconds: 0 })).body.former_valid_until)
        assert.lengthOf(yield* valid, 1)
        assert.notInclude(yield* valid, fourth)
      })
  )
}
