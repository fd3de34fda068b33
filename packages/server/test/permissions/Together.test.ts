import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Together from "../../src/permissions/Together.ts"

/** Statements that answer when they are told to. */
const statements = () => {
  const asked: Array<ReadonlyArray<number>> = []
  const gates: Array<Deferred.Deferred<void, string>> = []
  const ask = (calls: ReadonlyArray<number>) =>
    Effect.suspend(() => {
      const gate = Deferred.makeUnsafe<void, string>()
      asked.push(calls)
      gates.push(gate)
      return Effect.as(
        Deferred.await(gate),
        calls.map((call) => call * 10)
      )
    })
  const open = (n: number) => Effect.flatMap(Effect.yieldNow, () => gateOf(n, Exit.void))
  const gateOf = (n: number, exit: Exit.Exit<void, string>) => {
    const gate = gates[n]
    return gate === undefined ? Effect.die(`statement ${n} was not asked`) : Deferred.done(gate, exit)
  }
  const fail = (n: number, error: string) => gateOf(n, Exit.fail(error))
  return { asked, ask, open, fail }
}

const settled = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

it.effect("asks at once while little is under way, then together, and answers each its own", () =>
  Effect.gen(function* () {
    const { asked, ask, open } = statements()
    const one = yield* Together.make(ask, () => false)
    const fibers = []
    for (const call of [1, 2, 3, 4, 5]) {
      fibers.push(yield* Effect.forkChild(one(call)))
      yield* settled
    }
    assert.deepStrictEqual(asked, [[1], [2]])
    yield* open(0)
    yield* settled
    assert.deepStrictEqual(asked, [[1], [2], [3, 4, 5]])
    yield* open(1)
    yield* open(2)
    assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), [10, 20, 30, 40, 50])
  })
)

it.effect("asks each alone when the fault may be of one of them", () =>
  Effect.gen(function* () {
    const { asked, ask, open, fail } = statements()
    const one = yield* Together.make(ask, (error) => error === "refused")
    const fibers = yield* Effect.forEach([1, 2], (call) => Effect.forkChild(Effect.exit(one(call))))
    yield* settled
    assert.deepStrictEqual(asked, [[1, 2]])
    yield* fail(0, "refused")
    yield* settled
    yield* fail(1, "refused")
    yield* settled
    yield* open(2)
    assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), [
      Exit.fail("refused"),
      Exit.succeed(20)
    ])
    assert.deepStrictEqual(asked, [[1, 2], [1], [2]])
  })
)

it.effect("fails all where nobody knows what was done", () =>
  Effect.gen(function* () {
    const { asked, ask, fail } = statements()
    const one = yield* Together.make(ask, (error) => error === "refused")
    const fibers = yield* Effect.forEach([1, 2], (call) => Effect.forkChild(Effect.exit(one(call))))
    yield* settled
    yield* fail(0, "away")
    assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), [Exit.fail("away"), Exit.fail("away")])
    assert.deepStrictEqual(asked, [[1, 2]])
  })
)

it.effect("a statement without an answer holds up the others for a moment only", () =>
  Effect.gen(function* () {
    const { asked, ask, open } = statements()
    const one = yield* Together.make(ask, () => false)
    for (const call of [1, 2]) {
      yield* Effect.forkChild(one(call))
      yield* settled
    }
    const third = yield* Effect.forkChild(one(3))
    yield* settled
    assert.deepStrictEqual(asked, [[1], [2]])
    yield* TestClock.adjust("1 second")
    yield* settled
    yield* open(2)
    assert.strictEqual(yield* Fiber.join(third), 30)
  })
)
