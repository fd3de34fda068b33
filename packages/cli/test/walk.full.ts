import { PostgresServer, RedisServer } from "@agion/testing"
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { areThere, start } from "./DevProcess.ts"
import { walk } from "./walk.ts"

const there = areThere("python3") && PostgresServer.isThere() && RedisServer.isThere()

describe.runIf(there)("a client of another language", () => {
  it.live("walks the life of an agent through PostgreSQL and Redis (EVENT-6, TRUST-4)", () =>
    Effect.gen(function* () {
      const postgres = yield* PostgresServer.make()
      const redis = yield* RedisServer.make()
      const database = yield* postgres.database
      const platform = yield* Effect.acquireRelease(
        Effect.promise(() => start({ env: { DATABASE_URL: database, REDIS_URL: redis.url } })),
        (running) => Effect.promise(() => running.stop())
      )
      yield* Effect.promise(() => walk(platform))
    })
  )
})
