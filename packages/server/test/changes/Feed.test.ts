import { PgClient } from "@effect/sql-pg"
import { assert, it } from "@effect/vitest"
import { Context, type Duration, Effect, Fiber, identity, Layer, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection } from "effect/sql"
import { TestClock } from "effect/testing"
import { Changes } from "../../src/changes/Changes.ts"
import { Feed } from "../../src/changes/Feed.ts"
import { Database } from "../../src/sql/Database.ts"

/** An outbox without news, a round trip away. */
const quietDatabase = (roundTrip: Duration.Input) => {
  const answer = Effect.as(Effect.sleep(roundTrip), [])
  const horizon = Effect.as(Effect.sleep(roundTrip), [{ horizon: "7", id: null }])
  const connection: SqlConnection.Connection = {
    execute: (statement) => (statement.includes("pg_snapshot_xmin") ? horizon : answer),
    executeRaw: () => answer,
    executeStream: () => Stream.die("nobody streams"),
    executeValues: () => answer,
    executeValuesUnprepared: () => answer,
    executeUnprepared: () => answer
  }
  const client = SqlClient.make({
    acquirer: Effect.succeed(connection),
    compiler: PgClient.makeCompiler(),
    driver: "postgres",
    spanAttributes: []
  })
  return Layer.mergeAll(
    Layer.effect(SqlClient.SqlClient, client).pipe(Layer.provide(Reactivity.layer)),
    Layer.succeed(Database, { driver: "postgres", dump: undefined, patiently: identity })
  )
}

const feedAt = (roundTrip: Duration.Input) => {
  const database = quietDatabase(roundTrip)
  const feed = Feed.layer().pipe(Layer.provideMerge(Changes.layer()), Layer.provide(database))
  return Effect.gen(function* () {
    const building = yield* Effect.forkScoped(Layer.build(feed))
    yield* TestClock.adjust("10 seconds")
    return Context.get(yield* Fiber.join(building), Feed)
  })
}

/** How much of ten seconds a replica decides, in steps of 20 ms. */
const decides = Effect.fnUntraced(function* (feed: Feed["Service"]) {
  const seen: Array<boolean> = []
  for (let step = 0; step < 500; step++) {
    yield* TestClock.adjust("20 millis")
    seen.push(feed.isFresh())
  }
  return seen
})

it.effect("FRESH-1 a replica goes on deciding while a round trip to its database takes 0.4 seconds", () =>
  Effect.gen(function* () {
    const feed = yield* feedAt("400 millis")
    assert.notInclude(yield* decides(feed), false)
  })
)

it.effect("FRESH-1 and refuses for as long as no reading of the last second has come back", () =>
  Effect.gen(function* () {
    assert.notInclude(yield* decides(yield* feedAt("1.5 seconds")), true)
    assert.notInclude(yield* decides(yield* feedAt("3 seconds")), true)
  })
)
