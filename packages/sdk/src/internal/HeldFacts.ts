/** What an entry keeps of the facts that came with an answer: no more than deciding again needs, and one copy of it. */
import type { CheckResult, Resource } from "@agion/domain"
import { PermissionCheck } from "@agion/policy/check"

/** What is the same in all entries of an actor. */
export interface ActorFacts {
  /** As policies see it, without its score. */
  readonly view: PermissionCheck.View
  readonly isSuspended: boolean
  readonly timeZone: string
  readonly enforcement: "enforce" | "observe"
}

/** Facts that came with an answer. */
export interface HeldFacts {
  readonly actor: ActorFacts
  /** As of the answer. */
  readonly usage: PermissionCheck.Usage
  readonly resource: PermissionCheck.ResourceFacts | null
  readonly permission: PermissionCheck.PermissionFacts | null
}

const none: ReadonlyArray<never> = []
const empty: { readonly [name: string]: never } = {}

/** The array, or the one that all empty ones share. */
const listOf = <A>(values: ReadonlyArray<A>): ReadonlyArray<A> => (values.length === 0 ? none : values)

/** The record, or the one that all empty ones share. */
export const recordOf = <A extends object>(record: A): A | typeof empty => {
  for (const _ in record) return record
  return empty
}

/**
 * `PolicyFacts.viewOf` of a resource, field by field: an object that is made of names that are only known as it is
 * made takes five times the memory.
 */
export const resourceView = (resource: Resource): PermissionCheck.View => {
  const view: Record<string, unknown> = {
    id: resource.id,
    organization_id: resource.organizationId,
    resource_type: resource.resourceType,
    name: resource.name,
    resource_data: recordOf(resource.resourceData),
    compliance_labels: listOf(resource.complianceLabels),
    trust_tier_required: resource.trustTierRequired,
    risk_level: resource.riskLevel,
    status: resource.status,
    health_status: resource.healthStatus,
    tags: listOf(resource.tags),
    metadata: recordOf(resource.metadata),
    created_at: resource.createdAt,
    updated_at: resource.updatedAt
  }
  if (resource.parentResourceId !== null) view["parent_resource_id"] = resource.parentResourceId
  if (resource.description !== null) view["description"] = resource.description
  if (resource.dataResidency !== null) view["data_residency"] = resource.dataResidency
  if (resource.healthCheckAt !== null) view["health_check_at"] = resource.healthCheckAt
  if (resource.healthMessage !== null) view["health_message"] = resource.healthMessage
  if (resource.createdBy !== null) view["created_by"] = resource.createdBy
  if (resource.updatedBy !== null) view["updated_by"] = resource.updatedBy
  return view
}

const resourceFacts = (resource: Resource, ancestorStatus: string | null): PermissionCheck.ResourceFacts => ({
  id: resource.id,
  name: resource.name,
  resourceType: resource.resourceType,
  status: resource.status,
  healthStatus: resource.healthStatus,
  ancestorStatus,
  trustRequired: resource.trustTierRequired,
  riskLevel: resource.riskLevel,
  tags: listOf(resource.tags),
  view: resourceView(resource)
})

/** One copy for equal values under a name; holds the last that was said under each, for so many names. */
class Copies<A> {
  readonly #capacity: number
  readonly #held = new Map<string, A>()

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  share(name: string, value: A): A {
    const held = this.#held.get(name)
    if (held !== undefined && JSON.stringify(held) === JSON.stringify(value)) return held
    if (this.#held.size >= this.#capacity) this.#held.clear()
    this.#held.set(name, value)
    return value
  }
}

/** What the entries of a cache share. */
export class SharedFacts {
  readonly #actors = new Copies<ActorFacts>(1000)
  readonly #texts = new Copies<string>(100)

  /** A text that many answers repeat. */
  text(value: string): string {
    return this.#texts.share(value, value)
  }

  /**
   * The facts of an answer; null: the platform sent none. `known` is what is held of the resource: the same object
   * serves where the record is the same.
   */
  of(
    actorName: string,
    result: CheckResult,
    known: PermissionCheck.ResourceFacts | undefined
  ): HeldFacts | null {
    const { entry, permission } = result
    if (entry === undefined) return null
    const resource = entry.resource === null ? null : resourceFacts(entry.resource, entry.ancestorStatus)
    return {
      actor: this.#actors.share(actorName, {
        view: recordOf(entry.actor),
        isSuspended: entry.agentStatus === "suspended",
        timeZone: entry.timeZone,
        enforcement: entry.enforcement
      }),
      usage: Object.values(entry.usage).every((used) => used === 0) ? PermissionCheck.noUsage : entry.usage,
      resource:
        resource !== null && known !== undefined && JSON.stringify(known) === JSON.stringify(resource)
          ? known
          : resource,
      permission:
        permission === null
          ? null
          : {
              id: permission.id,
              status: permission.status,
              constraints: recordOf(permission.constraints)
            }
    }
  }
}
