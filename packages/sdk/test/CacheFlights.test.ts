import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { watched } from "../src/internal/CacheFlights.ts"
import type { Flight } from "../src/internal/CacheState.ts"
import { atEachStep, interruptedAt } from "./Interrupting.ts"

it.effect("a question that is interrupted, at whatever step, is watched no longer", () =>
  Effect.gen(function* () {
    const flights = new Set<Flight>()
    const concern = { organizationId: "acme", actorId: "", resourceId: "r1" }
    let asked = 0
    const question = watched({ flights }, concern, (flight) =>
      Effect.sync(() => {
        asked++
        assert.deepStrictEqual([...flights], [flight])
      })
    )
    const steps = yield* atEachStep((step) =>
      Effect.gen(function* () {
        const isReached = yield* interruptedAt(question, step)
        assert.strictEqual(flights.size, 0, `step ${step}`)
        return isReached
      })
    )
    assert.isAbove(steps, 3)
    assert.isAbove(asked, 0)
  })
)
