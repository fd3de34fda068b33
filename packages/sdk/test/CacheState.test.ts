import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  type DegradedState,
  degradedOf,
  forgetAll,
  makeState,
  noteDegraded
} from "../src/internal/CacheState.ts"
import { HeldResource } from "../src/internal/HeldFacts.ts"
import type { ActorTrust } from "../src/TrustTracker.ts"

const held = (id: string, organizationId: string) =>
  new HeldResource(
    {
      id,
      organization_id: organizationId,
      name: id,
      resource_type: "tool",
      status: "active",
      health_status: "healthy",
      trust_tier_required: 0,
      risk_level: "low",
      tags: []
    },
    null
  )

const stateOf = (...records: ReadonlyArray<HeldResource>) => {
  const state = makeState(10, { organizationId: "a", agentId: "agent-1" })
  for (const record of records) {
    state.resources.set(record.id, record)
    state.wanted.add(record.id)
  }
  return state
}

it("FRESH-2 what one organization missed leaves the records of another held", () => {
  const state = stateOf(held("ours", "a"), held("theirs", "b"))
  forgetAll(state, "b", 0)
  assert.deepStrictEqual([...state.resources.keys()], ["ours"])
})

it("FRESH-2 the first epoch of one organization has no record of another fetched again", () => {
  const state = stateOf(held("ours", "a"), held("theirs", "b"))
  forgetAll(state, "b", 0, true)
  assert.deepStrictEqual([...state.early], ["theirs"])
})

const actor: ActorTrust = {
  actorId: "agent-1",
  actorType: "agent",
  score: 72,
  epoch: 0,
  known: true,
  signed: null,
  expected: 72
}

/** Degraded calls of the last five minutes, all of them. */
const Calls = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60_000 })))
const Budget = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 }))

it.prop(
  "OUTAGE-3 of degraded calls as many are remembered as the budget has, and what is left is the same",
  [Calls, Budget],
  ([pauses, budget]) => {
    const state = makeState(10, { organizationId: "a", agentId: "agent-1" })
    const all: Array<number> = []
    let now = 0
    for (const pause of pauses) {
      now += pause
      const degraded: DegradedState = degradedOf(state, actor, now)
      const used = all.filter((at) => at > now - 300_000).length
      assert.strictEqual(budget - degraded.calls.length, Math.max(0, budget - used))
      noteDegraded(degraded, budget, now)
      all.push(now)
      assert.isAtMost(degraded.calls.length, budget)
    }
  }
)
