/** What a collection of all memory leaves compiled: shapes of which nothing lives are dropped, and code with them. */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, it } from "@effect/vitest"

const flags = ["--expose-gc", "--trace-deopt", "--no-concurrent-recompilation", "--conditions=@agion/source"]
const thrown =
  /<SharedFunctionInfo (\w+)>\) \(opt id \d+\) for deoptimization, reason: embedded weak objects cleared/g

it("what is compiled of a check and of a governed call's judgement outlives a collection of all memory", async () => {
  const program = join(import.meta.dirname, "fixtures", "collector.ts")
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, program], {
    maxBuffer: 67_108_864
  })
  const names = new Set(Array.from(stdout.matchAll(thrown), ([, name]) => name))
  assert.include([...names], "forgets")
  for (const name of ["Check", "Answered", "look", "atOnce", "judge", "wordsOf"])
    assert.notInclude([...names], name)
})
