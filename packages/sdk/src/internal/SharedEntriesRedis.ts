/** Reads the shared cache's entries from Redis. */
import { RedisClient } from "@agion/redis"
import { Effect, Result } from "effect"
import type { SharedReader } from "../SharedCache.ts"

const readerOf = (client: RedisClient["Service"]): SharedReader => ({
  read: (names) =>
    Effect.flatMap(client.pipeline(names.map((name) => ["GET", name])), (replies) =>
      Effect.forEach(replies, (reply) => {
        if (Result.isSuccess(reply))
          return Effect.succeed(typeof reply.success === "string" ? reply.success : null)
        // A name that holds something else than text is that name's fault, not Redis'.
        return RedisClient.outcome(reply.failure) === "refused"
          ? Effect.succeed(null)
          : Effect.fail(reply.failure)
      })
    )
})

/** Over the client of the layer below. */
export const make = Effect.map(RedisClient, readerOf)
