/** Events through a network that swallows replies after Redis has done the work. */
import { type GuardedAppend, Redis, RedisStream } from "@agion/redis"
import { FaultProxy, RedisServer } from "@agion/testing"
import { Effect, Layer, Schedule, Stream } from "effect"
import { Redis as EffectRedis } from "effect/persistence"

const events = (stream: string, count: number): ReadonlyArray<GuardedAppend.Guarded> =>
  Array.from({ length: count }, (_, i) => ({ stream, eventId: `e${i}`, fields: { n: String(i) } }))

/** The caller's own retry: again and again until an answer comes. */
const untilAnswered = { schedule: Schedule.spaced("5 millis"), times: 1000 } as const

const sendGuarded = (stream: string, count: number) =>
  Effect.gen(function* () {
    const service = yield* RedisStream
    const all = events(stream, count)
    for (let i = 0; i < all.length; i += 5) {
      yield* Effect.retry(service.appendGuarded(all.slice(i, i + 5)), untilAnswered)
    }
  })

const sendPlain = (stream: string, count: number) =>
  Effect.gen(function* () {
    const service = yield* RedisStream
    for (const event of events(stream, count)) {
      yield* Effect.retry(service.append(stream, event.fields), untilAnswered)
    }
  })

/** What is in the stream after all events were sent through the bad network: books of the test's own, read past the proxy. */
export const countArrived = Effect.fnUntraced(function* (count: number, guarded: boolean) {
  const server = yield* RedisServer.make()
  const proxy = yield* FaultProxy.make({ port: server.port })
  const options = { commandTimeout: "5 seconds", heartbeat: "200 millis" } as const
  const bad = yield* Layer.build(Redis.layer({ url: `redis://127.0.0.1:${proxy.port}`, ...options }))
  yield* proxy.apply({ _tag: "DropReplies", every: 7 })
  yield* Effect.provideContext(guarded ? sendGuarded("events", count) : sendPlain("events", count), bad)
  const good = yield* Layer.build(Redis.layer({ url: server.url }))
  const redis = yield* Effect.provideContext(EffectRedis.Redis, good)
  const stored = yield* redis.send<ReadonlyArray<[string, ReadonlyArray<string>]>>(
    "XRANGE",
    "events",
    "-",
    "+"
  )
  const names = stored.map(([, [, n]]) => n)
  return { arrived: new Set(names).size, duplicates: names.length - new Set(names).size }
})

/** Reads `count` entries in a group through the bad network, acking each; answers what the handler saw, in order. */
export const consumeAll = Effect.fnUntraced(function* (count: number) {
  const server = yield* RedisServer.make()
  const proxy = yield* FaultProxy.make({ port: server.port })
  const options = { commandTimeout: "5 seconds", heartbeat: "200 millis" } as const
  const good = yield* Layer.build(Redis.layer({ url: server.url }))
  yield* Effect.provideContext(sendGuarded("events", count), good)
  const bad = yield* Layer.build(Redis.layer({ url: `redis://127.0.0.1:${proxy.port}`, ...options }))
  yield* proxy.apply({ _tag: "DropReplies", every: 7 })
  return yield* Effect.provideContext(
    Effect.gen(function* () {
      const service = yield* RedisStream
      const read = service.consume({
        streams: ["events"],
        group: "g",
        consumer: "c",
        count: 10,
        block: "50 millis"
      })
      const entries = yield* read.pipe(
        Stream.tap((entry) => Effect.retry(service.ack("g", [entry]), untilAnswered)),
        Stream.take(count),
        Stream.runCollect
      )
      return entries.map((entry) => RedisStream.decodeFields(entry.fields)["n"])
    }),
    bad
  )
})
