import { Outage } from "@agion/policy"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"

const now = 1_000_000_000
const ordinary = { riskLevel: "low", tags: [] }
const facts = (over: Partial<Outage.OutageFacts> = {}): Outage.OutageFacts => ({
  now,
  permissionType: "use",
  resource: ordinary,
  last: null,
  trust: { score: 72, signedAt: now },
  open: false,
  budget: 20,
  ...over
})
const warm = { allowed: true, reason: "Allowed", confirmedAt: now - 60_000, deniedUntil: null }
const at = (score: number, over: Partial<Outage.OutageFacts> = {}) =>
  Outage.decide(facts({ trust: { score, signedAt: now }, ...over }))._tag

describe("Outage", () => {
  it("OUTAGE-4 lets 72 go on degraded, refuses 64, lets both go on a warm approval, and nobody at a critical database", () => {
    assert.strictEqual(at(72), "Degraded")
    assert.strictEqual(at(64), "Denied")
    assert.strictEqual(at(72, { last: warm }), "Stale")
    assert.strictEqual(at(64, { last: warm }), "Stale")
    for (const last of [null, warm])
      for (const score of [64, 72, 100])
        assert.strictEqual(at(score, { last, resource: { riskLevel: "critical", tags: [] } }), "Denied")
  })

  it("OUTAGE-2 a known denial stands, one by limits until its time", () => {
    const denial = { allowed: false, reason: "Agent is suspended", confirmedAt: 0, deniedUntil: null }
    assert.deepInclude(Outage.decide(facts({ last: denial })), { _tag: "Denied", rule: "known_denial" })
    assert.strictEqual(at(72, { last: { ...denial, deniedUntil: now + 1 } }), "Denied")
    assert.strictEqual(at(72, { last: { ...denial, deniedUntil: now } }), "Degraded")
  })

  it("OUTAGE-2 an approval is warm for the grace period and no longer", () => {
    assert.strictEqual(at(10, { last: { ...warm, confirmedAt: now - 300_000 } }), "Stale")
    assert.strictEqual(at(10, { last: { ...warm, confirmedAt: now - 300_001 } }), "Denied")
  })

  it("OUTAGE-2 unknown trust is low trust, and so is a score older than the grace period", () => {
    assert.deepInclude(Outage.decide(facts({ trust: null })), { _tag: "Denied", rule: "unknown_trust" })
    assert.deepInclude(Outage.decide(facts({ trust: { score: 99, signedAt: now - 300_001 } })), {
      rule: "unknown_trust"
    })
  })

  it("OUTAGE-2 once open the threshold to stay is 65", () => {
    assert.strictEqual(at(69), "Denied")
    assert.strictEqual(at(70), "Degraded")
    assert.strictEqual(at(65, { open: true }), "Degraded")
    assert.strictEqual(at(64.9, { open: true }), "Denied")
  })

  it("OUTAGE-3 never lets through what is excluded, whatever the trust", () => {
    const excluded: ReadonlyArray<Partial<Outage.OutageFacts>> = [
      { permissionType: "write" },
      { permissionType: "admin" },
      { resource: null },
      { resource: { riskLevel: "critical", tags: [] } },
      ...["destructive", "spends", "grants", "sends_outside"].map((tag) => ({
        resource: { riskLevel: "low", tags: [tag] }
      }))
    ]
    for (const over of excluded)
      for (const last of [null, warm])
        assert.deepInclude(Outage.decide(facts({ ...over, last, trust: { score: 100, signedAt: now } })), {
          _tag: "Denied",
          rule: "excluded"
        })
  })

  it("OUTAGE-3 ends with its budget", () => {
    assert.deepInclude(Outage.decide(facts({ budget: 0 })), { _tag: "Denied", rule: "budget" })
  })

  it.prop(
    "OUTAGE-2 more trust never turns an answer that lets through into a refusal",
    { low: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 })), open: Schema.Boolean },
    ({ low, open }) => {
      if (at(low, { open }) === "Denied") return
      for (let score = low; score <= 100; score++) assert.notStrictEqual(at(score, { open }), "Denied")
    }
  )
})
