import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Queue } from "effect"
import { TestClock } from "effect/testing"
import type { ReadUsage } from "../../src/permissions/Limits.ts"
import {
  countedAt,
  nothing,
  type SpentBy,
  spendOf,
  type UsageState
} from "../../src/permissions/UsageState.ts"
import * as Usages from "../../src/permissions/Usages.ts"

const day = 86_400_000
const state = (version: number, more: Partial<UsageState> = {}): UsageState => ({
  ...nothing,
  version,
  dayStart: 0,
  dayEnds: day,
  ...more
})

const actor = { organizationId: "o", actorId: "a" }

/** Books that answer when they are told to, and count their readings. */
const books = Effect.gen(function* () {
  const asked = yield* Queue.unbounded<{
    readonly ids: ReadonlyArray<string>
    readonly answer: Deferred.Deferred<ReadonlyMap<string, ReadUsage>>
  }>()
  const days = { reads: 0, by: new Map<string, SpentBy>(), dayEnds: day }
  const usages = (options?: Usages.UsagesOptions) =>
    Usages.make(
      {
        read: (ids) =>
          Effect.gen(function* () {
            const answer = yield* Deferred.make<ReadonlyMap<string, ReadUsage>>()
            yield* Queue.offer(asked, { ids, answer })
            return yield* Deferred.await(answer)
          }),
        spends: (actors) =>
          Effect.sync(() => {
            days.reads += 1
            return actors.map(() => spendOf(days.by, days.dayEnds, 0))
          })
      },
      options
    )
  /** Answers the next reading with a state for all that it asks for. */
  const reply = (answered: UsageState) =>
    Effect.flatMap(Queue.take(asked), ({ ids, answer }) =>
      Deferred.succeed(
        answer,
        new Map(ids.map((id) => [id, { counted: countedAt(answered, 0), state: answered }]))
      )
    )
  return { usages, asked, reply, days }
})

const tokens = (usages: Usages.Usages, id: string) => usages.peek(id)?.counted.dayTokens

/** Reads a permission with an answer of the books. */
const known = Effect.fnUntraced(function* (
  usages: Usages.Usages,
  reply: (answered: UsageState) => Effect.Effect<unknown>,
  id: string,
  answered: UsageState
) {
  const reading = yield* Effect.forkChild(usages.get([id]), { startImmediately: true })
  yield* reply(answered)
  return yield* Fiber.join(reading)
})

describe("copies of what was used", () => {
  it.effect("FRESH-1 a copy answers for a second from the start of its reading, and no longer", () =>
    Effect.gen(function* () {
      const { usages: make, reply, asked } = yield* books
      const usages = yield* make()
      const reading = yield* Effect.forkChild(usages.get(["p"]), { startImmediately: true })
      const { answer } = yield* Queue.take(asked)
      yield* TestClock.adjust("300 millis")
      yield* Deferred.succeed(
        answer,
        new Map([["p", { counted: countedAt(nothing, 0), state: state(1, { dayTokens: 5 }) }]])
      )
      assert.strictEqual((yield* Fiber.join(reading))[0]?.counted.dayTokens, 5)
      yield* TestClock.adjust("700 millis")
      assert.strictEqual(tokens(usages, "p"), 5)
      yield* TestClock.adjust("1 millis")
      assert.isUndefined(tokens(usages, "p"))
      // Past half its age it is read again: whoever asks now waits for that reading.
      const again = yield* Effect.forkChild(usages.get(["p"]), { startImmediately: true })
      yield* reply(state(2, { dayTokens: 6 }))
      assert.strictEqual((yield* Fiber.join(again))[0]?.counted.dayTokens, 6)
    }).pipe(Effect.scoped)
  )

  it.effect("many who ask at once share one reading", () =>
    Effect.gen(function* () {
      const { usages: make, reply, asked } = yield* books
      const usages = yield* make()
      const reading = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 64 }), () => usages.get(["p"]), { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* reply(state(1))
      yield* Fiber.join(reading)
      assert.strictEqual(yield* Queue.size(asked), 0)
    }).pipe(Effect.scoped)
  )

  it.effect("FRESH-1 what this replica wrote counts at once, and an overtaken answer never replaces it", () =>
    Effect.gen(function* () {
      const { usages: make, reply, asked } = yield* books
      const usages = yield* make()
      yield* known(usages, reply, "p", state(1, { dayTokens: 1 }))
      usages.written(actor, "p", state(3, { dayTokens: 3 }))
      assert.strictEqual(tokens(usages, "p"), 3)
      // An answer to an earlier write comes late.
      usages.written(actor, "p", state(2, { dayTokens: 2 }))
      assert.strictEqual(tokens(usages, "p"), 3)
      // A reading that began before a write ends after it.
      yield* TestClock.adjust("600 millis")
      assert.strictEqual(tokens(usages, "p"), 3)
      const { answer } = yield* Queue.take(asked)
      usages.written(actor, "p", state(4, { dayTokens: 4 }))
      const old = { counted: countedAt(nothing, 0), state: state(3, { dayTokens: 3 }) }
      yield* Deferred.succeed(answer, new Map([["p", old]]))
      yield* TestClock.adjust("0 millis")
      assert.strictEqual(tokens(usages, "p"), 4)
      // And the copy that it brought is as old as its beginning.
      yield* TestClock.adjust("1 second")
      assert.strictEqual(tokens(usages, "p"), 4)
    }).pipe(Effect.scoped)
  )

  it.effect("FRESH-1 a write amends what the first reading of a permission brings", () =>
    Effect.gen(function* () {
      const { usages: make, asked } = yield* books
      const usages = yield* make()
      const reading = yield* Effect.forkChild(usages.get(["p"]), { startImmediately: true })
      const { answer } = yield* Queue.take(asked)
      usages.written(actor, "p", state(9, { dayTokens: 9 }))
      const later = yield* Effect.forkChild(usages.get(["p"]), { startImmediately: true })
      yield* Deferred.succeed(answer, new Map([["p", { counted: countedAt(nothing, 0), state: state(8) }]]))
      assert.strictEqual((yield* Fiber.join(later))[0]?.counted.dayTokens, 9)
      yield* Fiber.join(reading)
    }).pipe(Effect.scoped)
  )

  it.effect("LIMIT-1 requests leave the window by the database's clock, the oldest second whole", () =>
    Effect.gen(function* () {
      const { usages: make, reply } = yield* books
      const usages = yield* make()
      // The database is an hour ahead; three requests came 58 seconds ago and two now.
      const now = 3_600_000
      const second = now / 1000
      const window = [(second - 58) * 1_000_000 + 3, second * 1_000_000 + 2]
      yield* known(usages, reply, "p", state(1, { now, window }))
      assert.strictEqual(usages.peek("p")?.counted.windowRequests, 5)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(usages.peek("p")?.counted.windowRequests, 5)
      assert.strictEqual(countedAt(state(1, { window }), now + 2999).windowRequests, 5)
      assert.strictEqual(countedAt(state(1, { window }), now + 3000).windowRequests, 2)
      assert.strictEqual(countedAt(state(1, { window }), now + 61_000).windowRequests, 0)
    }).pipe(Effect.scoped)
  )

  it.effect("LIMIT-4 a copy's day ends at midnight of the database's clock; totals stay", () =>
    Effect.gen(function* () {
      const { usages: make, reply, days } = yield* books
      const usages = yield* make()
      const used = { dayRequests: 1, dayTokens: 7, dayCostMicroUsd: 9 }
      days.by.set("p", { permissionId: "p", version: 1, ...used })
      days.dayEnds = 500
      yield* known(
        usages,
        reply,
        "p",
        state(1, { ...used, totalTokens: 70, reservedTokens: 3, now: 0, dayEnds: 500 })
      )
      assert.strictEqual((yield* usages.getSpends([actor]))[0]?.tokens, 7)
      assert.strictEqual(tokens(usages, "p"), 10)
      yield* TestClock.adjust("500 millis")
      const { counted, shown } = usages.peek("p") ?? {}
      assert.deepInclude(counted, { dayRequests: 0, dayTokens: 0, dayCostMicroUsd: 0 })
      assert.deepInclude(shown, {
        totalTokens: 70,
        currentDayTokens: 0,
        currentDayStart: "1970-01-01T00:00:00.500Z"
      })
      assert.strictEqual(usages.peekSpend(actor)?.tokens, 0)
      // What is written on the new day makes the actor's day be read anew.
      usages.written(actor, "p", state(2, { dayTokens: 1, dayEnds: 500 + day }))
      assert.strictEqual(tokens(usages, "p"), 1)
      assert.isUndefined(usages.peekSpend(actor))
    }).pipe(Effect.scoped)
  )

  it.effect("an actor's day adds up what its permissions used, each by its newest version", () =>
    Effect.gen(function* () {
      const { usages: make, days } = yield* books
      const usages = yield* make()
      days.by.set("p", { permissionId: "p", version: 5, dayRequests: 1, dayTokens: 10, dayCostMicroUsd: 100 })
      assert.deepStrictEqual(yield* usages.getSpends([actor, actor]), [
        { requests: 1, tokens: 10, costMicroUsd: 100 },
        { requests: 1, tokens: 10, costMicroUsd: 100 }
      ])
      usages.written(actor, "q", state(1, { dayRequests: 1, dayTokens: 20, dayCostMicroUsd: 0 }))
      usages.written(actor, "p", state(4, { dayRequests: 9, dayTokens: 9, dayCostMicroUsd: 9 }))
      assert.deepStrictEqual(usages.peekSpend(actor), { requests: 2, tokens: 30, costMicroUsd: 100 })
      assert.strictEqual(days.reads, 1)
    }).pipe(Effect.scoped)
  )

  it.effect("stays within its bound while ten times as many permissions pass through", () =>
    Effect.gen(function* () {
      const { usages: make, reply } = yield* books
      const usages = yield* make({ maxEntries: 20 })
      for (let n = 0; n < 200; n++) {
        const [usage] = yield* known(usages, reply, `p-${n}`, state(1, { dayTokens: n }))
        assert.strictEqual(usage?.counted.dayTokens, n)
        yield* usages.getSpends([{ organizationId: "o", actorId: `a-${n}` }])
        assert.isAtMost(usages.size().permissions, 20)
        assert.isAtMost(usages.size().spends, 20)
      }
      assert.isUndefined(usages.peek("p-179"))
      assert.strictEqual(tokens(usages, "p-180"), 180)
    }).pipe(Effect.scoped)
  )

  it.effect("another time zone drops what is kept and what is being read", () =>
    Effect.gen(function* () {
      const { usages: make, reply, asked } = yield* books
      const usages = yield* make()
      yield* known(usages, reply, "p", state(1))
      const reading = yield* Effect.forkChild(usages.get(["q"]), { startImmediately: true })
      const { answer } = yield* Queue.take(asked)
      usages.hear({
        organizationId: "o",
        message: { previous: 1, epoch: 2, kind: "organization", ids: [], timestamp: "2026-01-01T00:00:00Z" }
      })
      assert.isUndefined(usages.peek("p"))
      yield* Deferred.succeed(answer, new Map([["q", { counted: countedAt(nothing, 0), state: state(1) }]]))
      yield* Fiber.join(reading)
      assert.isUndefined(usages.peek("q"))
    }).pipe(Effect.scoped)
  )
})
