/** What an entry answers to a call, and what an answer of the platform becomes: plain functions. */
import { PermissionCheck } from "@agion/policy/judgement"
import { Effect } from "effect"
import { type Decision, ofCheck, ofResult, without } from "../Decision.ts"
import type { CheckAnswer } from "../GovernanceHttp.ts"
import type { Asked, CheckInput } from "../PermissionCache.ts"
import { allHeld, type Unheld } from "../PolicyEngine.ts"
import { bareFacts, bareUnheld, type CacheEntry, callOf, checkFacts, makeEntry } from "./CacheEntry.ts"
import { actorNameOf, actorOf, keyOf, noMetadata, observed, onlyObserved, type Parts } from "./CacheParts.ts"
import { type Flight, forgetAll, isBehind, type MissReason, organizationOf, taint } from "./CacheState.ts"
import type { EntryKey } from "./EntryTable.ts"
import { onAnswer } from "./Epochs.ts"
import type { HeldFacts } from "./HeldFacts.ts"
import { epochOfAnswer } from "./PlatformCalls.ts"
import { onAnswered } from "./PlatformClock.ts"

/** Why an entry may not be used as it stands; null when it may. */
export const unusable = (entry: CacheEntry, now: number): MissReason | null => {
  if (entry.standing !== "held") return "dropped"
  if (now >= entry.expiresAt) return "expired"
  if (entry.decision.allowed && now >= entry.organization.freshUntil) return "unconfirmed"
  return null
}

/** Steps about which the agent's own count is not the last word. */
const limitSteps = new Set(["rate", "tokens", "cost"])

/** Decides a call on held facts; a reason when only the platform can. */
export const redecide = (
  parts: Parts,
  entry: CacheEntry,
  facts: HeldFacts,
  input: CheckInput,
  judged: boolean
): Decision | MissReason => {
  const { engine } = parts
  // Without a policy set nothing is known about what a context brings.
  if (!judged && engine.generationUnsafe() === 0) return "context"
  const held = checkFacts(
    entry,
    facts,
    callOf(entry.permissionType, input.context),
    { now: parts.now(), wallNow: parts.wallNow() },
    parts.settings.enforcement
  )
  let deferred = 0
  const made = PermissionCheck.decide(
    held,
    judged ? noJudges : judgesOf(parts, entry.resourceId, heldBut(facts), (count) => (deferred += count))
  )
  if (deferred > 0) return "context"
  const step = (made.observed ?? made).denial?.step
  if (step !== undefined && limitSteps.has(step)) return "limits"
  if (step === "trust") return "trust"
  if (made.allowed && entry.decision.denial?.step === "policy") return "context"
  return ofCheck(made, { decisionId: entry.decision.decisionId, permissionId: facts.permissionId })
}

/**
 * What local policies and DLP hold against a call on which no allow is held; null: nothing, "context": only the platform
 * can say.
 */
export const objection = (
  parts: Parts,
  entry: CacheEntry | undefined,
  input: CheckInput
): PermissionCheck.Refusal | "context" | null => {
  const { enforcement } = parts.settings
  const key = keyOf(parts, input)
  const actor = actorOf(parts, key)
  const held = entry?.facts ?? null
  const record = parts.state.resources.get(key.resourceId) ?? null
  const call = callOf(key.permissionType, input.context)
  const clocks = { now: parts.now(), wallNow: parts.wallNow() }
  const facts =
    entry === undefined || held === null
      ? bareFacts(actor, call, record, clocks.wallNow, enforcement)
      : checkFacts(entry, held, call, clocks, enforcement)
  if (facts.enforcement === "observe") return null
  let deferred = 0
  const unheld = held === null ? bareUnheld(actor, record) : heldBut(held)
  const judges = judgesOf(parts, key.resourceId, unheld, (count) => (deferred += count))
  const refusal = PermissionCheck.objection(facts, judges)
  return refusal === null && deferred > 0 ? "context" : refusal
}

/** All but the resource, where an answer came without one. */
const heldBut = ({ resource }: HeldFacts): Unheld =>
  resource === null ? { ...allHeld, resource: true } : allHeld

const noJudges: PermissionCheck.Judges = { policies: null, content: null }

/** The local policies and DLP over facts that came with an entry. */
const judgesOf = (
  parts: Parts,
  resourceId: string,
  unheld: Unheld,
  onDeferred: (count: number) => void
): PermissionCheck.Judges => ({
  policies: (facts) => {
    const local = parts.engine.judgeUnsafe(facts, {
      resourceId,
      metadata: noMetadata,
      unheld
    })
    onDeferred(local.deferred.length)
    return local.verdict
  },
  content: (facts) => {
    const { content, arguments: args } = facts.call.context
    const text = typeof content === "string" ? parts.engine.dlp.scan(content) : undefined
    const values = args === undefined ? undefined : parts.engine.dlp.scanValue(args)
    const findings = [...(text?.findings ?? []), ...(values?.findings ?? [])]
    const decisions = [text?.decision, values?.decision]
    return {
      decision: decisions.includes("block") ? "block" : decisions.includes("redact") ? "redact" : "allow",
      findings
    }
  }
})

/** Whether any local policy looks at plain calls on an entry. */
const inScope = (parts: Parts, key: EntryKey, actor: CacheEntry["actor"]) => (facts: HeldFacts) => {
  if (parts.engine.generationUnsafe() === 0) return false
  const probe = checkFacts(
    { ...key, actor, spend: null, askedAt: 0 },
    facts,
    callOf(key.permissionType, undefined),
    { now: 0, wallNow: parts.wallNow() },
    "enforce"
  )
  const local = parts.engine.judgeUnsafe(probe, {
    resourceId: key.resourceId,
    metadata: noMetadata,
    unheld: allHeld
  })
  return local.verdict.evaluated + local.deferred.length > 0
}

/** A push that has lowered the actor's score since an answer was made names its question: it may allow what is not any more. */
const overtake = (parts: Parts, key: EntryKey, answer: CheckAnswer, flight: Flight): void => {
  const epoch = epochOfAnswer(answer)
  if (epoch === null || !answer.result.allowed) return
  const actor = actorOf(parts, key)
  if (epoch < actor.epoch && answer.result.metadata.trustScore > actor.score) taint(flight, actor.epoch)
}

/**
 * True for an allow that a push speaks against: of a replica that is behind what was told of the key before it was asked
 * (FRESH-1), or made before what was told since. Of one without an epoch nobody knows when it was made.
 */
export const isContradicted = (
  parts: Parts,
  key: EntryKey,
  answer: CheckAnswer,
  { askedAt, flight }: Asked
): boolean => {
  overtake(parts, key, answer, flight)
  const epoch = epochOfAnswer(answer)
  if (!answer.result.allowed) return false
  if (flight.tainted !== null && (epoch === null || epoch < flight.tainted)) return true
  return isBehind(parts.state, key, epoch, askedAt)
}

/**
 * What becomes of an allow that pushes still speak against when it is asked for no more (FRESH-3): it is none. One who
 * asks later is answered. Where the answer says that the organization, or the agent, only observes, it is told so and
 * goes on (POLICY-8).
 */
export const unsettled = (decision: Decision): Decision => {
  const { observed: seen } = decision
  if (seen?.allowed === false) return decision
  const reason = "Changed again and again while it was asked about"
  const denied = without(
    { allowed: false, reason, mode: "normal", source: "outage", rule: "changed" },
    decision
  )
  return seen === null ? denied : onlyObserved(denied)
}

/** Takes in an answer: what it says of the epoch, of trust and of the key; answers the decision. */
export const takeAnswer = (
  parts: Parts,
  key: EntryKey,
  answer: CheckAnswer,
  about: {
    readonly askedAt: number
    readonly heldEpoch: number | undefined
    readonly tainted: boolean
    readonly withContext: boolean
    /** False: it says nothing of the epoch now, as what was signed a while ago. */
    readonly confirms: boolean
  }
): Decision => {
  const { state } = parts
  const { result } = answer
  const organization = organizationOf(state, key.organizationId)
  const epoch = epochOfAnswer(answer)
  const decision = observed(parts, ofResult(result, "platform"))
  const notBefore = about.confirms ? about.askedAt : Number.NEGATIVE_INFINITY
  onAnswered(parts.clock, result.timestamp, notBefore, parts.now())
  const older = epoch !== null && about.heldEpoch !== undefined && epoch < about.heldEpoch
  if (about.tainted || older) return decision
  const isFirst = organization.epoch === undefined
  if (about.confirms && epoch !== null && onAnswer(organization, epoch, about.askedAt) === "drop all")
    forgetAll(state, key.organizationId, parts.now(), isFirst)
  const actor = actorOf(parts, key)
  const { denial } = decision.observed ?? decision
  const suspension = denial?.step === "agent" ? { reason: result.reason, denial } : null
  // What was signed a while ago lifts no suspension.
  if (about.confirms || suspension !== null)
    state.heard.told(key.organizationId, key.actorId, epoch, suspension)
  if (about.confirms && result.permission !== null)
    state.heard.shown(key.organizationId, key.actorId, key.resourceId, result.permission.id)
  if (key.organizationId === parts.settings.organizationId)
    parts.trust.sawUnsafe(actor, result.metadata.trustScore, result.metadata.signed, epoch)
  else {
    actor.score = result.metadata.trustScore
    state.strangers.heard(actor)
  }
  const degraded = state.degraded.get(actor)
  if (degraded !== undefined) degraded.open = false
  const made = makeEntry({
    key,
    result,
    withContext: about.withContext,
    organization,
    actor,
    askedAt: about.askedAt,
    generation: parts.engine.generationUnsafe(),
    facts: state.shared.of(actorNameOf(key), result, state.resources.get(key.resourceId), key.resourceId),
    shared: state.shared,
    inScope: inScope(parts, key, actor)
  })
  const entry = parts.settings.enforcement === "observe" ? asObserved(parts, made) : made
  if (entry.facts?.resource != null) state.resources.set(key.resourceId, entry.facts.resource)
  state.table.put(entry)
  entry.refreshedStamp = entry.stamp
  return decision
}

const asObserved = (parts: Parts, entry: CacheEntry): CacheEntry => {
  const decision = observed(parts, entry.decision)
  return { ...entry, decision, allowed: decision.allowed, hit: Effect.succeed(decision) }
}
