/** Time that only moves forward, for expiries and leases: stepping the wall clock alters none of them. */
import { Clock, Context } from "effect"
import { machine } from "./Sleep.ts"

/** Milliseconds since an unspecified moment. */
export type Monotonic = () => number

/**
 * The monotonic time of a clock: `performance.now` for the live one, with the time that the machine has slept, and the
 * clock's own for a test's.
 */
export const monotonic = (clock: Clock.Clock): Monotonic =>
  clock === Context.get(Context.empty(), Clock.Clock)
    ? machine.now
    : () => Number(clock.monotonicTimeNanosUnsafe() / 1000n) / 1000
