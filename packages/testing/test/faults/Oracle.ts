/**
 * Judges what an agent decided by what was approved, revoked and broken when: a rule book of the test's own, told
 * in the words of FRESH-2, FRESH-3 and OUTAGE-1 to OUTAGE-6.
 */
import type { Asked } from "./Lines.ts"

/** A stretch of the machine's monotonic clock, milliseconds. */
export interface Stretch {
  readonly from: number
  readonly to: number
}

/** What was true when. */
export interface Truth {
  /** When each question's permission stood. A name that is missing: never. */
  readonly approved: ReadonlyMap<string, ReadonlyArray<Stretch>>
  /** Questions that nobody lets through without the platform (OUTAGE-3). */
  readonly excluded: ReadonlySet<string>
  /** When the platform could not be relied on, until each question was answered by it again. */
  readonly outages: ReadonlyArray<Stretch>
  /** The longest way to the platform and back, milliseconds. */
  readonly roundTripMs: number
  /** The agent's score throughout. */
  readonly trust: number
}

/** A cached allow is used within three seconds of the last confirmed epoch (FRESH-2). */
const freshMs = 3000
/** What was denied is asked again after five seconds (CACHE-1). */
const deniedMs = 5000
/** A warm approval is good for so long (OUTAGE-2). */
const graceMs = 300_000
/** Degraded calls of an agent in that time (OUTAGE-3). */
const budget = 20

const meets = (stretches: ReadonlyArray<Stretch>, from: number, to: number): boolean =>
  stretches.some((stretch) => stretch.from <= to && from <= stretch.to)

const covers = (stretches: ReadonlyArray<Stretch>, from: number, to: number): boolean =>
  stretches.some((stretch) => stretch.from <= from && to <= stretch.to)

/** What the agent has been answered of a question so far. */
interface Known {
  /** The last allow of the platform; undefined: none. */
  warm: number | undefined
  /** The last answer of the platform was a denial. */
  denied: boolean
}

const faultOfAllow = (asked: Asked, truth: Truth, known: Known, degraded: number): string | null => {
  const approved = truth.approved.get(asked.name) ?? []
  const { from, to } = asked
  if (asked.mode === "normal")
    return meets(approved, from - freshMs - truth.roundTripMs, to) ? null : "allowed what was not approved"
  if (!meets(truth.outages, from, to)) return `${asked.mode} while the platform was there`
  if (truth.excluded.has(asked.name)) return `${asked.mode} on what is never let through`
  if (known.denied) return `${asked.mode} on what was known to be denied`
  if (asked.mode === "stale")
    return known.warm !== undefined &&
      from - known.warm <= graceMs &&
      meets(approved, known.warm - freshMs, to)
      ? null
      : "stale without a warm approval"
  if (asked.mode !== "degraded") return `allowed as ${asked.mode}`
  if (truth.trust < 70) return `degraded at trust ${truth.trust}`
  return degraded > budget ? "degraded beyond the budget" : null
}

const faultOfDenial = (asked: Asked, truth: Truth, known: Known): string | null => {
  const approved = truth.approved.get(asked.name) ?? []
  const { from, to } = asked
  if (asked.source !== "outage")
    return covers(approved, from - deniedMs - truth.roundTripMs, to) ? "denied what was approved" : null
  if (!meets(truth.outages, from, to)) return "unavailable while the platform was there"
  const isWarm = known.warm !== undefined && from - known.warm <= graceMs && !truth.excluded.has(asked.name)
  return isWarm && covers(approved, known.warm ?? from, to) ? "denied in spite of a warm approval" : null
}

/** The decisions of one process that were wrong, and why. */
export const wrong = (
  decisions: ReadonlyArray<Asked>,
  truth: Truth
): ReadonlyArray<{ readonly asked: Asked; readonly why: string }> => {
  const known = new Map<string, Known>()
  const found: Array<{ readonly asked: Asked; readonly why: string }> = []
  let degraded = 0
  for (const asked of decisions) {
    const held = known.get(asked.name) ?? { warm: undefined, denied: false }
    known.set(asked.name, held)
    if (asked.mode === "degraded") degraded++
    const why = asked.allowed ? faultOfAllow(asked, truth, held, degraded) : faultOfDenial(asked, truth, held)
    if (why !== null) found.push({ asked, why })
    if (asked.source === "outage") continue
    held.denied = !asked.allowed
    held.warm = asked.allowed ? asked.to : undefined
  }
  return found
}
