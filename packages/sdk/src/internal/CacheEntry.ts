/**
 * What a cached answer holds, and how it is decided again without the platform (CACHE-2).
 *
 * Times are milliseconds of a clock that only moves forward, but for `wallNow`, which hours and days look at.
 */
import type { ActorType, CheckResult, PermissionType } from "@agion/domain"
import { PermissionCheck } from "@agion/policy/judgement"
import { Effect } from "effect"
import { type Decision, ofResult } from "../Decision.ts"
import type { Unheld } from "../PolicyEngine.ts"
import type { ActorTrust } from "../TrustTracker.ts"
import type { EntryKey, Held } from "./EntryTable.ts"
import type { OrganizationEpoch } from "./Epochs.ts"
import { type HeldFacts, recordOf, type SharedFacts } from "./HeldFacts.ts"

const nothing: PermissionCheck.View = {}

/** Approved entries live for so long (CACHE-1). */
const approvedFor = 30_000
/** Denied entries live for so long. */
const deniedFor = 5000

/** What this process has used since the entry was made. */
export interface Spend {
  requests: number
  tokens: number
  costMicroUsd: number
  /** When requests were made within the last minute, oldest first; kept only under a rate limit. */
  readonly times: Array<number>
}

/** Where an entry stands once pushes have spoken. */
export type Standing =
  /** Nothing has been heard against it. */
  | "held"
  /** Something was missed: what it allowed is not known any more. */
  | "forgotten"
  /** A push has named it, and the platform has not been asked since. */
  | "suspect"

/** An answer of the platform and what has become of it. */
export interface CacheEntry extends EntryKey, Held {
  readonly actorType: ActorType
  readonly permissionType: PermissionType
  readonly organization: OrganizationEpoch
  readonly actor: ActorTrust
  /** The answer as a hit gives it; it speaks for calls without a context. */
  readonly decision: Decision
  /** `decision.allowed`, beside the fields that every hit reads. */
  readonly allowed: boolean
  /** The same, ready to be yielded. */
  readonly hit: Effect.Effect<Decision>
  /** The answer holds for every call without a context, as long as the entry lives. */
  readonly plain: boolean
  /** It holds for every call that local policies and DLP have judged. */
  readonly plainJudged: boolean
  /** Null: the platform sent none. */
  readonly facts: HeldFacts | null
  /** The actor's score must be at least this for the answer to stand. */
  readonly trustFloor: number
  /** The policy set under which `plain` was found. */
  readonly generation: number
  /** A whole number, too; rather earlier than later. */
  readonly askedAt: number
  /** Null: nothing. */
  spend: Spend | null
  /** Until when a denial by rate, limits or hours stands; null: it has no end. */
  readonly deniedUntil: number | null
  /** A whole number, which needs no object of its own. */
  expiresAt: number
  standing: Standing
  /** `stamp` at the last refresh ahead of expiry: who was not used since is not refreshed. */
  refreshedStamp: number
}

/** Steps whose denial ends by itself or depends on the call. */
const passing = new Set(["hours", "rate", "tokens", "cost"])

/** The steps of the check that depend on nothing that a call brings. */
const standingSteps = new Set(["agent", "resource", "permission"])

const lifeOf = (result: CheckResult): number => {
  if (result.allowed) return approvedFor
  const denial = result.metadata.denial
  if (denial === undefined || !passing.has(denial.step)) return deniedFor
  return Math.min(deniedFor, denial.retryAfterMs ?? deniedFor)
}

/** An answer to be held. `inScope` tells whether any local policy looks at such calls. */
export const makeEntry = (options: {
  readonly key: EntryKey
  readonly result: CheckResult
  /** The call that was asked about had a context: its answer says nothing about others. */
  readonly withContext: boolean
  readonly organization: OrganizationEpoch
  readonly actor: ActorTrust
  readonly askedAt: number
  readonly generation: number
  /** What came with the answer. */
  readonly facts: HeldFacts | null
  readonly shared: SharedFacts
  readonly inScope: (facts: HeldFacts) => boolean
}): CacheEntry => {
  const { key, result, askedAt, facts, shared } = options
  const said = ofResult(result, "cache")
  const decision = { ...said, reason: shared.text(said.reason), constraints: recordOf(said.constraints) }
  const step = result.metadata.denial?.step
  const constraints = result.permission?.constraints ?? {}
  const plain = result.allowed
    ? !options.withContext &&
      result.metadata.observed === undefined &&
      PermissionCheck.isUnlimited(constraints) &&
      (facts === null || !options.inScope(facts))
    : !options.withContext || (step !== undefined && standingSteps.has(step))
  const wait = result.metadata.denial?.retryAfterMs ?? null
  const plainJudged = result.allowed
    ? result.metadata.observed === undefined && PermissionCheck.isUnlimited(constraints)
    : step !== undefined && standingSteps.has(step)
  // What a hit reads comes first, side by side in memory.
  return {
    slot: 0,
    next: undefined,
    plain: plain && step !== "trust",
    expiresAt: Math.floor(askedAt + lifeOf(result)),
    generation: options.generation,
    allowed: decision.allowed,
    organization: options.organization,
    actor: options.actor,
    trustFloor: result.allowed ? result.metadata.trustScoreChecked : 0,
    stamp: 0,
    hit: Effect.succeed(decision),
    plainJudged,
    standing: "held",
    decision,
    facts,
    live: false,
    organizationId: key.organizationId,
    actorId: key.actorId,
    actorType: key.actorType,
    resourceId: key.resourceId,
    permissionType: key.permissionType,
    askedAt: Math.floor(askedAt),
    spend: null,
    deniedUntil: step !== undefined && passing.has(step) ? askedAt + (wait ?? 60_000) : null,
    refreshedStamp: 0
  }
}

/** The part of an entry that usage and facts are made of. */
export type Spending = Pick<CacheEntry, "spend" | "askedAt">

/** Usage as of the entry, with what this process has used since. */
const usageOf = (entry: Spending, facts: HeldFacts, now: number): PermissionCheck.Usage => {
  const { usage } = facts
  const { spend } = entry
  if (spend === null) return now - entry.askedAt < 60_000 ? usage : { ...usage, windowRequests: 0 }
  while (spend.times.length > 0 && (spend.times[0] ?? now) <= now - 60_000) spend.times.shift()
  // What the platform counted has left the window a minute after the entry was made.
  const counted = now - entry.askedAt < 60_000 ? usage.windowRequests : 0
  return {
    windowRequests: counted + spend.times.length,
    dayRequests: usage.dayRequests + spend.requests,
    dayTokens: usage.dayTokens + spend.tokens,
    dayCostMicroUsd: usage.dayCostMicroUsd + spend.costMicroUsd,
    actorRequestsToday: usage.actorRequestsToday + spend.requests,
    actorTokensToday: usage.actorTokensToday + spend.tokens,
    actorCostUsdToday: usage.actorCostUsdToday + spend.costMicroUsd / 1e6
  }
}

/** Adds what a call has used. */
export const addSpend = (
  entry: CacheEntry,
  amounts: { readonly requests: number; readonly tokens: number; readonly costMicroUsd: number },
  now: () => number
): void => {
  entry.spend ??= { requests: 0, tokens: 0, costMicroUsd: 0, times: [] }
  const { spend } = entry
  spend.requests += amounts.requests
  spend.tokens += amounts.tokens
  spend.costMicroUsd += amounts.costMicroUsd
  if (entry.facts?.constraints.rateLimitRpm == null) return
  const at = now()
  for (let i = 0; i < amounts.requests; i++) spend.times.push(at)
}

/** The facts of a call on an entry, as `PermissionCheck` and policies see them. */
export const checkFacts = (
  entry: Spending & Pick<CacheEntry, "actorId" | "actorType" | "actor">,
  facts: HeldFacts,
  call: PermissionCheck.Call,
  clocks: { readonly now: number; readonly wallNow: number },
  enforcement: "enforce" | "observe"
): PermissionCheck.Facts => ({
  now: clocks.wallNow,
  timeZone: facts.actor.timeZone,
  enforcement: enforcement === "observe" ? "observe" : facts.actor.enforcement,
  actor: {
    id: entry.actorId,
    type: entry.actorType,
    suspended: facts.actor.isSuspended,
    trustScore: entry.actor.score,
    view: facts.actor.view
  },
  resource: facts.resource,
  permission: facts.permission,
  usage: usageOf(entry, facts, clocks.now),
  call
})

/** Facts of a call on which no entry is held: what this process knows of the actor, and the resource's record if held. */
export const bareFacts = (
  actor: ActorTrust,
  call: PermissionCheck.Call,
  resource: PermissionCheck.ResourceFacts | null,
  wallNow: number,
  enforcement: "enforce" | "observe"
): PermissionCheck.Facts => ({
  now: wallNow,
  timeZone: "UTC",
  enforcement,
  actor: {
    id: actor.actorId,
    type: actor.actorType,
    suspended: false,
    trustScore: actor.score,
    view: nothing
  },
  resource,
  permission: null,
  usage: PermissionCheck.noUsage,
  call
})

/** What such facts lack. */
export const bareUnheld = (actor: ActorTrust, resource: PermissionCheck.ResourceFacts | null): Unheld => ({
  actor: true,
  resource: resource === null,
  usage: true,
  trust: !actor.known
})

const numberOrNull = (value: unknown): number | null => (typeof value === "number" ? value : null)

/** A call of one request with a context in the words of the wire. */
export const callOf = (
  permissionType: PermissionType,
  context: PermissionCheck.View | undefined
): PermissionCheck.Call => {
  const given = context ?? nothing
  const usd = numberOrNull(given["estimated_cost"])
  return {
    permissionType,
    requests: 1,
    tokens: numberOrNull(given["request_tokens"]),
    costMicroUsd: usd === null ? null : PermissionCheck.microUsd(usd),
    context: given
  }
}
