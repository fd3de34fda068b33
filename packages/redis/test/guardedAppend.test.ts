import { RedisServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
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
