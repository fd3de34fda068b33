/** A policy as the gateway lists it, and which agents it concerns. */
import type { GatewayPolicy, Policy } from "@agion/domain"

/** As the gateway lists it: a match. What must hold becomes a match that denies. */
export const gatewayPolicy = (policy: Policy): GatewayPolicy | undefined =>
  policy.policyExpr === null || policy.policyLanguage !== "cel"
    ? undefined
    : {
        id: String(policy.id),
        name: policy.name,
        policyExpression: policy.enforcement === null ? negated(policy.policyExpr) : policy.policyExpr,
        enforcement: policy.enforcement ?? "deny",
        enforcementLevel: policy.enforcementLevel,
        priority: policy.priority,
        description: policy.description,
        category: policy.category,
        scope: policy.scope,
        owner: policy.createdBy
      }

/** A comment at the end must not swallow the bracket. */
const negated = (expr: string): string => (expr.includes("//") ? `!(${expr}\n)` : `!(${expr})`)

/** True when a policy's scope names the agent, or no agent at all. */
export const matchesAgent = (policy: Policy, agentId: string): boolean => {
  const globs = policy.scope.agents ?? []
  return globs.length === 0 || globs.some((glob) => matchesGlob(glob, agentId))
}

/** `*` stands for any characters. Linear in the text for each star. */
const matchesGlob = (glob: string, text: string): boolean => {
  const [first = "", ...rest] = glob.split("*")
  if (rest.length === 0) return glob === text
  const last = rest.pop() ?? ""
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last))
    return false
  let at = first.length
  const end = text.length - last.length
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}
