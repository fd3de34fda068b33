/**
 * What can be said about policies without running them: a policy that never matches, one that is always true,
 * one that another shadows, two that contradict each other.
 *
 * Decided for conditions made of comparisons of fields with constants, and silent about all others. Every
 * finding carries a witness: an input that shows it, replayed before it is reported.
 *
 * **Gotchas**: pairs are compared one by one; some thousand policies without scopes take seconds.
 */
import type * as Cel from "../Cel.ts"
import { globMatches } from "../cel/Library.ts"
import { type Enforcement, type PolicyInput, type PolicyRef, type Scope, traces, weaken } from "./Policy.ts"
import { type Box, type Constraint, failuresOf, intersect, pick, type Region, regionOf } from "./Region.ts"
import type { Compiled, PolicySet } from "./Set.ts"

/** What is odd about a policy. */
export type FindingKind = "never_matches" | "always_true" | "shadowed" | "contradicts"

/** Something odd about a policy, with an input that shows it. */
export interface Finding {
  readonly kind: FindingKind
  readonly policy: PolicyRef
  /** The policy that shadows or contradicts it. */
  readonly other: PolicyRef | undefined
  /** What it means and what to do. */
  readonly message: string
  /** An input that shows it. */
  readonly witness: PolicyInput
}

interface Known {
  readonly compiled: Compiled
  readonly isRule: boolean
  readonly effect: Enforcement
  /** Where its expression is true and where it is false. */
  readonly yes: Region | undefined
  readonly no: Region | undefined
  /** Where it decides something, and where it does not. */
  readonly fires: Region | undefined
  readonly quiet: Region | undefined
  /** Where it cannot be evaluated, which decides too (POLICY-4). */
  readonly failures: Region | undefined
}

const STRENGTH: Readonly<Record<Enforcement, number>> = { allow: 0, warn: 1, require_approval: 2, deny: 3 }

/** Everything that can be said of the active policies of a set. */
export const findings = (set: PolicySet): ReadonlyArray<Finding> => {
  const known = set
    .compiled()
    .filter((c) => (c.policy.status ?? "active") === "active")
    .map(know)
  const out = known.flatMap(alone)
  for (let i = 0; i < known.length; i++) {
    for (let j = i + 1; j < known.length; j++) {
      const [a, b] = [known[i], known[j]]
      if (a !== undefined && b !== undefined) out.push(...pair(a, b))
    }
  }
  return out
}

const know = (compiled: Compiled): Known => {
  const { policy, program } = compiled
  const yes = regionOf(program.node, true)
  const no = regionOf(program.node, false)
  const isRule = policy.enforcement !== undefined
  const effect = weaken(policy.enforcement ?? "deny", policy.enforcementLevel ?? "hard")
  const failures = failuresOf(program.node)
  return { compiled, isRule, effect, yes, no, fires: isRule ? yes : no, quiet: isRule ? no : yes, failures }
}

const refOf = ({ compiled: { policy } }: Known): PolicyRef => ({
  id: policy.id,
  name: policy.name,
  version: policy.version
})

const finding = (
  kind: FindingKind,
  a: Known,
  b: Known | undefined,
  message: string,
  witness: PolicyInput
): Finding => ({
  kind,
  policy: refOf(a),
  other: b === undefined ? undefined : refOf(b),
  message,
  witness
})

const alone = (a: Known): ReadonlyArray<Finding> => {
  const fails = a.failures?.length !== 0
  const inScope = a.yes?.filter((box) => reaches(box, a.compiled.policy.scope))
  if (inScope?.length === 0) {
    const witness = a.no === undefined ? undefined : witnessOf(a.no, [a], false)
    const why =
      a.yes?.length === 0
        ? "no input satisfies all its conditions"
        : "its scope and its condition exclude each other"
    const where = a.yes?.length === 0 ? "every input" : "every input in its scope"
    const message = a.isRule
      ? `the rule never matches: ${why}${fails ? `; ${ifNot(a)} where it cannot be evaluated` : ""}`
      : `the requirement never holds: it is violated by ${where}${a.yes?.length === 0 ? "" : `, since ${why}`}`
    return witness === undefined ? [] : [finding("never_matches", a, undefined, message, witness)]
  }
  if (a.no?.length === 0) {
    const witness = a.yes === undefined ? undefined : witnessOf(a.yes, [a], true)
    const message = a.isRule
      ? "the rule always matches: its condition restricts nothing"
      : fails
        ? "the requirement always holds: it is violated only where it cannot be evaluated"
        : "the requirement always holds: it never denies"
    return witness === undefined ? [] : [finding("always_true", a, undefined, message, witness)]
  }
  return []
}

const ifNot = (a: Known): string => `it decides (${a.effect === "allow" ? "warn" : a.effect}) only`

/** Whether a box has an input that a scope lets through. */
const reaches = (box: Box, scope: Scope | undefined): boolean =>
  LISTS.every((list) => {
    const entries = scope?.[list]
    const c = box.get(PLACES[list])
    if (!restricts(entries) || list === "tags" || c?.k !== "text") return true
    if (c.only !== undefined) return [...c.only].some((text) => entries.some((e) => globMatches(e, text)))
    return entries.some((e) => isGlob(e) || !c.not.has(e))
  })

const pair = (a: Known, b: Known): ReadonlyArray<Finding> => {
  // Of two that shadow each other the one with the lower priority is the one too many.
  const shadowed = shadow(b, a) ?? shadow(a, b)
  if (shadowed !== undefined) return [shadowed]
  const contradiction = contradict(a, b) ?? contradict(b, a) ?? exclude(a, b)
  return contradiction === undefined ? [] : [contradiction]
}

/** `a` decides only where `b` decides at least as strongly, failures counted, and leaves no trace that `b` does not. */
const shadow = (a: Known, b: Known): Finding | undefined => {
  if (a.effect === "allow" || b.effect === "allow" || STRENGTH[b.effect] < STRENGTH[a.effect])
    return undefined
  if (redactsMore(a, b) || tellsMore(a, b) || !inside(a, b) || !failsInside(a, b)) return undefined
  const witness = a.fires === undefined ? undefined : fired(a.fires, [a, b])
  if (witness === undefined) return undefined
  return finding(
    "shadowed",
    a,
    b,
    `it changes nothing: wherever it decides, \`${b.compiled.policy.name}\` decides as strongly`,
    witness
  )
}

/** Whether `a` records a violation or raises an alert where `b` does not. */
const tellsMore = (a: Known, b: Known): boolean => {
  const [x, y] = [traces(a.compiled.policy), traces(b.compiled.policy)]
  return (x.violation && !y.violation) || (x.alert && !y.alert)
}

/** Whether everything on which `a` fails lies where `b` decides. */
const failsInside = (a: Known, b: Known): boolean =>
  a.failures !== undefined && b.quiet !== undefined && intersect(a.failures, b.quiet)?.length === 0

/** Whether a call that goes on is redacted of more for `a` than for `b`. */
const redactsMore = (a: Known, b: Known): boolean => {
  const also = b.compiled.policy.actions?.redact ?? []
  return b.effect !== "deny" && (a.compiled.policy.actions?.redact ?? []).some((kind) => !also.includes(kind))
}

/** An allow rule that matches only where another denies. */
const contradict = (a: Known, b: Known): Finding | undefined => {
  if (!a.isRule || a.effect !== "allow" || b.effect !== "deny" || !inside(a, b)) return undefined
  const witness = a.fires === undefined ? undefined : fired(a.fires, [a, b])
  if (witness === undefined) return undefined
  return finding(
    "contradicts",
    a,
    b,
    `it allows only what \`${b.compiled.policy.name}\` denies, and a denial wins`,
    witness
  )
}

/** Two requirements that no input satisfies both. */
const exclude = (a: Known, b: Known): Finding | undefined => {
  if (a.isRule || b.isRule || a.effect !== "deny" || b.effect !== "deny") return undefined
  if (a.yes === undefined || b.yes === undefined || a.yes.length === 0 || b.yes.length === 0) return undefined
  const scope = commonScope(a.compiled.policy.scope, b.compiled.policy.scope)
  const [box] = a.yes
  if (scope === undefined || box === undefined || intersect(a.yes, b.yes)?.length !== 0) return undefined
  const witness = inputOf(box, scope)
  if (witness === undefined || value(b, witness) !== false) return undefined
  return finding(
    "contradicts",
    a,
    b,
    `no input satisfies both it and \`${b.compiled.policy.name}\`: one always denies`,
    witness
  )
}

/** Whether everything that `a` decides lies where `b` decides, in condition and scope. */
const inside = (a: Known, b: Known): boolean =>
  a.fires !== undefined &&
  a.fires.length > 0 &&
  b.quiet !== undefined &&
  within(a.compiled.policy.scope, b.compiled.policy.scope) &&
  intersect(a.fires, b.quiet)?.length === 0

const LISTS: ReadonlyArray<keyof Scope> = ["agents", "actions", "resourceTypes", "resourceIds", "tags"]

const restricts = (list: ReadonlyArray<string> | undefined): list is ReadonlyArray<string> =>
  list !== undefined && list.length > 0 && !list.includes("*")

const isGlob = (entry: string): boolean => /[*?]/.test(entry)
const covers = (wide: string, entry: string): boolean =>
  wide === entry || (!isGlob(entry) && globMatches(wide, entry))

const within = (a: Scope | undefined, b: Scope | undefined): boolean =>
  LISTS.every((list) => {
    const wide = b?.[list]
    if (!restricts(wide)) return true
    const narrow = a?.[list]
    return restricts(narrow) && narrow.every((entry) => wide.some((w) => covers(w, entry)))
  })

/** Entries that fit both scopes, one a list; undefined when none is seen. */
const commonScope = (a: Scope | undefined, b: Scope | undefined): Scope | undefined => {
  const out: Record<string, ReadonlyArray<string>> = {}
  for (const list of LISTS) {
    const [x, y] = [a?.[list], b?.[list]]
    if (!restricts(x) && !restricts(y)) continue
    const entry = !restricts(x)
      ? y?.[0]
      : !restricts(y)
        ? x[0]
        : (x.find((e) => y.some((w) => covers(w, e))) ?? y.find((e) => x.some((w) => covers(w, e))))
    if (entry === undefined) return undefined
    out[list] = [entry]
  }
  return out
}

const PLACES: Readonly<Record<keyof Scope, string>> = {
  agents: "agent_id",
  actions: "action",
  resourceTypes: "resource.resource_type",
  resourceIds: "resource.id",
  tags: "resource.tags"
}

/** An input within a box and a scope; undefined when they ask for different values in one place. */
const inputOf = (box: Box, scope: Scope | undefined): PolicyInput | undefined => {
  const values = new Map<string, unknown>()
  for (const [path, c] of box) {
    const v = pick(c)
    if (c.k !== "absent") values.set(path, v)
  }
  for (const list of LISTS) {
    const entries = scope?.[list]
    if (!restricts(entries)) continue
    const text = (entries[0] ?? "").replace(/[*?]/g, "x")
    const place = PLACES[list]
    const old = values.get(place)
    if (typeof old === "string" && list !== "tags" && !entries.some((e) => globMatches(e, old))) {
      const other = fitting(box.get(place), entries, text)
      if (other === undefined) return undefined
      values.set(place, other)
    }
    if (typeof old !== "string") values.set(place, list === "tags" ? [text] : text)
  }
  return nested(values)
}

/** A text that a constraint and a list of a scope both take. */
const fitting = (
  c: Constraint | undefined,
  entries: ReadonlyArray<string>,
  text: string
): string | undefined => {
  if (c?.k !== "text") return undefined
  const candidates = c.only === undefined ? [text, `${text}x`] : [...c.only]
  return candidates.find((t) => !c.not.has(t) && entries.some((e) => globMatches(e, t)))
}

const nested = (values: ReadonlyMap<string, unknown>): PolicyInput | undefined => {
  const root: Record<string, unknown> = { actor: {}, resource: {}, request: {}, context: {}, metadata: {} }
  for (const [path, v] of values) {
    const parts = path.split(".")
    const last = parts.pop() ?? ""
    let o = root
    for (const part of parts) {
      const next = Object.hasOwn(o, part) ? o[part] : undefined
      if (next !== undefined && (typeof next !== "object" || next === null || Array.isArray(next)))
        return undefined
      const made = (next ?? {}) as Record<string, unknown>
      o[part] = made
      o = made
    }
    if (Object.hasOwn(o, last) && typeof o[last] === "object" && Object.keys(o[last] ?? {}).length > 0)
      return undefined
    o[last] = v
  }
  return root
}

const value = (a: Known, input: PolicyInput): unknown => a.compiled.program.evaluate(input as Cel.Input)

/** An input of a region on which the expressions have this value. */
const witnessOf = (
  region: Region,
  policies: ReadonlyArray<Known>,
  wanted: boolean
): PolicyInput | undefined => {
  const scope = policies[0]?.compiled.policy.scope
  for (const box of region) {
    const input = inputOf(box, scope)
    if (input !== undefined && policies.every((p) => value(p, input) === wanted)) return input
  }
  return undefined
}

/** An input of a region on which all policies decide. */
const fired = (region: Region, policies: ReadonlyArray<Known>): PolicyInput | undefined => {
  const scope = policies[0]?.compiled.policy.scope
  for (const box of region) {
    const input = inputOf(box, scope)
    if (input !== undefined && policies.every((p) => value(p, input) === p.isRule)) return input
  }
  return undefined
}
