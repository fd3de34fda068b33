/**
 * What an evaluation works on: the input, local variables, and the operations that are left.
 */
import { OutOfBudget } from "./Issue.ts"
import type { Meter } from "./Value.ts"

/** Operations for one evaluation, unless told otherwise: some milliseconds of work at most. */
export const DEFAULT_BUDGET = 100_000

const OUT = new OutOfBudget()

export class Frame implements Meter {
  vars: Readonly<Record<string, unknown>> = {}
  /** The input is an ordinary object. */
  plain = true
  slots: Array<unknown>
  left = 0

  constructor(slots: number) {
    this.slots = new Array<unknown>(slots).fill(undefined)
  }

  /** Takes an input. */
  take(vars: Readonly<Record<string, unknown>>): void {
    this.vars = vars
    this.plain = Object.getPrototypeOf(vars) === Object.prototype
  }

  spend(operations: number): void {
    this.left -= operations
    if (this.left < 0) throw OUT
  }
}

/** A compiled node. */
export type Fn = (c: Frame) => unknown
