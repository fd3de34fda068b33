import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { assertRefused, check, grant, type It, nowhere, policy, question, resource, unique } from "./words.ts"

/** Deeply nested JSON text. */
const deep = (levels: number): string => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`

const injection = `'; DROP TABLE permissions; --`

export const badInput = (it: It) => {
  it.effect(
    "a body that is no JSON, too large, too deep or of another type gets the contract's error body",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const create = (data: string) =>
          `{"organization_id":"o","resource_type":"api","name":"n","created_by":"o","resource_data":${data}}`
        assertRefused(yield* platform.post("/resources", "{"), 400)
        assertRefused(yield* platform.post("/resources", ""), 400)
        assertRefused(yield* platform.post("/resources", "[]"), 400)
        assertRefused(yield* platform.post("/resources", "null"), 400)
        assertRefused(yield* platform.post("/resources", create(deep(33))), 400)
        assertRefused(yield* platform.post("/resources", create(deep(20_000))), 400)
        assertRefused(yield* platform.post("/resources", create(`"${"x".repeat(10_000_000)}"`)), 413)
        assertRefused(
          yield* platform.request("POST", "/resources", "a=b", { "content-type": "text/plain" }),
          415
        )
        // A check that is answered from memory, one that is not, and many.
        const asked = question("o", "a", nowhere)
        yield* platform.post("/permissions/check", asked)
        for (const [path, body] of [
          ["/permissions/check", asked],
          ["/permissions/check", question("o", unique("agent"), nowhere)],
          ["/permissions/check/batch", { checks: [asked] }]
        ] as const) {
          const typed = (type: string) => platform.request("POST", path, body, { "content-type": type })
          assertRefused(yield* typed("text/plain"), 415)
          assert.strictEqual((yield* typed("Application/JSON; charset=utf-8")).status, 200, path)
        }
        assertRefused(yield* platform.get("/no/such/route"), 404)
        assertRefused(yield* platform.request("PATCH", "/resources", {}), 404)
        assert.strictEqual((yield* platform.get("/policies")).status, 200)
      })
  )

  it.effect("wrong types, unknown enums, missing fields and impossible text are 400 on every route", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const good = {
        organization_id: "o",
        resource_type: "api",
        name: "n",
        resource_data: {},
        created_by: "o"
      }
      const asked = question("o", "a", nowhere)
      const cases: ReadonlyArray<readonly [string, string, unknown]> = [
        ["POST", "/resources", { ...good, resource_type: "starship" }],
        ["POST", "/resources", { ...good, name: 7 }],
        ["POST", "/resources", { ...good, name: "" }],
        ["POST", "/resources", { ...good, name: "a\u0000b" }],
        ["POST", "/resources", { ...good, name: "x".repeat(1001) }],
        [
          "POST",
          "/resources",
          '{"organization_id":"o","resource_type":"api","name":"\\ud800","resource_data":{},"created_by":"o"}'
        ],
        [
          "POST",
          "/resources",
          '{"organization_id":"o","resource_type":"api","name":"n","resource_data":{"__proto__":1},"created_by":"o"}'
        ],
        ["POST", "/resources", { ...good, created_by: undefined }],
        ["POST", "/resources", { ...good, trust_tier_required: 101 }],
        ["POST", "/resources", { ...good, trust_tier_required: 1.5 }],
        ["POST", "/resources", { ...good, parent_resource_id: "no-uuid" }],
        ["GET", "/resources", undefined],
        ["GET", "/resources?organization_id=o&limit=-1", undefined],
        ["GET", "/resources?organization_id=o&limit=1001", undefined],
        ["GET", "/resources?organization_id=o&offset=-1", undefined],
        ["GET", "/resources?organization_id=o&offset=1e999", undefined],
        ["GET", "/resources?organization_id=o&status=unknown", undefined],
        ["GET", "/resources/not-a-uuid", undefined],
        ["PUT", "/resources/not-a-uuid", {}],
        ["PUT", `/resources/${nowhere}`, { status: "x" }],
        ["DELETE", `/resources/${nowhere}?cascade=maybe`, undefined],
        [
          "POST",
          "/permissions",
          { actor_id: "a", actor_type: "robot", resource_id: nowhere, permission_type: "use", purpose: "p" }
        ],
        [
          "POST",
          "/permissions",
          { actor_id: "a", actor_type: "agent", resource_id: nowhere, permission_type: "use" }
        ],
        [
          "POST",
          "/permissions",
          {
            actor_id: "a",
            actor_type: "agent",
            resource_id: nowhere,
            permission_type: "use",
            purpose: "p",
            constraints: { rate_limit_rpm: -1 }
          }
        ],
        [
          "POST",
          "/permissions",
          {
            actor_id: "a",
            actor_type: "agent",
            resource_id: nowhere,
            permission_type: "use",
            purpose: "p",
            constraints: { allowed_hours: "9-17" }
          }
        ],
        ["POST", "/permissions/check", { ...asked, actor_id: null }],
        ["POST", "/permissions/check", { ...asked, permission_type: "own" }],
        ["POST", "/permissions/check", { ...asked, context: "text" }],
        ["POST", "/permissions/check", { ...asked, context: { deep: JSON.parse(deep(40)) } }],
        ["POST", "/permissions/check/batch", { checks: [asked, {}] }],
        ["POST", "/permissions/check/batch", {}],
        ["POST", "/permissions/reserve", asked],
        ["POST", "/permissions/reserve", { ...asked, amounts: { tokens: -1 } }],
        ["POST", "/permissions/reserve", { ...asked, amounts: { tokens: 2 ** 53 } }],
        ["POST", "/permissions/reserve", { ...asked, amounts: {}, ttl_ms: 1 }],
        ["POST", `/permissions/reservations/x/settle`, {}],
        ["POST", `/permissions/reservations/${nowhere}/settle`, { tokens: "7" }],
        ["POST", `/permissions/${nowhere}/usage`, { token_count: 1.5 }],
        ["POST", `/permissions/${nowhere}/usage`, { cost_usd: -1 }],
        ["POST", `/permissions/${nowhere}/usage`, '{"token_count":9007199254740993}'],
        ["POST", `/permissions/${nowhere}/usage`, { occurred_at: "yesterday" }],
        ["POST", `/permissions/${nowhere}/approve`, {}],
        ["POST", `/permissions/${nowhere}/deny`, { denied_by: "d" }],
        ["POST", `/permissions/${nowhere}/revoke`, { reason: "r" }],
        ["PUT", `/permissions/${nowhere}`, { status: "gone" }],
        ["GET", "/permissions/active", undefined],
        ["GET", "/permissions?status=gone", undefined],
        ["POST", "/policies", policy("true", { priority: "high" })],
        ["POST", "/policies", policy("true", { enforcement_level: "brutal" })],
        ["POST", "/policies", policy("true", { policy_language: "rego" })],
        ["GET", "/policies?enabled=perhaps", undefined],
        ["GET", "/policies/one", undefined],
        ["GET", "/policies/0", undefined],
        ["GET", "/policies/1.0", undefined],
        ["GET", "/policies/1e0", undefined],
        ["GET", "/policies/%201", undefined],
        ["GET", "/policies/0x1", undefined],
        ["GET", "/resources?organization_id=o&limit=1e2", undefined],
        ["GET", "/resources?organization_id=o&limit=5.0", undefined],
        ["GET", "/resources?organization_id=o&limit=%2B5", undefined],
        ["GET", "/resources?organization_id=o&offset=", undefined],
        ["POST", "/policies/1/evaluate", {}],
        ["POST", "/policies/1/evaluate", { context: [] }]
      ]
      for (const [method, path, body] of cases) {
        const answer = yield* platform.request(method, path, body)
        assert.strictEqual(
          answer.status,
          400,
          `${method} ${path} ${JSON.stringify(body)?.slice(0, 200)}: ${answer.text}`
        )
        assertRefused(answer, 400)
      }
    })
  )

  it.effect("a check's context of another type is 400 and names the field, however it is asked", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const asked = question("o", "a", nowhere)
      const wrong: ReadonlyArray<readonly [string, string]> = [
        ["content", '["4111 1111 1111 1111"]'],
        ["content", "42"],
        ["request_tokens", '"1000000"'],
        ["request_tokens", "-1"],
        ["request_tokens", "9007199254740993"],
        ["request_tokens", "NaN"],
        ["estimated_cost", "-0.01"],
        ["estimated_cost", "1e300"],
        ["estimated_cost", "true"],
        ["origin", "{}"],
        ["action", "7"],
        ["tool", "[]"],
        ["model", "false"],
        ["arguments", '"rm -rf"'],
        ["arguments", "[1]"],
        ["metadata", '"text"']
      ]
      for (const [name, value] of wrong) {
        const { context: _, ...rest } = { ...asked, context: undefined }
        const one = `${JSON.stringify(rest).slice(0, -1)},"context":{"${name}":${value}}}`
        const bodies: ReadonlyArray<readonly [string, string]> = [
          ["/permissions/check", one],
          ["/permissions/check/batch", `{"checks":[${JSON.stringify(rest)},${one}]}`],
          ["/permissions/reserve", `${one.slice(0, -1)},"amounts":{"tokens":1}}`]
        ]
        for (const [path, body] of bodies) {
          const answer = yield* platform.request("POST", path, body)
          assertRefused(answer, 400)
          assert.include(answer.text, name, `${path} ${body}`)
        }
      }
      const nulls = Object.fromEntries(wrong.map(([name]) => [name, null]))
      const absent = yield* platform.post("/permissions/check", { ...asked, context: nulls })
      assert.strictEqual(absent.status, 200)
    })
  )

  it.effect("an id in a path that is too long is 400 and says so, on every route", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const long = "a".repeat(5000)
      const routes: ReadonlyArray<readonly [string, string]> = [
        ["GET", `/agents/${long}`],
        ["GET", `/trust/score/${long}?entity_type=agent`],
        ["POST", `/permissions/${long}/approve`],
        ["GET", `/missions/${long}/messages`],
        ["DELETE", `/policies/${long}`]
      ]
      for (const [method, path] of routes) {
        const answer = yield* platform.request(method, path, method === "POST" ? {} : undefined)
        assertRefused(answer, 400)
        assert.include(answer.body.message, "too long", `${method} ${path.slice(0, 20)}`)
      }
      assertRefused(yield* platform.get(`/nope/${long}`), 404)
    })
  )

  it.effect("ids that name nothing are 404", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const cases: ReadonlyArray<readonly [string, string, unknown]> = [
        ["GET", `/resources/${nowhere}`, undefined],
        ["GET", `/resources/${nowhere}/children`, undefined],
        ["PUT", `/resources/${nowhere}`, {}],
        ["DELETE", `/resources/${nowhere}`, undefined],
        [
          "POST",
          "/permissions",
          { actor_id: "a", actor_type: "agent", resource_id: nowhere, permission_type: "use", purpose: "p" }
        ],
        ["GET", `/permissions/${nowhere}`, undefined],
        ["PUT", `/permissions/${nowhere}`, {}],
        ["POST", `/permissions/${nowhere}/approve`, { approved_by: "x" }],
        ["POST", `/permissions/${nowhere}/deny`, { denied_by: "x", reason: "" }],
        ["POST", `/permissions/${nowhere}/revoke`, { revoked_by: "x", reason: "" }],
        ["GET", `/permissions/${nowhere}/usage`, undefined],
        ["POST", `/permissions/reservations/${nowhere}/release`, undefined],
        ["GET", "/policies/2147483647", undefined],
        ["PUT", "/policies/2147483647", {}],
        ["DELETE", "/policies/2147483647", undefined],
        ["POST", "/policies/2147483647/evaluate", { context: {} }]
      ]
      for (const [method, path, body] of cases)
        assertRefused(yield* platform.request(method, path, body), 404)
    })
  )

  it.effect("SQL in every string is text, and the largest amounts are counted", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization = unique(injection)
      const model = yield* resource(organization, {
        name: injection,
        description: injection,
        tags: [injection, '{"a","b"}', "\\"],
        resource_data: { [injection]: injection }
      })
      assert.deepInclude(model, { name: injection, tags: [injection, '{"a","b"}', "\\"] })
      const agent = unique(injection)
      const granted = yield* grant(agent, model.id, { purpose: injection })
      assert.isTrue((yield* check(organization, agent, model.id)).allowed)
      const listed = yield* platform.get(
        `/resources?organization_id=${encodeURIComponent(organization)}&tags=${encodeURIComponent(injection)}`
      )
      assert.strictEqual(listed.body.total, 1)
      for (let n = 0; n < 2; n++)
        assert.strictEqual(
          (yield* platform.post(`/permissions/${granted.id}/usage`, {
            request_count: Number.MAX_SAFE_INTEGER,
            token_count: Number.MAX_SAFE_INTEGER,
            cost_usd: 9e9
          })).status,
          204
        )
      const { usage_tracking } = (yield* platform.get(`/permissions/${granted.id}`)).body
      assert.strictEqual(usage_tracking.total_tokens, Number.MAX_SAFE_INTEGER)
    })
  )
}
