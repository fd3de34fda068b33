import { assert, it } from "@effect/vitest"
import { retryAfterMs } from "../src/internal/RetryAfter.ts"

const now = Date.parse("2026-11-27T12:00:00.000Z")

it("a Retry-After is seconds or a date, and what is neither says nothing", () => {
  const said: ReadonlyArray<readonly [header: string | undefined, ms: number | undefined]> = [
    ["0", 0],
    ["7", 7000],
    ["0.5", 500],
    ["Fri, 27 Nov 2026 12:00:05 GMT", 5000],
    ["Fri, 27 Nov 2026 11:00:00 GMT", 0],
    [undefined, undefined],
    ["", undefined],
    [" ", undefined],
    ["-5", undefined],
    ["0x10", undefined],
    ["1e300", undefined],
    ["9".repeat(400), undefined],
    ["Infinity", undefined],
    ["soon", undefined],
    ["apples 2", undefined],
    ["5 seconds", undefined]
  ]
  for (const [header, ms] of said) assert.strictEqual(retryAfterMs(header, now), ms, String(header))
})
