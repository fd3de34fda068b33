import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { RedisClient } from "@agion/redis"
import { RedisMemory } from "@agion/redis-memory"
import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Redis } from "effect/persistence"

const directory = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "agion-persist-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** Starts on the file, runs, stops. */
const session = <A, E>(file: string, body: Effect.Effect<A, E, Redis.Redis | RedisClient>) =>
  Effect.provide(body, RedisMemory.layerServer({ persist: file }))

const send = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.flatMap(Redis.Redis, (redis) => redis.send(command, ...args))

const everything = Effect.gen(function* () {
  const client = yield* RedisClient
  const replies = yield* client.pipeline([
    ["GET", "text"],
    ["GET", "short"],
    ["PTTL", "long"],
    ["HGETALL", "hash"],
    ["ZRANGE", "zset", "0", "-1", "WITHSCORES"],
    ["LRANGE", "list", "0", "-1"],
    ["XRANGE", "stream", "-", "+"],
    ["XPENDING", "stream", "g"],
    ["XINFO", "GROUPS", "stream"],
    ["GET", "script"],
    ["MGET", "multi:1", "multi:2"]
  ])
  return replies.map((reply) => (reply._tag === "Success" ? reply.success : String(reply.failure.cause)))
})

const writes = Effect.gen(function* () {
  const redis = yield* Redis.Redis
  const client = yield* RedisClient
  yield* send("SET", "text", "é☃\u0000\r\n")
  yield* send("SET", "short", "v", "PX", "1")
  yield* send("SET", "long", "v", "EX", "100000")
  yield* send("HSET", "hash", "a", "1", "b", "2")
  yield* send("ZADD", "zset", "1.5", "m")
  yield* send("RPUSH", "list", "1", "2")
  for (let i = 0; i < 3; i++) yield* send("XADD", "stream", "*", "i", String(i))
  yield* send("XGROUP", "CREATE", "stream", "g", "0")
  const connection = yield* redis.reserve
  yield* connection.send(
    "XREADGROUP",
    "GROUP",
    "g",
    "c",
    "COUNT",
    "2",
    "BLOCK",
    "1000",
    "STREAMS",
    "stream",
    ">"
  )
  const [[first]] = (yield* send("XRANGE", "stream", "-", "+", "COUNT", "1")) as [[string]]
  yield* send("XACK", "stream", "g", first)
  yield* send(
    "EVAL",
    "redis.call('SET', KEYS[1], 'a') redis.call('APPEND', KEYS[1], 'b') return 1",
    "1",
    "script"
  )
  yield* client.transaction([
    ["SET", "multi:1", "1"],
    ["SET", "multi:2", "2"]
  ])
}).pipe(Effect.scoped)

it.live("what was written is there after a restart, with ids, groups and expiry", () =>
  Effect.gen(function* () {
    const file = Path.join(yield* directory, "deep", "redis.log")
    yield* session(file, writes)
    const [text, short, ttl, ...rest] = yield* session(file, everything)
    assert.strictEqual(text, "é☃\u0000\r\n")
    assert.strictEqual(short, null)
    assert.isTrue(typeof ttl === "number" && ttl > 90_000_000)
    const again = yield* session(file, everything)
    assert.deepStrictEqual(again.slice(3), rest)
    assert.deepStrictEqual(again.slice(-2), ["ab", ["1", "2"]])
    assert.lengthOf(again[6] as Array<unknown>, 3)
    assert.deepInclude(again[7] as Array<unknown>, 1)
  })
)

it.live("a file that is mostly history is made small again, and says the same", () =>
  Effect.gen(function* () {
    const file = Path.join(yield* directory, "redis.log")
    const history = Effect.gen(function* () {
      yield* writes
      const bulk = "x".repeat(100_000)
      for (let i = 0; i < 60; i++) yield* send("SET", "bulk", bulk)
      yield* send("XDEL", "stream", (yield* send("XADD", "stream", "*", "i", "gone")) as string)
    })
    yield* session(file, history)
    assert.isAbove(Fs.statSync(file).size, 5_000_000)
    const before = yield* session(file, everything)
    assert.isBelow(Fs.statSync(file).size, 200_000)
    const after = yield* session(file, everything)
    assert.deepStrictEqual(after.toSpliced(2, 1), before.toSpliced(2, 1))
  })
)

it.live("a file that ends anywhere in its last write loses that write alone, and goes on", () =>
  Effect.gen(function* () {
    const file = Path.join(yield* directory, "redis.log")
    yield* session(file, Effect.andThen(send("SET", "a", "1"), send("SET", "b", "1")))
    const whole = Fs.readFileSync(file)
    yield* session(file, send("EVAL", "redis.call('SET', 'a', 2) redis.call('SET', 'b', 2)", "0"))
    const longer = Fs.readFileSync(file)
    for (let end = whole.length; end < longer.length; end += 3) {
      Fs.writeFileSync(file, longer.subarray(0, end))
      assert.deepStrictEqual(yield* session(file, send("MGET", "a", "b")), ["1", "1"])
      assert.strictEqual(Fs.statSync(file).size, whole.length)
    }
    yield* session(file, send("SET", "a", "3"))
    assert.deepStrictEqual(yield* session(file, send("MGET", "a", "b")), ["3", "1"])
  })
)

it.effect.prop(
  "no damage to the file keeps it from starting with a prefix of what was written",
  [
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9999 })),
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7 }))
  ],
  ([place, bit]) =>
    Effect.gen(function* () {
      const file = Path.join(yield* directory, "redis.log")
      yield* session(
        file,
        Effect.forEach([1, 2, 3, 4], (n) => send("RPUSH", "list", String(n)))
      )
      const bytes = Fs.readFileSync(file)
      const at = place % bytes.length
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
      Fs.writeFileSync(file, bytes)
      const list = (yield* session(file, send("LRANGE", "list", "0", "-1"))) as Array<string>
      assert.deepStrictEqual(list, ["1", "2", "3", "4"].slice(0, list.length))
      assert.isBelow(list.length, 4)
    }).pipe(Effect.scoped),
  { arbitrary: { runs: 15 } }
)
