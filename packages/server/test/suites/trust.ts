import { createPublicKey, verify } from "node:crypto"
import { type SigningKey, toBase64Url } from "@agion/domain"
import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { assertRefused, check, grant, type It, resource, unique } from "./words.ts"

/** What stands inside a signed value, after its signature was verified with the platform's key. */
export const opened = (
  keys: ReadonlyArray<{ readonly key_id: string; readonly public_key: string }>,
  signed: { readonly payload: string; readonly key_id: string; readonly signature: string }
) => {
  const key = keys.find((one) => one.key_id === signed.key_id)
  assert.isDefined(key, "the signature names a key of the platform")
  const payload = Buffer.from(signed.payload, "base64url")
  const publicKey = createPublicKey({
    key: { kty: "OKP", crv: "Ed25519", x: key?.public_key ?? "" },
    format: "jwk"
  })
  assert.isTrue(verify(null, payload, publicKey, Buffer.from(signed.signature, "base64url")))
  return JSON.parse(payload.toString("utf8"))
}

const evaluation = (entity: string, impact: number, more: object = {}) => ({
  entity_id: entity,
  entity_type: "agent",
  event_type: impact < 0 ? "negative" : "positive",
  impact,
  description: "an operator's act",
  ...more
})

export const trust = (it: It) => {
  it.effect("TRUST-7 an operator's impact is applied as given; one finer than 0.1 is 400", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const agent = unique("agent")
      const up = yield* platform.post("/trust/evaluate", evaluation(agent, 32))
      assert.strictEqual(up.status, 200, up.text)
      assert.strictEqual(up.body.success, true)
      assert.strictEqual(up.body.data.score, 72)
      assert.strictEqual(
        (yield* platform.post("/trust/evaluate", evaluation(agent, -0.1))).body.data.score,
        71.9
      )
      assertRefused(yield* platform.post("/trust/evaluate", evaluation(agent, 0.05)), 400)
      assertRefused(yield* platform.post("/trust/evaluate", evaluation(agent, 101)), 400)
      assertRefused(
        yield* platform.post("/trust/evaluate", evaluation(agent, 1, { event_type: "task_completed" })),
        400
      )
      assert.strictEqual(
        (yield* platform.get(`/trust/score/${agent}?entity_type=agent`)).body.data.score,
        71.9
      )
    })
  )

  it.effect("TRUST-1 a score stays within 0 and 100 and is held exactly in steps of 0.1", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const agent = unique("agent")
      for (const impact of [-100, 0.1, 0.1, 0.1])
        yield* platform.post("/trust/evaluate", evaluation(agent, impact))
      const { body } = yield* platform.get(`/trust/score/${agent}?entity_type=agent`)
      assert.strictEqual(body.data.score, 0.3)
      const top = yield* platform.post("/trust/evaluate", evaluation(agent, 100))
      assert.strictEqual(top.body.data.score, 100)
    })
  )

  it.effect("a score is there from a registration, a request or an event on, at 40; before it is 404", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const org = unique("org")
      const [registered, asking, checked, telling] = [unique("a"), unique("a"), unique("a"), unique("a")]
      const { id } = yield* resource(org)
      yield* platform.post("/agents/register", { agent_id: registered, organization_id: org })
      yield* grant(asking, id)
      yield* check(org, checked, id)
      yield* platform.post("/events", {
        events: [
          {
            stream: "agion:events:trust",
            agent_id: telling,
            event_type: "user_feedback",
            organization_id: org
          }
        ]
      })
      for (const agent of [registered, asking, telling]) {
        const answer = yield* platform.get(`/trust/score/${agent}?entity_type=agent&organization_id=${org}`)
        assert.strictEqual(answer.status, 200, answer.text)
        assert.strictEqual(answer.body.data.score, 40)
      }
      assertRefused(yield* platform.get(`/trust/score/${checked}?entity_type=agent`), 404)
      assertRefused(yield* platform.get(`/trust/history/${checked}?entity_type=agent`), 404)
    })
  )

  it.effect(
    "OUTAGE-5 a score leaves signed, and the signature is handed out again until the score changes",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const agent = unique("agent")
        const { keys } = (yield* platform.get("/signing-keys")).body
        const first = (yield* platform.post("/trust/evaluate", evaluation(agent, 5))).body.data
        const again = (yield* platform.get(`/trust/score/${agent}?entity_type=agent`)).body.data
        assert.deepStrictEqual(again.signed, first.signed)
        const payload = opened(keys, first.signed)
        assert.deepStrictEqual(payload.value, { entity_id: agent, entity_type: "agent", score: 45 })
        assert.strictEqual(payload.kind, "trust")
        assert.isAbove(Date.parse(payload.expires_at), Date.parse(payload.issued_at))
        const next = (yield* platform.post("/trust/evaluate", evaluation(agent, 5))).body.data
        assert.notStrictEqual(next.signed.signature, first.signed.signature)
        assert.isAbove(opened(keys, next.signed).epoch, payload.epoch)
        const forged = { ...first.signed, payload: toBase64Url(Buffer.from('{"value":{"score":100}}')) }
        assert.throws(() => opened(keys, forged))
        const known: SigningKey["algorithm"] = keys[0].algorithm
        assert.strictEqual(known, "Ed25519")
      })
  )

  it.effect("TRUST-4 the history holds a line for each event, newest first", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const agent = unique("agent")
      yield* platform.post("/trust/evaluate", evaluation(agent, 1, { metadata: { because: "first" } }))
      yield* platform.post("/trust/evaluate", evaluation(agent, -2.5))
      const { body } = yield* platform.get(`/trust/history/${agent}?entity_type=agent&limit=10`)
      assert.strictEqual(body.data.count, 2)
      assert.deepStrictEqual(
        body.data.events.map((event: { impact: number }) => event.impact),
        [-2.5, 1]
      )
      assert.deepStrictEqual(JSON.parse(body.data.events[1].metadata), { because: "first" })
      const one = yield* platform.get(`/trust/history/${agent}?entity_type=agent&limit=1`)
      assert.strictEqual(one.body.data.count, 1)
      assertRefused(yield* platform.get(`/trust/history/${agent}?limit=0`), 400)
    })
  )

  it.effect("TRUST-8 what stands beside the score informs: success, recency and violations move it", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const agent = unique("agent")
      const before = (yield* platform.post("/trust/evaluate", evaluation(agent, 1))).body.data
      const after = (yield* platform.post(
        "/trust/evaluate",
        evaluation(agent, -1, { event_type: "compliance" })
      )).body.data
      assert.isBelow(after.compliance_score, before.compliance_score)
      assert.isBelow(after.behavior_score, before.behavior_score)
      assert.isBelow(after.reputation_score, before.reputation_score)
      assert.strictEqual(after.score, 40)
    })
  )

  it.effect(
    "TRUST-10 an organization's limit of violations suspends the actor's permissions, with an alert",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const [org, agent] = [unique("org"), unique("agent")]
        const { id } = yield* resource(org)
        const permission = yield* grant(agent, id)
        yield* platform.put(`/organizations/${org}`, {
          trust_model: { revoke_after: { violations: 2, within_minutes: 10 } }
        })
        const violate = platform.post("/events", {
          events: [
            {
              stream: "agion:events:trust",
              agent_id: agent,
              event_type: "policy_violation",
              organization_id: org
            }
          ]
        })
        yield* violate
        assert.strictEqual((yield* platform.get(`/permissions/${permission.id}`)).body.status, "approved")
        yield* violate
        assert.strictEqual((yield* platform.get(`/permissions/${permission.id}`)).body.status, "suspended")
        assert.strictEqual((yield* check(org, agent, id)).allowed, false)
        assert.strictEqual(
          (yield* platform.get(`/trust/score/${agent}?entity_type=agent`)).body.data.score,
          30
        )
      })
  )

  it.effect("an organization's own model and its caps on gain decide what an event is worth", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      yield* platform.put(`/organizations/${org}`, {
        trust_model: { task_completed: 5, task_failed: -1, max_gain_per_hour: 12 }
      })
      const event = (event_type: string) => ({
        stream: "agion:events:trust",
        agent_id: agent,
        event_type,
        organization_id: org
      })
      const three = Array.from({ length: 3 }, () => event("task_completed"))
      yield* platform.post("/events", { events: three })
      const score = platform.get(`/trust/score/${agent}?entity_type=agent&organization_id=${org}`)
      assert.strictEqual((yield* score).body.data.score, 52)
      yield* platform.post("/events", { events: [event("task_completed"), event("task_failed")] })
      assert.strictEqual((yield* score).body.data.score, 51)
    })
  )
}
