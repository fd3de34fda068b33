/**
 * Which facts an expression reads (GOVERN-8).
 *
 * A fact is a path such as `actor.trust_score` or `context.cost_today`. An expression that looks into a part
 * dynamically (`context[request.tool]`) reads the whole part.
 */
import { children, type Node } from "../cel/Ast.ts"

/** The facts that the platform knows and a call does not bring; an agent holds those that came to it. */
export const platformFacts: ReadonlyArray<string> = [
  ..."trust_score tier role roles organization_id location budget_limit capabilities metadata"
    .split(" ")
    .map((f) => `actor.${f}`),
  ..."organization_id resource_type parent_resource_id name description resource_data compliance_labels data_residency trust_tier_required risk_level status health_status health_check_at health_message tags metadata created_by updated_by created_at updated_at"
    .split(" ")
    .map((f) => `resource.${f}`),
  ..."hour weekday cost_today tokens_today requests_today client_ip environment"
    .split(" ")
    .map((f) => `context.${f}`)
]

/** The path of a chain of fields and literal keys from a variable. */
const factOf = (node: Node): string | undefined => {
  if (node.k === "ident" || node.k === "select") {
    if (node.target !== undefined) return node.target.to === "variable" ? node.target.name : undefined
    if (node.k === "ident") return undefined
    const operand = factOf(node.operand)
    return operand === undefined ? undefined : `${operand}.${node.field}`
  }
  if (node.k !== "call" || (node.fn !== "_[_]" && node.fn !== "_[?_]")) return undefined
  const [operand, key] = node.args
  if (operand === undefined || key?.k !== "lit" || typeof key.value !== "string") return undefined
  const base = factOf(operand)
  return base === undefined ? undefined : `${base}.${key.value}`
}

/** The facts that a checked tree reads, sorted. */
export const factsOf = (root: Node): ReadonlyArray<string> => {
  const out = new Set<string>()
  const todo: Array<Node> = [root]
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    const fact = factOf(node)
    if (fact === undefined) todo.push(...children(node))
    else out.add(fact)
  }
  return [...out].sort()
}

/** Whether reading one fact needs the other: they are the same, or one lies in the other. */
export const touches = (read: string, fact: string): boolean =>
  read === fact || read.startsWith(`${fact}.`) || fact.startsWith(`${read}.`)
