/**
 * What happens while the platform is away (OUTAGE-1 to OUTAGE-4): a pure ladder over what the agent still holds.
 *
 * Local policies and DLP have been asked before; they apply always.
 */

/** What the agent holds when the platform does not answer. */
export interface OutageFacts {
  /** Epoch milliseconds. */
  readonly now: number
  readonly permissionType: string
  /** Null: the agent does not hold the resource's record. */
  readonly resource: { readonly riskLevel: string; readonly tags: ReadonlyArray<string> } | null
  /** The last answer of the platform about this very permission; null: none is held. */
  readonly last: {
    readonly allowed: boolean
    readonly reason: string
    /** When the platform last confirmed that it still stands, epoch milliseconds. */
    readonly confirmedAt: number
    /** A denial by rate, limits or hours ends by itself at this time; null: it stands. */
    readonly deniedUntil: number | null
  } | null
  /** The agent's score as the platform signed it; null: none whose signature holds. */
  readonly trust: { readonly score: number; readonly signedAt: number } | null
  /** Degraded mode is open for this agent: it stays so down to `trustToStay`. */
  readonly open: boolean
  /** Degraded calls left of the budget. */
  readonly budget: number
}

/** What goes on while the platform is away, and for how long (OUTAGE-2, OUTAGE-3). */
export interface OutageOptions {
  /** How long a warm approval and a signed score are good for, milliseconds; default 5 minutes. */
  readonly graceMs: number
  /** Default 70. */
  readonly trustToOpen: number
  /** Default 65: nobody flaps. */
  readonly trustToStay: number
  /** Permission types that are never let through; default write and admin. */
  readonly permissionTypes: ReadonlyArray<string>
  /** Tags that are never let through. */
  readonly tags: ReadonlyArray<string>
  /** Risk levels that are never let through; default critical. */
  readonly riskLevels: ReadonlyArray<string>
}

/** The rules of OUTAGE-2 and OUTAGE-3. */
export const defaults: OutageOptions = {
  graceMs: 300_000,
  trustToOpen: 70,
  trustToStay: 65,
  permissionTypes: ["write", "admin"],
  tags: ["destructive", "spends", "grants", "sends_outside"],
  riskLevels: ["critical"]
}

/** How a call goes on without the platform, and which rule said so. */
export type OutageOutcome =
  | { readonly _tag: "Stale"; readonly rule: "warm_approval"; readonly reason: string }
  | { readonly _tag: "Degraded"; readonly rule: "trusted"; readonly reason: string }
  | {
      readonly _tag: "Denied"
      readonly rule: "known_denial" | "excluded" | "unknown_trust" | "low_trust" | "budget"
      readonly reason: string
    }

const denied = (rule: Extract<OutageOutcome, { _tag: "Denied" }>["rule"], reason: string): OutageOutcome => ({
  _tag: "Denied",
  rule,
  reason
})

const exclusion = (facts: OutageFacts, options: OutageOptions): string | null => {
  if (options.permissionTypes.includes(facts.permissionType)) return `permission type ${facts.permissionType}`
  if (facts.resource === null) return "a resource whose record is not held"
  if (options.riskLevels.includes(facts.resource.riskLevel)) return `risk ${facts.resource.riskLevel}`
  const tag = facts.resource.tags.find((name) => options.tags.includes(name))
  return tag === undefined ? null : `tag ${tag}`
}

/** The first rung that holds. */
export const decide = (facts: OutageFacts, options: OutageOptions = defaults): OutageOutcome => {
  const { last, trust } = facts
  if (last !== null && !last.allowed && (last.deniedUntil === null || facts.now < last.deniedUntil))
    return denied("known_denial", last.reason)
  const excluded = exclusion(facts, options)
  if (excluded !== null)
    return denied("excluded", `Platform unavailable: ${excluded} is never let through without it`)
  if (last?.allowed === true && facts.now - last.confirmedAt <= options.graceMs)
    return { _tag: "Stale", rule: "warm_approval", reason: "Platform unavailable: a warm approval is used" }
  if (trust === null || facts.now - trust.signedAt > options.graceMs)
    return denied("unknown_trust", "Platform unavailable: no signed trust score is held")
  const needed = facts.open ? options.trustToStay : options.trustToOpen
  if (trust.score < needed)
    return denied("low_trust", `Platform unavailable: trust score ${trust.score} < ${needed}`)
  if (facts.budget <= 0)
    return denied("budget", "Platform unavailable: the budget of degraded calls is spent")
  return {
    _tag: "Degraded",
    rule: "trusted",
    reason: `Platform unavailable: trust score ${trust.score} lets it through`
  }
}
