/**
 * The facts of a call as policies see them: what `PermissionCheck` knows, under the names that expressions use.
 *
 * Agent and platform both build their inputs here, so that a policy sees the same on either side.
 */
import { type Resource, tierOf, Wire } from "@agion/domain"
import * as LocalTime from "./LocalTime.ts"
import type * as PermissionCheck from "./PermissionCheck.ts"
import type * as PolicySet from "./PolicySet.ts"

/** A record with snake_case names and without nulls: an absent field is "no such field". */
export const viewOf = (record: { readonly [name: string]: unknown }): PermissionCheck.View => {
  const view: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(record))
    if (value !== null && value !== undefined) view[Wire.snakeCase(name)] = value
  return view
}

/** A resource's record as `PermissionCheck` sees it. */
export const resourceFacts = (
  resource: Resource,
  ancestorStatus: string | null
): PermissionCheck.ResourceFacts => ({
  id: resource.id,
  name: resource.name,
  resourceType: resource.resourceType,
  status: resource.status,
  healthStatus: resource.healthStatus,
  ancestorStatus,
  trustRequired: resource.trustTierRequired,
  riskLevel: resource.riskLevel,
  tags: resource.tags,
  view: viewOf(resource)
})

const text = (context: PermissionCheck.View, name: string): string | undefined => {
  const value = context[name]
  return typeof value === "string" ? value : undefined
}

/** What is asked, of a call's context and what else is known of the call. */
const requestOf = (facts: PermissionCheck.Facts, action: string): PermissionCheck.View => {
  const { context } = facts.call
  const request: Record<string, unknown> = {
    content: text(context, "content") ?? "",
    action,
    timestamp: new Date(facts.now)
  }
  if (facts.call.tokens !== null) request["tokens"] = facts.call.tokens
  if (facts.call.costMicroUsd !== null) request["cost"] = facts.call.costMicroUsd / 1e6
  for (const name of ["origin", "model", "tool", "arguments"]) {
    const value = context[name]
    if (value !== undefined && value !== null) request[name] = value
  }
  return request
}

/** What only the platform can say of a call; what is undefined it does not know. */
export interface Surroundings {
  /** The address of whoever asks. */
  readonly clientIp: string | undefined
  /** What the platform serves, as its operator calls it. */
  readonly environment: string | undefined
}

/**
 * The input of a policy set. The platform's values win over what a call brings under their names, and over what it
 * brings in place of values that the platform lacks. Without `surroundings`, which is where no platform decides, the
 * caller's `client_ip` and `environment` stand.
 */
export const policyInput = (
  facts: PermissionCheck.Facts,
  resourceId: string,
  metadata: PermissionCheck.View,
  surroundings?: Surroundings
): PolicySet.PolicyInput => {
  const { actor, usage } = facts
  const { context } = facts.call
  const action = text(context, "action") ?? facts.call.permissionType
  const local = LocalTime.at(facts.now, facts.timeZone)
  const seen: Record<string, unknown> = {
    ...context,
    hour: Math.floor(local.minute / 60),
    weekday: local.weekday,
    cost_today: usage.actorCostUsdToday,
    tokens_today: usage.actorTokensToday,
    requests_today: usage.actorRequestsToday
  }
  if (surroundings !== undefined) {
    put(seen, "client_ip", surroundings.clientIp)
    put(seen, "environment", surroundings.environment)
  }
  return {
    actor: {
      ...actor.view,
      id: actor.id,
      type: actor.type,
      trust_score: actor.trustScore,
      tier: tierOf(actor.trustScore)
    },
    resource: facts.resource?.view ?? { id: resourceId },
    request: requestOf(facts, action),
    context: seen,
    metadata,
    agent_id: actor.id,
    action,
    now: facts.now
  }
}

/** The platform's value, or none. */
const put = (context: Record<string, unknown>, name: string, value: string | undefined): void => {
  if (value !== undefined) context[name] = value
  else if (Object.hasOwn(context, name)) delete context[name]
}

/** A set's verdict in the words of the check. */
export const verdictOf = (verdict: PolicySet.Verdict): PermissionCheck.PolicyVerdict => ({
  decision: verdict.decision,
  reasons: verdict.matched.map(({ id, name, level, effect, message }) => ({
    id,
    name,
    level,
    decision: effect,
    message
  })),
  evaluated: verdict.evaluated
})
