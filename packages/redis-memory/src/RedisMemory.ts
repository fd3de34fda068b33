/**
 * Redis without a server, for development and tests: the services of
 * `@agion/redis` over a store in this process, with a Lua machine for scripts,
 * and on request Redis' protocol on a loopback port, where programs in any
 * language meet.
 *
 * ```ts
 * const live = RedisMemory.layer
 * const shared = RedisMemory.layerServer({ port: 6390, persist: "data/redis.log" })
 * ```
 *
 * **Gotchas**: it knows the commands that agents, the platform and effect's own
 * stores use, and no others; one process, one database, no users, no limits on
 * memory. What it promises is that those commands answer as Redis 7 does. Each
 * build of a layer is a store of its own; time is the `Clock` of the build.
 */

import { Redis, RedisClient, RedisPubSub, RedisStream, type Status } from "@agion/redis"
import { Clock, Context, Effect, Layer, SubscriptionRef } from "effect"
import { Redis as EffectRedis } from "effect/persistence"
import { fromBytes, toBytes } from "./internal/Bytes.ts"
import { table } from "./internal/commands/table.ts"
import { makeLink, open } from "./internal/InProcess.ts"
import { openJournal } from "./internal/Journal.ts"
import { Machine } from "./internal/Machine.ts"
import { type RedisMemoryListenError, serve } from "./internal/Server.ts"
import { snapshot } from "./internal/Snapshot.ts"

export { RedisMemoryListenError } from "./internal/Server.ts"

/** Where to listen and what to keep. */
export interface ServerOptions {
  /** 0 takes a free one. Default: 0. */
  readonly port?: number
  /** A loopback address; there are no passwords. Default: `127.0.0.1`. */
  readonly host?: string
  /** A file to which writes are appended, and from which they are replayed at the start. Default: nothing is kept. */
  readonly persist?: string
}

/** The store in this process, as far as it is not Redis. */
export class RedisMemory extends Context.Service<
  RedisMemory,
  {
    /** Cuts every link once, as a failure of the network would: connections to the port, blocked reads, subscriptions. */
    readonly disconnect: Effect.Effect<void>
    /** Where the protocol is spoken; `undefined` when it is not. */
    readonly port: number | undefined
    /** The same as an address for clients. */
    readonly url: string | undefined
  }
>()("@agion/redis-memory/RedisMemory") {
  /** A store of its own in this process. */
  static readonly layer: Layer.Layer<Redis.Services | RedisMemory> = Layer.suspend(() =>
    Layer.orDie(Layer.effectContext(make(undefined)))
  )

  /** The same, and Redis' protocol on a port. */
  static layerServer(
    options: ServerOptions = {}
  ): Layer.Layer<Redis.Services | RedisMemory, RedisMemoryListenError> {
    return Layer.effectContext(make(options))
  }
}

const make = Effect.fnUntraced(function* (options: ServerOptions | undefined) {
  const clock = yield* Clock.Clock
  const { LuaScripts } = yield* Effect.promise(() => import("./internal/LuaScripts.ts"))
  const machine = new Machine({
    commands: table,
    scripts: new LuaScripts(),
    now: () => Math.floor(clock.currentTimeMillisUnsafe())
  })
  if (options?.persist !== undefined) {
    machine.journal = yield* openJournal(options.persist, {
      apply: (now, calls) => machine.replay(now, calls),
      snapshot: () => snapshot(machine.db),
      now: () => machine.now()
    })
  }
  const server = options === undefined ? undefined : yield* serve(machine, clock, options)
  return yield* services(machine, clock, server)
})

const services = Effect.fnUntraced(function* (
  machine: Machine,
  clock: Clock.Clock,
  server: { readonly port: number; readonly url: string; readonly disconnect: () => void } | undefined
) {
  const main = yield* Effect.acquireRelease(
    Effect.sync(() => open(machine, clock)),
    (local) => local.close
  )
  const link = yield* makeLink(machine, main)
  const pubsub = yield* RedisPubSub.make(link)
  const reserved = new Set<Effect.Effect<void>>()
  const redis = Redis.withLiveReservations(
    yield* EffectRedis.make({
      send: main.send,
      connect: Effect.sync(() => {
        const local = open(machine, clock)
        const close: Effect.Effect<void> = Effect.ensuring(
          local.close,
          Effect.sync(() => reserved.delete(close))
        )
        reserved.add(close)
        return { send: local.send, close }
      }),
      subscribe: (channel, onMessage) => hear(machine, channel, onMessage),
      pool: { maxConnections: 1024 }
    })
  )
  const status = yield* SubscriptionRef.make<Status>("connected")
  const client = RedisClient.make({
    pipeline: (commands) => Effect.sync(() => main.pipeline(commands)),
    status: Effect.succeed("connected"),
    statusChanges: SubscriptionRef.changes(status)
  })
  const memory = RedisMemory.of({
    port: server?.port,
    url: server?.url,
    disconnect: Effect.gen(function* () {
      server?.disconnect()
      link.cut()
      yield* Effect.forEach([...reserved], (close) => close, { discard: true })
    })
  })
  return Context.make(EffectRedis.Redis, redis).pipe(
    Context.add(RedisClient, client),
    Context.add(RedisPubSub, pubsub),
    Context.add(RedisStream, yield* RedisStream.make(redis, client)),
    Context.add(RedisMemory, memory)
  )
})

/** effect's plain subscription, on a session of its own. */
const hear = (machine: Machine, channel: string, onMessage: (message: EffectRedis.RedisMessage) => void) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const session = machine.open(([kind, from, message]) => {
        if (kind !== "message" || typeof from !== "string" || typeof message !== "string") return
        onMessage({ channel: fromBytes(from), message: fromBytes(message) })
      })
      machine.execute(session, ["SUBSCRIBE", toBytes(channel)], false)
      return session
    }),
    (session) => Effect.sync(() => machine.close(session))
  ).pipe(Effect.as(Effect.never))
