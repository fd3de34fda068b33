import { createHash, createPublicKey, verify } from "node:crypto"
import { systemPolicies } from "@agion/domain"
import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { assertRefused, type It, policy, unique } from "./words.ts"

export const policies = (it: It) => {
  it.effect("the system's seven are there from the start and cannot be changed", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const all = (yield* platform.get(`/policies?organization_id=${unique("org")}`)).body.policies
      const system = all.filter((one: { is_system_policy: boolean }) => one.is_system_policy)
      assert.deepStrictEqual(
        system.map((one: { name: string; policy_expr: string }) => [one.name, one.policy_expr]),
        systemPolicies.map((one) => [one.name, one.expr])
      )
      for (const one of system) {
        assert.deepInclude(one, { priority: 1, policy_language: "cel", organization_id: null, enabled: true })
        assertRefused(yield* platform.put(`/policies/${one.id}`, { enabled: false }), 403)
        assertRefused(yield* platform.delete(`/policies/${one.id}`), 403)
      }
      const redact = system.find((one: { name: string }) => one.name === "Redact Email Addresses")
      assert.deepInclude(redact, { actions: '{"redact":["email"]}', enforcement_level: "advisory" })
    })
  )

  it.effect("POLICY-5 what does not type-check is refused with line, column and a suggestion", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization_id = unique("org")
      const refused = yield* platform.post(
        "/policies",
        policy("true &&\n  actor.trust_scor > 1.0", { organization_id })
      )
      assertRefused(refused, 422)
      assert.match(refused.body.message, /line 2, column 9.*`trust_scor`.*`trust_score`/)
      assertRefused(yield* platform.post("/policies", policy("1 + 1", { organization_id })), 422)
      assertRefused(yield* platform.post("/policies", policy("(", { organization_id })), 422)
      assertRefused(yield* platform.post("/policies", policy("true", { policy_language: "json" })), 422)
      const kept = yield* platform.post("/policies", policy("true", { organization_id }))
      assertRefused(yield* platform.put(`/policies/${kept.body.id}`, { policy_expr: "nope" }), 422)
      assert.strictEqual((yield* platform.get(`/policies/${kept.body.id}`)).body.policy_expr, "true")
    })
  )

  it.effect("rules and actions are strings that hold JSON in every answer, and versions rise", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization_id = unique("org")
      const made = (yield* platform.post("/policies", policy("true", { organization_id, rules: { a: 1 } })))
        .body
      assert.deepInclude(made, {
        rules: '{"a":1}',
        actions: null,
        version: 1,
        status: "active",
        enforcement: null
      })
      const changed = (yield* platform.put(`/policies/${made.id}`, { enabled: false, tags: ["t"] })).body
      assert.deepInclude(changed, {
        version: 2,
        status: "inactive",
        enabled: false,
        tags: ["t"],
        rules: '{"a":1}'
      })
      assert.strictEqual((yield* platform.delete(`/policies/${made.id}`)).status, 204)
      assertRefused(yield* platform.get(`/policies/${made.id}`), 404)
      assertRefused(yield* platform.get("/policies/999999"), 404)
    })
  )

  it.effect("evaluate answers for one policy; the system's by the detectors (DLP-2)", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const made = yield* platform.post(
        "/policies",
        policy("actor.trust_score >= 50.0", { organization_id: unique("org") })
      )
      const ask = (id: unknown, context: object) =>
        Effect.map(platform.post(`/policies/${id}/evaluate`, { context }), ({ body }) => body)
      assert.deepInclude(yield* ask(made.body.id, { actor: { trust_score: 60 } }), {
        policy_id: String(made.body.id),
        result: "allow"
      })
      assert.deepInclude(yield* ask(made.body.id, { actor: { trust_score: 40 } }), {
        result: "deny",
        reason: made.body.description
      })
      assert.match((yield* ask(made.body.id, {})).reason, /policy error/)
      const key = ["AKIA", "QYLPMN5HHHFPZAM2"].join("")
      assert.strictEqual((yield* ask(1, { request: { content: key } })).result, "deny")
      assert.strictEqual((yield* ask(1, { request: { content: "sk- is a prefix" } })).result, "allow")
      assert.deepInclude(yield* ask(4, { request: { content: "mail bob@example.com" } }), { result: "allow" })
      const resource = { trust_tier_required: 60, status: "active", health_status: "healthy" }
      assert.strictEqual((yield* ask(7, { actor: { trust_score: 40 }, resource })).result, "deny")
      assert.strictEqual((yield* ask(7, { actor: { trust_score: 80 }, resource })).result, "allow")
    })
  )

  it.effect("POLICY-7 the bundle holds the active policies, a digest and a signature over both", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization_id = unique("org")
      const path = `/policies/bundle?organization_id=${organization_id}`
      const before = yield* platform.get(path)
      const made = yield* platform.post("/policies", policy("true", { organization_id, name: "mine" }))
      yield* platform.post("/policies", policy("true", { organization_id, enabled: false, name: "off" }))
      const { body, headers } = yield* platform.get(path)
      assert.isAbove(body.version, before.body.version)
      const mine = body.policies.filter(
        (one: { organization_id: string }) => one.organization_id === organization_id
      )
      assert.deepStrictEqual(
        mine.map((one: { id: number }) => one.id),
        [made.body.id]
      )
      assert.isEmpty(body.policies.filter((one: { is_system_policy: boolean }) => one.is_system_policy))
      assert.strictEqual(
        body.digest,
        createHash("sha256").update(JSON.stringify(body.policies)).digest("hex")
      )
      const payload = Buffer.from(body.payload, "base64url")
      const said = JSON.parse(payload.toString("utf8"))
      assert.deepInclude(said, { kind: "bundle", organization_id })
      assert.deepInclude(said.value, { version: body.version, digest: body.digest, policies: body.policies })
      const keys = (yield* platform.get("/signing-keys")).body.keys
      const key = keys.find((one: { key_id: string }) => one.key_id === body.key_id)
      assert.isTrue(isSignedBy(key.public_key, body.payload, body.signature))
      const forged = Buffer.from(payload.toString("utf8").replace('"mine"', '"yours"')).toString("base64url")
      assert.isFalse(isSignedBy(key.public_key, forged, body.signature))
      const etag = headers.get("etag") ?? ""
      const again = yield* platform.request("GET", path, undefined, { "if-none-match": etag })
      assert.deepStrictEqual([again.status, again.text], [304, ""])
      assert.strictEqual(
        (yield* platform.request("GET", path, undefined, { "if-none-match": "*" })).status,
        304
      )
      yield* platform.delete(`/policies/${made.body.id}`)
      assert.strictEqual(
        (yield* platform.request("GET", path, undefined, { "if-none-match": etag })).status,
        200
      )
    })
  )
}

/** Checks an Ed25519 signature by a public key of 32 raw bytes in base64url. */
const isSignedBy = (publicKey: string, payload: string, signature: string): boolean =>
  verify(
    null,
    Buffer.from(payload, "base64url"),
    createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: publicKey }, format: "jwk" }),
    Buffer.from(signature, "base64url")
  )
