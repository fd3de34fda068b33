import { PostgresServer, RedisServer } from "@agion/testing"
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { areThere, start } from "./DevProcess.ts"
import { walk } from "./walk.ts"

const platform = (options: Parameters<typeof start>[0]) =>
  Effect.acquireRelease(
    Effect.promise(() => start(options)),
    (running) => Effect.promise(() => running.stop())
  )

const hasPython = areThere("python3")
const hasServers = hasPython && PostgresServer.isThere() && RedisServer.isThere()

describe("a client of another language", () => {
  it.live.runIf(hasPython)("walks the life of an agent through everything embedded (EVENT-6, TRUST-4)", () =>
    Effect.flatMap(platform({}), (running) => Effect.promise(() => walk(running)))
  )

  it.live.runIf(hasServers)(
    "walks the life of an agent through PostgreSQL and Redis (EVENT-6, TRUST-4)",
    () =>
      Effect.gen(function* () {
        const postgres = yield* PostgresServer.make()
        const redis = yield* RedisServer.make()
        const database = yield* postgres.database
        const running = yield* platform({ env: { DATABASE_URL: database, REDIS_URL: redis.url } })
        yield* Effect.promise(() => walk(running))
      })
  )
})
