/** Random sequences of commands on redis-memory and on Redis, compared reply by reply. */
import { Redis } from "@agion/redis"
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
  })
