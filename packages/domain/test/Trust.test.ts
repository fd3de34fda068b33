/** Trust as pure functions, against books of its own: whole tenths of a point in integers. */
import { EvaluateTrust, Trust } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Exit, Schema } from "effect"

const Tenths = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 }))
const Change = Schema.Int.check(Schema.isBetween({ minimum: -1000, maximum: 1000 }))
const { defaultModel } = Trust

const events = Schema.Array(Schema.Literals(Trust.trustEventTypes))

describe("a score", () => {
  it("TRUST-1 starts at 40, which is verified", () => {
    assert.strictEqual(Trust.initialScore, 40)
    assert.strictEqual(Trust.tierOf(Trust.initialScore), "verified")
  })

  it.prop(
    "TRUST-1 TRUST-4 is exact in steps of 0.1 and clamped, after any changes",
    [Schema.Array(Change)],
    ([changes]) => {
      let score = Trust.initialScore
      let tenths = 400
      for (const change of changes) {
        score = Trust.apply(score, change / 10)
        tenths = Math.min(1000, Math.max(0, tenths + change))
        assert.strictEqual(score, tenths / 10)
        assert.match(String(score), /^(?:100|\d{1,2}(?:\.\d)?)$/)
      }
    }
  )

  it("TRUST-4 goes from 40 to exactly 60 by ten successes", () => {
    let score = Trust.initialScore
    for (let i = 0; i < 10; i++) score = Trust.apply(score, Trust.worth(defaultModel, "task_completed", {}))
    assert.strictEqual(score, 60)
    assert.strictEqual(Trust.tierOf(score), "trusted")
  })

  it.prop("TRUST-4 stays within 0 and 100 whatever agents report", [Tenths, events], ([start, reported]) => {
    let score = start / 10
    for (const type of reported) {
      score = Trust.apply(score, Trust.worth(defaultModel, type, { error: "x" }))
      assert.isAtLeast(score, 0)
      assert.isAtMost(score, 100)
    }
  })
})

describe("a tier", () => {
  it.each([
    [0, "untrusted"],
    [19.9, "untrusted"],
    [20, "basic"],
    [39.9, "basic"],
    [40, "verified"],
    [59.9, "verified"],
    [60, "trusted"],
    [79.9, "trusted"],
    [80, "privileged"],
    [89.9, "privileged"],
    [90, "admin"],
    [100, "admin"]
  ] as const)("TRUST-2 of %d is %s", (score, tier) => {
    assert.strictEqual(Trust.tierOf(score), tier)
  })

  it("TRUST-2 is graduated from 60 on", () => {
    assert.strictEqual(Trust.graduation, 60)
  })

  it.prop("TRUST-2 never falls while the score rises", [Tenths, Tenths], ([a, b]) => {
    const [low, high] = [Math.min(a, b), Math.max(a, b)].map((n) => Trust.tiers.indexOf(Trust.tierOf(n / 10)))
    assert.isAtMost(low ?? 0, high ?? 0)
  })
})

describe("an event", () => {
  it.each([
    ["task_completed", {}, 2],
    ["task_failed", {}, -2],
    ["task_failed", { failure: "no such table" }, -2],
    ["task_failed", { error: "boom" }, -3],
    ["resource_overuse", {}, -3],
    ["timeout_exceeded", {}, -3],
    ["policy_violation", {}, -5],
    ["user_feedback", { rating: 5 }, 0]
  ] as const)("TRUST-3 %s with %j is worth %d", (type, context, points) => {
    assert.strictEqual(Trust.worth(defaultModel, type, context), points)
  })

  it("TRUST-3 is no exception by an error that every object inherits", () => {
    assert.strictEqual(Trust.worth(defaultModel, "task_failed", Object.create({ error: "inherited" })), -2)
  })

  it.each([
    [{ helpful: false, stars: null }, -2],
    [{ helpful: false, stars: 5 }, -2],
    [{ helpful: true, stars: null }, 0],
    [{ helpful: true, stars: 5 }, 2],
    [{ helpful: null, stars: 5 }, 2],
    [{ helpful: null, stars: 4 }, 0.5],
    [{ helpful: null, stars: 3 }, 0],
    [{ helpful: null, stars: 1 }, 0]
  ])("TRUST-3 feedback %j is worth %d", (feedback, points) => {
    assert.strictEqual(Trust.feedbackWorth(defaultModel, feedback), points)
  })
})

describe("a model", () => {
  it("TRUST-3 of an organization changes only what it sets, and caps nothing by default", () => {
    assert.deepStrictEqual(Trust.modelOf(null), defaultModel)
    assert.deepStrictEqual(Trust.modelOf({ taskCompleted: 1.5 }), { ...defaultModel, taskCompleted: 1.5 })
    assert.strictEqual(Trust.capGain(defaultModel, 50, { hour: 90, day: 90 }), 50)
  })

  it.prop("TRUST-3 gains no more than its caps in an hour and a day", [Schema.Array(Tenths)], ([gains]) => {
    const model = Trust.modelOf({ maxGainPerHour: 5, maxGainPerDay: 8 })
    let gained = 0
    for (const gain of gains) {
      const points = Trust.capGain(model, gain / 10, { hour: gained % 8, day: gained })
      assert.isAtLeast(points, 0)
      assert.isAtMost(points, gain / 10)
      gained = Math.round((gained + points) * 10) / 10
      assert.isAtMost(gained, 8)
    }
  })

  it.prop("TRUST-3 never caps a loss", [Tenths], ([loss]) => {
    const model = Trust.modelOf({ maxGainPerHour: 0, maxGainPerDay: 0 })
    assert.strictEqual(Trust.capGain(model, -loss / 10, { hour: 99, day: 99 }), -loss / 10)
  })
})

describe("an operator's change", () => {
  const request = (impact: number) =>
    Schema.decodeUnknownExit(EvaluateTrust)({
      entity_id: "agent-1",
      entity_type: "agent",
      event_type: "positive",
      impact,
      description: "set"
    })

  it.each([32, -100, 100, 0.1, -0.7, 12.3])("TRUST-7 of %d is taken", (impact) => {
    assert.isTrue(Exit.isSuccess(request(impact)))
  })

  it.each([0.05, 1.25, 100.1, -101, Number.NaN])("TRUST-7 of %d is refused", (impact) => {
    assert.isTrue(Exit.isFailure(request(impact)))
  })
})
