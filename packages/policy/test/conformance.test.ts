import { loadRe2 } from "@agion/policy"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { type Case, cases, leftOut, oraclePasses, type Ran, runOurs } from "./support/conformance.ts"

/** Cases that we answer in another way than the suite, each with its reason; `docs/cel.md` lists them. */
const exceptions: ReadonlyMap<string, string> = new Map([])

const key = (c: Case): string => `${c.file}/${c.section}/${c.test.name ?? c.test.expr}`

/** Types that are written in another way there. */
const spelled: ReadonlySet<string> = new Set([
  // Ours says what type of type; theirs stops at the second.
  "conversions/type/type_denotation",
  "conversions/type/type_type",
  // The case itself wants optional_type(int), which is ours; only the list of deduced types says null.
  "type_deductions/legacy_nullable_types/null_assignable_to_abstract_parameter_candidate"
])

interface Row {
  passed: number
  failed: number
  oracle: number
}

describe("the public CEL conformance suite", () => {
  beforeAll(loadRe2)

  interface Result {
    readonly at: Case
    readonly ran: Ran
    readonly oracle: boolean
  }
  let known: ReadonlyArray<Result> | undefined
  const run = (): ReadonlyArray<Result> => {
    known ??= cases().map((at) => ({ at, ran: runOurs(at), oracle: oraclePasses(at) }))
    return known
  }

  it("passes by file, with nothing answered differently without an error", () => {
    const results = run()
    const table = new Map<string, Row>()
    for (const { at, ran, oracle } of results) {
      const row = table.get(at.file) ?? { passed: 0, failed: 0, oracle: 0 }
      if (ran.outcome === "passed") row.passed++
      else row.failed++
      if (oracle) row.oracle++
      table.set(at.file, row)
    }
    const lines = [...table].map(
      ([file, r]) =>
        `${file.padEnd(18)} ${String(r.passed).padStart(5)} ${String(r.failed).padStart(6)} ${String(r.oracle).padStart(7)}`
    )
    const sum = (f: (r: Row) => number): number => [...table.values()].reduce((n, r) => n + f(r), 0)
    process.stdout.write(
      `\n${"file".padEnd(18)} passed failed  oracle\n${lines.join("\n")}\n${"all".padEnd(18)} ${String(sum((r) => r.passed)).padStart(5)} ${String(sum((r) => r.failed)).padStart(6)} ${String(sum((r) => r.oracle)).padStart(7)}\nleft out: ${Object.keys(leftOut).join(", ")}\n`
    )
    const surprises = results
      .filter((r) => r.ran.outcome !== "passed" && !exceptions.has(key(r.at)))
      .map((r) => `${r.ran.outcome} ${key(r.at)}: ${r.at.test.expr} -> ${r.ran.note}`)
    assert.deepEqual(surprises, [])
    // `docs/cel.md` says so.
    assert.strictEqual(
      sum((r) => r.passed),
      1_626
    )
    const behind = results.filter((r) => r.oracle && r.ran.outcome !== "passed").map((r) => key(r.at))
    assert.deepEqual(behind, [])
  })

  it("deduces the types that the suite's own checker deduced", () => {
    const typed = run().filter(
      (r) => r.at.type !== undefined && r.ran.type !== undefined && !r.at.test.disableCheck
    )
    const other = typed
      .filter((r) => r.at.type !== r.ran.type && !spelled.has(key(r.at)))
      .map((r) => `${key(r.at)}: ${r.at.test.expr} is ${r.ran.type}, not ${r.at.type}`)
    process.stdout.write(`types: ${typed.length - other.length} of ${typed.length} as deduced there\n`)
    assert.deepEqual(other, [])
  })
})
