import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Stream } from "effect"
import {
  AgentConfig,
  type Governance,
  governed,
  PermissionCache,
  type PolicyEngine,
  SharedCache,
  SharedEntries
} from "../src/index.ts"
import { governedStream } from "../src/stream.ts"
import { AgionTest, TestPlatform, testUuid } from "../src/testing/index.ts"
import { atEachStep, interruptedAt, interruptedWithin } from "./Interrupting.ts"
import { flush, fresh, model, ready } from "./Ready.ts"

/** A shared cache that holds nothing. */
const empty = Layer.succeed(SharedEntries, {
  read: (asked) => Effect.succeed(asked.map(() => null))
})

/** After a caller that was interrupted at each of its steps, another with the same question is answered. */
const answersOthers = <A, E>(ask: (n: number) => Effect.Effect<A, E>) =>
  atEachStep((step) =>
    Effect.gen(function* () {
      const isReached = yield* interruptedAt(ask(step), step)
      const other = yield* Effect.forkChild(ask(step), { startImmediately: true })
      for (let turn = 0; turn < 200 && other.pollUnsafe() === undefined; turn++) yield* Effect.yieldNow
      assert.isDefined(other.pollUnsafe(), `step ${step}`)
      yield* Fiber.interrupt(other)
      return isReached
    })
  )

describe("a caller that goes away, at whatever step,", () => {
  for (const [name, layer] of [
    ["of the platform", AgionTest.layer()],
    ["of the shared cache", AgionTest.layer().pipe(Layer.provide(empty))]
  ] as const)
    it.effect(`CACHE-1 leaves nobody waiting for an answer ${name}`, () =>
      Effect.gen(function* () {
        const cache = yield* PermissionCache
        const platform = yield* TestPlatform
        platform.heartbeat()
        const steps = yield* answersOthers((n) => cache.check({ resourceId: testUuid(n) }))
        assert.isAbove(steps, 3)
      }).pipe(Effect.provide(layer))
    )

  it.effect("leaves nobody waiting for a score of the shared cache", () =>
    Effect.gen(function* () {
      const shared = yield* SharedCache
      const platform = yield* TestPlatform
      platform.heartbeat()
      const steps = yield* answersOthers((n) => shared.trust(`agent-${n}`, "agent"))
      assert.isAbove(steps, 3)
    }).pipe(Effect.provide(AgionTest.layer().pipe(Layer.provide(empty))))
  )

  it.effect("leaves nobody waiting for a model of the configuration", () =>
    Effect.gen(function* () {
      const config = yield* AgentConfig
      const steps = yield* answersOthers((n) => config.model(`purpose-${n}`))
      assert.isAbove(steps, 3)
    }).pipe(Effect.provide(AgionTest.layer()))
  )
})

/** How calls and their reservations end that are interrupted at each step; each call tells when its work begins. */
const endsOf = <A, E>(call: (begins: () => void) => Effect.Effect<A, E, Governance | PolicyEngine>) =>
  Effect.gen(function* () {
    const ends = new Set<string>()
    yield* atEachStep((step) =>
      Effect.gen(function* () {
        const platform = yield* ready({ tokenLimitPerDay: 1000 })
        yield* (yield* PermissionCache).check({ resourceId: model })
        let begun = false
        const { exit, isReached } = yield* interruptedWithin(
          call(() => {
            begun = true
          }),
          step
        )
        // What was asked goes on without its caller.
        for (let turn = 0; turn < 200; turn++) yield* Effect.yieldNow
        yield* flush
        const states = [...platform.reservations.values()].map(({ state }) => state)
        ends.add([exit._tag, begun ? "begun" : "idle", ...states].join(" "))
        return isReached
      }).pipe(fresh())
    )
    return ends
  })

const options = { estimate: { tokens: 500 } }

it.effect("GOVERN-2 LIMIT-3 a caller that goes away, at whatever step, leaves nothing reserved behind", () =>
  Effect.gen(function* () {
    const ends = yield* endsOf((begins) =>
      governed("chat", model, options)(() => Effect.andThen(Effect.sync(begins), Effect.void))
    )
    // Work may be interrupted as it begins.
    ends.delete("Failure idle settled")
    assert.sameMembers(
      [...ends],
      ["Failure idle", "Failure idle released", "Failure begun settled", "Success begun settled"]
    )
  })
)

it.effect("GOVERN-2 a stream that is left at whatever step is charged from when its work begins", () =>
  Effect.gen(function* () {
    const ends = yield* endsOf((begins) =>
      Stream.runDrain(
        governedStream("chat", model, { ...options, scan: false })(() => {
          begins()
          return Stream.make("a", "b")
        })
      )
    )
    assert.sameMembers(
      [...ends],
      ["Failure idle", "Failure idle released", "Failure begun settled", "Success begun settled"]
    )
  })
)

it.effect("what is asked of the shared cache while it closes was not read, and waits no longer", () =>
  Effect.gen(function* () {
    const asked = yield* Effect.gen(function* () {
      const shared = yield* SharedCache
      const platform = yield* TestPlatform
      platform.heartbeat()
      return yield* Effect.forkDetach(shared.trust("agent-1", "agent"), { startImmediately: true })
    }).pipe(Effect.provide(AgionTest.layer().pipe(Layer.provide(empty))))
    assert.deepStrictEqual(yield* Fiber.await(asked), Exit.succeed(undefined))
  })
)
