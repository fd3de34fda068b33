import { loadRe2 } from "@agion/policy"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { againstOracle, flatAgainstClosures } from "./support/fuzz.ts"

describe("flat program, closures and oracle, at length", () => {
  beforeAll(loadRe2)

  it.prop(
    "POLICY-6 closures and oracle give the same value or both fail (60,000 cases)",
    [Schema.Int],
    ([seed]) => {
      assert.deepEqual(againstOracle(seed, 100), [])
    },
    { arbitrary: { runs: 600 }, timeout: 1_200_000 }
  )

  it.prop(
    "POLICY-4 a set decides each of its policies as its closure alone (300,000 cases)",
    [Schema.Int],
    ([seed]) => {
      assert.deepEqual(flatAgainstClosures(seed, 50, 60).differences, [])
    },
    { arbitrary: { runs: 100 }, timeout: 600_000 }
  )
})
