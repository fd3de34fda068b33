/**
 * The rules of a circuit breaker, as functions over a value: when calls are let through, and what their outcomes
 * change (OUTAGE-7). `CircuitBreaker` is its shell.
 *
 * - Closed: every call runs. It opens after so many failures in a row, or when enough calls of the last seconds
 *   failed at the rate. A slow success is a failure; what is nobody's fault is ignored.
 * - Open: no call runs until the back-off is over. Each opening doubles it, up to a cap; half of it is random, so
 *   that many processes do not come back at once. It starts small again after the circuit stayed closed for as
 *   long as it was last open.
 * - Half open: a few calls at a time run as probes, the others are refused at once. Enough successes in a row
 *   close it, one failure opens it. A probe that says nothing within its lease gives its place to another.
 * - Forced open or closed: by a person, until it is taken back; outcomes change nothing.
 *
 * Each change of state begins a generation, and the outcome of a call that was let through in an earlier one
 * changes nothing. Times are milliseconds of a clock that only rises.
 */

/** The numbers of a circuit. */
export interface Rules {
  /** Failures in a row that open it. */
  readonly consecutiveFailures: number
  /** Calls that are looked at: those of the last so many milliseconds. */
  readonly windowMs: number
  /** So many calls must stand in the window before its rate counts. */
  readonly minimumCalls: number
  /** Failures of all calls in the window that open it, 0 to 1. */
  readonly failureRate: number
  /** A call that takes longer is a failure. */
  readonly slowMs: number
  /** The first back-off. */
  readonly openMs: number
  /** The longest back-off. */
  readonly maxOpenMs: number
  /** Probes at a time. */
  readonly probes: number
  /** Successful probes in a row that close it. */
  readonly successes: number
  /** How long a probe may say nothing. */
  readonly probeLeaseMs: number
}

/** The numbers unless a program says otherwise. */
export const defaultRules: Rules = {
  consecutiveFailures: 5,
  windowMs: 10_000,
  minimumCalls: 20,
  failureRate: 0.5,
  slowMs: 10_000,
  openMs: 500,
  maxOpenMs: 30_000,
  probes: 2,
  successes: 2,
  probeLeaseMs: 10_000
}

/** What a call said of the dependency. `ignored`: nothing (a 4xx, a caller who went away). */
export type Outcome = "success" | "failure" | "ignored"

/** The name of a state. */
export type Phase = "closed" | "open" | "half" | "forcedOpen" | "forcedClosed"

interface Slice {
  readonly start: number
  readonly calls: number
  readonly failures: number
}

interface Common {
  /** Rises with each change of state. */
  readonly generation: number
  /** How often it opened since the back-off last started small. */
  readonly openings: number
  /** How long it was last open. */
  readonly lastOpenMs: number
}

/** One circuit. */
export type Circuit =
  | (Common & {
      readonly phase: "closed"
      readonly since: number
      readonly consecutive: number
      readonly slices: ReadonlyArray<Slice>
    })
  | (Common & { readonly phase: "open"; readonly until: number })
  | (Common & {
      readonly phase: "half"
      readonly probes: ReadonlyArray<{ readonly id: number; readonly until: number }>
      readonly nextProbe: number
      readonly successes: number
    })
  | (Common & { readonly phase: "forcedOpen" })
  | (Common & { readonly phase: "forcedClosed" })

/** What lets a call through, to be handed in with its outcome. */
export interface Ticket {
  readonly generation: number
  /** 0: no probe. */
  readonly probe: number
  readonly startedAt: number
}

/** The answer to a call that wants to run. */
export type Admission =
  | { readonly _tag: "Admitted"; readonly ticket: Ticket }
  /** When it makes sense to ask again, milliseconds from now. */
  | { readonly _tag: "Rejected"; readonly retryAfterMs: number }

/** A circuit that has seen nothing. */
export const initial = (now: number): Circuit => ({
  phase: "closed",
  generation: 0,
  openings: 0,
  lastOpenMs: 0,
  since: now,
  consecutive: 0,
  slices: []
})

/** May a call run now? */
export const admit = (circuit: Circuit, now: number, rules: Rules): readonly [Circuit, Admission] => {
  switch (circuit.phase) {
    case "closed":
    case "forcedClosed":
      return [circuit, admitted(circuit.generation, 0, now)]
    case "forcedOpen":
      return [circuit, { _tag: "Rejected", retryAfterMs: retryAfterMs(circuit, now, rules) }]
    case "open": {
      const wait = retryAfterMs(circuit, now, rules)
      if (wait > 0) return [circuit, { _tag: "Rejected", retryAfterMs: wait }]
      const { openings, lastOpenMs, generation } = circuit
      const half = { phase: "half", generation: generation + 1, openings, lastOpenMs } as const
      return admit({ ...half, probes: [], nextProbe: 1, successes: 0 }, now, rules)
    }
    case "half": {
      const wait = retryAfterMs(circuit, now, rules)
      const probes = circuit.probes.filter((probe) => now < probe.until)
      if (wait > 0)
        return [
          { ...circuit, probes },
          { _tag: "Rejected", retryAfterMs: wait }
        ]
      const id = circuit.nextProbe
      const probe = { id, until: now + rules.probeLeaseMs }
      return [
        { ...circuit, probes: [...probes, probe], nextProbe: id + 1 },
        admitted(circuit.generation, id, now)
      ]
    }
  }
}

/** When the next call is let through, milliseconds from now; 0: at once. */
export const retryAfterMs = (circuit: Circuit, now: number, rules: Rules): number => {
  switch (circuit.phase) {
    case "closed":
    case "forcedClosed":
      return 0
    case "forcedOpen":
      return rules.maxOpenMs
    case "open":
      return Math.max(0, circuit.until - now)
    case "half": {
      const ends = circuit.probes.flatMap(({ until }) => (now < until ? [until] : []))
      return ends.length < rules.probes ? 0 : Math.min(...ends) - now
    }
  }
}

const admitted = (generation: number, probe: number, startedAt: number): Admission => ({
  _tag: "Admitted",
  ticket: { generation, probe, startedAt }
})

/** What the outcome of a call changes. `random` is between 0 and 1. */
export const settle = (
  circuit: Circuit,
  ticket: Ticket,
  outcome: Outcome,
  now: number,
  rules: Rules,
  random: number
): Circuit => {
  if (ticket.generation !== circuit.generation) return circuit
  const judged = outcome === "success" && now - ticket.startedAt > rules.slowMs ? "failure" : outcome
  if (circuit.phase === "closed") return settleClosed(circuit, judged, now, rules, random)
  if (circuit.phase === "half") return settleHalf(circuit, ticket.probe, judged, now, rules, random)
  return circuit
}

const slices = 10

const settleClosed = (
  circuit: Extract<Circuit, { phase: "closed" }>,
  outcome: Outcome,
  now: number,
  rules: Rules,
  random: number
): Circuit => {
  if (outcome === "ignored") return circuit
  const failures = outcome === "failure" ? 1 : 0
  const width = rules.windowMs / slices
  const start = Math.floor(now / width) * width
  const seen = circuit.slices.filter((slice) => slice.start + width > now - rules.windowMs)
  const last = seen.at(-1)
  const kept =
    last?.start === start
      ? [...seen.slice(0, -1), { start, calls: last.calls + 1, failures: last.failures + failures }]
      : [...seen, { start, calls: 1, failures }]
  const consecutive = failures === 1 ? circuit.consecutive + 1 : 0
  const calls = kept.reduce((sum, slice) => sum + slice.calls, 0)
  const failed = kept.reduce((sum, slice) => sum + slice.failures, 0)
  const trips =
    failures === 1 &&
    (consecutive >= rules.consecutiveFailures ||
      (calls >= rules.minimumCalls && failed / calls >= rules.failureRate))
  if (!trips) return { ...circuit, consecutive, slices: kept }
  const rested = now - circuit.since >= circuit.lastOpenMs
  return open({ ...circuit, openings: rested ? 0 : circuit.openings }, now, rules, random)
}

const settleHalf = (
  circuit: Extract<Circuit, { phase: "half" }>,
  probe: number,
  outcome: Outcome,
  now: number,
  rules: Rules,
  random: number
): Circuit => {
  // A probe whose lease ran out gave its place away: what it says now comes too late.
  const held = circuit.probes.find((p) => p.id === probe)
  if (held === undefined || now >= held.until) return circuit
  if (outcome === "failure") return open(circuit, now, rules, random)
  const probes = circuit.probes.filter((p) => p !== held)
  const successes = circuit.successes + (outcome === "success" ? 1 : 0)
  if (successes < rules.successes) return { ...circuit, probes, successes }
  const { generation, openings, lastOpenMs } = circuit
  return { ...initial(now), generation: generation + 1, openings, lastOpenMs }
}

const open = (circuit: Common, now: number, rules: Rules, random: number): Circuit => {
  const openMs = Math.min(rules.maxOpenMs, rules.openMs * 2 ** circuit.openings) * (0.5 + random / 2)
  return {
    phase: "open",
    generation: circuit.generation + 1,
    openings: circuit.openings + 1,
    lastOpenMs: openMs,
    until: now + openMs
  }
}

/** Forces it open or closed, or takes that back: it is closed then, and has seen nothing. */
export const force = (circuit: Circuit, mode: "open" | "closed" | "none", now: number): Circuit => {
  const common = {
    generation: circuit.generation + 1,
    openings: circuit.openings,
    lastOpenMs: circuit.lastOpenMs
  }
  if (mode === "open") return { ...common, phase: "forcedOpen" }
  if (mode === "closed") return { ...common, phase: "forcedClosed" }
  return circuit.phase === "forcedOpen" || circuit.phase === "forcedClosed"
    ? { ...initial(now), generation: circuit.generation + 1 }
    : circuit
}
