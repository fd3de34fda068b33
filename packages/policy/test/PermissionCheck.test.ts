import { PermissionCheck } from "@agion/policy"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"

const { decide } = PermissionCheck

const resource: PermissionCheck.ResourceFacts = {
  id: "r1",
  name: "model",
  resourceType: "ai_model",
  status: "active",
  healthStatus: "healthy",
  ancestorStatus: null,
  trustRequired: 40,
  riskLevel: "low",
  tags: [],
  view: {}
}

/** Thursday, 2026-01-01, 12:00 UTC. */
const noon = Date.UTC(2026, 0, 1, 12)

const facts = (over: Partial<PermissionCheck.Facts> = {}): PermissionCheck.Facts => ({
  now: noon,
  timeZone: "UTC",
  enforcement: "enforce",
  actor: { id: "a", type: "agent", suspended: false, trustScore: 40, view: {} },
  resource,
  permission: { id: "p1", status: "approved", constraints: {} },
  usage: PermissionCheck.noUsage,
  call: { permissionType: "use", requests: 1, tokens: null, costMicroUsd: null, context: {} },
  ...over
})

const judges: PermissionCheck.Judges = { policies: null, content: null }
const denying: PermissionCheck.Judges = {
  policies: () => ({
    decision: "deny",
    reasons: [{ id: 7, name: "No nights", level: "hard", decision: "deny", message: "it is night" }],
    evaluated: 1
  }),
  content: () => ({ decision: "block", findings: [{ kind: "api_key", action: "block" }] })
}
const approved = (constraints: PermissionCheck.PermissionFacts["constraints"]) => ({
  id: "p1",
  status: "approved",
  constraints
})
const used = (over: Partial<PermissionCheck.Usage>) => ({ ...PermissionCheck.noUsage, ...over })
const call = (over: Partial<PermissionCheck.Call>) => ({ ...facts().call, ...over })

/** One fault for each step, in the order of CHECK-1, with the reason of the contract. */
const faults: ReadonlyArray<
  readonly [step: string, reason: string, fault: (f: PermissionCheck.Facts) => PermissionCheck.Facts]
> = [
  ["agent", "Agent is suspended", (f) => ({ ...f, actor: { ...f.actor, suspended: true } })],
  [
    "resource",
    "Resource is inactive",
    (f) => ({ ...f, resource: { ...(f.resource ?? resource), status: "inactive" } })
  ],
  [
    "permission",
    "No approved permission found",
    (f) => ({
      ...f,
      permission: { id: "p1", status: "revoked", constraints: f.permission?.constraints ?? {} }
    })
  ],
  ["hours", "Outside allowed hours: 13:00-14:00 UTC", (f) => with_(f, { allowedHours: "13:00-14:00" })],
  [
    "rate",
    "Rate limit exceeded: 2 RPM",
    (f) => ({ ...with_(f, { rateLimitRpm: 2 }), usage: { ...f.usage, windowRequests: 2 } })
  ],
  [
    "tokens",
    "Token limit would be exceeded",
    (f) => ({ ...with_(f, { tokenLimitPerDay: 100 }), call: { ...f.call, tokens: 101 } })
  ],
  [
    "cost",
    "Cost limit would be exceeded",
    (f) => ({ ...with_(f, { costLimitPerDayUsd: 1 }), call: { ...f.call, costMicroUsd: 1_000_001 } })
  ],
  [
    "trust",
    "Trust score too low: 40 < 60",
    (f) => ({ ...f, resource: { ...(f.resource ?? resource), trustRequired: 60 } })
  ]
]

const with_ = (f: PermissionCheck.Facts, constraints: PermissionCheck.PermissionFacts["constraints"]) => ({
  ...f,
  permission: {
    id: "p1",
    status: f.permission?.status ?? "approved",
    constraints: { ...f.permission?.constraints, ...constraints }
  }
})

describe("PermissionCheck", () => {
  it("allows what nothing speaks against", () => {
    assert.deepInclude(decide(facts(), judges), { allowed: true, reason: "Allowed", denial: null })
  })

  for (const [step, reason, fault] of faults)
    it(`CHECK-1 denies at the step ${step} with the contract's reason`, () => {
      const decision = decide(fault(facts()), denying)
      assert.strictEqual(decision.allowed, false)
      assert.strictEqual(decision.reason, reason)
      assert.strictEqual(decision.denial?.step, step)
    })

  it("CHECK-1 stops at the first denial, whatever is wrong later", () => {
    for (let first = 0; first < faults.length; first++) {
      let wrong = facts()
      for (const [, , fault] of faults.slice(first)) wrong = fault(wrong)
      assert.strictEqual(decide(wrong, denying).denial?.step, faults[first]?.[0])
    }
    assert.strictEqual(decide(facts(), denying).denial?.step, "policy")
    assert.strictEqual(decide(facts(), { ...denying, policies: null }).denial?.step, "dlp")
  })

  it("CHECK-1 knows a missing resource, one that is unhealthy, and one that hangs under an inactive one", () => {
    assert.strictEqual(decide(facts({ resource: null }), judges).reason, "Resource not found")
    assert.strictEqual(
      decide(facts({ resource: { ...resource, healthStatus: "unhealthy" } }), judges).reason,
      "Resource is unhealthy"
    )
    assert.strictEqual(
      decide(facts({ resource: { ...resource, ancestorStatus: "deprecated" } }), judges).reason,
      "Resource is deprecated"
    )
  })

  it("CHECK-3 tells what was seen, what was needed, when to retry and what would allow it", () => {
    const night = decide(facts({ permission: approved({ allowedHours: "13:30-14:00" }) }), judges)
    assert.deepInclude(night.denial, {
      step: "hours",
      seen: "thursday 12:00",
      needed: "13:30-14:00",
      retryAfterMs: 90 * 60_000,
      remedy: "wait"
    })
    const tokens = decide(
      facts({
        permission: approved({ tokenLimitPerDay: 100 }),
        usage: used({ dayTokens: 60 }),
        call: call({ tokens: 50 })
      }),
      judges
    )
    assert.deepInclude(tokens.denial, { remedy: "smaller_request", retryAfterMs: 12 * 3_600_000 })
    assert.strictEqual(decide(facts({ permission: null }), judges).denial?.remedy, "request_approval")
    // What a policy would allow only who wrote it knows.
    assert.deepInclude(decide(facts(), denying).denial, { subjects: ["7"], remedy: null })
  })

  it("LIMIT-1 allows exactly N requests in the window", () => {
    const at = (windowRequests: number) =>
      decide(facts({ permission: approved({ rateLimitRpm: 3 }), usage: used({ windowRequests }) }), judges)
    assert.isTrue(at(2).allowed)
    assert.strictEqual(at(2).remaining.remainingRequestsToday, 1)
    assert.isFalse(at(3).allowed)
    assert.strictEqual(at(3).remaining.remainingRequests, 0)
  })

  it.prop(
    "LIMIT-3 never allows used and asked together above a limit",
    {
      limit: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 })),
      dayTokens: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })),
      tokens: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))
    },
    ({ limit, dayTokens, tokens }) => {
      const decision = decide(
        facts({
          permission: approved({ tokenLimitPerDay: limit }),
          usage: used({ dayTokens }),
          call: call({ tokens })
        }),
        judges
      )
      assert.strictEqual(decision.allowed, dayTokens + tokens <= limit)
    }
  )

  it("LIMIT-3 a call of unknown size needs something to be left", () => {
    const at = (dayTokens: number) =>
      decide(facts({ permission: approved({ tokenLimitPerDay: 10 }), usage: used({ dayTokens }) }), judges)
    assert.isTrue(at(9).allowed)
    assert.isFalse(at(10).allowed)
  })

  it("LIMIT-4 compares money in micro-dollars", () => {
    const constraints = { costLimitPerDayUsd: 0.3 }
    const at = (costMicroUsd: number) =>
      decide(
        facts({
          permission: approved(constraints),
          usage: used({ dayCostMicroUsd: 100_000 }),
          call: call({ costMicroUsd })
        }),
        judges
      )
    assert.isTrue(at(200_000).allowed)
    assert.isFalse(at(200_001).allowed)
  })

  it("allowed hours wrap over midnight and are read in the organization's time zone", () => {
    const at = (hour: number, timeZone: string) =>
      decide(
        facts({
          now: Date.UTC(2026, 0, 1, hour),
          timeZone,
          permission: approved({ allowedHours: "22:00-06:00" })
        }),
        judges
      ).allowed
    assert.deepStrictEqual(
      [21, 22, 23, 0, 5, 6].map((hour) => at(hour, "UTC")),
      [false, true, true, true, true, false]
    )
    assert.isTrue(at(13, "Asia/Tokyo"))
    assert.isFalse(at(22, "America/New_York"))
  })

  it("allowed days are days of the organization's time zone", () => {
    const constraints = { allowedDays: ["friday" as const] }
    const late = Date.UTC(2026, 0, 1, 23)
    assert.isFalse(decide(facts({ now: late, permission: approved(constraints) }), judges).allowed)
    assert.isTrue(
      decide(facts({ now: late, timeZone: "Europe/Berlin", permission: approved(constraints) }), judges)
        .allowed
    )
  })

  it("POLICY-8 an organization that observes allows, tells what it saw, and still stops a suspended agent", () => {
    const observed = decide(facts({ enforcement: "observe", permission: null }), denying)
    assert.isTrue(observed.allowed)
    assert.deepInclude(observed.observed, { allowed: false, reason: "No approved permission found" })
    assert.isTrue(observed.redact)
    assert.strictEqual(observed.denial, null)
    const suspended = facts({ enforcement: "observe" })
    assert.isFalse(decide({ ...suspended, actor: { ...suspended.actor, suspended: true } }, judges).allowed)
  })

  it("TRUST-5 tells which violations block and which are only recorded", () => {
    const soft: PermissionCheck.Judges = {
      content: null,
      policies: () => ({
        decision: "warn",
        reasons: [
          { id: 1, name: "Be brief", level: "soft", decision: "warn", message: "long" },
          { id: 2, name: "Hint", level: "advisory", decision: "warn", message: "hm" }
        ],
        evaluated: 2
      })
    }
    const decision = decide(facts(), soft)
    assert.isTrue(decision.allowed)
    assert.deepStrictEqual(decision.violations, [
      { subject: "1", name: "Be brief", level: "soft", blocks: false }
    ])
    assert.deepStrictEqual(decision.warnings, ["Be brief: long", "Hint: hm"])
    assert.deepInclude(decide(facts(), denying).violations, {
      subject: "7",
      name: "No nights",
      level: "hard",
      blocks: true
    })
  })

  it("CHECK-2 gives the same answer for the same facts", () => {
    const some = facts({ permission: approved({ rateLimitRpm: 1 }) })
    assert.deepStrictEqual(decide(some, denying), decide(structuredClone(some), denying))
  })
})

it("CHECK-1 what a call brings and nobody could read is refused, not skipped; null counts as absent", () => {
  const broken: ReadonlyArray<readonly [name: string, value: unknown]> = [
    ["content", ["a list"]],
    ["request_tokens", "1000"],
    ["request_tokens", -1],
    ["request_tokens", Number.NaN],
    ["request_tokens", 2 ** 53],
    ["estimated_cost", Number.POSITIVE_INFINITY],
    ["arguments", "text"],
    ["origin", 1]
  ]
  for (const [name, value] of broken) {
    const decision = decide(facts({ call: call({ context: { [name]: value } }) }), judges)
    assert.isFalse(decision.allowed, name)
    assert.deepInclude(decision.denial, { remedy: "change_content", subjects: [name] })
    assert.isTrue(decide(facts({ call: call({ context: { [name]: null } }) }), judges).allowed)
  }
})

describe("micro-dollars", () => {
  it("LIMIT-4 a cost is rounded up and a limit down, and what multiplying lost is neither", () => {
    const { limitMicroUsd, microUsd } = PermissionCheck
    assert.deepStrictEqual([1e-7, 1e-6, 1.2e-6, 0].map(microUsd), [1, 1, 2, 0])
    assert.deepStrictEqual([1e-7, 1e-6, 1.8e-6, 0].map(limitMicroUsd), [0, 1, 1, 0])
    // 0.07 * 1e6 is 70000.00000000001, 0.000029 * 1e6 is 28.999999999999996.
    for (let micro = 0; micro < 100_000; micro += 7) {
      assert.strictEqual(microUsd(micro / 1e6), micro)
      assert.strictEqual(limitMicroUsd(micro / 1e6), micro)
    }
  })

  it("LIMIT-4 the least of costs does not pass a limit that is used up", () => {
    const spent = {
      ...facts({ usage: { ...PermissionCheck.noUsage, dayCostMicroUsd: 1_000_000 } }),
      permission: { id: "p1", status: "approved", constraints: { costLimitPerDayUsd: 1 } }
    }
    const asked = { ...spent, call: { ...spent.call, costMicroUsd: PermissionCheck.microUsd(1e-7) } }
    assert.strictEqual(decide(asked, { policies: null, content: null }).denial?.step, "cost")
  })
})
