/** The forms of a policy: as an engine takes it, and as the gateway lists it. */
import type { GatewayPolicy, Policy } from "@agion/domain"
import type { PolicySet } from "@agion/policy"

/** As an engine takes it. */
export const enginePolicy = (
  policy: Pick<
    Policy,
    | "id"
    | "name"
    | "version"
    | "priority"
    | "type"
    | "enforcement"
    | "enforcementLevel"
    | "scope"
    | "status"
    | "description"
  >,
  expr: string
): PolicySet.Policy => ({
  id: policy.id,
  name: policy.name,
  version: policy.version,
  priority: policy.priority,
  type: policy.type,
  enforcement: policy.enforcement ?? undefined,
  enforcementLevel: policy.enforcementLevel,
  scope: {
    agents: policy.scope.agents ?? undefined,
    actions: policy.scope.actions ?? undefined,
    resourceTypes: policy.scope.resourceTypes ?? undefined,
    resourceIds: policy.scope.resourceIds ?? undefined,
    tags: policy.scope.tags ?? undefined
  },
  status: policy.status,
  description: policy.description,
  expr
})

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
