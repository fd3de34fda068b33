/** `POST /policies/{id}/evaluate`: what one policy says of a context that the caller gives. */
import { type EvaluatePolicyResult, type Policy, Wire } from "@agion/domain"
import { Cel, Dlp, PolicySet, StoredPolicy } from "@agion/policy"
import { Effect } from "effect"

interface Outcome {
  readonly result: "allow" | "deny"
  readonly reason: string
}

/** Asks one policy, at `now` in epoch milliseconds. A policy that is not active answers as if it were. */
export const evaluate = (
  policy: Policy,
  context: Wire.JsonObject,
  now: number
): Effect.Effect<typeof EvaluatePolicyResult.Type> =>
  Effect.map(outcomeOf(policy, context, now), ({ result, reason }) => ({
    policyId: String(policy.id),
    result,
    reason,
    timestamp: Wire.timestamp(now)
  }))

const outcomeOf = (policy: Policy, context: Wire.JsonObject, now: number): Effect.Effect<Outcome> => {
  if (policy.isSystemPolicy)
    return Effect.succeed(policy.type === "dlp" ? ofDetectors(policy, context) : ofText(policy, context, now))
  const stored = StoredPolicy.toSetPolicy({ ...policy, status: "active", scope: {} })
  if (stored === undefined)
    return Effect.succeed({ result: "allow", reason: "no engine evaluates this policy" })
  return PolicySet.compile([stored]).pipe(
    Effect.map((set): Outcome => {
      const verdict = set.evaluate(inputOf(context, now))
      const first = verdict.reasons[0] ?? verdict.matched[0]
      return {
        result: verdict.allowed ? "allow" : "deny",
        reason: first === undefined ? "the policy allows it" : first.message
      }
    }),
    Effect.catch((errors) =>
      Effect.succeed<Outcome>({ result: "deny", reason: `policy error: ${errors.message}` })
    )
  )
}

const dlp = Dlp.make()

/** The six policies of DLP are enforced by detectors; their text is only what is listed. */
const ofDetectors = (policy: Policy, context: Wire.JsonObject): Outcome => {
  const content = fieldOf(fieldOf(context, "request"), "content")
  const findings = dlp
    .scan(typeof content === "string" ? content : "")
    .findings.filter((finding) => Dlp.policyOf(finding.kind) === policy.name)
  const blocking = findings.filter((finding) => finding.action === "block")
  const kinds = [...new Set(findings.map((finding) => finding.kind))].join(", ")
  if (blocking.length > 0) return { result: "deny", reason: `Content blocked: ${kinds}` }
  if (findings.length > 0) return { result: "allow", reason: `Content is redacted: ${kinds}` }
  return { result: "allow", reason: "nothing was found" }
}

const ofText = (policy: Policy, context: Wire.JsonObject, now: number): Outcome => {
  const compiled = Cel.condition(policy.policyExpr ?? "true")
  if (!compiled.ok) return { result: "deny", reason: "policy error" }
  const value = compiled.program.evaluate({ ...inputOf(context, now) })
  if (value instanceof Cel.Fault) return { result: "deny", reason: `policy error: ${value.message}` }
  return value === true
    ? { result: "allow", reason: "the policy allows it" }
    : { result: "deny", reason: `Policy violation: ${policy.name}` }
}

const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as { readonly [field: string]: unknown })[name]
    : undefined

const recordOf = (value: unknown): { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as { readonly [field: string]: unknown })
    : {}

/** The caller's values stand, the time too where it brings one. */
const inputOf = (context: Wire.JsonObject, now: number): PolicySet.PolicyInput => {
  const actor = recordOf(context["actor"])
  const request = recordOf(context["request"])
  const agentId = context["agent_id"] ?? actor["id"]
  const action = context["action"] ?? request["action"]
  const time = context["now"]
  return {
    actor,
    request,
    resource: recordOf(context["resource"]),
    context: recordOf(context["context"]),
    metadata: recordOf(context["metadata"]),
    now: typeof time === "string" || typeof time === "number" ? time : now,
    ...(typeof agentId === "string" ? { agent_id: agentId } : {}),
    ...(typeof action === "string" ? { action } : {})
  }
}
