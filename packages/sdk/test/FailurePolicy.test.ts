import type { Outage } from "@agion/policy"
import { assert, describe, it } from "@effect/vitest"
import { FailurePolicy } from "../src/index.ts"

const now = 10_000_000
const minute = 60_000

/** A call on an ordinary resource of which nothing else is held. */
const unknown: Outage.OutageFacts = {
  now,
  permissionType: "use",
  resource: { riskLevel: "low", tags: [] },
  last: null,
  trust: null,
  open: false,
  budget: 20
}

const approved = (ageMs: number) => ({
  allowed: true,
  reason: "Permission granted",
  confirmedAt: now - ageMs,
  deniedUntil: null
})
const denied = (deniedUntil: number | null) => ({
  allowed: false,
  reason: "Rate limit exceeded: 5 RPM",
  confirmedAt: now,
  deniedUntil
})
const trust = (score: number, ageMs = 0) => ({ score, signedAt: now - ageMs })

const short = { graceMs: minute }
const critical = (facts: Outage.OutageFacts) => facts.resource?.riskLevel === "critical"

const policies = {
  "trust-aware": FailurePolicy.trustAware(),
  "trust-aware, 1 minute": FailurePolicy.trustAware(short),
  "stale-only": FailurePolicy.staleOnly(),
  "stale-only, 1 minute": FailurePolicy.staleOnly(short),
  "fail-closed": FailurePolicy.failClosed,
  "fail-open": FailurePolicy.failOpen,
  "closed when critical, else open": FailurePolicy.when(
    critical,
    FailurePolicy.failClosed,
    FailurePolicy.failOpen
  ),
  "open when critical, else stale-only": FailurePolicy.when(
    critical,
    FailurePolicy.failOpen,
    FailurePolicy.staleOnly()
  )
}

type Name = keyof typeof policies
const names = Object.keys(policies) as ReadonlyArray<Name>

/** What is held, and the rule that decides under each policy in the order above; `+` lets the call through. */
const table: ReadonlyArray<readonly [string, Partial<Outage.OutageFacts>, string]> = [
  [
    "nothing",
    {},
    "unknown_trust unknown_trust stale_only stale_only fail_closed +fail_open +fail_open stale_only"
  ],
  [
    "a denial that stands",
    { last: denied(null), trust: trust(90) },
    "known_denial known_denial known_denial known_denial fail_closed known_denial known_denial known_denial"
  ],
  [
    "a denial until later",
    { last: denied(now + 1), trust: trust(90) },
    "known_denial known_denial known_denial known_denial fail_closed known_denial known_denial known_denial"
  ],
  [
    "a denial that has ended",
    { last: denied(now), trust: trust(90) },
    "+trusted +trusted stale_only stale_only fail_closed +fail_open +fail_open stale_only"
  ],
  [
    "a warm approval of now",
    { last: approved(0) },
    "+warm_approval +warm_approval +warm_approval +warm_approval fail_closed +fail_open +fail_open +warm_approval"
  ],
  [
    "a warm approval of 2 minutes",
    { last: approved(2 * minute) },
    "+warm_approval unknown_trust +warm_approval stale_only fail_closed +fail_open +fail_open +warm_approval"
  ],
  [
    "an approval of 6 minutes and trust",
    { last: approved(6 * minute), trust: trust(72) },
    "+trusted +trusted stale_only stale_only fail_closed +fail_open +fail_open stale_only"
  ],
  [
    "trust of 2 minutes",
    { trust: trust(72, 2 * minute) },
    "+trusted unknown_trust stale_only stale_only fail_closed +fail_open +fail_open stale_only"
  ],
  [
    "trust that does not open",
    { trust: trust(69) },
    "low_trust low_trust stale_only stale_only fail_closed +fail_open +fail_open stale_only"
  ],
  [
    "trust that stays open",
    { trust: trust(65), open: true },
    "+trusted +trusted stale_only stale_only fail_closed +fail_open +fail_open stale_only"
  ],
  [
    "no budget left",
    { trust: trust(72), budget: 0 },
    "budget budget stale_only stale_only fail_closed +fail_open +fail_open stale_only"
  ],
  [
    "a warm approval to write",
    { last: approved(0), permissionType: "write" },
    "excluded excluded excluded excluded fail_closed +fail_open +fail_open excluded"
  ],
  [
    "no record",
    { trust: trust(90), resource: null },
    "excluded excluded excluded excluded fail_closed +fail_open +fail_open excluded"
  ],
  [
    "a tag that spends",
    { trust: trust(90), resource: { riskLevel: "low", tags: ["spends"] } },
    "excluded excluded excluded excluded fail_closed +fail_open +fail_open excluded"
  ],
  [
    "a critical resource",
    { last: approved(0), resource: { riskLevel: "critical", tags: [] } },
    "excluded excluded excluded excluded fail_closed +fail_open fail_closed +fail_open"
  ]
]

describe("the rule that decides while the platform is away", () => {
  for (const [held, facts, rules] of table)
    it(`OUTAGE-2 OUTAGE-3 of ${held}`, () => {
      const decided = names.map((name) => {
        const { _tag, rule } = policies[name].decide({ ...unknown, ...facts })
        return [name, _tag === "Denied" ? rule : `+${rule}`]
      })
      assert.deepStrictEqual(
        decided,
        rules.split(" ").map((rule, i) => [names[i], rule])
      )
    })

  it("OUTAGE-6 a composition is as loud as the loudest of its parts, and names both", () => {
    const { trustAware, failOpen, failClosed, when } = FailurePolicy
    const loud = (policy: FailurePolicy.FailurePolicyShape) => [policy.name, policy.loud]
    assert.deepStrictEqual(loud(when(critical, failClosed, trustAware())), [
      "fail-closed or trust-aware",
      false
    ])
    assert.deepStrictEqual(loud(when(critical, failClosed, failOpen)), ["fail-closed or fail-open", true])
    assert.deepStrictEqual(loud(when(critical, failOpen, failClosed)), ["fail-open or fail-closed", true])
  })
})
