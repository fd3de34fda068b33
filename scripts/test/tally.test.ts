/** The last line of `.ci/run` never says less than what went wrong. */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { type Report, tally } from "../tally.ts"

const report = (counts: Partial<Report>): Report => ({
  numPassedTests: 0,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults: [],
  ...counts
})

const script = join(import.meta.dirname, "../tally.ts")

describe("the tally", () => {
  it("adds up reports", () => {
    const reports = [
      report({ numPassedTests: 3, numPendingTests: 1 }),
      report({ numPassedTests: 4, numFailedTests: 2 })
    ]
    assert.deepStrictEqual(tally(reports), { passed: 7, failed: 2, skipped: 1 })
  })

  it("counts a file that did not load, and a report that is missing", () => {
    const broken = report({ testResults: [{ status: "failed", assertionResults: [] }] })
    assert.deepStrictEqual(tally([broken, undefined]), { passed: 0, failed: 2, skipped: 0 })
  })

  it("fails when a step failed and no test did", () => {
    const { status, stdout } = spawnSync(process.execPath, [script, "check demo"], { encoding: "utf8" })
    assert.deepStrictEqual({ status, stdout }, { status: 1, stdout: "0 passed, 1 failed, 0 skipped\n" })
  })

  it("fails when it is given a report that is not there", () => {
    const { status, stdout } = spawnSync(
      process.execPath,
      [script, "", join(import.meta.dirname, "none.json")],
      {
        encoding: "utf8"
      }
    )
    assert.deepStrictEqual({ status, stdout }, { status: 1, stdout: "0 passed, 1 failed, 0 skipped\n" })
  })
})
