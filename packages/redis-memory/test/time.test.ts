import { RedisMemory } from "@agion/redis-memory"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Redis } from "effect/persistence"
import { TestClock } from "effect/testing"

layer(RedisMemory.layer)("time in redis-memory is the clock of the program", (it) => {
  it.effect("keys expire, blocked reads give up and TIME moves with it", () =>
    Effect.gen(function* () {
      const redis = yield* Redis.Redis
      const [before] = yield* redis.send<[string, string]>("TIME")
      yield* redis.send("SET", "k", "v", "EX", "60")
      const reader = yield* Effect.forkChild(
        Effect.scoped(
          Effect.flatMap(redis.reserve, (each) => each.send("XREAD", "BLOCK", "30000", "STREAMS", "s", "$"))
        )
      )
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("58 seconds")
      assert.strictEqual(yield* Fiber.join(reader), null)
      assert.strictEqual(yield* redis.send("TTL", "k"), 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* redis.send("GET", "k"), null)
      const [after] = yield* redis.send<[string, string]>("TIME")
      assert.strictEqual(Number(after) - Number(before), 60)
      assert.strictEqual(yield* redis.send("XADD", "s", "*", "a", "1"), `${Number(after) * 1000}-0`)
    })
  )

  it.effect("keys that expire and are never asked for again do not stay", () =>
    Effect.gen(function* () {
      const redis = yield* Redis.Redis
      for (let i = 0; i < 100; i++) yield* redis.send("SET", `short:${i}`, "v", "PX", "10")
      yield* TestClock.adjust("11 millis")
      for (let i = 0; i < 60; i++) yield* redis.send("SET", "other", "v")
      const { length } = (yield* redis.send("KEYS", "*")) as Array<string>
      assert.strictEqual(yield* redis.send("DBSIZE"), length)
      assert.isBelow(length, 10)
    })
  )

  it.effect("whoever waited first is served first, and an interrupted reader takes nothing", () =>
    Effect.gen(function* () {
      const redis = yield* Redis.Redis
      yield* redis.send("XGROUP", "CREATE", "g", "g", "$", "MKSTREAM")
      const read = (name: string) =>
        Effect.forkChild(
          Effect.scoped(
            Effect.flatMap(redis.reserve, (each) =>
              each.send<ReadonlyArray<[string, ReadonlyArray<[string, unknown]>]>>(
                ...(["XREADGROUP", "GROUP", "g", name] as const),
                ...["COUNT", "1", "BLOCK", "0", "STREAMS", "g", ">"]
              )
            )
          ),
          { startImmediately: true }
        )
      const [gone, first, second] = [yield* read("gone"), yield* read("first"), yield* read("second")]
      yield* TestClock.adjust(1)
      yield* Fiber.interrupt(gone)
      yield* redis.send("XADD", "g", "1-1", "n", "1")
      yield* redis.send("XADD", "g", "1-2", "n", "2")
      assert.deepStrictEqual((yield* Fiber.join(first))[0]?.[1][0]?.[0], "1-1")
      assert.deepStrictEqual((yield* Fiber.join(second))[0]?.[1][0]?.[0], "1-2")
      assert.deepStrictEqual(yield* redis.send("XPENDING", "g", "g"), [
        2,
        "1-1",
        "1-2",
        [
          ["first", "1"],
          ["second", "1"]
        ]
      ])
    })
  )
})
