/**
 * The connection that listens, over ioredis: opened by the first subscriber,
 * kept alive by a heartbeat, replaced when it is lost.
 */
import { Deferred, Effect } from "effect"
import { Redis as EffectRedis } from "effect/persistence"
import type { Redis as IoRedis } from "ioredis"
import type { PubSubHandlers, PubSubLink } from "../RedisPubSub.ts"
import { destroy, heartbeat, type IoModule, type Lasting, makeClient, type Settings } from "./Connection.ts"

/** A link for `RedisPubSub.make`; what is published goes over the shared connection. */
export const makeLink = Effect.fnUntraced(function* (module: IoModule, from: Settings, main: Lasting) {
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => makeClient(module, from, { connectionName: `${from.clientName}-subscriber` })),
    (client) => Effect.sync(() => destroy(client))
  )
  const scope = yield* Effect.scope
  const connections = { count: 0, up: false }
  const call = (run: () => Promise<unknown>) =>
    Effect.tryPromise({ try: run, catch: (cause) => new EffectRedis.RedisError({ cause }) }).pipe(
      Effect.timeoutOrElse({
        duration: from.commandTimeout,
        orElse: () =>
          Effect.fail(new EffectRedis.RedisError({ cause: new Error("no answer from the subscriber link") }))
      }),
      Effect.asVoid
    )
  const link: PubSubLink = {
    open: (handlers) =>
      Effect.gen(function* () {
        const settled = yield* Deferred.make<void>()
        attach(client, connections, handlers, () => Deferred.doneUnsafe(settled, Effect.void))
        client.connect().catch(() => {})
        yield* Effect.forkIn(heartbeat(client, from), scope)
        yield* Effect.timeoutOption(Deferred.await(settled), from.connectTimeout)
      }),
    generation: () => (connections.up ? connections.count : 0),
    subscribe: (kind, names) =>
      call(() => (kind === "channel" ? client.subscribe(...names) : client.psubscribe(...names))),
    unsubscribe: (kind, names) =>
      call(() => (kind === "channel" ? client.unsubscribe(...names) : client.punsubscribe(...names))),
    reset: Effect.sync(() => client.stream?.destroy()),
    publish: (channel, message) => main.send<number>("PUBLISH", channel, message)
  }
  return link
})

const attach = (
  client: IoRedis,
  connections: { count: number; up: boolean },
  handlers: PubSubHandlers,
  settled: () => void
) => {
  client.on("message", (channel, message) => handlers.onMessage(channel, undefined, message))
  client.on("pmessage", (pattern, channel, message) => handlers.onMessage(channel, pattern, message))
  client.on("ready", () => {
    connections.count += 1
    connections.up = true
    settled()
    handlers.onUp()
  })
  client.on("close", () => {
    settled()
    if (!connections.up) return
    connections.up = false
    handlers.onDown()
  })
}
