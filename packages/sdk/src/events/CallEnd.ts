/**
 * The end of a governed call as one record: what its usage report, its trust event and its audit entry say.
 *
 * The three repeat each other, and a caller waits until they are in the file: so one short record is written
 * there, and they are made of it when a batch is taken, by the next start too. Their ids come from the record's
 * own, so that they are the same each time (EVENT-5).
 */
import type { ActorType, PermissionType, Streams } from "@agion/domain"
import type { Publication } from "./Event.ts"
import * as EventId from "./EventId.ts"

/** How a call ended, in the words of TRUST-5. */
export const endings = ["succeeded", "failed", "died", "timed out", "interrupted", "blocked"] as const
export type Ending = (typeof endings)[number]

/** How a governed call ended, and everything that is told of it. */
export interface CallEnd {
  readonly agentId: string
  readonly actorType: ActorType
  readonly action: string
  readonly resourceId: string
  readonly permissionType: PermissionType
  readonly executionId: string
  /** Empty when the platform never decided. */
  readonly decisionId: string
  readonly permissionId: string | null
  readonly mode: Streams.DecisionEvent["mode"]
  readonly reason: string
  readonly ending: Ending
  /** What went wrong, for people; empty when nothing did. */
  readonly problem: string
  /** The reservation that is settled; null: nothing was reserved. */
  readonly reservationId: string | null
  /** The key of a reservation whose answer was lost, so that it may be made or not; null: there is none. */
  readonly lostKey: string | null
  readonly tokens: number
  /** US dollars. */
  readonly costUsd: number
  /** Names of the policies that said something. */
  readonly policies: ReadonlyArray<string>
  /** What would have been answered where an organization only observes. */
  readonly observed: { readonly allowed: boolean; readonly reason: string } | null
  /** The decision was told before the call ran (OUTAGE-6). */
  readonly isDecisionTold: boolean
  /** W3C trace context of the call; absent: nobody looks. */
  readonly traceparent?: string
}

/** What the buffer adds. */
export interface CallStamp {
  /** UUIDv7 of the record; its parts have theirs from it. */
  readonly id: string
  /** Epoch milliseconds. */
  readonly at: number
  /** Of its first event; the second has the next. */
  readonly sequence: number
}

/** A record with who wrote it: another start may send it. */
export interface CallRecord extends CallStamp {
  readonly end: CallEnd
  readonly organizationId: string | undefined
  readonly producer: string
  readonly producerEpoch: string
}

/** The audit entry of a decision. */
export const decisionOf = (
  about: Pick<
    CallEnd,
    | "agentId"
    | "action"
    | "actorType"
    | "resourceId"
    | "permissionType"
    | "mode"
    | "reason"
    | "policies"
    | "decisionId"
    | "permissionId"
    | "executionId"
    | "observed"
    | "traceparent"
  >,
  decision: Streams.DecisionEvent["decision"],
  ending: Ending | null
): CallEvent => {
  const { observed, policies } = about
  const context: Record<string, string | boolean> = {}
  if (ending !== null) context["outcome"] = ending
  if (observed !== null) {
    context["observed_allowed"] = observed.allowed
    context["observed_reason"] = observed.reason
  }
  return {
    kind: "decision",
    event: {
      agentId: about.agentId,
      action: about.action,
      actorType: about.actorType,
      resourceId: about.resourceId,
      permissionType: about.permissionType,
      decision,
      mode: about.mode,
      reason: about.reason,
      ...(policies.length === 0 ? {} : { policies }),
      ...(about.decisionId === "" ? {} : { decisionId: about.decisionId }),
      ...(about.permissionId === null ? {} : { permissionId: about.permissionId }),
      executionId: about.executionId,
      ...(about.traceparent === undefined ? {} : { traceparent: about.traceparent }),
      ...(Object.keys(context).length === 0 ? {} : { context })
    } satisfies Omit<Streams.DecisionEvent, "eventId">
  }
}

/** What the trust event of an ending is; null: it has none, or such as are told once a minute (`blocked`). */
export const trustTypeOf = (ending: Ending): "task_completed" | "task_failed" | "timeout_exceeded" | null => {
  switch (ending) {
    case "succeeded":
      return "task_completed"
    case "failed":
    case "died":
      return "task_failed"
    case "timed out":
      return "timeout_exceeded"
    case "interrupted":
    case "blocked":
      return null
  }
}

const severityOf = (ending: Ending): "positive" | "negative" | "critical" =>
  ending === "succeeded" ? "positive" : ending === "failed" ? "negative" : "critical"

/** The context of a trust event. */
export const trustContextOf = (end: CallEnd): Readonly<Record<string, string>> => {
  const { action, decisionId: decision_id, executionId: execution_id, resourceId: resource_id } = end
  const context =
    decision_id === ""
      ? { action, resource_id, execution_id }
      : { action, resource_id, execution_id, decision_id }
  if (end.ending === "failed") return { ...context, failure: end.problem }
  return end.ending === "died" || end.ending === "timed out" ? { ...context, error: end.problem } : context
}

/** The report of what a call used; null: nobody counts. */
export const usageOf = (
  end: CallEnd
): Extract<Publication, { readonly kind: "usage" | "settlement" }> | null => {
  const { costUsd, lostKey, permissionId, reservationId, tokens } = end
  if (reservationId !== null)
    return { kind: "settlement", event: { reservationId, requests: 1, tokens, costUsd } }
  if (permissionId === null) return null
  const event = { permissionId, requestCount: 1, tokenCount: tokens, costUsd }
  return { kind: "usage", event: lostKey === null ? event : { ...event, reservationKey: lostKey } }
}

/** The kind of what `usageOf` answers, without making it. */
export const reportKindOf = (end: CallEnd): "settlement" | "usage" | null =>
  end.reservationId !== null ? "settlement" : end.permissionId !== null ? "usage" : null

/** A publication for the streams. */
export type CallEvent = Extract<Publication, { readonly kind: "trust" | "decision" }>

const trustOf = (end: CallEnd): CallEvent | null => {
  const eventType = trustTypeOf(end.ending)
  if (eventType === null) return null
  const { agentId, ending } = end
  const context = trustContextOf(end)
  const trace = end.traceparent === undefined ? {} : { traceparent: end.traceparent }
  return { kind: "trust", event: { agentId, eventType, severity: severityOf(ending), context, ...trace } }
}

/** What goes to streams of a call's end, in order. */
export const eventsOf = (end: CallEnd): ReadonlyArray<CallEvent> => {
  const trust = trustOf(end)
  const events = trust === null ? [] : [trust]
  return end.isDecisionTold ? events : [...events, decisionOf(end, "allow", end.ending)]
}

/** Everything that is told of a call's end, in order. */
export const publicationsOf = (end: CallEnd): ReadonlyArray<Publication> => {
  const usage = usageOf(end)
  return usage === null ? eventsOf(end) : [usage, ...eventsOf(end)]
}

/** Kinds of the events that `eventsOf` answers, without making them. */
export const eventKindsOf = (end: CallEnd): ReadonlyArray<"trust" | "decision"> =>
  trustTypeOf(end.ending) === null
    ? end.isDecisionTold
      ? none
      : decision
    : end.isDecisionTold
      ? trust
      : both

const none: ReadonlyArray<never> = []
const trust: ReadonlyArray<"trust"> = ["trust"]
const decision: ReadonlyArray<"decision"> = ["decision"]
const both: ReadonlyArray<"trust" | "decision"> = ["trust", "decision"]

/** What a record is made of. */
export type Kind = "settlement" | "usage" | "trust" | "decision"

const parts = { settlement: 0, usage: 0, trust: 1, decision: 2 } as const

/** The id of a part of a record, by its kind: rising in the order in which they are told. */
export const idOf = (id: string, kind: Kind): string => EventId.part(id, parts[kind])

const mark = "call 1\n"

/** True for the body of a record of this kind. */
export const isRecord = (body: string): boolean => body.startsWith("call ")

/** True where it is in the form that this module reads. */
export const isCurrent = (body: string): boolean => body.startsWith(mark)

const text = (value: string): string => `${value.length}:${value}`

/** The part of a record's body that is the same for all calls of a process; see `toRecord`. */
export const prefixOf = (who: Omit<CallRecord, "end" | keyof CallStamp>): string =>
  `${mark}${text(who.organizationId ?? "")}${text(who.producer)}${text(who.producerEpoch)}`

/** What few calls have, as JSON; empty for the others. */
const restOf = (end: CallEnd): string => {
  const { isDecisionTold, lostKey, observed, policies, problem, traceparent } = end
  const isPlain = problem === "" && observed === null && policies.length === 0 && !isDecisionTold
  if (isPlain && traceparent === undefined && lostKey === null) return ""
  return JSON.stringify({ problem, observed, policies, isDecisionTold, lostKey, traceparent })
}

/** The body of a record in a file: `length:value` for each field, in a fixed order. */
export const toRecord = (prefix: string, stamp: CallStamp, end: CallEnd): string =>
  `${prefix}${text(stamp.id)}${text(String(stamp.at))}${text(String(stamp.sequence))}${text(end.agentId)}${text(end.actorType)}${text(end.action)}${text(end.resourceId)}${text(end.permissionType)}${text(end.executionId)}${text(end.decisionId)}${text(end.permissionId ?? "")}${text(end.mode)}${text(end.reason)}${text(end.ending)}${text(end.reservationId ?? "")}${text(String(end.tokens))}${text(String(end.costUsd))}${text(restOf(end))}`

/** The fields of a body; undefined where it is broken. */
const fieldsOf = (body: string): ReadonlyArray<string> | undefined => {
  const fields: Array<string> = []
  let at = mark.length
  while (at < body.length) {
    const colon = body.indexOf(":", at)
    const length = body.slice(at, colon)
    const end = colon + 1 + Number(length)
    if (colon < 0 || !/^(0|[1-9]\d{0,8})$/.test(length) || end > body.length) return undefined
    fields.push(body.slice(colon + 1, end))
    at = end
  }
  return fields
}

type Rest = Pick<CallEnd, "problem" | "observed" | "policies" | "isDecisionTold" | "lostKey" | "traceparent">

const noRest: Rest = {
  problem: "",
  observed: null,
  policies: none,
  isDecisionTold: false,
  lostKey: null
}

/** The record of a body; undefined when it is none, or of a later version. */
export const fromRecord = (body: string): CallRecord | undefined => {
  const fields = body.startsWith(mark) ? fieldsOf(body) : undefined
  if (fields?.length !== 21) return undefined
  const at = (i: number): string => fields[i] ?? ""
  try {
    // The words of a closed set were written by this module, and a checksum stands over them.
    const rest = at(20) === "" ? noRest : { ...noRest, ...(JSON.parse(at(20)) as Partial<Rest>) }
    return {
      organizationId: at(0) === "" ? undefined : at(0),
      producer: at(1),
      producerEpoch: at(2),
      id: at(3),
      at: Number(at(4)),
      sequence: Number(at(5)),
      end: {
        agentId: at(6),
        actorType: at(7) as CallEnd["actorType"],
        action: at(8),
        resourceId: at(9),
        permissionType: at(10) as CallEnd["permissionType"],
        executionId: at(11),
        decisionId: at(12),
        permissionId: at(13) === "" ? null : at(13),
        mode: at(14) as CallEnd["mode"],
        reason: at(15),
        ending: at(16) as Ending,
        reservationId: at(17) === "" ? null : at(17),
        tokens: Number(at(18)),
        costUsd: Number(at(19)),
        ...rest
      }
    }
  } catch {
    return undefined
  }
}
