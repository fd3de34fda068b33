import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { assertRefused, check, grant, type It, nowhere, policy, question, resource, unique } from "./words.ts"

/** A resource with a permission for an agent, all new. */
const setting = Effect.fnUntraced(function* (more: object = {}, of: object = {}) {
  const organization = unique("org")
  const agent = unique("agent")
  const model = yield* resource(organization, of)
  const permission = yield* grant(agent, model.id, more)
  return { organization, agent, model, permission }
})

const reserveBody = (s: { organization: string; agent: string; model: { id: string } }, more: object) => ({
  ...question(s.organization, s.agent, s.model.id),
  ...more
})

/** A permission for 1,000 tokens a day, of which 100 are reserved by a key and reported by it. */
const keyed = Effect.gen(function* () {
  const platform = yield* Platform.Platform
  const s = yield* setting({ constraints: { token_limit_per_day: 1000 } })
  return {
    platform,
    reserve: (idempotency_key: string) =>
      platform.post("/permissions/reserve", reserveBody(s, { amounts: { tokens: 100 }, idempotency_key })),
    report: (reservation_key: string, more: object) =>
      Effect.map(
        platform.post(`/permissions/${s.permission.id}/usage`, { reservation_key, ...more }),
        ({ status }) => assert.strictEqual(status, 204)
      ),
    used: Effect.map(platform.get(`/permissions/${s.permission.id}`), ({ body }) => body.usage_tracking),
    left: Effect.map(
      check(s.organization, s.agent, s.model.id),
      ({ constraints }) => constraints.remaining_tokens_today
    )
  }
})

export const checks = (it: It) => {
  it.effect("CHECK-3 a denial names its step, what was seen and needed, and what would allow it", () =>
    Effect.gen(function* () {
      const organization = unique("org")
      const model = yield* resource(organization, { trust_tier_required: 60 })
      const missing = yield* check(organization, unique("agent"), nowhere)
      assert.deepInclude(missing, { allowed: false, reason: "Resource not found", permission: null })
      const agent = unique("agent")
      const none = yield* check(organization, agent, model.id)
      assert.deepInclude(none.metadata.denial, {
        step: "permission",
        seen: "none",
        remedy: "request_approval"
      })
      yield* grant(agent, model.id)
      const low = yield* check(organization, agent, model.id)
      assert.strictEqual(low.reason, "Trust score too low: 40 < 60")
      assert.deepInclude(low.metadata.denial, {
        step: "trust",
        seen: "40",
        needed: "60",
        remedy: "more_trust"
      })
      assert.deepInclude(low.metadata, { trust_score: 40, trust_score_checked: 60 })
      assert.match(low.metadata.decision_id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
      assert.isString(low.metadata.signed.signature)
    })
  )

  it.effect("CHECK-4 a check changes nothing: it neither counts nor makes a score", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting({ constraints: { rate_limit_rpm: 3 } })
      for (let n = 0; n < 6; n++)
        assert.strictEqual(
          (yield* check(s.organization, s.agent, s.model.id)).constraints.remaining_requests,
          3
        )
      const { usage_tracking } = (yield* platform.get(`/permissions/${s.permission.id}`)).body
      assert.strictEqual(usage_tracking.total_requests, 0)
    })
  )

  it.effect("a resource of another organization is not found, and the answer is still 200", () =>
    Effect.gen(function* () {
      const s = yield* setting()
      const denied = yield* check(unique("org"), s.agent, s.model.id)
      assert.deepInclude(denied, { allowed: false, reason: "Resource not found" })
    })
  )

  it.effect("without an organization a check is about the resource's", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting()
      const { organization_id: _, ...body } = question(s.organization, s.agent, s.model.id)
      assert.isTrue((yield* platform.post("/permissions/check", body)).body.allowed)
      const upper = { ...body, resource_id: s.model.id.toUpperCase() }
      assert.isTrue((yield* platform.post("/permissions/check", upper)).body.allowed)
    })
  )

  it.effect("a batch answers in order what single checks answer, without permissions where it says so", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting({ constraints: { token_limit_per_day: 100 } })
      const other = yield* setting()
      const questions = [
        question(s.organization, s.agent, s.model.id, { request_tokens: 50 }),
        question(s.organization, s.agent, s.model.id, { request_tokens: 101 }),
        question(other.organization, other.agent, other.model.id),
        question(other.organization, other.agent, s.model.id)
      ]
      const batch = (yield* platform.post("/permissions/check/batch", {
        checks: questions,
        fields: "decision"
      })).body
      assert.deepStrictEqual(
        batch.results.map((one: { allowed: boolean; reason: string }) => [one.allowed, one.reason]),
        [
          [true, "Allowed"],
          [false, "Token limit would be exceeded"],
          [true, "Allowed"],
          [false, "Resource not found"]
        ]
      )
      assert.isNull(batch.results[0].permission)
      assertRefused(
        yield* platform.post("/permissions/check/batch", { checks: new Array(1001).fill(questions[0]) }),
        400
      )
    })
  )

  it.effect("LIMIT-3 token and cost limits count what is used and what is reserved", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting({ constraints: { token_limit_per_day: 100, cost_limit_per_day_usd: 1 } })
      const reserve = (tokens: number, cost_usd: number, more: object = {}) =>
        platform.post("/permissions/reserve", reserveBody(s, { amounts: { tokens, cost_usd }, ...more }))
      const first = (yield* reserve(60, 0.5, { idempotency_key: "k" })).body
      assert.deepInclude(first.reservation.amounts, { requests: 1, tokens: 60, cost_usd: 0.5 })
      assert.strictEqual(
        (yield* reserve(60, 0.5, { idempotency_key: "k" })).body.reservation.id,
        first.reservation.id
      )
      assert.deepInclude((yield* reserve(41, 0.1)).body, {
        allowed: false,
        reason: "Token limit would be exceeded",
        reservation: null
      })
      assert.strictEqual((yield* reserve(1, 0.6)).body.reason, "Cost limit would be exceeded")
      const second = (yield* reserve(40, 0.1)).body
      assert.isTrue(second.allowed)
      // The truth replaces the estimate, once.
      for (let n = 0; n < 2; n++)
        assert.strictEqual(
          (yield* platform.post(`/permissions/reservations/${first.reservation.id}/settle`, {
            tokens: 10,
            cost_usd: 0.1
          })).status,
          204
        )
      // A key whose reservation is closed is used up: nothing would be counted for it any more.
      assert.strictEqual((yield* reserve(60, 0.5, { idempotency_key: "k" })).status, 409)
      for (let n = 0; n < 2; n++)
        assert.strictEqual(
          (yield* platform.post(`/permissions/reservations/${second.reservation.id}/release`, undefined))
            .status,
          204
        )
      assertRefused(
        yield* platform.post(`/permissions/reservations/${second.reservation.id}/settle`, {}),
        409
      )
      assertRefused(yield* platform.post(`/permissions/reservations/${nowhere}/settle`, {}), 404)
      const left = yield* check(s.organization, s.agent, s.model.id)
      assert.deepInclude(left.constraints, { remaining_tokens_today: 90, remaining_budget_today: 0.9 })
      const { usage_tracking } = (yield* platform.get(`/permissions/${s.permission.id}`)).body
      assert.deepInclude(usage_tracking, { total_requests: 1, total_tokens: 10, total_cost_usd: 0.1 })
    })
  )

  it.effect("LIMIT-1 at most so many requests in any 60 seconds; LIMIT-2 settling does not count again", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting({ constraints: { rate_limit_rpm: 4 } })
      const reserve = (requests: number) =>
        platform.post("/permissions/reserve", reserveBody(s, { amounts: { requests } }))
      const held = (yield* reserve(2)).body
      yield* platform.post(`/permissions/reservations/${held.reservation.id}/settle`, { requests: 2 })
      yield* platform.post(`/permissions/${s.permission.id}/usage`, { request_count: 1 })
      assert.strictEqual(
        (yield* check(s.organization, s.agent, s.model.id)).constraints.remaining_requests,
        1
      )
      const denied = (yield* reserve(2)).body
      assert.deepInclude(denied, { allowed: false, reason: "Rate limit exceeded: 4 RPM" })
      assert.strictEqual(denied.metadata.denial.step, "rate")
      assert.isTrue((yield* reserve(1)).body.allowed)
      assert.strictEqual(
        (yield* check(s.organization, s.agent, s.model.id)).reason,
        "Rate limit exceeded: 4 RPM"
      )
    })
  )

  it.effect(
    "LIMIT-4 a limit that is used up stays so in a time zone with another date, and on the way back",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const s = yield* setting({ constraints: { token_limit_per_day: 100 } })
        yield* platform.post(`/permissions/${s.permission.id}/usage`, { token_count: 100 })
        const hour = new Date(yield* Clock.currentTimeMillis).getUTCHours()
        // Yesterday until 11:00 UTC; tomorrow from 10:00 UTC.
        const other = hour < 10 ? "Pacific/Pago_Pago" : "Pacific/Kiritimati"
        const midnights = { "Pacific/Pago_Pago": /T11:00/, "Pacific/Kiritimati": /T10:00/, UTC: /T00:00/ }
        for (const time_zone of [other, "UTC"] as const) {
          assert.strictEqual(
            (yield* platform.put(`/organizations/${s.organization}`, { time_zone })).status,
            200
          )
          const asked = { amounts: { tokens: 1 }, context: { request_tokens: 1 } }
          for (const path of ["/permissions/check", "/permissions/reserve"])
            assert.deepInclude(
              (yield* platform.post(path, reserveBody(s, asked))).body,
              { allowed: false, reason: "Token limit would be exceeded" },
              `${path} ${time_zone}`
            )
          const { usage_tracking } = (yield* platform.get(`/permissions/${s.permission.id}`)).body
          assert.deepInclude(usage_tracking, { current_day_tokens: 100 })
          assert.match(usage_tracking.current_day_start, midnights[time_zone], time_zone)
          // The way back is a change of the date that this is counted on.
          yield* platform.post(`/permissions/${s.permission.id}/usage`, { token_count: 0 })
        }
      })
  )

  it.effect("LIMIT-1 a reservation is a call, whatever it takes: none of no requests", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting({ constraints: { rate_limit_rpm: 1 } })
      const reserve = (amounts: object) => platform.post("/permissions/reserve", reserveBody(s, { amounts }))
      const none = yield* reserve({ requests: 0, tokens: 1 })
      assertRefused(none, 400)
      assert.include(none.body.message, "at least 1 request")
      assert.strictEqual((yield* reserve({ tokens: 1 })).body.reservation.amounts.requests, 1)
      assert.strictEqual((yield* reserve({ tokens: 1 })).body.reason, "Rate limit exceeded: 1 RPM")
    })
  )

  it.effect("LIMIT-3 a key answers again with what is left now, and with other amounts is a conflict", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting({ constraints: { token_limit_per_day: 1000 } })
      const reserve = (tokens: number) =>
        platform.post("/permissions/reserve", reserveBody(s, { amounts: { tokens }, idempotency_key: "K" }))
      const first = (yield* reserve(1)).body
      assertRefused(yield* reserve(900), 409)
      yield* platform.post(`/permissions/${s.permission.id}/usage`, { token_count: 5000 })
      const again = (yield* reserve(1)).body
      assert.deepStrictEqual(again.reservation, first.reservation)
      assert.deepInclude(again.constraints, { remaining_tokens_today: 0 })
    })
  )

  it.effect("LIMIT-3 what was reserved is not charged again by a report that knows it by its key alone", () =>
    Effect.gen(function* () {
      const { left, platform, report, reserve, used } = yield* keyed
      yield* reserve("settled")
      const event = { event_id: unique("event"), request_count: 1, token_count: 7, cost_usd: 0.25 }
      for (let n = 0; n < 2; n++) yield* report("settled", event)
      assert.deepInclude(yield* used, { total_requests: 1, total_tokens: 7, total_cost_usd: 0.25 })
      assert.strictEqual(yield* left, 993)

      const requests = (yield* used).total_requests
      yield* reserve("released")
      assert.strictEqual(yield* left, 893)
      for (let n = 0; n < 2; n++) yield* report("released", { request_count: 0 })
      assert.deepInclude(yield* used, { total_requests: requests, total_tokens: 7 })
      assert.strictEqual(yield* left, 993)

      // One that never arrived: the report is all there is.
      for (let n = 0; n < 2; n++)
        yield* report("nowhere", { ...event, event_id: `${event.event_id}-2`, token_count: 3 })
      assert.deepInclude(yield* used, { total_requests: 2, total_tokens: 10 })
      assertRefused(
        yield* platform.post(`/permissions/${nowhere}/usage`, { reservation_key: "settled" }),
        404
      )
    })
  )

  it.effect("LIMIT-3 a report by key that comes before its reservation leaves it uncharged", () =>
    Effect.gen(function* () {
      const { left, report, reserve, used } = yield* keyed
      for (let n = 0; n < 2; n++) yield* report("given back", { request_count: 0 })
      const late = yield* reserve("given back")
      assertRefused(late, 409)
      assert.include(late.body.message, "reported before its reservation arrived")
      assert.deepInclude(yield* used, { total_requests: 0, total_tokens: 0, last_used_at: null })
      assert.strictEqual(yield* left, 1000)

      for (let n = 0; n < 2; n++) yield* report("used", { token_count: 7 })
      assertRefused(yield* reserve("used"), 409)
      assert.deepInclude(yield* used, { total_requests: 1, total_tokens: 7 })
      assert.strictEqual(yield* left, 993)
      assert.isTrue((yield* reserve("another")).body.allowed)
    })
  )

  it.effect("LIMIT-3 a reservation and its give-back by key leave nothing charged, whichever is first", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting({ constraints: { token_limit_per_day: 1000 } })
      const pair = (n: number) => [
        platform.post(
          "/permissions/reserve",
          reserveBody(s, { amounts: { tokens: 9 }, idempotency_key: `${n}` })
        ),
        platform.post(`/permissions/${s.permission.id}/usage`, { reservation_key: `${n}`, request_count: 0 })
      ]
      const both = Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? pair(n) : pair(n).reverse()))
      yield* Effect.all(both.flat(), { concurrency: 16 })
      const { usage_tracking } = (yield* platform.get(`/permissions/${s.permission.id}`)).body
      assert.deepInclude(usage_tracking, { total_requests: 0, current_day_requests: 0, total_tokens: 0 })
      const { constraints } = yield* check(s.organization, s.agent, s.model.id)
      assert.strictEqual(constraints.remaining_tokens_today, 1000)
    })
  )

  it.effect("LIMIT-3 64 concurrent reservers never get past a limit", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting({ constraints: { token_limit_per_day: 1000, rate_limit_rpm: 1000 } })
      const answers = yield* Effect.forEach(
        Array.from({ length: 200 }, (_, n) => 5 + (n % 7)),
        (tokens) => platform.post("/permissions/reserve", reserveBody(s, { amounts: { tokens } })),
        { concurrency: 64 }
      )
      const granted = answers.filter(({ body }) => body.allowed)
      const sum = granted.reduce((total, { body }) => total + body.reservation.amounts.tokens, 0)
      assert.isAtMost(sum, 1000)
      // What is left is less than the largest that was asked for.
      assert.isAbove(sum, 1000 - 11)
    })
  )

  it.effect("LIMIT-4 an hour outside the allowed ones is denied, in the organization's time zone", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting({ constraints: { allowed_days: [] } })
      yield* platform.put(`/organizations/${s.organization}`, { time_zone: "Asia/Tokyo" }).pipe(Effect.ignore)
      const denied = yield* check(s.organization, s.agent, s.model.id)
      assert.match(denied.reason, /^Outside allowed hours/)
      assert.strictEqual(denied.metadata.denial.step, "hours")
    })
  )

  it.effect("DLP-2 content with a key is blocked, and a mention of keys is not", () =>
    Effect.gen(function* () {
      const s = yield* setting()
      const key = ["AKIA", "QYLPMN5HHHFPZAM2"].join("")
      const blocked = yield* check(s.organization, s.agent, s.model.id, { content: `use ${key} please` })
      assert.deepInclude(blocked, { allowed: false, reason: "Content blocked: api_key" })
      assert.strictEqual(blocked.metadata.denial.step, "dlp")
      const fine = yield* check(s.organization, s.agent, s.model.id, { content: "keys start with sk-" })
      assert.isTrue(fine.allowed)
    })
  )

  it.effect("POLICY-2 the level weakens: hard denies, soft warns", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting()
      const put = (more: object) => platform.put(`/policies/${made.body.id}`, more)
      const made = yield* platform.post(
        "/policies",
        policy("context.purpose == 'good'", { organization_id: s.organization, name: "Good only" })
      )
      const ask = (purpose: string) => check(s.organization, s.agent, s.model.id, { purpose })
      assert.isTrue((yield* ask("good")).allowed)
      assert.deepInclude(yield* ask("bad"), { allowed: false, reason: "Policy violation: Good only" })
      yield* put({ enforcement_level: "soft" })
      const warned = yield* ask("bad")
      assert.isTrue(warned.allowed)
      assert.match(warned.metadata.warnings[0], /^Good only/)
      yield* put({ enforcement: "require_approval", enforcement_level: "hard" })
      assert.strictEqual((yield* ask("good")).reason, "Approval required: Good only")
      yield* put({ enabled: false })
      assert.isTrue((yield* ask("bad")).allowed)
    })
  )

  it.effect("POLICY-4 a policy that cannot be evaluated denies", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting()
      yield* platform.post("/policies", policy("context.missing == 1", { organization_id: s.organization }))
      const denied = yield* check(s.organization, s.agent, s.model.id)
      assert.isFalse(denied.allowed)
      assert.match(denied.metadata.denial.seen, /policy error/)
    })
  )

  it.effect("a policy sees what the actor spent today", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting()
      yield* platform.post(
        "/policies",
        policy("context.cost_today < 1.0", { organization_id: s.organization })
      )
      assert.isTrue((yield* check(s.organization, s.agent, s.model.id)).allowed)
      yield* platform.post(`/permissions/${s.permission.id}/usage`, { cost_usd: 1 })
      assert.isFalse((yield* check(s.organization, s.agent, s.model.id)).allowed)
    })
  )

  it.effect("CACHE-2 an entry holds what an agent needs to ask again by itself", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const s = yield* setting({ constraints: { token_limit_per_day: 100 } })
      yield* platform.post(`/permissions/${s.permission.id}/usage`, { token_count: 30, cost_usd: 0.5 })
      const { entry } = yield* check(s.organization, s.agent, s.model.id, {}, { fields: "entry" })
      assert.strictEqual(entry.resource.id, s.model.id)
      assert.deepInclude(entry, {
        ancestor_status: null,
        agent_status: "active",
        time_zone: "UTC",
        enforcement: "enforce"
      })
      assert.deepInclude(entry.usage, {
        window_requests: 1,
        day_tokens: 30,
        day_cost_micro_usd: 500_000,
        actor_tokens_today: 30,
        actor_cost_usd_today: 0.5
      })
    })
  )
}
