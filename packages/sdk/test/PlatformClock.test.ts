import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { onAnswered, onHeard, unknownClock } from "../src/internal/PlatformClock.ts"

const start = Date.parse("2026-11-26T10:00:00Z")

/** What the platform's clock shows at a time of ours. */
const there = (at: number, ahead = 0) => new Date(start + at + ahead).toISOString()

const millis = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
const Ahead = Schema.Int.check(Schema.isBetween({ minimum: -86_400_000, maximum: 86_400_000 }))

/** A push, or a question and its answer. */
const Said = Schema.Struct({
  isAnswer: Schema.Boolean,
  wait: millis(2000),
  asking: millis(2000),
  delay: millis(20_000)
})
const All = Schema.Array(Said)

/** Hears all of it by a platform whose clock is `ahead` of ours; answers when the last was said, and the quickest answer's way. */
const hear = (
  clock: ReturnType<typeof unknownClock>,
  all: typeof All.Type,
  ahead: number,
  onPush: (lateness: number, delay: number, quickest: number) => void = () => {}
) => {
  let at = 0
  let quickest = Number.POSITIVE_INFINITY
  for (const { asking, delay, isAnswer, wait } of all) {
    at += wait
    if (isAnswer) {
      onAnswered(clock, there(at + asking, ahead), at, at + asking + delay)
      quickest = Math.min(quickest, delay)
    } else onPush(onHeard(clock, there(at, ahead), at + delay), delay, quickest)
  }
}

describe("how long what the platform says is on its way", () => {
  it.prop(
    "FRESH-3 is never said to be longer than it was, nor shorter by more than the way of the quickest answer",
    [Ahead, All],
    ([ahead, all]) => {
      hear(unknownClock(), all, ahead, (lateness, delay, quickest) => {
        assert.isAtLeast(lateness, Math.max(0, delay - quickest))
        assert.isAtMost(lateness, delay)
      })
    }
  )

  it.prop(
    "FRESH-3 whatever the clocks did before, one answer is enough to know",
    [Ahead, All, Ahead, All, Said],
    ([before, heard, after, pushes, { asking, delay }]) => {
      const clock = unknownClock()
      hear(clock, heard, before)
      onAnswered(clock, there(asking, after), 0, asking + delay)
      const later = pushes.map((push) => ({ ...push, isAnswer: false }))
      hear(clock, later, after, (lateness, late) => {
        assert.isAtLeast(lateness, late - delay)
        assert.isAtMost(lateness, late + asking)
      })
    }
  )

  it("FRESH-3 a line that is constantly late stays so, however long, and when the platform's clock is set forward", () => {
    const clock = unknownClock()
    onAnswered(clock, there(0), 0, 10)
    for (let at = 0; at < 600_000; at += 1000)
      assert.isAtLeast(onHeard(clock, there(at), at + 20_000), 19_990)
    for (let at = 600_000; at < 1_200_000; at += 1000)
      assert.isAtLeast(onHeard(clock, there(at, 3_600_000), at + 20_000), 19_990)
  })

  it("FRESH-3 a clock that was set back makes pushes look late until an answer is heard", () => {
    const clock = unknownClock()
    onAnswered(clock, there(0), 0, 10)
    assert.isAtMost(onHeard(clock, there(1000), 1001), 1)
    assert.isAtLeast(onHeard(clock, there(2000, -60_000), 2001), 59_990)
    onAnswered(clock, there(2100, -60_000), 2095, 2105)
    assert.isAtMost(onHeard(clock, there(3000, -60_000), 3001), 10)
  })

  it("FRESH-3 clocks that drift apart are followed by answers", () => {
    for (const drift of [-200e-6, 200e-6]) {
      const clock = unknownClock()
      for (let at = 0; at < 14_400_000; at += 10_000) {
        if (at % 30_000 === 0) onAnswered(clock, there(at, Math.round(at * drift)), at - 5, at + 5)
        const isLate = at % 70_000 === 0
        const lateness = onHeard(clock, there(at, Math.round(at * drift)), at + (isLate ? 10_000 : 0))
        if (isLate) assert.isAtLeast(lateness, 9950)
        else assert.isAtMost(lateness, 50)
      }
    }
  })

  it("FRESH-3 one late push makes no later one late, where answers come of a replica whose clock is behind", () => {
    for (const behind of [5, 50, 1000]) {
      const clock = unknownClock()
      for (let at = 0; at < 20_000; at += 1000) {
        onAnswered(clock, there(at + 100, -behind), at + 99, at + 101)
        const delay = at === 5000 ? 5000 : 1
        const lateness = onHeard(clock, there(at + 200), at + 200 + delay)
        if (at < 5000 || at > 6000) assert.isAtMost(lateness, 1)
      }
    }
  })

  it("FRESH-3 a timestamp that is none says nothing", () => {
    const clock = unknownClock()
    onAnswered(clock, "", 0, 10)
    assert.strictEqual(onHeard(clock, "yesterday", 1000), 0)
    assert.deepStrictEqual(clock, unknownClock())
  })
})
