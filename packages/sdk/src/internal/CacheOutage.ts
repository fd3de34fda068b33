/** What is decided while the platform is away: what is held here, then the failure policy (OUTAGE-1 to OUTAGE-6). */
import type { Outage } from "@agion/policy"
import { PermissionCheck } from "@agion/policy/judgement"
import { type Decision, without } from "../Decision.ts"
import type { CheckInput } from "../PermissionCache.ts"
import type { ActorTrust } from "../TrustTracker.ts"
import type { CacheEntry } from "./CacheEntry.ts"
import { objection, redecide } from "./CacheJudgement.ts"
import { actorOf, find, keyOf, observed, type Parts } from "./CacheParts.ts"
import { degradedOf, noteDegraded, organizationOf } from "./CacheState.ts"
import type { EntryKey } from "./EntryTable.ts"
import { machine } from "./Sleep.ts"

const onlyPlatform = "Platform unavailable: only it can judge this call"

/** A denial during an outage. */
const denied = (
  rule: string,
  reason: string,
  held: Partial<Decision>,
  denial: Decision["denial"] = null
): Decision => without({ allowed: false, reason, mode: "normal", source: "outage", rule, denial }, held)

/** What pushes and answers have said against a call, under every failure policy; undefined: nothing. */
const known = (parts: Parts, input: CheckInput, entry: CacheEntry | undefined): Decision | undefined => {
  const { heard } = parts.state
  const { actorId, organizationId, resourceId } = keyOf(parts, input)
  const held: Partial<Decision> = entry?.decision ?? {}
  const status = heard.statusOf(organizationId, actorId)
  if (typeof status === "object") return denied("known_denial", status.reason, held, status.denial)
  if (status === "changed")
    return denied(
      "changed",
      "Platform unavailable: the agent has changed since it was last asked about",
      held
    )
  const hasMoved =
    entry === undefined ? heard.hasMoved(organizationId, actorId, resourceId) : entry.standing === "suspect"
  return hasMoved
    ? denied("changed", "Platform unavailable: the permission has changed since", held)
    : undefined
}

/** The record of a resource, where it is held. */
const recordOf = (
  parts: Parts,
  key: EntryKey,
  entry: CacheEntry | undefined
): PermissionCheck.ResourceFacts | null => {
  // Of an entry that something was heard against, the record may be another now.
  const kept = entry?.standing === "held" ? entry.facts?.resource : null
  return kept ?? parts.state.resources.get(key.resourceId) ?? null
}

/** What a record says against every call on its resource. */
const closed = (parts: Parts, key: EntryKey, entry: CacheEntry | undefined): Decision | undefined => {
  const record = recordOf(parts, key, entry)
  const actor = actorOf(parts, key)
  // With an unknown score it is the failure policy's to say.
  const score = actor.known ? actor.score : Number.POSITIVE_INFINITY
  const refusal = record === null ? null : PermissionCheck.closed(record, score)
  if (refusal === null) return undefined
  const { denial, reason } = refusal
  const rule = denial.step === "trust" ? "known_trust" : "known_denial"
  return denied(rule, reason, entry?.decision ?? {}, denial)
}

/** How many degraded calls an actor has in five minutes (OUTAGE-3). */
const budgetOf = ({ signed }: ActorTrust): number => signed?.degradedCalls ?? 20

/** What the agent holds about a call while the platform is away. */
const outageFacts = (
  parts: Parts,
  input: CheckInput,
  entry: CacheEntry | undefined,
  now: number
): Outage.OutageFacts => {
  const key = keyOf(parts, input)
  const actor = actorOf(parts, key)
  const resource = recordOf(parts, key, entry)
  const confirmed = organizationOf(parts.state, key.organizationId).confirmedAt
  const degraded = degradedOf(parts.state, actor, now)
  const { signed } = actor
  const stands = signed !== null && signed.score === actor.score && parts.wallNow() < signed.expiresAt
  // What was forgotten allows nothing, what was denied stays denied.
  const remembers = entry !== undefined && (entry.standing === "held" || !entry.decision.allowed)
  return {
    now,
    permissionType: key.permissionType,
    resource: resource === null ? null : { riskLevel: resource.riskLevel, tags: resource.tags },
    last: remembers
      ? {
          allowed: (entry.decision.observed ?? entry.decision).allowed,
          reason: (entry.decision.observed ?? entry.decision).reason,
          confirmedAt: Math.max(entry.askedAt, confirmed),
          deniedUntil: entry.deniedUntil
        }
      : null,
    trust: stands ? { score: signed.score, signedAt: Math.max(signed.seenAt, confirmed) } : null,
    open: degraded.open,
    budget: budgetOf(actor) - degraded.calls.length
  }
}

/** What is known here against a call by itself: policies, DLP, limits and trust; undefined: nothing. */
const locally = (
  parts: Parts,
  input: CheckInput,
  entry: CacheEntry | undefined,
  judged: boolean
): Decision | undefined => {
  const held: Partial<Decision> = entry?.decision ?? {}
  const refused = (rule: string, reason: string, denial: Decision["denial"] = null) =>
    observed(parts, denied(rule, reason, held, denial))
  if (entry === undefined || entry.facts === null || !entry.decision.allowed) {
    const shut = closed(parts, keyOf(parts, input), entry)
    if (shut !== undefined) return observed(parts, shut)
    const said = judged ? null : objection(parts, entry, input)
    if (said === null) return undefined
    return said === "context"
      ? refused("platform_facts", onlyPlatform)
      : refused("known_policy", said.reason, said.denial)
  }
  const local = redecide(parts, entry, entry.facts, input, judged)
  if (local === "context") return refused("platform_facts", onlyPlatform)
  if (local === "limits")
    return refused("known_limit", "Platform unavailable: a limit known from before is reached")
  if (local === "trust") return refused("known_trust", "Platform unavailable: trust is known to be too low")
  return typeof local !== "string" && !local.allowed ? local : undefined
}

/** Local facts first, then the failure policy; what goes on is recorded before it does (OUTAGE-6). */
export const outage = (parts: Parts, input: CheckInput, judged: boolean): Decision => {
  // A machine that wakes has no line yet.
  machine.look()
  const now = parts.now()
  const entry = find(parts, input)
  const held: Partial<Decision> = entry?.decision ?? {}
  const against = known(parts, input, entry)
  if (against !== undefined) return observed(parts, against)
  const local = locally(parts, input, entry, judged)
  if (local !== undefined) return local
  const facts = outageFacts(parts, input, entry, now)
  const outcome = parts.failure.decide(facts)
  const actor = actorOf(parts, keyOf(parts, input))
  const degraded = degradedOf(parts.state, actor, now)
  if (outcome._tag === "Denied") {
    if (outcome.rule === "low_trust") degraded.open = false
    return observed(parts, denied(outcome.rule, outcome.reason, held))
  }
  const mode = outcome._tag === "Stale" ? "stale" : "degraded"
  const decision = without(
    { allowed: true, reason: outcome.reason, mode, source: "outage", rule: outcome.rule },
    held
  )
  if (!judged && !recorded(parts, input, decision))
    return denied("unrecorded", "Platform unavailable: the decision could not be recorded", held)
  if (mode === "stale") parts.state.counters.stale++
  else {
    parts.state.counters.degraded++
    noteDegraded(degraded, budgetOf(actor), now)
  }
  return decision
}

/** False when the decision could not be kept anywhere: then nothing runs on it. */
const recorded = (parts: Parts, input: CheckInput, decision: Decision): boolean => {
  const key = keyOf(parts, input)
  const { agentId } = parts.settings
  const published = parts.events.publishUnsafe("decision", {
    agentId: key.actorId,
    ...(key.actorId === agentId ? {} : { reportedBy: agentId }),
    action: key.permissionType,
    actorType: key.actorType,
    resourceId: key.resourceId,
    permissionType: key.permissionType,
    decision: "allow",
    mode: decision.mode,
    reason: decision.reason,
    ...(decision.decisionId === "" ? {} : { decisionId: decision.decisionId }),
    ...(decision.permissionId === null ? {} : { permissionId: decision.permissionId }),
    organizationId: key.organizationId
  })
  return published !== "dropped"
}

/** A call that only the platform can judge, while it is away (GOVERN-8). */
export const unjudgeable = (parts: Parts, input: CheckInput): Decision =>
  observed(parts, denied("platform_facts", onlyPlatform, find(parts, input)?.decision ?? {}))
