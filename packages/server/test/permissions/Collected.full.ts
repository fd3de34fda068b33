/** What a collection of all memory leaves compiled: shapes of which nothing lives are dropped, and code with them. */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, it } from "@effect/vitest"

const flags = ["--expose-gc", "--trace-deopt", "--no-concurrent-recompilation", "--conditions=@agion/source"]
const thrown =
  /<SharedFunctionInfo (.+?)>\) \(opt id \d+\) for deoptimization, reason: embedded weak objects cleared/g

it("what is compiled of a check outlives a collection of all memory", async () => {
  const program = join(import.meta.dirname, "..", "fixtures", "collector.ts")
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, program], {
    maxBuffer: 67_108_864
  })
  const names = Array.from(stdout.matchAll(thrown), ([, name]) => name)
  // What starts the platform is thrown away once, by the first collection.
  const again = new Set(names.filter((name, at) => names.indexOf(name) !== at))
  assert.include([...again], "forgets")
  for (const name of ["lookUp", "factsOf", "judge", "decide", "checkResult", "encode"])
    assert.notInclude([...again], name)
})
