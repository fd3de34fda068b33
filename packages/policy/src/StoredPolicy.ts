/**
 * A stored policy as a set evaluates it.
 *
 * Agent and platform compile what is made here, so that both decide the same and word it the same.
 */
import type { Policy } from "@agion/domain"
import type * as PolicySet from "./PolicySet.ts"

/** What a set reads of a stored policy. */
export type Stored = Pick<
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
  | "policyLanguage"
  | "policyExpr"
  | "actions"
  | "description"
>

/** What the text says of `actions`; text that is no JSON, and actions that are not ours, say nothing. */
const actionsOf = (text: string | null): PolicySet.Actions | undefined => {
  if (text === null) return undefined
  try {
    const actions: unknown = JSON.parse(text)
    if (typeof actions !== "object" || actions === null || !("redact" in actions)) return undefined
    // What is no text is named in the error with which a set refuses it.
    const { redact } = actions
    return { redact: Array.isArray(redact) ? redact.map(String) : [String(redact)] }
  } catch {
    return undefined
  }
}

/** The policy of a set; undefined where no engine evaluates it: it has no expression, or one that is not CEL. */
export const toSetPolicy = (policy: Stored): PolicySet.Policy | undefined =>
  policy.policyExpr === null || policy.policyLanguage !== "cel"
    ? undefined
    : {
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
        expr: policy.policyExpr,
        actions: actionsOf(policy.actions),
        message: policy.description === "" ? undefined : policy.description,
        description: policy.description
      }

/** The policies of a set, without those that no engine evaluates. */
export const toSetPolicies = (policies: ReadonlyArray<Stored>): ReadonlyArray<PolicySet.Policy> =>
  policies.flatMap((policy) => toSetPolicy(policy) ?? [])
