/** Scores in SQL against the model of the domain, and what a change tells others. */
import { Streams, Trust } from "@agion/domain"
import { assert, layer } from "@effect/vitest"
import { Arbitrary, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Changes } from "../../src/changes/Changes.ts"
import { Secrets } from "../../src/keys/Secrets.ts"
import { Signing } from "../../src/keys/Signing.ts"
import { Database } from "../../src/sql/Database.ts"
import { migrate } from "../../src/sql/Migrations.ts"
import { TrustScores } from "../../src/trust/TrustScores.ts"
import type { ScoreEvent } from "../../src/trust/TrustSql.ts"

const suspended: Array<string> = []

const live = TrustScores.layer({
  suspendActor: ({ actorId }) =>
    Effect.sync(() => {
      suspended.push(actorId)
      return 1
    })
}).pipe(
  Layer.provideMerge(Signing.layer),
  Layer.provide(Secrets.layer()),
  Layer.provideMerge(Changes.layer()),
  Layer.provideMerge(Layer.effectDiscard(migrate)),
  Layer.provideMerge(Database.layer({ _tag: "Memory" }))
)

let made = 0
const event = (entityId: string, eventType: string, impact: number, organizationId = "o1"): ScoreEvent => ({
  organizationId,
  entityType: "agent",
  entityId,
  eventId: `e${made++}`,
  eventType,
  impact,
  outcome: impact > 0 ? "success" : "failure",
  description: eventType,
  metadata: "{}",
  occurredAt: null
})

layer(live, { timeout: "60 seconds" })("TrustScores", (it) => {
  it.effect("TRUST-4 ten successes take an agent from 40 to exactly 60, with ten lines of history", () =>
    Effect.gen(function* () {
      const trust = yield* TrustScores
      for (let i = 0; i < 10; i++) yield* trust.apply([event("ten", "task_completed", 2)])
      const score = yield* trust.find("o1", "ten", "agent")
      assert.strictEqual(score?.score, 60)
      const history = yield* trust.history({ organizationId: "o1", entityType: "agent", entityId: "ten" }, 100)
      assert.strictEqual(history.length, 10)
    })
  )
})
