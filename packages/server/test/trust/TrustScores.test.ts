/** One property drives the rule in SQL and the rule in TypeScript. */
import { Trust } from "@agion/domain"
import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { applyScores, findScore, type ScoreEvent } from "../../src/trust/TrustSql.ts"
import { database } from "../events/Live.ts"

/** Points in steps of 0.1, of every size that a model or an operator may give. */
const Points = Schema.Int.check(Schema.isBetween({ minimum: -1000, maximum: 1000 }))
/** Which of three actors, and how many points in tenths. */
const Step = Schema.Tuple([Schema.Literals(["a", "b", "c"]), Points])

let runs = 0

layer(database({ _tag: "Memory" }), { timeout: "60 seconds", excludeTestServices: true })("scores", (it) => {
  it.effect.prop(
    "TRUST-4 a batch in one statement gives what clamping each event on its own gives, for every actor",
    [Schema.Array(Schema.Array(Step)).check(Schema.isMaxLength(4))],
    ([batches]) =>
      Effect.gen(function* () {
        runs += 1
        const organizationId = `run-${runs}`
        const book = new Map<string, number>()
        for (const [n, batch] of batches.entries()) {
          const events = batch.map(
            ([entityId, tenths], i): ScoreEvent => ({
              organizationId,
              entityType: "agent",
              entityId,
              eventId: `${n}-${i}`,
              eventType: "positive",
              impact: tenths / 10,
              outcome: tenths > 0 ? "success" : "failure",
              description: "",
              metadata: "{}",
              occurredAt: null
            })
          )
          const changes = yield* applyScores(events)
          const expected = events.map(({ entityId, eventId, impact }) => {
            const oldScore = book.get(entityId) ?? Trust.initialScore
            const newScore = Trust.apply(oldScore, impact)
            book.set(entityId, newScore)
            return { eventId, oldScore, newScore }
          })
          assert.deepStrictEqual(
            changes.map(({ eventId, oldScore, newScore }) => ({ eventId, oldScore, newScore })),
            expected
          )
        }
        for (const [entityId, score] of book) {
          const stored = yield* findScore({ organizationId, entityType: "agent", entityId })
          assert.strictEqual(stored?.score, score)
        }
        const sql = yield* SqlClient.SqlClient
        const [lines] = yield* sql<{ n: number }>`
          SELECT count(*) AS n FROM trust_history WHERE organization_id = ${organizationId}`
        assert.strictEqual(lines?.n, batches.flat().length)
      }),
    { arbitrary: { runs: 60 } }
  )
})
