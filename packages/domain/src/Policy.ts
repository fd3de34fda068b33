/** Policies as they are stored, listed and handed to agents. */
import { Schema } from "effect"
import { OrganizationName } from "./Id.ts"
import * as Wire from "./Wire.ts"

/** How a policy is written: as an expression of CEL, or as JSON. */
export const policyLanguages = ["cel", "json"] as const
/** What a policy is about. */
export const policyTypes = ["access", "dlp", "compliance", "rate_limit"] as const
/**
 * What a policy is about: one of `policyTypes`; `POST /policies/{id}/evaluate` asks the detectors for one of
 * `dlp`.
 */
export const PolicyType = Schema.Literals(policyTypes)
export type PolicyType = typeof PolicyType.Type

/** How strictly a policy is enforced; the level weakens, never strengthens (POLICY-2). */
export const enforcementLevels = ["advisory", "soft", "hard", "critical"] as const
/** How strictly a policy is enforced: one of `enforcementLevels`. */
export const EnforcementLevel = Schema.Literals(enforcementLevels)
export type EnforcementLevel = typeof EnforcementLevel.Type

/** What a rule decides when it matches. */
export const policyDecisions = ["allow", "deny", "warn", "require_approval"] as const
/** What a rule decides when it matches: one of `policyDecisions`. */
export const PolicyDecision = Schema.Literals(policyDecisions)
export type PolicyDecision = typeof PolicyDecision.Type

/** Where a policy is in its life; only `active` ones decide. */
export const policyStatuses = ["draft", "active", "inactive", "archived"] as const
/** Where a policy is in its life: one of `policyStatuses`. */
export const PolicyStatus = Schema.Literals(policyStatuses)
export type PolicyStatus = typeof PolicyStatus.Type

const Globs = Wire.optional(Schema.Array(Wire.Name))

/** Where a policy applies; an empty or absent list is everything, `*` globs. */
export const PolicyScope = Wire.struct({
  agents: Globs,
  actions: Globs,
  resourceTypes: Globs,
  resourceIds: Globs,
  tags: Globs
})
export type PolicyScope = typeof PolicyScope.Type

/** A policy as it is stored and answered. */
export const Policy = Wire.struct({
  id: Schema.Int,
  name: Wire.Name,
  description: Wire.Text,
  type: PolicyType,
  category: Wire.Text,
  priority: Schema.Int,
  enabled: Schema.Boolean,
  policyLanguage: Schema.Literals(policyLanguages),
  policyExpr: Schema.NullOr(Wire.Text),
  /** A string that holds JSON. */
  rules: Schema.NullOr(Schema.String),
  /** A string that holds JSON. */
  actions: Schema.NullOr(Schema.String),
  tags: Schema.Array(Wire.Text),
  isSystemPolicy: Schema.Boolean,
  createdBy: Schema.NullOr(Wire.Text),
  updatedBy: Schema.NullOr(Wire.Text),
  createdAt: Wire.Timestamp,
  updatedAt: Wire.Timestamp,
  /** Null: a requirement. Otherwise a rule that decides so when it matches. */
  enforcement: Schema.NullOr(PolicyDecision),
  enforcementLevel: EnforcementLevel,
  scope: PolicyScope,
  status: PolicyStatus,
  version: Schema.Int,
  organizationId: Schema.NullOr(Schema.String)
})
export type Policy = typeof Policy.Type

/** JSON, or text that holds JSON: existing clients refuse anything else in an answer. */
const JsonText = Schema.Union([
  Wire.Text.check(
    Schema.makeFilter<string>((text) => (holdsJson(text) ? undefined : "text that holds JSON"))
  ),
  Wire.JsonObject,
  Schema.Array(Wire.JsonValue)
])

const holdsJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const Priority = Schema.Int.check(Schema.isBetween({ minimum: -1_000_000, maximum: 1_000_000 }))

/** What creates a policy. */
export const CreatePolicy = Wire.struct({
  name: Wire.Name,
  description: Wire.Text,
  type: PolicyType,
  category: Wire.Text,
  priority: Priority,
  enabled: Schema.Boolean,
  policyLanguage: Schema.Literals(policyLanguages),
  policyExpr: Wire.optional(Wire.Text),
  rules: Wire.optional(JsonText),
  actions: Wire.optional(JsonText),
  tags: Wire.optional(Schema.Array(Wire.Text)),
  createdBy: Wire.optional(Wire.Name),
  enforcement: Wire.optional(PolicyDecision),
  enforcementLevel: Wire.optional(EnforcementLevel),
  scope: Wire.optional(PolicyScope),
  status: Wire.optional(PolicyStatus),
  organizationId: Wire.optional(OrganizationName)
})
export type CreatePolicy = typeof CreatePolicy.Type

/** What changes a policy; what is absent stays. */
export const UpdatePolicy = Wire.struct({
  name: Wire.optional(Wire.Name),
  description: Wire.optional(Wire.Text),
  type: Wire.optional(PolicyType),
  category: Wire.optional(Wire.Text),
  priority: Wire.optional(Priority),
  enabled: Wire.optional(Schema.Boolean),
  policyExpr: Wire.optional(Wire.Text),
  rules: Wire.optional(JsonText),
  actions: Wire.optional(JsonText),
  tags: Wire.optional(Schema.Array(Wire.Text)),
  updatedBy: Wire.optional(Wire.Name),
  enforcement: Wire.optional(PolicyDecision),
  enforcementLevel: Wire.optional(EnforcementLevel),
  scope: Wire.optional(PolicyScope),
  status: Wire.optional(PolicyStatus)
})
export type UpdatePolicy = typeof UpdatePolicy.Type

/** `POST /policies/{id}/evaluate`. */
export const EvaluatePolicy = Wire.struct({ context: Wire.JsonObject })
/** What one policy alone says of the given context; nothing is recorded. */
export const EvaluatePolicyResult = Wire.struct({
  policyId: Schema.String,
  result: Schema.Literals(["allow", "deny"]),
  reason: Schema.String,
  timestamp: Wire.Timestamp
})

/** A policy in the gateway's list: when `policyExpression` is true, `enforcement` applies. */
export const GatewayPolicy = Wire.struct({
  id: Schema.String,
  name: Schema.String,
  policyExpression: Schema.String,
  enforcement: PolicyDecision,
  enforcementLevel: EnforcementLevel,
  priority: Schema.Int,
  description: Schema.String,
  category: Schema.String,
  scope: PolicyScope,
  owner: Schema.NullOr(Schema.String)
})
export type GatewayPolicy = typeof GatewayPolicy.Type

/** What a local engine loads: active policies, without the system's. */
export const PolicyBundle = Wire.struct({
  /** Rises with every change of a policy of the organization. */
  version: Schema.Int,
  policies: Schema.Array(Policy),
  /** SHA-256 over the policies, hex. */
  digest: Schema.String,
  /** base64url of the signed payload; its value is {version, digest, policies}. */
  payload: Schema.String,
  signature: Schema.String,
  keyId: Schema.String,
  epoch: Schema.Int,
  organizationId: Schema.String
})
export type PolicyBundle = typeof PolicyBundle.Type

/** The seven policies that are there from the start (contract 2.2), in their order. */
export const systemPolicies: ReadonlyArray<{
  readonly name: string
  readonly type: PolicyType
  readonly expr: string
  readonly level: EnforcementLevel
  readonly actions: string | null
  readonly description: string
}> = [
  {
    name: "Block API Keys",
    type: "dlp",
    expr: `!request.content.contains("sk-") && !request.content.contains("AKIA") && !request.content.contains("sk-ant-")`,
    level: "hard",
    actions: null,
    description: "Content must not hold keys or tokens of APIs."
  },
  {
    name: "Block SSN",
    type: "dlp",
    expr: `!request.content.matches("\\\\d{3}-\\\\d{2}-\\\\d{4}")`,
    level: "hard",
    actions: null,
    description: "Content must not hold social security numbers."
  },
  {
    name: "Block Credit Cards",
    type: "dlp",
    expr: `!request.content.matches("\\\\d{4}[\\\\s-]?\\\\d{4}[\\\\s-]?\\\\d{4}[\\\\s-]?\\\\d{4}")`,
    level: "hard",
    actions: null,
    description: "Content must not hold numbers of payment cards."
  },
  {
    name: "Redact Email Addresses",
    type: "dlp",
    expr: `!request.content.matches("[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\\\.[A-Za-z]{2,}")`,
    level: "advisory",
    actions: `{"redact":["email"]}`,
    description: "E-mail addresses are redacted and the call goes on."
  },
  {
    name: "Block Private Keys",
    type: "dlp",
    expr: `!request.content.contains("-----BEGIN") || !request.content.contains("PRIVATE KEY")`,
    level: "hard",
    actions: null,
    description: "Content must not hold private keys."
  },
  {
    name: "Block Database Connection Strings",
    type: "dlp",
    expr: `!request.content.contains("postgres://") && !request.content.contains("mongodb://") && !request.content.contains("mysql://")`,
    level: "hard",
    actions: null,
    description: "Content must not hold connection strings of databases."
  },
  {
    name: "Trust-Based Access Control",
    type: "access",
    expr: `actor.trust_score >= resource.trust_tier_required && resource.status == "active" && resource.health_status != "unhealthy"`,
    level: "hard",
    actions: null,
    description: "An actor must be trusted enough for a resource that works."
  }
]
