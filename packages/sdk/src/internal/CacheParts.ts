/** What deciding from the cache needs, taken once, and the look-ups that every part of it does. */
import { isUuid } from "@agion/domain"
import type { PermissionCheck } from "@agion/policy"
import type { Deferred, Scope } from "effect"
import type { Decision } from "../Decision.ts"
import type { EventBuffer } from "../EventBuffer.ts"
import type { FailurePolicy } from "../FailurePolicy.ts"
import type { GovernanceHttp, PlatformRefused, PlatformUnavailable } from "../GovernanceHttp.ts"
import type { CheckInput } from "../PermissionCache.ts"
import type { PolicyEngine } from "../PolicyEngine.ts"
import type { SettingsShape } from "../Settings.ts"
import type { SharedCache } from "../SharedCache.ts"
import type { TrustTracker } from "../TrustTracker.ts"
import type { Tally } from "../telemetry/Tally.ts"
import type { CacheEntry } from "./CacheEntry.ts"
import type { CacheState, Flight } from "./CacheState.ts"
import type { EntryKey } from "./EntryTable.ts"
import type { Monotonic } from "./Monotonic.ts"
import type { PlatformClock } from "./PlatformClock.ts"

/** Everything that deciding needs, taken once. */
export interface Parts {
  readonly state: CacheState
  readonly settings: SettingsShape
  readonly http: GovernanceHttp["Service"]
  readonly engine: PolicyEngine["Service"]
  readonly trust: TrustTracker["Service"]
  readonly events: EventBuffer["Service"]
  readonly shared: SharedCache["Service"]
  readonly failure: typeof FailurePolicy.Service
  readonly now: Monotonic
  readonly clock: PlatformClock
  readonly wallNow: () => number
  readonly scope: Scope.Scope
  readonly tally: Tally
  /** Questions under way, by key. */
  readonly flying: Map<string, Flying>
}

/** What a question under way will end in. */
export interface Flying {
  readonly flight: Flight
  readonly withContext: boolean
  readonly answer: Deferred.Deferred<Decision, PlatformUnavailable | PlatformRefused>
}

const capitals = /[A-F]/

/** A UUID as pushes and answers spell it: a program may write it in capitals. */
export const canonicalId = (resourceId: string): string =>
  typeof resourceId === "string" && capitals.test(resourceId) && isUuid(resourceId)
    ? resourceId.toLowerCase()
    : resourceId

export const keyOf = (parts: Parts, input: CheckInput): EntryKey => ({
  organizationId: input.organizationId ?? parts.settings.organizationId,
  actorId: input.actorId ?? parts.settings.agentId,
  actorType: input.actorType ?? parts.settings.actorType,
  resourceId: canonicalId(input.resourceId),
  permissionType: input.permissionType ?? "use"
})

/** The entry of a question. On the way of every hit: what is spelt as entries are is one look-up in one function. */
export const find = (parts: Parts, input: CheckInput): CacheEntry | undefined =>
  parts.state.table.find(
    input.organizationId ?? parts.settings.organizationId,
    input.actorId ?? parts.settings.agentId,
    input.actorType ?? parts.settings.actorType,
    input.resourceId,
    input.permissionType ?? "use"
  ) ?? findCanonical(parts, input)

const findCanonical = (parts: Parts, input: CheckInput): CacheEntry | undefined => {
  if (canonicalId(input.resourceId) === input.resourceId) return undefined
  const { actorId, actorType, organizationId, permissionType, resourceId } = keyOf(parts, input)
  return parts.state.table.find(organizationId, actorId, actorType, resourceId, permissionType)
}

export const nameOf = (key: EntryKey): string =>
  JSON.stringify([key.organizationId, key.actorId, key.actorType, key.resourceId, key.permissionType])

/** What an agent that only observes is told: everything but its own suspension goes on (POLICY-8). */
export const observed = (parts: Parts, decision: Decision): Decision => {
  if (parts.settings.enforcement !== "observe" || decision.observed !== null) return decision
  return decision.denial?.step === "agent" ? decision : onlyObserved(decision)
}

/** A decision that is told, and blocks nothing. */
export const onlyObserved = (decision: Decision): Decision => {
  const { allowed, reason, denial } = decision
  return {
    ...decision,
    allowed: true,
    mode: "observed",
    reason: allowed ? reason : `Observed: ${reason}`,
    denial: null,
    observed: { allowed, reason, denial }
  }
}

export const noMetadata: PermissionCheck.View = {}

/** The agent's own use of whatever resource. */
export const ownUse = ({ agentId, actorType, organizationId }: SettingsShape) =>
  ({ organizationId, actorId: agentId, actorType, permissionType: "use" }) as const

/** An actor in one text. */
export const actorNameOf = (key: EntryKey): string =>
  JSON.stringify([key.organizationId, key.actorType, key.actorId])

/** The live trust record of an actor: pushes reach those of our organization only. */
export const actorOf = (parts: Parts, key: EntryKey) => {
  if (key.organizationId === parts.settings.organizationId)
    return parts.trust.actorUnsafe(key.actorId, key.actorType)
  return parts.state.strangers.of(
    key.actorId,
    key.actorType,
    JSON.stringify([key.organizationId, key.actorType])
  )
}
