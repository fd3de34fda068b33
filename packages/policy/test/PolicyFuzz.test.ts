import { loadRe2 } from "@agion/policy"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { againstOracle, flatAgainstClosures } from "./support/fuzz.ts"

describe("flat program, closures and oracle", () => {
  beforeAll(loadRe2)

  it.prop(
    "POLICY-6 closures and oracle give the same value or both fail",
    [Schema.Int],
    ([seed]) => {
      assert.deepEqual(againstOracle(seed, 40), [])
    },
    { arbitrary: { runs: 8 }, timeout: 60_000 }
  )

  it.prop(
    "POLICY-4 a set decides each of its policies as its closure alone",
    [Schema.Int],
    ([seed]) => {
      assert.deepEqual(flatAgainstClosures(seed, 20, 10).differences, [])
    },
    { arbitrary: { runs: 20 }, timeout: 60_000 }
  )
})
