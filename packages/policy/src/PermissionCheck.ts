/**
 * May this actor do this now? One pure function over facts, asked by the platform and by agents alike (CHECK-2).
 *
 * The order, stopping at the first denial (CHECK-1): agent not suspended, resource there, active and not
 * unhealthy, permission approved, allowed hours and days, rate, tokens, cost, trust, policies and DLP.
 *
 * **Gotchas**: it decides, and neither counts nor reserves (CHECK-4). Amounts of money are integers in
 * micro-dollars, times are epoch milliseconds.
 */
import { type CheckStep, type Constraints, contextFault, type Denial, type Remaining } from "@agion/domain"
import * as LocalTime from "./LocalTime.ts"

/** A JSON object as a policy sees it: snake_case, without nulls. */
export type View = { readonly [name: string]: unknown }

/** What is known of the resource. */
export interface ResourceFacts {
  readonly id: string
  readonly name: string
  readonly resourceType: string
  readonly status: string
  readonly healthStatus: string
  /** The status of the first thing that it hangs under and that is not active; null when all are. */
  readonly ancestorStatus: string | null
  /** 0 to 100. */
  readonly trustRequired: number
  readonly riskLevel: string
  readonly tags: ReadonlyArray<string>
  readonly view: View
}

/** What is known of the permission. */
export interface PermissionFacts {
  readonly id: string
  readonly status: string
  readonly constraints: Constraints
}

/** What has been used, reserved amounts included. */
export interface Usage {
  /** Requests in the last 60 seconds. */
  readonly windowRequests: number
  /** On the organization's current day. */
  readonly dayRequests: number
  readonly dayTokens: number
  readonly dayCostMicroUsd: number
  /** The actor's spend today over all its permissions, as policies see it. */
  readonly actorRequestsToday: number
  readonly actorTokensToday: number
  readonly actorCostUsdToday: number
}

/** Nothing used. */
export const noUsage: Usage = {
  windowRequests: 0,
  dayRequests: 0,
  dayTokens: 0,
  dayCostMicroUsd: 0,
  actorRequestsToday: 0,
  actorTokensToday: 0,
  actorCostUsdToday: 0
}

/** What is asked. */
export interface Call {
  readonly permissionType: string
  /** How many requests it is; a check asks for one. */
  readonly requests: number
  /** Null: not said. */
  readonly tokens: number | null
  /** Null: not said. */
  readonly costMicroUsd: number | null
  /** What came with the call, snake_case: content, origin, action, tool, arguments, model, … */
  readonly context: View
}

/** Everything that a decision depends on. */
export interface Facts {
  /** Epoch milliseconds of the clock that counts usage. */
  readonly now: number
  readonly timeZone: string
  /** `observe` blocks nothing but a suspended agent (POLICY-8). */
  readonly enforcement: "enforce" | "observe"
  readonly actor: {
    readonly id: string
    readonly type: string
    readonly suspended: boolean
    /** 0 to 100 in steps of 0.1. */
    readonly trustScore: number
    /** The actor as policies see it, without id, type, score and tier. */
    readonly view: View
  }
  /** Null: there is none in this organization. */
  readonly resource: ResourceFacts | null
  readonly permission: PermissionFacts | null
  readonly usage: Usage
  readonly call: Call
}

/** What a set of policies says of an input. */
export interface PolicyVerdict {
  readonly decision: "allow" | "warn" | "require_approval" | "deny"
  /** In order of priority; the first whose decision is the set's is the one that is named. */
  readonly reasons: ReadonlyArray<{
    readonly id: string | number
    readonly name: string
    readonly level: string
    readonly decision: "allow" | "warn" | "require_approval" | "deny"
    readonly message: string
  }>
  readonly evaluated: number
}

/** What DLP says of a content. */
export interface ContentVerdict {
  readonly decision: "allow" | "redact" | "block"
  readonly findings: ReadonlyArray<{ readonly kind: string; readonly action: string }>
}

/** Who judges what a table of limits cannot. */
export interface Judges {
  /** Null: there are no policies. */
  readonly policies: ((facts: Facts) => PolicyVerdict) | null
  /** Null: nothing is scanned. */
  readonly content: ((facts: Facts) => ContentVerdict) | null
}

/** Something that a policy or DLP holds against the call (TRUST-5). */
export interface Violation {
  /** The policy's id, or the detector's kind. */
  readonly subject: string
  readonly name: string
  readonly level: string
  /** It blocked, or would have in an organization that enforces. */
  readonly blocks: boolean
}

/** The answer. */
export interface Decision {
  readonly allowed: boolean
  readonly reason: string
  readonly denial: Denial | null
  /** What would have been answered, where an organization only observes; null where it enforces. */
  readonly observed: {
    readonly allowed: boolean
    readonly reason: string
    readonly denial: Denial | null
  } | null
  readonly remaining: Remaining
  readonly trustRequired: number
  readonly trustScore: number
  readonly policiesEvaluated: number
  readonly warnings: ReadonlyArray<string>
  readonly violations: ReadonlyArray<Violation>
  /** The content must be redacted before it leaves. */
  readonly redact: boolean
}

/** The reason of an answer that allows. */
export const allowedReason = "Allowed"

/** Why a call is refused, in the words of the contract. */
export interface Refusal {
  readonly reason: string
  readonly denial: Denial
}

const refuse = (
  step: CheckStep,
  reason: string,
  seen: string | null,
  needed: string | null,
  remedy: Denial["remedy"],
  subjects: ReadonlyArray<string>,
  retryAfterMs: number | null = null
): Refusal => ({ reason, denial: { step, seen, needed, retryAfterMs, remedy, subjects } })

/** True when nothing of the permission depends on the call or the time of day: a cached allow stands as it is. */
export const isUnlimited = (constraints: Constraints): boolean =>
  constraints.rateLimitRpm == null &&
  constraints.tokenLimitPerDay == null &&
  constraints.costLimitPerDayUsd == null &&
  constraints.allowedHours == null &&
  constraints.allowedDays == null

/** True when a governed call must reserve at the platform (LIMIT-6). */
export const needsReservation = (constraints: Constraints): boolean =>
  constraints.rateLimitRpm != null ||
  constraints.tokenLimitPerDay != null ||
  constraints.costLimitPerDayUsd != null

/** The whole number that an amount is but for what multiplying lost; undefined: it lies between two. */
const wholeOf = (micro: number): number | undefined => {
  const whole = Math.round(micro)
  return Math.abs(micro - whole) <= whole * 4 * Number.EPSILON ? whole : undefined
}

/** US dollars of a call as micro-dollars: rounded up, so that nothing that costs counts as nothing. */
export const microUsd = (usd: number): number => {
  const micro = usd * 1_000_000
  return wholeOf(micro) ?? Math.ceil(micro)
}

/** US dollars of a limit as micro-dollars: rounded down. */
export const limitMicroUsd = (usd: number): number => {
  const micro = usd * 1_000_000
  return wholeOf(micro) ?? Math.floor(micro)
}

/** What is left of the limits; absent where there is none. */
export const remaining = (constraints: Constraints, usage: Usage): Remaining => {
  const left: { -readonly [K in keyof Remaining]: Remaining[K] } = {}
  if (constraints.rateLimitRpm != null) {
    left.remainingRequests = Math.max(0, constraints.rateLimitRpm - usage.windowRequests)
    left.remainingRequestsToday = left.remainingRequests
  }
  if (constraints.tokenLimitPerDay != null)
    left.remainingTokensToday = Math.max(0, constraints.tokenLimitPerDay - usage.dayTokens)
  if (constraints.costLimitPerDayUsd != null)
    left.remainingBudgetToday =
      Math.max(0, limitMicroUsd(constraints.costLimitPerDayUsd) - usage.dayCostMicroUsd) / 1e6
  return left
}

/**
 * What is left where nothing limits, then where each set of limits does. They stay: with the last of a shape that
 * grew field by field a full collection drops it, and all that was compiled for it.
 */
const lefts: readonly [nothing: Remaining, ...Array<Remaining>] = [
  {},
  ...[1, 2, 3, 4, 5, 6, 7].map((limits) =>
    remaining(
      {
        rateLimitRpm: limits & 1 ? 1 : null,
        tokenLimitPerDay: limits & 2 ? 1 : null,
        costLimitPerDayUsd: limits & 4 ? 0.5 : null
      },
      noUsage
    )
  )
]

const ofResource = (resource: ResourceFacts | null): Refusal | null => {
  if (resource === null)
    return refuse(
      "resource",
      "Resource not found",
      null,
      "a resource of this organization",
      "another_resource",
      []
    )
  const status = resource.status !== "active" ? resource.status : (resource.ancestorStatus ?? "active")
  if (status !== "active")
    return refuse("resource", `Resource is ${status}`, status, "active", "another_resource", [resource.id])
  if (resource.healthStatus === "unhealthy")
    return refuse("resource", "Resource is unhealthy", "unhealthy", "healthy", "wait", [resource.id], 30_000)
  return null
}

const ofPermission = (facts: Facts): Refusal | null => {
  const { permission } = facts
  if (permission?.status === "approved") return null
  const subject = permission?.id ?? facts.resource?.id
  return refuse(
    "permission",
    "No approved permission found",
    permission?.status ?? "none",
    "approved",
    "request_approval",
    subject === undefined ? [] : [subject]
  )
}

const ofHours = (facts: Facts, permission: PermissionFacts): Refusal | null => {
  const { allowedHours, allowedDays } = permission.constraints
  if (allowedHours == null && allowedDays == null) return null
  const local = LocalTime.at(facts.now, facts.timeZone)
  if (LocalTime.isWithin(local, allowedHours ?? null, allowedDays ?? null)) return null
  const needed = [allowedDays?.join(", "), allowedHours].filter((part) => part != null).join(" ")
  return refuse(
    "hours",
    `Outside allowed hours: ${needed} ${facts.timeZone}`,
    `${local.weekday} ${LocalTime.clock(local)}`,
    needed,
    "wait",
    [permission.id],
    LocalTime.untilWithin(local, allowedHours ?? null, allowedDays ?? null)
  )
}

const ofRate = (facts: Facts, permission: PermissionFacts): Refusal | null => {
  const limit = permission.constraints.rateLimitRpm
  if (limit == null || facts.usage.windowRequests + facts.call.requests <= limit) return null
  const never = facts.call.requests > limit
  return refuse(
    "rate",
    `Rate limit exceeded: ${limit} RPM`,
    `${facts.usage.windowRequests} in the last 60 s, asked for ${facts.call.requests}`,
    `at most ${limit} a minute`,
    never ? "smaller_request" : "wait",
    [permission.id],
    never ? null : 1000
  )
}

/** Whether an amount goes over a daily limit; what is not said needs at least something to be left. */
const exceeds = (limit: number, used: number, asked: number | null): boolean =>
  asked === null ? used >= limit : used + asked > limit

const ofTokens = (facts: Facts, permission: PermissionFacts): Refusal | null => {
  const limit = permission.constraints.tokenLimitPerDay
  if (limit == null || !exceeds(limit, facts.usage.dayTokens, facts.call.tokens)) return null
  return daily("tokens", "Token limit would be exceeded", facts, permission, {
    left: limit - facts.usage.dayTokens,
    seen: `${facts.usage.dayTokens} used, asked for ${facts.call.tokens ?? "an unknown number"}`,
    needed: `at most ${limit} tokens a day`
  })
}

const ofCost = (facts: Facts, permission: PermissionFacts): Refusal | null => {
  const usd = permission.constraints.costLimitPerDayUsd
  if (usd == null) return null
  const limit = limitMicroUsd(usd)
  if (!exceeds(limit, facts.usage.dayCostMicroUsd, facts.call.costMicroUsd)) return null
  const asked =
    facts.call.costMicroUsd === null ? "an unknown amount" : `${facts.call.costMicroUsd / 1e6} USD`
  return daily("cost", "Cost limit would be exceeded", facts, permission, {
    left: limit - facts.usage.dayCostMicroUsd,
    seen: `${facts.usage.dayCostMicroUsd / 1e6} USD used, asked for ${asked}`,
    needed: `at most ${usd} USD a day`
  })
}

const daily = (
  step: "tokens" | "cost",
  reason: string,
  facts: Facts,
  permission: PermissionFacts,
  amounts: { readonly left: number; readonly seen: string; readonly needed: string }
): Refusal =>
  refuse(
    step,
    reason,
    amounts.seen,
    amounts.needed,
    amounts.left > 0 ? "smaller_request" : "wait",
    [permission.id],
    LocalTime.untilMidnight(LocalTime.at(facts.now, facts.timeZone))
  )

const ofTrust = (trustScore: number, resource: ResourceFacts): Refusal | null => {
  if (trustScore >= resource.trustRequired) return null
  return refuse(
    "trust",
    `Trust score too low: ${trustScore} < ${resource.trustRequired}`,
    String(trustScore),
    String(resource.trustRequired),
    "more_trust",
    [resource.id]
  )
}

const ofPolicies = (verdict: PolicyVerdict): Refusal | null => {
  if (verdict.decision !== "deny" && verdict.decision !== "require_approval") return null
  const said = verdict.reasons.filter((reason) => reason.decision === verdict.decision)
  const first = said[0]
  const name = first?.name ?? "unknown"
  const subjects = said.map((reason) => String(reason.id))
  return verdict.decision === "deny"
    ? // Only who wrote the policy knows what it would allow.
      refuse("policy", `Policy violation: ${name}`, first?.message ?? null, null, null, subjects)
    : refuse(
        "policy",
        `Approval required: ${name}`,
        first?.message ?? null,
        "an approval",
        "request_approval",
        subjects
      )
}

const ofContent = (verdict: ContentVerdict): Refusal | null => {
  if (verdict.decision !== "block") return null
  const kinds = [...new Set(verdict.findings.filter((f) => f.action === "block").map((f) => f.kind))]
  return refuse(
    "dlp",
    `Content blocked: ${kinds.join(", ")}`,
    kinds.join(", "),
    null,
    "change_content",
    kinds
  )
}

const beforePolicies = (facts: Facts): Refusal | null => {
  const missing = ofResource(facts.resource) ?? ofPermission(facts)
  if (missing !== null || facts.permission === null || facts.resource === null) return missing
  return (
    ofHours(facts, facts.permission) ??
    ofRate(facts, facts.permission) ??
    ofTokens(facts, facts.permission) ??
    ofCost(facts, facts.permission) ??
    ofTrust(facts.actor.trustScore, facts.resource)
  )
}

const noVerdict: PolicyVerdict = { decision: "allow", reasons: [], evaluated: 0 }
const noContent: ContentVerdict = { decision: "allow", findings: [] }

const violationsOf = (policies: PolicyVerdict, content: ContentVerdict): ReadonlyArray<Violation> => {
  if (policies.reasons.length === 0 && content.decision !== "block") return noViolations
  const violations: Array<Violation> = []
  for (const { id, name, level, decision } of policies.reasons)
    if (decision === "deny" || (decision === "warn" && level === "soft"))
      violations.push({ subject: String(id), name, level, blocks: decision === "deny" })
  if (content.decision === "block")
    for (const kind of new Set(content.findings.filter((f) => f.action === "block").map((f) => f.kind)))
      violations.push({ subject: kind, name: kind, level: "hard", blocks: true })
  return violations
}

const noViolations: ReadonlyArray<Violation> = []

const suspended = (facts: Facts): Refusal | null =>
  facts.actor.suspended
    ? refuse("agent", "Agent is suspended", "suspended", "active", "operator", [facts.actor.id])
    : null

/** What a call brings and nobody could read is neither scanned nor limited: the call is refused. */
const malformed = (facts: Facts): Refusal | null => {
  const fault = contextFault(facts.call.context)
  if (fault === undefined) return null
  const reason = `Invalid context: \`${fault.name}\` must be ${fault.expected}`
  return refuse("permission", reason, null, fault.expected, "change_content", [fault.name])
}

/** Decides over facts, with what the judges say of policies and content. */
export const decide = (facts: Facts, judges: Judges): Decision => {
  const stopped = suspended(facts)
  const early = stopped ?? malformed(facts) ?? beforePolicies(facts)
  // Policies are asked where everything before them allows; where an organization observes, always.
  const asks = stopped === null && (early === null || facts.enforcement === "observe")
  const policies = asks && judges.policies !== null ? judges.policies(facts) : noVerdict
  const denied = early ?? ofPolicies(policies)
  const content =
    asks && judges.content !== null && (denied === null || facts.enforcement === "observe")
      ? judges.content(facts)
      : noContent
  const refusal = denied ?? ofContent(content)
  const observes = facts.enforcement === "observe" && stopped === null
  const answer = {
    allowed: refusal === null,
    reason: refusal?.reason ?? allowedReason,
    denial: refusal?.denial ?? null
  }
  return {
    allowed: observes || answer.allowed,
    reason: observes && refusal !== null ? `Observed: ${refusal.reason}` : answer.reason,
    denial: observes ? null : answer.denial,
    observed: observes ? answer : null,
    remaining: facts.permission === null ? lefts[0] : remaining(facts.permission.constraints, facts.usage),
    trustRequired: facts.resource?.trustRequired ?? 0,
    trustScore: facts.actor.trustScore,
    policiesEvaluated: policies.evaluated,
    warnings: policies.reasons.length === 0 ? noWarnings : warningsOf(policies),
    violations: violationsOf(policies, content),
    redact: content.decision === "redact" || (observes && content.decision === "block")
  }
}

/** What stands in the way of every call on a resource by an actor of this trust; null: nothing. */
export const closed = (resource: ResourceFacts, trustScore: number): Refusal | null =>
  ofResource(resource) ?? ofTrust(trustScore, resource)

/** What policies and DLP hold against a call, whatever else is known of it; null: nothing. */
export const objection = (facts: Facts, judges: Judges): Refusal | null => {
  const early = malformed(facts) ?? (judges.policies === null ? null : ofPolicies(judges.policies(facts)))
  return early ?? (judges.content === null ? null : ofContent(judges.content(facts)))
}

const noWarnings: ReadonlyArray<string> = []

const warningsOf = (policies: PolicyVerdict): ReadonlyArray<string> =>
  policies.reasons
    .filter((reason) => reason.decision === "warn")
    .map((reason) => `${reason.name}: ${reason.message}`)
