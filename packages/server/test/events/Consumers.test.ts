/** What agents write to Redis, applied: over PGlite and Redis in memory. */
import { Streams } from "@agion/domain"
import { RedisStream } from "@agion/redis"
import { RedisMemory } from "@agion/redis-memory"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Consumers } from "../../src/events/Consumers.ts"
import { TrustScores } from "../../src/trust/TrustScores.ts"
import { entriesOf, eventually, live } from "./Live.ts"

const names = Streams.streamNames()
const everything = live({ _tag: "Memory" }, { sweep: "50 millis" }).pipe(
  Layer.provideMerge(RedisMemory.layer)
)

const trustEvent = (agentId: string, eventType: string, fields: Record<string, string> = {}) => ({
  agent_id: agentId,
  event_type: eventType,
  severity: "positive",
  impact: "0.1",
  confidence: "1.0",
  context: "{}",
  timestamp: "2026-01-01T00:00:00Z",
  ...fields
})

layer(everything, { timeout: "60 seconds", excludeTestServices: true })("consumers", (it) => {
  it.effect("TRUST-4 ten successes over Redis take an agent from 40 to exactly 60", () =>
    Effect.gen(function* () {
      const streams = yield* RedisStream
      const trust = yield* TrustScores
      for (let i = 0; i < 10; i++)
        yield* streams.append(names.trust, trustEvent("ten", "task_completed", { event_id: `ten-${i}` }))
      const score = yield* eventually(
        "graduation",
        trust.find("default", "ten", "agent"),
        (s) => s?.score === 60
      )
      assert.strictEqual(score?.score, 60)
      yield* eventually("published", entriesOf(names.trustEvents), (e) => e.length >= 11)
      const told = yield* entriesOf(names.trustEvents)
      assert.strictEqual(told.filter((e) => e["event_type"] === "trust_score_updated").length, 10)
      assert.strictEqual(told.filter((e) => e["event_type"] === "trust_tier_changed").length, 1)
    })
  )

  it.effect("EVENT-6 poison goes to the dead letters with its reason and the next entry is applied", () =>
    Effect.gen(function* () {
      const streams = yield* RedisStream
      const trust = yield* TrustScores
      const consumers = yield* Consumers
      const poison = [
        trustEvent("p", "task_completed", { context: '{"x": NaN}' }),
        trustEvent("p", "no_such_event"),
        trustEvent("p", "task_completed", { impact: "much" }),
        { event_type: "task_completed" },
        trustEvent("p", "task_completed", { timestamp: "yesterday" }),
        trustEvent("p\u0000", "task_completed"),
        trustEvent("p", "task_completed", { timestamp: "275760-09-13T00:00:00Z" })
      ]
      for (const fields of poison)
        yield* streams.append(names.trust, fields as unknown as Record<string, string>)
      yield* streams.append(names.trust, trustEvent("p", "task_completed", { event_id: "after-poison" }))
      yield* eventually("the next entry", trust.find("default", "p", "agent"), (s) => s?.score === 42)
      yield* eventually("dead letters", entriesOf(names.deadLetter), (e) => e.length >= 7)
      const dead = yield* entriesOf(names.deadLetter)
      assert.strictEqual(dead.length, 7)
      assert.strictEqual((yield* consumers.counts).refused, 7)
    })
  )
})
