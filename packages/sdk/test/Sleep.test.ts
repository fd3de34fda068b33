import os from "node:os"
import { assert, describe, it, vi } from "@effect/vitest"
import { Effect } from "effect"
import { PermissionCache } from "../src/index.ts"
import { makeSleep } from "../src/internal/Sleep.ts"
import { AgionTest, TestPlatform, testUuid } from "../src/testing/index.ts"

const resourceId = testUuid(1)

/** A machine whose clocks are moved by hand. */
const machine = () => {
  const at = { wall: 1_790_000_000_000, awake: 1000, uptime: 90_000 }
  const sleep = makeSleep({ wall: () => at.wall, awake: () => at.awake, uptime: () => at.uptime })
  return {
    sleep,
    at,
    passes: (millis: number, asleep = 0) => {
      at.wall += millis + asleep
      at.awake += millis
      at.uptime += millis + asleep
      sleep.look()
      return sleep.slept
    }
  }
}

describe("a machine that sleeps", () => {
  it("FRESH-4 is known by the time since its start, which went on", () => {
    const { passes } = machine()
    assert.strictEqual(passes(5000), 0)
    assert.strictEqual(passes(10, 3_600_000), 3_600_000)
    assert.strictEqual(passes(60_000), 3_600_000)
    assert.strictEqual(passes(10, 60_000), 3_660_000)
  })

  it("FRESH-4 is no other than one whose wall clock is set", () => {
    const { at, passes } = machine()
    for (const step of [5000, -5000, 3_600_000, -7_200_000]) {
      at.wall += step
      assert.strictEqual(passes(1000), 0)
    }
  })

  it("FRESH-4 has slept though its wall clock is set back when it wakes", () => {
    const { at, passes } = machine()
    at.wall -= 5000
    assert.strictEqual(passes(10, 60_000), 60_000)
  })

  it.live("OUTAGE-2 no approval is warm that was confirmed before an hour of sleep", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      platform.resource({ id: resourceId })
      platform.grant("agent-1", resourceId)
      const cache = yield* PermissionCache
      const asked = cache.check({ resourceId })
      assert.isTrue((yield* asked).allowed)
      platform.fault = { _tag: "Refuse" }
      platform.line(false)
      assert.deepInclude(yield* asked, { allowed: true, mode: "stale" })
      const [wall, uptime] = [Date.now.bind(Date), os.uptime.bind(os)]
      const clocks = [
        vi.spyOn(Date, "now").mockImplementation(() => wall() + 3_600_000),
        vi.spyOn(os, "uptime").mockImplementation(() => uptime() + 3600)
      ]
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          for (const clock of clocks) clock.mockRestore()
        })
      )
      assert.deepInclude(yield* asked, { allowed: false, source: "outage" })
    }).pipe(Effect.scoped, Effect.provide(AgionTest.layer()))
  )
})
