import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { PlatformKeys } from "../src/index.ts"
import { AgionTest, TestPlatform } from "../src/testing/index.ts"

const ready = Effect.gen(function* () {
  const platform = yield* TestPlatform
  const keys = yield* PlatformKeys
  yield* keys.pin
  platform.arrived.length = 0
  const fetches = () => platform.arrived.filter(({ path }) => path === "/signing-keys").length
  return { platform, keys, fetches }
})

describe("keys of the platform", () => {
  it.effect("OUTAGE-5 a key that is not vouched for is asked for once, however much it has signed", () =>
    Effect.gen(function* () {
      const { fetches, keys, platform } = yield* ready
      platform.rotateKey("foreign")
      const opened = Array.from({ length: 50 }, (_, n) => Effect.flip(keys.open(platform.sign("trust", n))))
      for (const refused of yield* Effect.all(opened, { concurrency: "unbounded" }))
        assert.strictEqual(refused.reason, "unknown key")
      for (const again of opened) yield* again
      assert.strictEqual(fetches(), 1)
      yield* TestClock.adjust("5 seconds")
      yield* Effect.flip(keys.open(platform.sign("trust", 51)))
      assert.strictEqual(fetches(), 2)
    }).pipe(Effect.provide(AgionTest.layer()))
  )

  it.effect("OUTAGE-5 another one, and one that could not be asked for, are asked for at once", () =>
    Effect.gen(function* () {
      const { keys, platform } = yield* ready
      const own = platform.sign("trust", 0)
      platform.rotateKey("next", true)
      const byNext = platform.sign("trust", 1)
      yield* Effect.flip(keys.open({ ...own, keyId: "foreign" }))
      platform.fault = { _tag: "Status", status: 400 }
      yield* Effect.flip(keys.open({ ...byNext, keyId: "other" }))
      platform.fault = { _tag: "None" }
      assert.strictEqual((yield* keys.open(byNext)).kind, "trust")
    }).pipe(Effect.provide(AgionTest.layer()))
  )
})
