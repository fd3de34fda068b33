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

  it("FRESH-2 is in the time that is told when it has been awake for a millisecond", () => {
    const { at, sleep } = machine()
    const begun = sleep.now()
    const tick = (awake: number, asleep = 0) => {
      at.awake += awake
      for (const clock of ["wall", "uptime"] as const) at[clock] += awake + asleep
      return sleep.now() - begun
    }
    assert.strictEqual(tick(0.5), 0.5)
    assert.strictEqual(tick(0.5, 3_600_000), 3_600_001)
    assert.strictEqual(tick(0.25), 3_600_001.25)
  })

  /** Hours that this process is taken to have slept. */
  let hours = 0

  /** An hour of sleep begins and ends here; then the machine is awake for a millisecond. */
  const sleepAnHour = Effect.gen(function* () {
    const [wall, uptime] = [Date.now.bind(Date), os.uptime.bind(os)]
    const seconds = 3600 * ++hours
    const clocks = [
      vi.spyOn(Date, "now").mockImplementation(() => wall() + 1000 * seconds),
      vi.spyOn(os, "uptime").mockImplementation(() => uptime() + seconds)
    ]
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const clock of clocks) clock.mockRestore()
      })
    )
    const woken = performance.now()
    while (performance.now() < woken + 1) {}
  })

  it.live("FRESH-2 no hit is from before an hour of sleep", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      platform.resource({ id: resourceId })
      platform.grant("agent-1", resourceId)
      platform.heartbeat()
      const cache = yield* PermissionCache
      const asked = cache.check({ resourceId })
      yield* asked
      assert.strictEqual((yield* asked).source, "cache")
      platform.pushing = false
      platform.revoke("agent-1", resourceId)
      yield* sleepAnHour
      assert.isFalse((yield* asked).allowed)
    }).pipe(Effect.scoped, Effect.provide(AgionTest.layer()))
  )

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
      yield* sleepAnHour
      assert.deepInclude(yield* asked, { allowed: false, source: "outage" })
    }).pipe(Effect.scoped, Effect.provide(AgionTest.layer()))
  )
})
