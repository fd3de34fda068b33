/** What agents write to Redis, applied: with everything in this process, and with real servers. */
import { Redis } from "@agion/redis"
import { RedisMemory } from "@agion/redis-memory"
import { PostgresServer, RedisServer } from "@agion/testing"
import { describe, layer } from "@effect/vitest"
import { Effect, Layer, References } from "effect"
import { consumers } from "../suites/consumers.ts"
import { live } from "./Live.ts"

const options = { timeout: "90 seconds", excludeTestServices: true } as const
const settings = { sweep: "100 millis" } as const
/** Every poison entry is an alert at ERROR. */
const quiet = Layer.succeed(References.MinimumLogLevel, "None")

layer(
  live({ _tag: "Memory" }, settings).pipe(Layer.provideMerge(RedisMemory.layer), Layer.provide(quiet)),
  options
)("consumers in one process", consumers)

const real = Layer.unwrap(
  Effect.gen(function* () {
    const postgres = yield* PostgresServer.make()
    const redis = yield* RedisServer.make()
    return live({ _tag: "Postgres", url: yield* postgres.database }, settings).pipe(
      Layer.provideMerge(Redis.layer({ url: redis.url }))
    )
  })
).pipe(Layer.provide(quiet))

describe.skipIf(!PostgresServer.isThere() || !RedisServer.isThere())("with real servers", () => {
  layer(real, options)("consumers on PostgreSQL and Redis", consumers)
})
