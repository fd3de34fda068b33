/** Random sequences of commands on redis-memory and on Redis, compared reply by reply. */
import { Redis, RedisClient } from "@agion/redis"
import { RedisMemory } from "@agion/redis-memory"
import { RedisServer } from "@agion/testing"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { replies, Step, toCommand, usable } from "./randomCommands.ts"

/** Two contexts of the same services. */
class Real extends Context.Service<Real, Context.Context<Redis.Services>>()("test/Real") {}
class Memory extends Context.Service<Memory, Context.Context<Redis.Services>>()("test/Memory") {}

const real = Layer.unwrap(
  Effect.map(RedisServer.RedisServer, ({ url }) => Redis.layer({ url, commandTimeout: "5 seconds" }))
).pipe(Layer.provide(RedisServer.layer()))

const both = Layer.merge(
  Layer.effect(Real, Layer.build(real)),
  Layer.effect(Memory, Layer.build(RedisMemory.layer))
)

/** What Lua makes of two numbers; whole ones where C would have to guess. */
const numbersScript = `
local a, b = tonumber(ARGV[1]), tonumber(ARGV[2])
local exact = math.abs(a) < 9007199254740992 and math.abs(a) or 0
local whole = math.floor(exact % 1000000)
return {
  tostring(a), a .. '', tostring(a + b), tostring(a * b), tostring(a - b), tostring(b == 0 or a / b), tostring(exact % 7),
  tostring(math.floor(a)), tostring(math.ceil(b)), tostring(math.max(a, b)), tostring(-a), tostring(a == b),
  tostring(a < b), tostring(2 ^ 10), tostring(#ARGV[1] + 1), tostring(a * 1000),
  string.format('%.3f|%g|%.17g|%5.1f|%e', a, a, a, b, b), string.format('%d|%05d|%x|%5d|%-5d|', whole, whole, whole, whole, whole),
  table.concat({1, 2.5, a}, ','), cjson.encode({a, b, whole}), tostring(bit.band(whole, 255)), tostring(tonumber('0x10')),
  redis.call('SET', KEYS[1], a), redis.call('GET', KEYS[1]), whole, tostring(a >= b or nil), ('x'):rep(3), tostring(tonumber('abc'))
}`

const numbers = (a: number, b: number) =>
  Effect.gen(function* () {
    const client = yield* RedisClient
    const call = ["EVAL", numbersScript, "1", "n", String(a), String(b)] as const
    const [, reply] = yield* client.pipeline([["DISCARD"], call])
    return reply?._tag === "Success" ? reply.success : String(reply?.failure.cause)
  })

/** Runs as many random sequences on both and compares reply by reply. */
export const property = (sequences: number, length: number) =>
  layer(both, { excludeTestServices: true, timeout: "20 seconds" })("random commands", (it) => {
    it.effect.prop(
      "get the same replies from redis-memory as from Redis",
      [Schema.Array(Step).check(Schema.isMinLength(1), Schema.isMaxLength(length))],
      ([steps]) =>
        Effect.gen(function* () {
          const commands = usable(steps.map(toCommand))
          const ours = yield* Effect.provideContext(replies(commands), yield* Memory)
          const theirs = yield* Effect.provideContext(replies(commands), yield* Real)
          assert.deepStrictEqual(ours, theirs)
        }),
      { timeout: 280_000, arbitrary: { runs: sequences } }
    )

    it.effect.prop(
      "numbers in scripts come out as in Redis",
      [Schema.Finite, Schema.Union([Schema.Finite, Schema.Int])],
      ([a, b]) =>
        Effect.gen(function* () {
          const ours = yield* Effect.provideContext(numbers(a, b), yield* Memory)
          assert.isArray(ours)
          assert.deepStrictEqual(ours, yield* Effect.provideContext(numbers(a, b), yield* Real))
        }),
      { timeout: 280_000, arbitrary: { runs: sequences * 2 } }
    )
  })
