/** What else becomes of a decision: it is counted, told of where somebody may want to hear of it, and answered. */
import type { CheckResult } from "@agion/domain"
import type { PermissionCheck } from "@agion/policy"
import { Effect } from "effect"
import type { Alert } from "../events/Alerts.ts"
import type { Meters } from "../telemetry/Meters.ts"
import * as Answer from "./Answer.ts"
import { DecisionLog, type Told } from "./DecisionLog.ts"

export interface Telling {
  readonly answer: (decided: Answer.Decided) => Effect.Effect<CheckResult>
  /** The same at once; undefined: an alert must be raised first. */
  readonly now: (decided: Answer.Decided) => CheckResult | undefined
}

export const make = Effect.fnUntraced(function* (
  meter: Meters
): Effect.fn.Return<Telling, never, DecisionLog> {
  const log = yield* DecisionLog
  const tally = tallying(meter)
  return {
    answer: (decided) => {
      tally(decided)
      if (isNotable(decided.decision)) log.note(told(decided))
      const alert = alertOf(decided)
      const result = resultOf(decided)
      return alert === undefined ? Effect.succeed(result) : Effect.as(log.alert(alert), result)
    },
    now: (decided) => {
      if (isNotable(decided.decision)) {
        const alert = alertOf(decided)
        if (alert !== undefined && log.isDue(alert)) return undefined
        log.note(told(decided))
      }
      tally(decided)
      return resultOf(decided)
    }
  }
})

const resultOf = (decided: Answer.Decided): CheckResult =>
  Answer.checkResult(decided, decided.asked.fields ?? "full")

/** Counts what was decided. */
const tallying = (meter: Meters) => {
  const counters = new Map<string, () => void>()
  const counterOf = (outcome: "allow" | "deny", step: string) => {
    const own = { "agion.decision.outcome": outcome, "agion.decision.step": step }
    return meter.counter("agion.server.decisions", own)
  }
  const allowed = counterOf("allow", "none")
  return ({ decision }: Answer.Decided) => {
    if (decision.allowed) return allowed()
    const step = decision.denial?.step ?? "none"
    const counter = counters.get(step) ?? counterOf("deny", step)
    counters.set(step, counter)
    return counter()
  }
}

const isCritical = (violation: PermissionCheck.Violation): boolean =>
  violation.level === "critical" && violation.blocks

/** True for a decision that somebody may want to hear of. */
const isNotable = (decision: PermissionCheck.Decision): boolean =>
  decision.denial !== null || decision.violations.length > 0 || decision.observed?.allowed === false

const told = ({ known, asked, decision, decisionId }: Answer.Decided): Told => {
  const action = asked.context?.["action"]
  return {
    organizationId: known.organizationId,
    actorId: asked.actorId,
    actorType: asked.actorType,
    resourceId: asked.resourceId,
    resourceType: known.resource?.resource.resourceType ?? "",
    action: typeof action === "string" ? action : asked.permissionType,
    decisionId,
    decision
  }
}

/** The alert that a decision asks for. Most ask for none. */
const alertOf = ({ known, asked, decision }: Answer.Decided): Alert | undefined => {
  const critical = decision.violations.find(isCritical)
  const organizationId = known.organizationId
  const metadata = { actor_id: asked.actorId, actor_type: asked.actorType, resource_id: asked.resourceId }
  if (critical !== undefined)
    return {
      organizationId,
      severity: "critical",
      kind: "policy_violation",
      subject: `policy ${critical.subject}, actor ${asked.actorId}, resource ${asked.resourceId}`,
      reason: `Policy violation: ${critical.name}`,
      metadata
    }
  const step = decision.denial?.step
  if (known.permission === null || (step !== "rate" && step !== "tokens" && step !== "cost")) return undefined
  return {
    organizationId,
    severity: "warning",
    kind: "limit_reached",
    subject: `permission ${known.permission.id}`,
    reason: decision.reason,
    metadata: { ...metadata, limit: step }
  }
}
