import { GuardedAppend, Redis } from "@agion/redis"
import { RedisServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Redis as EffectRedis } from "effect/persistence"
import { consumeAll, countArrived } from "./guardedAppend.ts"

describe.skipIf(!RedisServer.isThere())("behind a network that loses replies", () => {
  it.live("EVENT-5 a guarded append loses nothing and repeats nothing", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* countArrived(150, true), { arrived: 150, duplicates: 0 })
    })
  )

  it.live(
    "a reader gets every entry, also those whose reply was lost, and none twice while it holds it",
    () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(
          yield* consumeAll(60),
          Array.from({ length: 60 }, (_, i) => String(i))
        )
      })
  )

  it.live("a plain append that is retried repeats events, so the proxy does its work", () =>
    Effect.gen(function* () {
      const { arrived, duplicates } = yield* countArrived(40, false)
      assert.strictEqual(arrived, 40)
      assert.isAbove(duplicates, 0)
    })
  )
})

describe.skipIf(!RedisServer.isThere())("what a server says of itself within a script", () => {
  /** Runs the script as if every append was answered so. */
  const answered = (error: string) =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const url = `redis://127.0.0.1:${server.port}`
      const stub = `local function append() return { err = ${JSON.stringify(error)} } end`
      const lua = GuardedAppend.script.lua.replace("redis.pcall", "append")
      return yield* Effect.gen(function* () {
        const redis = yield* EffectRedis.Redis
        return yield* redis.send("EVAL", `${stub}\n${lua}`, "2", "guard", "stream", "1000", "2", "n", "1")
      }).pipe(Effect.provide(Redis.layer({ url })))
    }).pipe(Effect.scoped)

  const readonly = "READONLY You can't write against a read only replica."
  const full = "OOM command not allowed when used memory > 'maxmemory'."
  /** As versions before 7 say it. */
  const of6 = (error: string) => `@user_script: 10: -${error}\r\n`

  it.live("EVENT-3 a replica is the connection's fault, in the words of any version", () =>
    Effect.gen(function* () {
      for (const error of [readonly, of6(readonly)]) {
        const failure = yield* Effect.flip(answered(error))
        assert.match(String(Object(failure.cause).message), /^READONLY You can't write/)
      }
    })
  )

  it.live("EVENT-3 what passes begins with its name, in the words of any version", () =>
    Effect.gen(function* () {
      for (const error of [full, of6(full)]) assert.deepStrictEqual(yield* answered(error), [["-", full]])
    })
  )
})
