/**
 * `node scripts/tally.ts "FAILED STEPS" REPORT…`: adds up the JSON reports of Vitest and prints
 * `N passed, N failed, N skipped` as its last line. A test file that did not load, a missing report, and a step
 * that failed although no test did, count as failures; so the line never says less than the exit code.
 */
import { readFileSync } from "node:fs"

/** What is read of a report of Vitest's reporter `json`. */
export interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: ReadonlyArray<{
    readonly status: string
    readonly assertionResults: ReadonlyArray<unknown>
  }>
}

export interface Tally {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** The sum of the reports; one that is undefined could not be read. */
export const tally = (reports: ReadonlyArray<Report | undefined>): Tally => {
  let passed = 0
  let failed = 0
  let skipped = 0
  for (const report of reports) {
    if (report === undefined) {
      failed++
      continue
    }
    passed += report.numPassedTests
    failed += report.numFailedTests
    skipped += report.numPendingTests + report.numTodoTests
    failed += report.testResults.filter(
      ({ assertionResults, status }) => status === "failed" && assertionResults.length === 0
    ).length
  }
  return { passed, failed, skipped }
}

const read = (path: string): Report | undefined => {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Report
  } catch {
    return undefined
  }
}

if (import.meta.main) {
  const [steps = "", ...paths] = process.argv.slice(2)
  const sum = tally(paths.map(read))
  const failed = steps.trim() !== "" && sum.failed === 0 ? 1 : sum.failed
  process.stdout.write(`${sum.passed} passed, ${failed} failed, ${sum.skipped} skipped\n`)
  process.exitCode = failed === 0 ? 0 : 1
}
