/** The part of the platform that reads what agents tell, over a database and a Redis of the test's choice. */
import { RedisStream } from "@agion/redis"
import { Template } from "@agion/testing"
import { Effect, Layer } from "effect"
import { Redis } from "effect/persistence"
import { Changes } from "../../src/changes/Changes.ts"
import { Names } from "../../src/changes/Governance.ts"
import { Relay } from "../../src/changes/Relay.ts"
import { Consumers, type ConsumersOptions } from "../../src/events/Consumers.ts"
import { Ingest } from "../../src/events/Ingest.ts"
import { Feedback } from "../../src/feedback/Feedback.ts"
import { Secrets } from "../../src/keys/Secrets.ts"
import { Signing } from "../../src/keys/Signing.ts"
import { Missions } from "../../src/missions/Missions.ts"
import { Tenancy } from "../../src/organizations/Tenancy.ts"
import { Permissions } from "../../src/permissions/Permissions.ts"
import { Agents } from "../../src/registry/Agents.ts"
import { Database, type DatabaseOptions } from "../../src/sql/Database.ts"
import { migrate } from "../../src/sql/Migrations.ts"
import { TrustScores } from "../../src/trust/TrustScores.ts"

/** A migrated database; one in memory starts from a template, which takes a fraction of the time. */
export const database = (options: DatabaseOptions) =>
  Layer.provideMerge(
    Layer.effectDiscard(migrate),
    Layer.unwrap(
      Effect.map(options._tag === "Memory" ? Template.memory : Effect.succeed(options), (given) =>
        Database.layer(given)
      )
    )
  )

/** Everything below the consumers. */
export const services = (options: DatabaseOptions) =>
  Ingest.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(Feedback.layer, Missions.layer(), Agents.layer)),
    Layer.provideMerge(TrustScores.layer),
    Layer.provideMerge(Layer.mergeAll(Permissions.layer(), Signing.layer)),
    Layer.provideMerge(Layer.mergeAll(Tenancy.layer(), Secrets.layer())),
    Layer.provideMerge(Changes.layer()),
    Layer.provideMerge(database(options))
  )

/** The consumers and the relay with everything below; Redis comes from outside. */
export const live = (options: DatabaseOptions, consumers?: ConsumersOptions) =>
  Layer.unwrap(
    Effect.map(Names, (names) => Layer.mergeAll(Consumers.layer(consumers), Relay.layer({ names })))
  ).pipe(Layer.provideMerge(services(options)))

/** Waits until a condition holds; fails after the bound. For tests with real processes. */
export const eventually = <A, E, R>(
  what: string,
  read: Effect.Effect<A, E, R>,
  holds: (value: A) => boolean,
  seconds = 15
): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const until = performance.now() + seconds * 1000
    for (;;) {
      const value = yield* read
      if (holds(value)) return value
      if (performance.now() > until)
        return yield* Effect.die(new Error(`${what} did not happen; last seen: ${JSON.stringify(value)}`))
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
    }
  })

/** The fields of a stream's entries. */
export const entriesOf = (stream: string) =>
  Effect.gen(function* () {
    const redis = yield* Redis.Redis
    const reply = yield* redis.send<ReadonlyArray<readonly [string, ReadonlyArray<string>]>>(
      "XRANGE",
      stream,
      "-",
      "+"
    )
    return reply.map(([, fields]) => RedisStream.decodeFields(fields))
  })
