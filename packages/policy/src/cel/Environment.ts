/**
 * What an expression may name: variables with their types.
 *
 * `policyEnvironment` is what a policy sees. Its parts `actor`, `resource` and `request` are closed: a field
 * that is not listed is refused when the policy is created. `context`, `metadata` and the parts marked open are
 * JSON of any shape.
 */
import type { Overload } from "./Declarations.ts"
import { DOUBLE, type Field, INT, list, OPEN_MAP, object, STRING, TIMESTAMP, type Type } from "./Type.ts"

/** The names that expressions may use. */
export interface Environment {
  readonly variables: ReadonlyMap<string, Field>
  /** The name space in which short names are looked up first. */
  readonly container: string
  /** A variable's name has a dot, or there is a container: a chain of fields may be one name. */
  readonly dotted: boolean
  /** Functions beyond the library, for the checker. */
  readonly functions: ReadonlyMap<string, ReadonlyArray<Overload>>
}

/** An environment of variables; a bare type is a variable without a fallback. */
export const environment = (
  variables: Readonly<Record<string, Type | Field>>,
  options: { readonly container?: string; readonly functions?: Environment["functions"] } = {}
): Environment => ({
  variables: new Map(Object.entries(variables).map(([name, v]) => [name, "k" in v ? { type: v } : v])),
  container: options.container ?? "",
  dotted: options.container !== undefined || Object.keys(variables).some((name) => name.includes(".")),
  functions: options.functions ?? new Map()
})

const fields = (text: string, type: Type): Record<string, Field> =>
  Object.fromEntries(text.split(" ").map((name) => [name, { type }]))

const TEXTS = list(STRING)
/** An open part that the input lacks reads as an empty map. */
const OPEN_PART: Field = { type: OPEN_MAP, fallback: {} }

const actor = object("actor", {
  ...fields("id type tier role organization_id location", STRING),
  ...fields("trust_score budget_limit", DOUBLE),
  ...fields("roles capabilities", TEXTS),
  metadata: OPEN_PART
})

const resource = object("resource", {
  ...fields(
    "id organization_id resource_type parent_resource_id name description data_residency risk_level status health_status health_message created_by updated_by",
    STRING
  ),
  ...fields("compliance_labels tags", TEXTS),
  ...fields("health_check_at created_at updated_at", TIMESTAMP),
  trust_tier_required: { type: INT },
  resource_data: OPEN_PART,
  metadata: OPEN_PART
})

const request = object("request", {
  ...fields("origin action model tool", STRING),
  content: { type: STRING, fallback: "" },
  tokens: { type: INT },
  cost: { type: DOUBLE },
  arguments: OPEN_PART,
  timestamp: { type: TIMESTAMP }
})

/** What a policy sees. */
export const policyEnvironment: Environment = environment({
  actor: { type: actor, fallback: {} },
  resource: { type: resource, fallback: {} },
  request: { type: request, fallback: {} },
  context: OPEN_PART,
  metadata: OPEN_PART,
  agent_id: STRING,
  action: STRING,
  now: TIMESTAMP
})
