import { assert, describe, it } from "@effect/vitest"
import type { Asked } from "./Lines.ts"
import { type Truth, wrong } from "./Oracle.ts"

/** Approved at 10 s, away from 20 s to 30 s, revoked at 40 s. */
const truth: Truth = {
  approved: new Map([
    ["granted", [{ from: 10_000, to: 40_000 }]],
    ["write", [{ from: 10_000, to: 40_000 }]]
  ]),
  excluded: new Set(["write"]),
  outages: [{ from: 20_000, to: 30_000 }],
  roundTripMs: 500,
  trust: 72
}

const at = (time: number, more: Partial<Asked> = {}): Asked => ({
  _tag: "Asked",
  name: "granted",
  from: time,
  to: time + 1,
  allowed: true,
  mode: "normal",
  source: "platform",
  rule: null,
  ...more
})

const stale = { mode: "stale", source: "outage" } as const
const degraded = { mode: "degraded", source: "outage", name: "unasked" } as const
const denied = { allowed: false } as const
const away = { allowed: false, source: "outage" } as const

const whys = (decisions: ReadonlyArray<Asked>, other: Partial<Truth> = {}) =>
  wrong(decisions, { ...truth, ...other }).map(({ why }) => why)

describe("the rule book of the fault tests", () => {
  it("finds nothing in what is right", () => {
    const right = [
      at(9000, denied),
      at(11_000),
      at(12_000, { source: "cache" }),
      at(21_000, stale),
      at(22_000, degraded),
      at(23_000, { ...away, name: "write" }),
      at(31_000),
      at(43_000, { source: "cache" }),
      at(44_000, denied)
    ]
    assert.deepStrictEqual(whys(right), [])
  })

  it("FRESH-3 finds an allow that outlived its revocation", () => {
    assert.deepStrictEqual(whys([at(44_000, { source: "cache" })]), ["allowed what was not approved"])
  })

  it("OUTAGE-2 finds what went on without a reason", () => {
    assert.deepStrictEqual(
      whys([
        at(21_000, stale),
        at(22_000, denied),
        at(23_000, stale),
        at(31_000, stale),
        at(32_000, { ...degraded, from: 32_000 })
      ]),
      [
        "stale without a warm approval",
        "denied what was approved",
        "stale on what was known to be denied",
        "stale while the platform was there",
        "degraded while the platform was there"
      ]
    )
  })

  it("OUTAGE-2 finds what was refused without a reason", () => {
    assert.deepStrictEqual(whys([at(11_000), at(21_000, away), at(31_000, away), at(32_000, denied)]), [
      "denied in spite of a warm approval",
      "unavailable while the platform was there",
      "denied what was approved"
    ])
  })

  it("OUTAGE-3 finds what is never let through, too little trust, and a budget that was passed", () => {
    assert.deepStrictEqual(whys([at(11_000, { name: "write" }), at(21_000, { ...stale, name: "write" })]), [
      "stale on what is never let through"
    ])
    assert.deepStrictEqual(whys([at(21_000, degraded)], { trust: 64 }), ["degraded at trust 64"])
    const many = Array.from({ length: 21 }, (_, n) => at(21_000 + n, degraded))
    assert.deepStrictEqual(whys(many), ["degraded beyond the budget"])
  })
})
