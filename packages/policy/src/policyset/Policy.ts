/**
 * A stored policy and what it is asked about.
 *
 * A *requirement* (no `enforcement`) states what must hold: true allows, false violates. A *rule* matches when
 * its expression is true, and then its `enforcement` applies.
 */

import { nearest } from "../cel/Issue.ts"
import { redactable } from "./Obligations.ts"

/** What a rule decides when it matches. */
export type Enforcement = "allow" | "deny" | "warn" | "require_approval"

/** How strongly: advisory and soft weaken a denial or a wanted approval to a warning. */
export type Level = "advisory" | "soft" | "hard" | "critical"

/** Where a policy is in its life; only `active` ones decide. Absent: active. */
export type Status = "draft" | "active" | "inactive" | "archived"

/** What comes out of a set. */
export type Decision = "allow" | "warn" | "require_approval" | "deny"

/**
 * Where a policy applies. An absent or empty list is no restriction; every list that is there must have an
 * entry that fits. `*` in an entry stands for any run of characters, `?` for one.
 */
export interface Scope {
  readonly agents?: ReadonlyArray<string> | undefined
  readonly actions?: ReadonlyArray<string> | undefined
  readonly resourceTypes?: ReadonlyArray<string> | undefined
  readonly resourceIds?: ReadonlyArray<string> | undefined
  /** One of the resource's tags must fit one of these. */
  readonly tags?: ReadonlyArray<string> | undefined
}

/** What a policy asks for beside its decision, where it decides something. */
export interface Actions {
  /** Kinds that DLP knows (`email`, `phone`, …): content is redacted of them before it goes on. */
  readonly redact?: ReadonlyArray<string> | undefined
}

/** A policy as it is stored. */
export interface Policy {
  readonly id: string | number
  readonly name: string
  readonly version?: string | number | undefined
  /** Higher first, in evaluation and in the list of reasons. Default 0. */
  readonly priority?: number | undefined
  readonly type?: string | undefined
  /** Absent: a requirement. */
  readonly enforcement?: Enforcement | undefined
  /** Default hard. */
  readonly enforcementLevel?: Level | undefined
  readonly scope?: Scope | undefined
  /** Default active. Only active policies are evaluated; all are compiled. */
  readonly status?: Status | undefined
  /** CEL over what a policy sees. */
  readonly expr: string
  readonly actions?: Actions | undefined
  /** What the caller is told when the policy decides. */
  readonly message?: string | undefined
  readonly description?: string | undefined
}

/** What a set is asked about; the fields are those that a policy sees. */
export interface PolicyInput {
  /** Who asks, as `actor.…`. */
  readonly actor?: object | undefined
  /** What is asked for, as `resource.…`. */
  readonly resource?: object | undefined
  /** What is asked, as `request.…`: action, content, tool, arguments, tokens. */
  readonly request?: object | undefined
  /** The circumstances, as `context.…`: time, environment, what was used today. */
  readonly context?: object | undefined
  /** What the caller adds, as `metadata.…`. */
  readonly metadata?: object | undefined
  /** Default: `actor.id`, for scopes. */
  readonly agent_id?: string | undefined
  /** Default: `request.action`, for scopes. */
  readonly action?: string | undefined
  /** A date, RFC 3339 text or milliseconds since 1970. */
  readonly now?: Date | string | number | undefined
}

/** One thing that is wrong with one policy. */
export interface PolicyError {
  readonly policyId: string | number
  readonly policyName: string
  /** The part of the policy: the expression or another field. */
  readonly field:
    | "expr"
    | "id"
    | "name"
    | "priority"
    | "enforcement"
    | "enforcementLevel"
    | "status"
    | "scope"
    | "actions"
  readonly code: "syntax" | "limit" | "undeclared" | "type" | "regex" | "engine" | "invalid"
  readonly message: string
  /** From 1; 0 when the field is not the expression. */
  readonly line: number
  readonly column: number
  /** The source line with a caret; empty when the field is not the expression. */
  readonly excerpt: string
}

/** Names a policy in a result. */
export interface PolicyRef {
  readonly id: string | number
  readonly name: string
  readonly version: string | number | undefined
}

/** All that a rule can decide. */
export const enforcements: ReadonlyArray<Enforcement> = ["allow", "deny", "warn", "require_approval"]
/** All levels, weakest first. */
export const levels: ReadonlyArray<Level> = ["advisory", "soft", "hard", "critical"]
/** All statuses of a policy. */
export const statuses: ReadonlyArray<Status> = ["draft", "active", "inactive", "archived"]

const WEAK: ReadonlySet<Level> = new Set(["advisory", "soft"])

/** What a policy that decides amounts to at its level (POLICY-2). */
export const weaken = (effect: Enforcement, level: Level): Enforcement =>
  WEAK.has(level) && (effect === "deny" || effect === "require_approval") ? "warn" : effect

/** What a policy that decides leaves beside the decision (POLICY-2): a recorded violation, an alert. */
export const traces = (
  policy: Pick<Policy, "enforcement" | "enforcementLevel">
): { readonly violation: boolean; readonly alert: boolean } => {
  const level = policy.enforcementLevel ?? "hard"
  const decided = policy.enforcement ?? "deny"
  return {
    violation: decided === "deny" ? level !== "advisory" : decided === "require_approval" && level === "soft",
    alert: decided === "deny" && level === "critical"
  }
}

/** What fields other than the expression have wrong. */
export const invalidFields = (policy: Policy): ReadonlyArray<PolicyError> => {
  const out: Array<PolicyError> = []
  const bad = (field: PolicyError["field"], message: string): void => {
    out.push({
      policyId: policy.id,
      policyName: policy.name,
      field,
      code: "invalid",
      message,
      line: 0,
      column: 0,
      excerpt: ""
    })
  }
  const oneOf = (field: "enforcement" | "enforcementLevel" | "status", all: ReadonlyArray<string>): void => {
    const v: string | undefined = policy[field]
    if (v !== undefined && !all.includes(v)) {
      bad(field, `\`${field}\` is none of ${all.map((x) => `\`${x}\``).join(", ")}`)
    }
  }
  oneOf("enforcement", enforcements)
  oneOf("enforcementLevel", levels)
  oneOf("status", statuses)
  if (typeof policy.id !== "string" && typeof policy.id !== "number")
    bad("id", "`id` is neither text nor a number")
  if (typeof policy.name !== "string" || policy.name === "") bad("name", "`name` is empty")
  if (typeof policy.expr !== "string") bad("expr", "`expr` is no text")
  const { priority } = policy
  if (priority !== undefined && !Number.isFinite(priority)) bad("priority", "`priority` is no number")
  const redact: unknown = policy.actions?.redact ?? []
  if (!Array.isArray(redact)) bad("actions", "`actions.redact` is no list of kinds")
  else
    for (const kind of redact) {
      if (redactable.includes(kind)) continue
      const near = typeof kind === "string" ? nearest(kind, redactable) : undefined
      const help = near === undefined ? `there are ${redactable.join(", ")}` : `did you mean \`${near}\`?`
      bad("actions", `\`actions.redact\` names no kind \`${kind}\`; ${help}`)
    }
  for (const [name, list] of Object.entries(policy.scope ?? {})) {
    if (list !== undefined && !(Array.isArray(list) && list.every((x) => typeof x === "string"))) {
      bad("scope", `\`scope.${name}\` is no list of texts`)
    }
  }
  return out
}
