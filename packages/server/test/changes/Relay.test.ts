import type { EpochMessage } from "@agion/domain"
import { RedisMemory } from "@agion/redis-memory"
import { PgClient } from "@effect/sql-pg"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection } from "effect/sql"
import { TestClock } from "effect/testing"
import { Changes } from "../../src/changes/Changes.ts"
import { Names } from "../../src/changes/Governance.ts"
import { Relay } from "../../src/changes/Relay.ts"

const organizationId = "org-1"

/** A database that says of an organization where it stands, and takes its time to answer. */
const slowDatabase = Effect.gen(function* () {
  const nothing = Effect.succeed([])
  const stands = Effect.as(Effect.sleep("8 seconds"), [
    { id: organizationId, exists: true, epoch: 7, waits: false }
  ])
  const connection: SqlConnection.Connection = {
    execute: (statement) => (statement.includes("AS waits") ? stands : nothing),
    executeRaw: () => nothing,
    executeStream: () => Stream.die("nobody streams"),
    executeValues: () => nothing,
    executeValuesUnprepared: () => nothing,
    executeUnprepared: () => nothing
  }
  return yield* SqlClient.make({
    acquirer: Effect.succeed(connection),
    compiler: PgClient.makeCompiler(),
    driver: "postgres",
    spanAttributes: []
  })
})

const database = Layer.effect(SqlClient.SqlClient, slowDatabase).pipe(Layer.provide(Reactivity.layer))

const relay = Layer.unwrap(Effect.map(Names, (names) => Relay.layer({ names }))).pipe(
  Layer.provideMerge(Changes.layer()),
  Layer.provide([RedisMemory.layer, database])
)

it.effect("FRESH-2 a heartbeat confirms as of when the epoch was read, however long the answer takes", () =>
  Effect.gen(function* () {
    const changes = yield* Changes
    const heard: Array<EpochMessage> = []
    yield* changes.listen(({ message }) => heard.push(message))
    changes.touch(organizationId)
    yield* TestClock.adjust("30 seconds")
    const [first] = heard.filter(({ kind }) => kind === "heartbeat")
    assert.deepInclude(first, { epoch: 7, timestamp: new Date(1000).toISOString() })
  }).pipe(Effect.provide(relay))
)
