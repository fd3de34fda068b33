/** What a batch does when something in it, or below it, goes wrong. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, References, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Ingest } from "../../src/events/Ingest.ts"
import { Missions } from "../../src/missions/Missions.ts"
import { services } from "./Live.ts"

class Stopped extends Schema.TaggedError<Stopped>()("Stopped", {}) {
  override get message() {
    return "not allowed to write any more"
  }
}

/** A defect for one mission. */
const faulty = Layer.effect(
  Missions,
  Effect.map(Missions, (missions) =>
    Missions.of({
      ...missions,
      follow: (events) =>
        events.some(({ event }) => event.value.missionId === "cursed")
          ? Effect.die(new Error("a defect"))
          : missions.follow(events)
    })
  )
)

const live = Layer.fresh(Ingest.layer).pipe(
  Layer.provide(faulty),
  Layer.provideMerge(services({ _tag: "Memory" })),
  Layer.provide(Layer.succeed(References.MinimumLogLevel, "None"))
)

const joined = (mission: string, n: number) => ({
  raw: {
    kind: "missions" as const,
    stream: "agion:events:missions",
    entryId: `1700000000000-${n}`,
    fields: { mission_id: mission, event_type: "joined", participant_id: "a", event_id: `${mission}-${n}` }
  },
  bearer: null
})

layer(live, { timeout: "90 seconds" })("a batch", (it) => {
  it.effect("EVENT-6 an entry that brings out a defect is refused alone and set aside", () =>
    Effect.gen(function* () {
      const ingest = yield* Ingest
      const sql = yield* SqlClient.SqlClient
      const batch = [joined("m1", 1), joined("m2", 2), joined("cursed", 3), joined("m3", 4)]
      const verdicts = yield* ingest.apply(batch, { deadLetters: true })
      assert.deepStrictEqual(
        verdicts.map(({ _tag }) => _tag),
        ["Accepted", "Accepted", "Refused", "Accepted"]
      )
      const missions = yield* sql<{ id: string }>`SELECT id FROM missions ORDER BY id`
      assert.deepStrictEqual(
        missions.map(({ id }) => id),
        ["m1", "m2", "m3"]
      )
      const again = yield* ingest.apply(batch, { deadLetters: true })
      assert.deepStrictEqual(
        again.map(({ _tag }) => _tag),
        ["Duplicate", "Duplicate", "Refused", "Duplicate"]
      )
      const [letters] = yield* sql<{ n: number }>`
        SELECT count(*) AS n FROM outbox WHERE name = 'agion:events:dead-letter'`
      assert.strictEqual(letters?.n, 1)
    })
  )

  it.effect("a process that may not write any more writes nothing", () =>
    Effect.gen(function* () {
      const ingest = yield* Ingest
      const sql = yield* SqlClient.SqlClient
      const guard = Effect.fail(new Stopped())
      const refused = yield* Effect.flip(ingest.apply([joined("late", 9)], { guard, deadLetters: true }))
      assert.strictEqual(refused._tag, "Stopped")
      assert.deepStrictEqual(yield* sql`SELECT 1 FROM missions WHERE id = 'late'`, [])
      assert.deepStrictEqual(yield* sql`SELECT 1 FROM processed_events WHERE event_id = 'late-9'`, [])
    })
  )
})
