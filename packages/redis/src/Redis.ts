/**
 * Redis over ioredis: the service `Redis` of `effect/persistence`, and beside it
 * `RedisClient`, `RedisPubSub` and `RedisStream`, on connections that notice
 * when they are dead.
 *
 * ```ts
 * const live = Redis.layer({ url: "redis://127.0.0.1:6379" })
 * ```
 *
 * The layer builds whether Redis is there or not. While it is away, commands
 * fail at once with `RedisError`; the connection is tried again for ever, with
 * growing, jittered pauses. Nothing is queued and nothing is sent twice behind
 * the caller's back: whoever retries knows what a repetition means.
 *
 * **Gotchas**: a time-out says nothing about whether a command was executed
 * (`RedisClient.outcome`). Blocking commands belong on `Redis.reserve`.
 * ioredis is imported when a layer is built, not with this module.
 */
import { Config, Context, Effect, Exit, Layer, Queue, Scope } from "effect"
import { Redis as EffectRedis } from "effect/persistence"
import * as Connection from "./internal/Connection.ts"
import { makeLink } from "./internal/SubscriberLink.ts"
import { RedisClient } from "./RedisClient.ts"
import { RedisPubSub } from "./RedisPubSub.ts"
import { RedisStream } from "./RedisStream.ts"

/** Everything that a layer for Redis provides, here and in memory. */
export type Services = EffectRedis.Redis | RedisClient | RedisPubSub | RedisStream

/** How to reach Redis and how long to wait for it. */
export interface RedisOptions extends Connection.ConnectionOptions {
  /** How many connections `Redis.reserve` hands out at a time. Default: 32. */
  readonly maxConnections?: number
}

const make = Effect.fnUntraced(function* (options: RedisOptions) {
  const settings = Connection.settings(options)
  const module = yield* Effect.promise(() => import("ioredis"))
  const main = yield* Connection.openLasting(module, settings)
  const pubsub = yield* RedisPubSub.make(yield* makeLink(module, settings, main))
  const redis = withLiveReservations(
    yield* EffectRedis.make({
      send: main.send,
      connect: Connection.openSingle(module, settings),
      subscribe: (channel, onMessage) => listen(pubsub, channel, onMessage),
      pool: { maxConnections: options.maxConnections ?? 32 }
    })
  )
  const client = RedisClient.make(main)
  const stream = yield* RedisStream.make(redis, client)
  return Context.make(EffectRedis.Redis, redis).pipe(
    Context.add(RedisClient, client),
    Context.add(RedisPubSub, pubsub),
    Context.add(RedisStream, stream)
  )
})

/** effect's plain subscription knows no gaps: it hears what comes, over the shared connection. */
const listen = Effect.fnUntraced(function* (
  pubsub: RedisPubSub["Service"],
  channel: string,
  onMessage: (message: EffectRedis.RedisMessage) => void
): Effect.fn.Return<Effect.Effect<never>, never, Scope.Scope> {
  const queue = yield* pubsub.subscribe({ channels: [channel] })
  return Effect.forever(
    Effect.map(Queue.take(queue), (event) => {
      if (event._tag === "Message") onMessage({ channel: event.channel, message: event.message })
    })
  )
})

/**
 * The same service with `reserve` asking each connection whether it lives before
 * it hands it out: one that died while it lay idle is dropped, not given away.
 */
export const withLiveReservations = (redis: EffectRedis.Redis["Service"]): EffectRedis.Redis["Service"] => ({
  ...redis,
  reserve: Effect.gen(function* () {
    while (true) {
      const scope = yield* Effect.acquireRelease(Scope.make(), Scope.close)
      const connection = yield* Scope.provide(redis.reserve, scope)
      const answer = yield* Effect.result(connection.send("PING"))
      if (answer._tag === "Success") return connection
      yield* Scope.close(scope, Exit.void)
    }
  })
})

/** Redis at `url`. Never fails because Redis is away; see the module's manual. */
export const layer = (options: RedisOptions): Layer.Layer<Services> => Layer.effectContext(make(options))

/** Redis at the address in `REDIS_URL`, such as `redis://user:password@host:6379/0`. */
export const layerConfig: Layer.Layer<Services, Config.ConfigError> = Layer.unwrap(
  Effect.map(Config.Redacted("REDIS_URL"), (url) => layer({ url }))
)
