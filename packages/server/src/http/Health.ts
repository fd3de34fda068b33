/** `GET /health`: the process answers. `GET /ready`: it can decide; else 503 with which part is down. */
import { RedisClient } from "@agion/redis"
import { Clock, Effect } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { SqlClient } from "effect/sql"
import { statusWord } from "./ErrorText.ts"

/** Adds both routes, without the API's prefix. */
export const layer = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const sql = yield* SqlClient.SqlClient
    const redis = yield* RedisClient
    const clock = yield* Clock.Clock

    const database = sql`SELECT 1`.pipe(
      Effect.timeoutOption("2 seconds"),
      Effect.map((rows) => rows._tag === "Some"),
      Effect.catchCause(() => Effect.succeed(false))
    )

    yield* router.add("GET", "/health", HttpServerResponse.jsonUnsafe({ status: "ok" }))
    yield* router.add(
      "GET",
      "/ready",
      Effect.gen(function* () {
        const parts = {
          database: (yield* database) ? "up" : "down",
          redis: (yield* redis.status) === "connected" ? "up" : "down"
        }
        const down = Object.entries(parts).flatMap(([part, state]) => (state === "down" ? [part] : []))
        const timestamp = new Date(clock.currentTimeMillisUnsafe()).toISOString()
        if (down.length === 0) return HttpServerResponse.jsonUnsafe({ status: "ok", ...parts, timestamp })
        return HttpServerResponse.jsonUnsafe(
          {
            error: statusWord(503),
            message: `down: ${down.join(", ")}`,
            details: JSON.stringify(parts),
            timestamp,
            status: "unavailable",
            ...parts
          },
          { status: 503 }
        )
      })
    )
  })
)
