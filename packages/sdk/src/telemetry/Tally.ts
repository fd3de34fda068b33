/** What the SDK counts on the path of every call: plain numbers, made into metrics when they are read. */
import { checkSteps } from "@agion/domain/denial"
import type { Mode } from "../Decision.ts"

export type Outcome = "allow" | "deny" | "require_approval"

const outcomes: ReadonlyArray<Outcome> = ["allow", "deny", "require_approval"]
const modes: ReadonlyArray<Mode> = ["normal", "stale", "degraded", "observed", "ungoverned"]
/** `none`: nothing denied; `refused`: the platform refuses to be asked. */
const steps = ["none", "refused", ...checkSteps] as const
export type Step = (typeof steps)[number]

const stepAt = new Map<string, number>(steps.map((step, index) => [step, index]))

/** Bounds of durations, seconds. */
const bounds: ReadonlyArray<number> = [
  0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
  0.5, 1, 2.5, 5
]

/** How often durations fell between bounds. */
export class Durations {
  #counts = new Float64Array(bounds.length + 1)
  #count = 0
  #sum = 0
  #min = Number.POSITIVE_INFINITY
  #max = 0

  /** Counts one, in milliseconds. */
  record(millis: number): void {
    const seconds = millis < 0 ? 0 : millis / 1000
    let at = 0
    while (at < bounds.length && seconds > (bounds[at] ?? 0)) at++
    this.#counts[at] = (this.#counts[at] ?? 0) + 1
    this.#count++
    this.#sum += seconds
    if (seconds < this.#min) this.#min = seconds
    if (seconds > this.#max) this.#max = seconds
  }

  /** Cumulative, by bound, in seconds. */
  get state() {
    let below = 0
    const buckets = bounds.map((bound, at): [number, number] => {
      below += this.#counts[at] ?? 0
      return [bound, below]
    })
    return {
      buckets,
      count: this.#count,
      sum: this.#sum,
      min: this.#count === 0 ? 0 : this.#min,
      max: this.#max
    }
  }
}

/** Decisions of one kind. */
export interface DecisionCount {
  readonly outcome: Outcome
  readonly mode: Mode
  readonly step: Step
  count: number
}

/** Counters of one SDK. */
export class Tally {
  /** From a governed call to its decision. */
  readonly permits = new Durations()
  /** Questions that the platform answered. */
  readonly checks = new Durations()
  /** Ends of calls, by how they ended. */
  readonly ends = new Map<string, { count: number }>()
  readonly #decisions: Array<DecisionCount | undefined> = []
  /** Hears of a kind of decision when it is counted for the first time. */
  onDecision: (count: DecisionCount) => void = () => {}
  /** Hears of a kind of end when it is counted for the first time. */
  onEnd: (outcome: string, count: { readonly count: number }) => void = () => {}

  /** Counts a decision that took so long, in milliseconds. */
  decided(outcome: Outcome, mode: Mode, step: string, millis: number): void {
    this.permits.record(millis)
    const stepIndex = stepAt.get(step) ?? 0
    const at = (outcomes.indexOf(outcome) * modes.length + modes.indexOf(mode)) * steps.length + stepIndex
    const known = this.#decisions[at]
    if (known !== undefined) {
      known.count++
      return
    }
    const made: DecisionCount = { outcome, mode, step: steps[stepIndex] ?? "none", count: 1 }
    this.#decisions[at] = made
    this.onDecision(made)
  }

  /** Counts a call that ran and ended so. */
  ended(outcome: string): void {
    const known = this.ends.get(outcome)
    if (known !== undefined) {
      known.count++
      return
    }
    const made = { count: 1 }
    this.ends.set(outcome, made)
    this.onEnd(outcome, made)
  }

  /** Every kind of decision that was counted. */
  get decisions(): ReadonlyArray<DecisionCount> {
    return this.#decisions.filter((count) => count !== undefined)
  }
}
