/**
 * The check's codec by hand. What is asked thousands of times a second is read and written here; the schemas of
 * the domain say the same, and a property holds the two together.
 *
 * `decode` answers undefined for whatever it does not understand at once: the schema then decides, and words the
 * refusal.
 */
import {
  actorTypes,
  type CheckEntry,
  type CheckRequest,
  type CheckResult,
  Constraints,
  checkFields,
  contextFault,
  isUuid,
  type Permission,
  permissionTypes,
  Resource,
  type Signed,
  UsageTracking,
  Wire
} from "@agion/domain"
import { Schema } from "effect"

/** Whether a body says that it is JSON, or says nothing; the router refuses all others (415). */
export const isJsonType = (contentType: string | undefined): boolean =>
  contentType === undefined ||
  contentType === "application/json" ||
  contentType.split(";", 1)[0]?.trim().toLowerCase() === "application/json"

const isOneOf = <const Values extends ReadonlyArray<string>>(values: Values) => {
  const known: ReadonlySet<unknown> = new Set(values)
  return (value: unknown): value is Values[number] => known.has(value)
}
const isActorType = isOneOf(actorTypes)
const isPermissionType = isOneOf(permissionTypes)
const isFields = isOneOf(checkFields)

const isName = (value: unknown): value is string =>
  typeof value === "string" && value.length > 0 && value.length <= 1000 && Wire.isStorable(value)

/** JSON that the schema takes in an open object: finite, storable, not too deep, without `__proto__`. */
const isOpenJson = (value: unknown, depth: number): boolean => {
  switch (typeof value) {
    case "string":
      return Wire.isStorable(value)
    case "number":
      return Number.isFinite(value)
    case "boolean":
      return true
    case "object": {
      if (value === null) return true
      if (depth >= Wire.maxJsonDepth) return false
      if (Array.isArray(value)) return value.every((item) => isOpenJson(item, depth + 1))
      for (const [key, item] of Object.entries(value))
        if (key === "__proto__" || !Wire.isStorable(key) || !isOpenJson(item, depth + 1)) return false
      return true
    }
    default:
      return false
  }
}

const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isContext = (value: unknown): boolean =>
  isRecord(value) && isOpenJson(value, 0) && contextFault(value) === undefined

/** A check of parsed JSON; undefined: let the schema say. */
export const decode = (value: unknown): CheckRequest | undefined => {
  if (!isRecord(value)) return undefined
  const { organization_id, actor_id, actor_type, resource_id, permission_type, context, fields } = value
  if (!isName(actor_id) || !isActorType(actor_type) || !isPermissionType(permission_type)) return undefined
  if (typeof resource_id !== "string" || !isUuid(resource_id)) return undefined
  if (organization_id !== undefined && organization_id !== null && !isName(organization_id)) return undefined
  if (context !== undefined && context !== null && !isContext(context)) return undefined
  if (fields !== undefined && fields !== null && !isFields(fields)) return undefined
  return {
    organizationId: organization_id as CheckRequest["organizationId"],
    actorId: actor_id as CheckRequest["actorId"],
    actorType: actor_type,
    resourceId: resource_id as CheckRequest["resourceId"],
    permissionType: permission_type,
    context: context as CheckRequest["context"],
    fields
  }
}

/** A batch of a body's text; undefined: let the schema say. */
export const decodeBatch = (
  text: string
): { readonly checks: ReadonlyArray<CheckRequest>; readonly fields: CheckRequest["fields"] } | undefined => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isRecord(value) || !Array.isArray(value["checks"]) || value["checks"].length > 1000) return undefined
  const { fields } = value
  if (fields !== undefined && fields !== null && !isFields(fields)) return undefined
  const checks: Array<CheckRequest> = []
  for (const one of value["checks"]) {
    const check = decode(one)
    if (check === undefined) return undefined
    checks.push(check)
  }
  return { checks, fields }
}

const encodeConstraints = Schema.encodeSync(Constraints)
const encodeUsage = Schema.encodeSync(UsageTracking)
const encodeResource = Schema.encodeSync(Resource)

/** Permissions of the snapshot are answered again and again: each is written once. */
const permissionTexts = new WeakMap<Permission, string>()

const permissionText = (permission: Permission): string => {
  const known = permissionTexts.get(permission)
  if (known !== undefined) return known
  const { usageTracking, constraints, ...rest } = permission
  const fields = Object.entries(rest).map(
    ([name, value]) => `${JSON.stringify(Wire.snakeCase(name))}:${JSON.stringify(value)}`
  )
  fields.push(`"constraints":${JSON.stringify(encodeConstraints(constraints))}`)
  fields.push(`"usage_tracking":${JSON.stringify(encodeUsage(usageTracking))}`)
  const text = `{${fields.join(",")}}`
  permissionTexts.set(permission, text)
  return text
}

const signedTexts = new WeakMap<Signed, string>()

const signedText = (signed: Signed): string => {
  const known = signedTexts.get(signed)
  if (known !== undefined) return known
  const { payload, keyId, signature } = signed
  const text = JSON.stringify({ payload, key_id: keyId, signature })
  signedTexts.set(signed, text)
  return text
}

const denialOf = (denial: NonNullable<CheckResult["metadata"]["denial"]>) => ({
  step: denial.step,
  seen: denial.seen,
  needed: denial.needed,
  retry_after_ms: denial.retryAfterMs,
  remedy: denial.remedy,
  subjects: denial.subjects
})

const unlimited = JSON.stringify({})

const remainingText = (constraints: CheckResult["constraints"]): string => {
  for (const _ in constraints)
    return JSON.stringify({
      remaining_requests_today: constraints.remainingRequestsToday,
      remaining_requests: constraints.remainingRequests,
      remaining_tokens_today: constraints.remainingTokensToday,
      remaining_budget_today: constraints.remainingBudgetToday
    })
  return unlimited
}

/** What most answers leave out; the commas stand before. */
const rareText = ({ denial, observed, warnings }: CheckResult["metadata"]): string => {
  if (denial === undefined && observed === undefined && warnings === undefined) return ""
  const text = JSON.stringify({
    denial: denial === undefined ? undefined : denialOf(denial),
    observed:
      observed === undefined
        ? undefined
        : {
            allowed: observed.allowed,
            reason: observed.reason,
            denial: observed.denial === null ? null : denialOf(observed.denial)
          },
    warnings
  })
  return `,${text.slice(1, -1)}`
}

const metadataText = (metadata: CheckResult["metadata"]): string => {
  const { decisionId, epoch, signed } = metadata
  const id = decisionId === undefined ? "" : `,"decision_id":${JSON.stringify(decisionId)}`
  const at = epoch === undefined ? "" : `,"epoch":${epoch}`
  const vouched = signed === undefined ? "" : `,"signed":${signedText(signed)}`
  return `{"trust_score_checked":${metadata.trustScoreChecked},"trust_score":${metadata.trustScore},"policies_evaluated":${metadata.policiesEvaluated}${id}${rareText(metadata)}${at}${vouched}}`
}

const entryOf = (entry: CheckEntry) => ({
  resource: entry.resource === null ? null : encodeResource(entry.resource),
  ancestor_status: entry.ancestorStatus,
  actor: entry.actor,
  agent_status: entry.agentStatus,
  time_zone: entry.timeZone,
  enforcement: entry.enforcement,
  usage: {
    window_requests: entry.usage.windowRequests,
    day_requests: entry.usage.dayRequests,
    day_tokens: entry.usage.dayTokens,
    day_cost_micro_usd: entry.usage.dayCostMicroUsd,
    actor_cost_usd_today: entry.usage.actorCostUsdToday,
    actor_tokens_today: entry.usage.actorTokensToday,
    actor_requests_today: entry.usage.actorRequestsToday
  }
})

/** The JSON text of a result, as the schema would encode it. */
export const encode = (result: CheckResult): string => {
  const permission = result.permission === null ? "null" : permissionText(result.permission)
  const entry = result.entry === undefined ? "" : `,"entry":${JSON.stringify(entryOf(result.entry))}`
  return `{"allowed":${result.allowed},"reason":${JSON.stringify(result.reason)},"timestamp":"${result.timestamp}","permission":${permission},"constraints":${remainingText(result.constraints)},"metadata":${metadataText(result.metadata)}${entry}}`
}

/** The JSON text of a batch's answer. */
export const encodeBatch = (results: ReadonlyArray<CheckResult>): string =>
  `{"results":[${results.map(encode).join(",")}]}`
