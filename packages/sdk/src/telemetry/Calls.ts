/** What is counted and traced of governed calls. */
import { Effect, type Fiber } from "effect"
import type { Decision } from "../Decision.ts"
import type { Denied } from "../Denials.ts"
import { type Call, type CallParts, type GovernedOptions, judge, type Usage } from "../internal/Call.ts"
import { decisionAttributes } from "./Checks.ts"
import type { SpanName } from "./Names.ts"
import { around, current, describe, type Sampling, traceparent, wanted, within } from "./Spans.ts"

const names: ReadonlyArray<SpanName> = ["Governance.run", "Governance.open"]

/** Judges a call, in a span where its fiber is traced, and remembers where it is traced. */
export const judgeTraced = (
  fiber: Fiber.Fiber<unknown, unknown>,
  parts: CallParts,
  action: string,
  resource: string,
  options: GovernedOptions<never>
): Call => {
  const span = current(fiber, names)
  if (span === null) return judge(parts, action, resource, options)
  const call = around(
    fiber,
    "PolicyEngine.judge",
    () => judge(parts, action, resource, options),
    ({ policies, refusal, platformOnly }) => ({
      "agion.decision.outcome": refusal === null ? "allow" : outcomeOf(refusal),
      "agion.decision.step": refusal?.denial?.step ?? "none",
      "agion.policy.reasons": policies.length,
      "agion.policy.deferred": platformOnly ? 1 : 0
    })
  )
  call.span = span
  span.attribute("agion.call.execution_id", call.executionId)
  return call
}

const outcomeOf = (error: Denied) => (error._tag === "ApprovalRequired" ? "require_approval" : "deny")

/** Counts what was decided of a call, and tells its span. */
export const decided = (
  parts: CallParts,
  call: Call,
  decision: Decision | null,
  error: Denied | null
): void => {
  const outcome = error === null ? "allow" : outcomeOf(error)
  const mode = call.observed ? "observed" : (decision?.mode ?? "normal")
  const step =
    error === null ? "none" : (error.denial?.step ?? (decision?.source === "outage" ? "outage" : "refused"))
  parts.telemetry.tally.decided(outcome, mode, step, parts.cache.nowUnsafe() - call.begunAt)
  if (call.span === null) return
  if (decision !== null) describe(call.span, decisionAttributes(decision))
  describe(call.span, {
    "agion.decision.outcome": outcome,
    "agion.decision.mode": mode,
    "agion.decision.step": step
  })
}

/** Counts how a call that ran has ended, and tells its span. */
export const ended = (
  parts: CallParts,
  call: Call,
  outcome: string,
  used: Usage | null,
  charge: { readonly tokens: number; readonly costUsd: number }
): void => {
  parts.telemetry.tally.ended(outcome)
  if (call.span === null) return
  describe(call.span, {
    "agion.call.outcome": outcome,
    "agion.call.tokens": charge.tokens,
    "agion.call.cost": charge.costUsd,
    "gen_ai.usage.input_tokens": used?.inputTokens,
    "gen_ai.usage.output_tokens": used?.outputTokens
  })
}

/** The trace that a call's events name; nothing where nobody looks. */
export const traceOf = (call: Call): { readonly traceparent?: string } =>
  call.span === null ? untraced : { traceparent: traceparent(call.span) }

const untraced = {}

const longest = 200

/** Runs a governed call in its span, where one is wanted. */
export const spanned = <A, E, R>(
  parts: CallParts,
  name: SpanName,
  action: string,
  resource: string,
  options: Pick<GovernedOptions<never>, "model" | "permission" | "tool">,
  call: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    if (wanted(parts.telemetry.sampling, fiber) === undefined) return call
    return within(taken, name, call, {
      attributes: () => ({
        "gen_ai.operation.name": options.tool === undefined ? action.slice(0, longest) : "execute_tool",
        "gen_ai.agent.id": parts.settings.agentId,
        "gen_ai.request.model": options.model,
        "gen_ai.tool.name": options.tool,
        "agion.agent.id": parts.settings.agentId,
        "agion.organization.id": parts.settings.organizationId,
        "agion.call.action": action.slice(0, longest),
        "agion.resource.id": resource,
        "agion.permission.type": options.permission ?? "use"
      })
    })
  })

const taken: Sampling = { ratio: 1, random: () => 0 }
