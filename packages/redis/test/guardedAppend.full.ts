import { RedisServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { countArrived } from "./guardedAppend.ts"

describe.skipIf(!RedisServer.isThere())("behind a network that loses replies, for long", () => {
  it.live("EVENT-5 a guarded append loses nothing and repeats nothing", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* countArrived(10_000, true), { arrived: 10_000, duplicates: 0 })
    })
  )
})
