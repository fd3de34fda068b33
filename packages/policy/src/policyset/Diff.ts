/**
 * What changes when one set takes another's place.
 */
import type { Decision, Policy, PolicyInput, PolicyRef } from "./Policy.ts"
import type { EvaluateOptions, PolicySet } from "./Set.ts"
import type { Reason } from "./Verdict.ts"

/** What tells one set from another, by the ids of their policies. */
export interface Diff {
  readonly added: ReadonlyArray<PolicyRef>
  readonly removed: ReadonlyArray<PolicyRef>
  /** With the names of the fields that differ. */
  readonly changed: ReadonlyArray<PolicyRef & { readonly fields: ReadonlyArray<keyof Policy> }>
}

const FIELDS: ReadonlyArray<keyof Policy> = [
  "name",
  "version",
  "priority",
  "type",
  "enforcement",
  "enforcementLevel",
  "scope",
  "status",
  "expr",
  "actions",
  "message",
  "description"
]

const refOf = (p: Policy): PolicyRef => ({ id: p.id, name: p.name, version: p.version })

const DEFAULTS: Partial<Record<keyof Policy, unknown>> = {
  priority: 0,
  enforcementLevel: "hard",
  status: "active"
}

/** A field as text to compare: defaults filled in, lists of a scope sorted. */
const comparable = (policy: Policy, field: keyof Policy): string => {
  if (field !== "scope") return JSON.stringify(policy[field] ?? DEFAULTS[field] ?? null)
  const lists = Object.entries(policy.scope ?? {}).filter(([, list]) => list !== undefined && list.length > 0)
  return JSON.stringify(lists.map(([name, list]) => [name, [...(list ?? [])].sort()]).sort())
}

/** Compares two sets by the ids of their policies. */
export const diff = (before: PolicySet, after: PolicySet): Diff => {
  const old = new Map(before.policies.map((p) => [p.id, p]))
  const now = new Set(after.policies.map((p) => p.id))
  const changed = after.policies.flatMap((p) => {
    const was = old.get(p.id)
    if (was === undefined) return []
    const fields = FIELDS.filter((f) => comparable(was, f) !== comparable(p, f))
    return fields.length === 0 ? [] : [{ ...refOf(p), fields }]
  })
  return {
    added: after.policies.filter((p) => !old.has(p.id)).map(refOf),
    removed: before.policies.filter((p) => !now.has(p.id)).map(refOf),
    changed
  }
}

/** An input for which two sets decide differently. */
export interface Flip {
  /** Position among the inputs. */
  readonly index: number
  readonly before: Decision
  readonly after: Decision
  /** What made the new decision; for an allow, what made the old one. */
  readonly because: ReadonlyArray<Reason>
}

/** What another set would have decided on recorded inputs. */
export interface Replay {
  readonly inputs: number
  readonly flips: ReadonlyArray<Flip>
  /** How many inputs ended in each decision of the new set. */
  readonly decisions: Readonly<Record<Decision, number>>
}

/** What a changed set would have decided on recorded inputs, against the set that ran. */
export const replay = (
  before: PolicySet,
  after: PolicySet,
  inputs: Iterable<PolicyInput>,
  options?: { readonly before?: EvaluateOptions; readonly after?: EvaluateOptions }
): Replay => {
  const decisions: Record<Decision, number> = { allow: 0, warn: 0, require_approval: 0, deny: 0 }
  const flips: Array<Flip> = []
  let index = 0
  for (const input of inputs) {
    const was = before.evaluate(input, options?.before)
    const is = after.evaluate(input, options?.after)
    decisions[is.decision]++
    if (was.decision !== is.decision) {
      const because = is.decision === "allow" ? was.reasons : is.reasons
      flips.push({ index, before: was.decision, after: is.decision, because })
    }
    index++
  }
  return { inputs: index, flips, decisions }
}
