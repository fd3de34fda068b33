import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { freshFor, onAnswer, onLost, onPush, unknownEpoch } from "../src/internal/Epochs.ts"

const push = (previous: number, epoch: number) => ({ previous, epoch })

describe("an organization's epoch", () => {
  it("FRESH-2 who holds the previous epoch drops what is named and is confirmed", () => {
    const state = unknownEpoch()
    onAnswer(state, 7, 1000)
    assert.strictEqual(onPush(state, push(7, 8), 2000), "drop named")
    assert.deepInclude(state, { epoch: 8, freshUntil: 2000 + freshFor, confirmedAt: 2000 })
  })

  it("FRESH-2 who does not hold the previous epoch drops all of the organization", () => {
    const state = unknownEpoch()
    onAnswer(state, 7, 1000)
    assert.strictEqual(onPush(state, push(8, 9), 2000), "drop all")
    assert.deepInclude(state, { epoch: 9, freshUntil: 2000 + freshFor })
  })

  it("FRESH-2 a later epoch in an answer confirms nothing until the pushes have caught up", () => {
    const state = unknownEpoch()
    onAnswer(state, 7, 1000)
    onPush(state, push(7, 7), 1500)
    assert.strictEqual(onAnswer(state, 9, 3000), "nothing")
    assert.deepInclude(state, { epoch: 7, freshUntil: 1500 + freshFor })
    onPush(state, push(7, 8), 3100)
    onPush(state, push(8, 9), 3100)
    assert.strictEqual(onAnswer(state, 9, 4000), "nothing")
    assert.strictEqual(state.freshUntil, 4000 + freshFor)
  })

  it("FRESH-2 a heartbeat confirms, counted from when the question was asked for answers", () => {
    const state = unknownEpoch()
    onAnswer(state, 7, 1000)
    assert.strictEqual(state.freshUntil, 1000 + freshFor)
    onPush(state, push(7, 7), 3500)
    assert.strictEqual(state.freshUntil, 3500 + freshFor)
  })

  it("FRESH-4 after a lost line nothing is fresh before something confirms it", () => {
    const state = unknownEpoch()
    onAnswer(state, 7, 1000)
    onPush(state, push(7, 7), 1500)
    onLost(state)
    assert.isTrue(state.freshUntil < 1500)
    assert.strictEqual(onAnswer(state, 8, 2000), "drop all")
  })

  it("a platform whose data went back is believed after three heartbeats", () => {
    const state = unknownEpoch()
    onAnswer(state, 900, 1000)
    assert.strictEqual(onPush(state, push(3, 3), 2000), "nothing")
    assert.strictEqual(onPush(state, push(3, 3), 3000), "nothing")
    assert.strictEqual(onPush(state, push(3, 3), 4000), "drop all")
    assert.strictEqual(state.epoch, 3)
  })

  const Message = Schema.Struct({
    lost: Schema.Boolean,
    heartbeat: Schema.Boolean,
    wait: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2000 }))
  })

  it.prop(
    "FRESH-2 whatever is lost on the way, what is fresh has missed nothing or has dropped all",
    [Schema.Array(Message)],
    ([messages]) => {
      const state = unknownEpoch()
      let platform = 10
      let now = 0
      onAnswer(state, platform, now)
      // Changes that never arrived since everything was last dropped.
      let missed = 0
      for (const { heartbeat, lost, wait } of messages) {
        now += wait
        const previous = platform
        if (!heartbeat) platform++
        if (lost) {
          if (!heartbeat) missed++
          continue
        }
        const effect = onPush(state, { previous, epoch: platform }, now)
        if (effect === "drop all") missed = 0
        else assert.strictEqual(missed, 0)
        assert.isTrue(now < state.freshUntil)
      }
    }
  )

  it("FRESH-2 a push that comes after one that it should precede drops what it names", () => {
    const state = unknownEpoch()
    onAnswer(state, 14, 1000)
    assert.strictEqual(onPush(state, push(15, 16), 2000), "drop all")
    assert.strictEqual(onPush(state, push(14, 15), 2200), "drop named")
    assert.deepInclude(state, { epoch: 16, confirmedAt: 2000 })
    onPush(state, push(16, 17), 2300)
    assert.strictEqual(onPush(state, push(16, 17), 2400), "drop named")
    onPush(state, push(17, 18), 2500)
    assert.strictEqual(onPush(state, push(16, 17), 2600), "nothing")
  })

  it("an order to drop everything holds also at an earlier epoch", () => {
    const state = unknownEpoch()
    onAnswer(state, 14, 1000)
    assert.strictEqual(onPush(state, { ...push(3, 3), kind: "organization" }, 2000), "drop named")
  })

  const Permuted = Schema.Array(
    Schema.Struct({
      first: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 })),
      /** How many changes were merged into the push. */
      count: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
    })
  )

  it.prop(
    "FRESH-2 in whatever order pushes arrive, a change that arrives for the first time is never passed over",
    [Permuted],
    ([pushes]) => {
      const state = unknownEpoch()
      onAnswer(state, 6, 0)
      const arrived = new Set<number>()
      for (const { count, first } of pushes) {
        const before = state.epoch ?? 0
        const names = Array.from({ length: count }, (_, n) => first + n + 1)
        const effect = onPush(state, push(first, first + count), 0)
        if (names.some((epoch) => !arrived.has(epoch))) assert.notStrictEqual(effect, "nothing")
        // Without a gap nobody drops everything.
        if (count > 0 && first <= before) assert.notStrictEqual(effect, "drop all")
        for (const epoch of names) arrived.add(epoch)
      }
    }
  )
})
