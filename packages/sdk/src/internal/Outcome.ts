/**
 * What is told of a governed call: its decision, how it ended, what it used (TRUST-5, GOVERN-2).
 *
 * Everything about one end of a call goes to the buffer in one piece, so that it costs one write.
 */
import { PermissionCheck } from "@agion/policy/judgement"
import { Cause, Exit } from "effect"
import type { Decision } from "../Decision.ts"
import { CallTimedOut, type Denied, type PolicyViolation } from "../Denials.ts"
import type { EventBuffer, Published } from "../EventBuffer.ts"
import {
  type CallEnd,
  decisionOf,
  type Ending,
  publicationsOf,
  trustContextOf,
  trustTypeOf
} from "../events/CallEnd.ts"
import type { Publication } from "../events/Event.ts"
import { ended, traceOf } from "../telemetry/Calls.ts"
import { type Call, type CallParts, costOf, type Usage } from "./Call.ts"
import { saidBy } from "./ErrorText.ts"

/** Amounts held at the platform for a call. */
export interface Held {
  /** Null: the answer was lost, and they may be held or not. */
  readonly reservationId: string | null
  /** The key that they were asked for by. */
  readonly key: string
  readonly tokens: number
  readonly costUsd: number
}

/** Which amounts of a call were said and were no numbers from 0 on. */
export interface Garbled {
  readonly tokens: boolean
  readonly costUsd: boolean
}

/** A call that may run. */
export interface Permit {
  readonly call: Call
  readonly decision: Decision
  /** Null: nothing was reserved. */
  readonly held: Held | null
  /** What the call has reported so far; null: nothing. */
  reported: Usage | null
  /** Amounts that were said and were none: the estimate's stand for them (GOVERN-2). Null: there are none. */
  garbled: Garbled | null
  started: boolean
  /** Its end has been told. */
  ended: boolean
}

/** What every report needs. */
export interface Reporting extends CallParts {
  readonly events: EventBuffer["Service"]
  /** Violations by subject and resource, and the minute in which each was last told. */
  readonly violations: Map<string, number>
  /** Logs that `usage` threw. */
  readonly onFault: (error: unknown) => void
  /** Logs what a program should mend. */
  readonly onWarning: (message: string) => void
}

const endingOf = (exit: Exit.Exit<unknown, unknown>): Ending => {
  if (Exit.isSuccess(exit)) return "succeeded"
  const { cause } = exit
  if (Cause.hasDies(cause)) return "died"
  const error = Cause.findErrorOption(cause)
  if (error._tag === "Some") return error.value instanceof CallTimedOut ? "timed out" : "failed"
  return "interrupted"
}

const maxText = 500

/** What went wrong, for people: the error's name and message. */
const causeText = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return ""
  const { message, name } = saidBy(Cause.squash(exit.cause))
  return name === undefined ? message : message === "" ? name : `${name}: ${message}`
}

/** What is said of what went wrong. It passes DLP, before it is cut: an error may quote what was sent. */
const problemOf = (
  parts: Reporting,
  call: Call,
  ending: Ending,
  exit: Exit.Exit<unknown, unknown>
): string =>
  ending === "succeeded" || ending === "interrupted"
    ? ""
    : parts.engine.dlpFor(call.obligations).redact(causeText(exit)).slice(0, maxText)

interface Charge {
  readonly tokens: number
  readonly costUsd: number
}

/** What a call is charged: what it said, or by GOVERN-2 nothing, or its estimate. */
const chargeOf = (parts: Reporting, permit: Permit, ending: Ending, said: Usage | null): Charge => {
  const { call, garbled } = permit
  if (said === null) return ending === "failed" && garbled === null ? noCharge : estimatedOf(parts, permit)
  const entry = parts.cache.heldUnsafe(call.input)
  const tokens = said.tokens ?? (garbled?.tokens === true ? estimatedOf(parts, permit).tokens : 0)
  const used = garbled === null ? said : { ...said, tokens }
  const isCostGarbled = garbled?.costUsd === true && said.costUsd === undefined
  const costUsd = isCostGarbled ? null : costOf(parts, call.options, used, entry)
  return { tokens, costUsd: costUsd === null ? estimatedOf(parts, permit).costUsd : (costUsd ?? 0) }
}

const noCharge: Charge = { tokens: 0, costUsd: 0 }

/** What was held for a call, else what it was to use at most. */
const estimatedOf = (parts: Reporting, { call, held }: Permit): Charge => {
  if (held !== null) return { tokens: held.tokens, costUsd: held.costUsd }
  const { estimate } = call
  if (estimate === undefined) return noCharge
  const entry = parts.cache.heldUnsafe(call.input)
  return { tokens: estimate.tokens ?? 0, costUsd: costOf(parts, call.options, estimate, entry) ?? 0 }
}

/** What every record of a decision says of it. */
const aboutOf = (
  parts: Reporting,
  call: Call,
  decision: Pick<Decision, "mode" | "reason" | "decisionId" | "permissionId" | "observed">
) => ({
  agentId: parts.settings.agentId,
  actorType: parts.settings.actorType,
  action: call.action,
  resourceId: call.resource,
  permissionType: call.input.permissionType ?? "use",
  executionId: call.executionId,
  decisionId: decision.decisionId,
  permissionId: decision.permissionId,
  mode: call.observed ? ("observed" as const) : decision.mode,
  reason: call.observed ? `Observed: ${call.violations[0]?.name ?? decision.reason}` : decision.reason,
  policies: call.policies,
  observed: decision.observed,
  ...traceOf(call)
})

/** Told before the action runs: without the platform nothing runs that was not recorded (OUTAGE-6). */
export const recordBefore = (parts: Reporting, call: Call, decision: Decision): Published =>
  parts.events.publishAllUnsafe([decisionOf(aboutOf(parts, call, decision), "allow", null)])

const isRecordedBefore = (decision: Decision): boolean =>
  decision.mode === "stale" || decision.mode === "degraded"

/** Tells of a call's end, once. */
export const end = (
  parts: Reporting,
  permit: Permit,
  exit: Exit.Exit<unknown, unknown>,
  said: Usage | null
): void => {
  if (permit.ended) return
  const ending = endingOf(exit)
  const told = settled(
    parts,
    permit,
    ending,
    said ?? permit.reported,
    problemOf(parts, permit.call, ending, exit)
  )
  const trust = trustTypeOf(ending)
  // What a success is worth depends on nothing else.
  if (trust !== null) parts.trust.reportedUnsafe(trust, ending === "succeeded" ? {} : trustContextOf(told))
  parts.events.publishCallUnsafe(told)
}

/** Tells, once, that a call ended because DLP blocked what it gave. */
export const block = (parts: Reporting, permit: Permit, error: PolicyViolation): void => {
  if (permit.ended) return
  const told = settled(parts, permit, "blocked", permit.reported, "")
  const violations = violationPublications(parts, permit.call, error.subjects, error.decisionId)
  parts.events.publishAllUnsafe([...violations, ...publicationsOf({ ...told, reason: error.reason })])
}

/** The end of a call, counted and charged. */
const settled = (
  parts: Reporting,
  permit: Permit,
  ending: Ending,
  used: Usage | null,
  problem: string
): CallEnd => {
  permit.ended = true
  const charge = chargeOf(parts, permit, ending, used)
  const { call, decision, held } = permit
  ended(parts, call, ending, used, charge)
  parts.cache.spentUnsafe(call.input, {
    requests: 1,
    tokens: charge.tokens,
    costMicroUsd: PermissionCheck.microUsd(charge.costUsd)
  })
  return {
    ...aboutOf(parts, call, decision),
    ending,
    problem,
    reservationId: held === null ? null : held.reservationId,
    lostKey: held === null || held.reservationId !== null ? null : held.key,
    tokens: charge.tokens,
    costUsd: charge.costUsd,
    isDecisionTold: isRecordedBefore(decision)
  }
}

/** A reservation of a call that never started is given back. */
export const release = (parts: Reporting, permit: Permit): void => {
  if (permit.ended) return
  permit.ended = true
  if (permit.held !== null) giveBack(parts, permit.held, permit.decision.permissionId)
}

/** Gives back what is held, or may be; a key without its permission names nothing. */
export const giveBack = (
  parts: Pick<Reporting, "events">,
  { key, reservationId }: Pick<Held, "key" | "reservationId">,
  permissionId: string | null
): void => {
  if (reservationId !== null) {
    parts.events.publishAllUnsafe([{ kind: "release", event: { reservationId } }])
    return
  }
  if (permissionId === null) return
  const nothing = { requestCount: 0, tokenCount: 0, costUsd: 0 }
  parts.events.publishAllUnsafe([{ kind: "usage", event: { permissionId, reservationKey: key, ...nothing } }])
}

const remembersAtMost = 10_000

/** At most one policy_violation for each policy, resource and minute; none for what a user wrote (TRUST-5). */
const violationPublications = (
  parts: Reporting,
  call: Call,
  subjects: ReadonlyArray<string>,
  decisionId: string
): ReadonlyArray<Publication> => {
  if (call.options.origin === "user") return []
  const minute = Math.floor(parts.wallNow() / 60_000)
  const told: Array<Publication> = []
  for (const subject of subjects) {
    const key = JSON.stringify([subject, call.resource])
    if (parts.violations.get(key) === minute) continue
    if (parts.violations.size >= remembersAtMost) parts.violations.clear()
    parts.violations.set(key, minute)
    const context: Record<string, string> = {
      action: call.action,
      resource_id: call.resource,
      execution_id: call.executionId,
      policy: subject
    }
    if (decisionId !== "") context["decision_id"] = decisionId
    told.push({
      kind: "trust",
      event: {
        agentId: parts.settings.agentId,
        eventType: "policy_violation",
        severity: "negative",
        context,
        ...traceOf(call)
      }
    })
    parts.trust.reportedUnsafe("policy_violation", {})
  }
  return told
}

/** Tells of a call that did not run. */
export const refused = (parts: Reporting, call: Call, error: Denied, decision: Decision | null): void => {
  const publications: Array<Publication> = []
  if (error._tag === "PolicyViolation")
    publications.push(...violationPublications(parts, call, error.subjects, error.decisionId))
  publications.push(
    decisionOf(
      aboutOf(parts, call, {
        mode: "normal",
        reason: error.reason,
        decisionId: error.decisionId,
        permissionId: decision?.permissionId ?? null,
        observed: null
      }),
      error._tag === "ApprovalRequired" ? "require_approval" : "deny",
      null
    )
  )
  parts.events.publishAllUnsafe(publications)
}
