import { spawnSync } from "node:child_process"
import { type AddressInfo, connect, createServer, type Server } from "node:net"
import { type PubSubEvent, Redis, RedisClient, RedisPubSub, RedisStream } from "@agion/redis"
import { FaultProxy, RedisServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Queue, Schedule, Stream } from "effect"
import { Redis as EffectRedis } from "effect/persistence"

/** Long enough that a busy machine is not taken for a dead link. */
const patient = { commandTimeout: "5 seconds", connectTimeout: "5 seconds", heartbeat: "200 millis" } as const
const quick = { ...patient, commandTimeout: "500 millis" } as const

const build = (port: number, options: Omit<Redis.RedisOptions, "url"> = patient) =>
  Layer.build(Redis.layer({ url: `redis://127.0.0.1:${port}`, ...options }))

/** The next event of that kind, whatever comes before. */
const next = (queue: Queue.Dequeue<PubSubEvent>, tag: PubSubEvent["_tag"]) =>
  Queue.take(queue).pipe(Effect.repeat({ until: (event) => event._tag === tag }))

const until = (status: "connected" | "disconnected") =>
  Effect.flatMap(RedisClient, (client) =>
    client.statusChanges.pipe(
      Stream.filter((each) => each === status),
      Stream.take(1),
      Stream.runDrain
    )
  )

it("importing the package does not load ioredis", () => {
  const code = `import("@agion/redis").then(() => process.stdout.write(String(Object.keys(require("node:module")._cache).some((path) => path.includes("ioredis")))))`
  const run = spawnSync(process.execPath, ["--conditions=@agion/source", "-e", code], { encoding: "utf8" })
  assert.strictEqual(run.stdout, "false", run.stderr)
})

it.live("builds with Redis away, refuses at once, and says that nothing was sent", () =>
  Effect.gen(function* () {
    const services = yield* build(1)
    yield* Effect.gen(function* () {
      const redis = yield* EffectRedis.Redis
      const client = yield* RedisClient
      assert.strictEqual(yield* client.status, "disconnected")
      assert.strictEqual(RedisClient.outcome(yield* Effect.flip(redis.send("PING"))), "unsent")
      const [reply] = yield* client.pipeline([["PING"]])
      assert.strictEqual(reply?._tag, "Failure")
      const queue = yield* (yield* RedisPubSub).subscribe({ channels: ["a"] })
      assert.deepStrictEqual(yield* Queue.take(queue), { _tag: "Lost" })
    }).pipe(Effect.provideContext(services))
  })
)

describe.skipIf(!RedisServer.isThere())("on a real server", () => {
  it.live("comes back by itself when Redis does, with what was subscribed", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      yield* server.kill
      const services = yield* build(server.port)
      yield* Effect.gen(function* () {
        const pubsub = yield* RedisPubSub
        const queue = yield* pubsub.subscribe({ channels: ["a"] })
        assert.deepStrictEqual(yield* Queue.take(queue), { _tag: "Lost" })
        yield* server.restart()
        assert.deepStrictEqual(yield* Queue.take(queue), { _tag: "Gap", reason: "reconnected" })
        yield* until("connected")
        yield* pubsub.publish("a", "1")
        assert.propertyVal(yield* Queue.take(queue), "message", "1")
      }).pipe(Effect.provideContext(services))
    })
  )

  it.live("FRESH-3 notices a half-open link, answers in time, and recovers", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const proxy = yield* FaultProxy.make({ port: server.port })
      const services = yield* build(proxy.port, quick)
      yield* Effect.gen(function* () {
        const redis = yield* EffectRedis.Redis
        const queue = yield* (yield* RedisPubSub).subscribe({ patterns: ["a*"] })
        yield* proxy.apply({ _tag: "BlackHole" })
        assert.strictEqual(RedisClient.outcome(yield* Effect.flip(redis.send("SET", "k", "v"))), "unknown")
        yield* next(queue, "Lost")
        yield* until("disconnected")
        yield* proxy.apply({ _tag: "None" })
        yield* proxy.cut
        yield* next(queue, "Gap")
        yield* until("connected")
        yield* Effect.retry(redis.send("PUBLISH", "ab", "again"), {
          schedule: Schedule.spaced("20 millis"),
          times: 250
        })
        assert.propertyVal(yield* next(queue, "Message"), "message", "again")
      }).pipe(Effect.provideContext(services))
    })
  )

  it.live("EVENT-3 connects anew where a failover left it with a server that takes no writes any more", () =>
    Effect.gen(function* () {
      const before = yield* RedisServer.make()
      const after = yield* RedisServer.make()
      // An address that leads to whichever is the master: what is connected stays where it is.
      let master = before.port
      const address = yield* Effect.acquireRelease(
        Effect.callback<Server>((resume) => {
          const server = createServer((socket) => {
            const other = connect(master, "127.0.0.1")
            for (const one of [socket, other]) one.on("error", () => {})
            socket.pipe(other).pipe(socket)
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const { port } = address.address() as AddressInfo
      const services = yield* build(port)
      const operator = yield* build(before.port)
      yield* Effect.gen(function* () {
        const streams = yield* RedisStream
        const redis = yield* EffectRedis.Redis
        const event = (eventId: string) =>
          streams.appendGuarded([{ stream: "s", eventId, fields: { n: "1" } }])
        const taken = (eventId: string) =>
          event(eventId).pipe(
            Effect.repeat({
              until: (answers) => answers[0]?._tag === "Appended",
              schedule: Schedule.spaced("20 millis")
            }),
            Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 250 }),
            Effect.timeout("10 seconds")
          )
        yield* taken("1")
        master = after.port
        yield* Effect.provideContext(
          Effect.flatMap(EffectRedis.Redis, (one) => one.send("REPLICAOF", "127.0.0.1", String(master))),
          operator
        )
        yield* taken("2")
        assert.strictEqual(yield* redis.send("SET", "k", "v"), "OK")
      }).pipe(Effect.provideContext(services))
    })
  )

  it.live("a stalled server makes a command's outcome unknown, never refused", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const services = yield* build(server.port, quick)
      yield* server.pause
      const failure = yield* Effect.provideContext(
        Effect.flatMap(EffectRedis.Redis, (redis) => Effect.flip(redis.send("INCR", "n"))),
        services
      )
      assert.strictEqual(RedisClient.outcome(failure), "unknown")
      yield* server.resume
    })
  )

  it.live("EVENT-6 a consumer goes on after Redis came back without its data", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const services = yield* build(server.port)
      yield* Effect.gen(function* () {
        const streams = yield* RedisStream
        const seen = yield* Queue.unbounded<string>()
        yield* streams.consume({ streams: ["s"], group: "g", consumer: "c", block: "100 millis" }).pipe(
          Stream.runForEach((entry) => Queue.offer(seen, RedisStream.decodeFields(entry.fields)["n"] ?? "")),
          Effect.forkScoped
        )
        yield* streams.append("s", { n: "1" })
        assert.strictEqual(yield* Queue.take(seen), "1")
        yield* server.restart({ withoutData: true })
        yield* until("connected")
        yield* Effect.retry(streams.appendGuarded([{ stream: "s", eventId: "2", fields: { n: "2" } }]), {
          times: 100
        })
        assert.strictEqual(yield* Queue.take(seen), "2")
      }).pipe(Effect.provideContext(services))
    })
  )

  it.live("reads its address from REDIS_URL", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const provider = ConfigProvider.fromUnknown({ REDIS_URL: server.url })
      const services = yield* Layer.build(Redis.layerConfig).pipe(
        Effect.provideService(ConfigProvider.ConfigProvider, provider)
      )
      const redis = yield* Effect.provideContext(EffectRedis.Redis, services)
      assert.strictEqual(yield* redis.send("PING"), "PONG")
    })
  )
})
