/** Which way a permission moves, and what narrows it. */
import {
  Constraints,
  mayMove,
  narrows,
  permissionStatuses,
  RequestPermission,
  UpdatePermission,
  weekdays
} from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Exit, Schema } from "effect"
import { values } from "./RoundTrip.ts"

describe("a permission", () => {
  const allowed = new Set([
    "pending approved",
    "pending denied",
    "approved suspended",
    "approved revoked",
    "suspended approved",
    "suspended revoked",
    "denied pending",
    "revoked pending"
  ])

  for (const from of permissionStatuses) {
    for (const to of permissionStatuses) {
      const move = `${from} ${to}`
      it(`${allowed.has(move) ? "moves" : "does not move"} from ${from} to ${to}`, () => {
        assert.strictEqual(mayMove(from, to), allowed.has(move))
      })
    }
  }

  it("is asked for with a purpose", () => {
    const request = {
      actor_id: "a",
      actor_type: "agent",
      resource_id: "6f1c2a52-8a55-4f1e-9d2e-0d8f3f5b7a11",
      permission_type: "use",
      purpose: "p"
    }
    const decode = Schema.decodeUnknownExit(RequestPermission)
    assert.isTrue(Exit.isSuccess(decode(request)))
    assert.isTrue(Exit.isSuccess(decode({ ...request, justification: null, more: 1 })))
    for (const wrong of [
      { purpose: "" },
      { actor_type: "robot" },
      { resource_id: "1" },
      { permission_type: "own" }
    ]) {
      assert.isTrue(Exit.isFailure(decode({ ...request, ...wrong })))
    }
  })

  it("takes no unknown status", () => {
    assert.isTrue(Exit.isFailure(Schema.decodeUnknownExit(UpdatePermission)({ status: "open" })))
  })
})

describe("constraints", () => {
  it.each(["09:00-17:00", "22:00-06:00", "00:00-24:00"])("have hours: %s", (hours) => {
    assert.isTrue(Exit.isSuccess(Schema.decodeUnknownExit(Constraints)({ allowed_hours: hours })))
  })

  it.each(["9-17", "24:00-06:00", "09:60-17:00", "09:00-24:30", "09:00", "09:00-17:00 "])(
    "have no hours %j",
    (hours) => {
      assert.isTrue(Exit.isFailure(Schema.decodeUnknownExit(Constraints)({ allowed_hours: hours })))
    }
  )

  it.each([
    { rate_limit_rpm: -1 },
    { token_limit_per_day: 1.5 },
    { cost_limit_per_day_usd: -0.01 },
    { allowed_days: ["Monday"] }
  ])("are not %j", (constraints) => {
    assert.isTrue(Exit.isFailure(Schema.decodeUnknownExit(Constraints)(constraints)))
  })
})

const constraints = values(Constraints)

/** What a call needs of constraints, as a person would check it. */
const covers = (
  limits: Constraints,
  call: { rpm: number; tokens: number; usd: number; day: (typeof weekdays)[number] }
) =>
  (limits.rateLimitRpm == null || call.rpm <= limits.rateLimitRpm) &&
  (limits.tokenLimitPerDay == null || call.tokens <= limits.tokenLimitPerDay) &&
  (limits.costLimitPerDayUsd == null || call.usd <= limits.costLimitPerDayUsd) &&
  (limits.allowedDays == null || limits.allowedDays.includes(call.day))

const Call = Schema.Struct({
  rpm: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 })),
  tokens: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 })),
  usd: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1000 })),
  day: Schema.Literals(weekdays)
})

describe("narrowing", () => {
  it.prop(
    "lets nothing through that was not allowed before",
    [constraints, constraints, Call],
    ([current, next, call]) => {
      if (narrows(current, next) && covers(next, call)) assert.isTrue(covers(current, call))
    }
  )

  it.prop("is refused when a limit is lifted or dropped", [Call], ([call]) => {
    const current = {
      rateLimitRpm: call.rpm,
      tokenLimitPerDay: call.tokens,
      costLimitPerDayUsd: call.usd,
      allowedDays: [call.day]
    }
    assert.isTrue(narrows(current, current))
    assert.isFalse(narrows(current, {}))
    assert.isFalse(narrows(current, { ...current, rateLimitRpm: call.rpm + 1 }))
    assert.isFalse(narrows(current, { ...current, tokenLimitPerDay: null }))
    assert.isFalse(narrows(current, { ...current, costLimitPerDayUsd: call.usd + 1 }))
    assert.isFalse(narrows(current, { ...current, allowedDays: [...weekdays] }))
    assert.isTrue(narrows(current, { ...current, allowedDays: [] }))
  })

  it.prop("goes from no limit to any", [constraints], ([next]) => {
    assert.isTrue(narrows({}, next))
  })

  it("keeps the hours as they are", () => {
    assert.isTrue(narrows({ allowedHours: "09:00-17:00" }, { allowedHours: "09:00-17:00" }))
    assert.isFalse(narrows({ allowedHours: "09:00-17:00" }, { allowedHours: "08:00-17:00" }))
    assert.isFalse(narrows({ allowedHours: "09:00-17:00" }, {}))
  })
})
