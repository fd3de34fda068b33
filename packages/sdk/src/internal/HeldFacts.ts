/** What an entry keeps of the facts that came with an answer: no more than deciding again needs, and one copy of it. */
import type { CheckResult, Resource } from "@agion/domain"
import { PermissionCheck } from "@agion/policy/judgement"

/** What is the same in all entries of an actor. */
export interface ActorFacts {
  /** As policies see it, without its score. */
  readonly view: PermissionCheck.View
  readonly isSuspended: boolean
  readonly timeZone: string
  readonly enforcement: "enforce" | "observe"
}

/** Facts that came with an answer; those of the permission stand side by side, which takes a third less. */
export class HeldFacts {
  readonly actor: ActorFacts
  /** As of the answer. */
  readonly usage: PermissionCheck.Usage
  readonly resource: PermissionCheck.ResourceFacts | null
  readonly permissionId: string | null
  readonly permissionStatus: string
  readonly constraints: PermissionCheck.PermissionFacts["constraints"]

  constructor(
    actor: ActorFacts,
    usage: PermissionCheck.Usage,
    resource: PermissionCheck.ResourceFacts | null,
    permission: PermissionCheck.PermissionFacts | null
  ) {
    this.actor = actor
    this.usage = usage
    this.resource = resource
    this.permissionId = permission === null ? null : permission.id
    this.permissionStatus = permission === null ? "" : permission.status
    this.constraints = permission === null ? empty : recordOf(permission.constraints)
  }

  /** As the check sees it; null: there is none. */
  get permission(): PermissionCheck.PermissionFacts | null {
    return this.permissionId === null
      ? null
      : { id: this.permissionId, status: this.permissionStatus, constraints: this.constraints }
  }
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

/** A resource as policies see it; what is `null` is not there. */
export interface ResourceView extends PermissionCheck.View {
  readonly id: string
  readonly name: string
  readonly resource_type: string
  readonly status: string
  readonly health_status: string
  readonly trust_tier_required: number
  readonly risk_level: string
  readonly tags: ReadonlyArray<string>
}

/**
 * `PolicyFacts.viewOf` of a resource, field by field: an object that is made of names that are only known as it is
 * made takes five times the memory. Times that are the same are one text.
 */
export const resourceView = (resource: Resource, id: string = resource.id): ResourceView => {
  const view: ResourceView & Record<string, unknown> = {
    id,
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
    updated_at: resource.updatedAt === resource.createdAt ? resource.createdAt : resource.updatedAt
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

/** A resource as the check sees it: a look at what policies see, which is held once. */
export class HeldResource implements PermissionCheck.ResourceFacts {
  readonly view: ResourceView
  readonly ancestorStatus: string | null

  constructor(view: ResourceView, ancestorStatus: string | null) {
    this.view = view
    this.ancestorStatus = ancestorStatus
  }

  get id() {
    return this.view.id
  }
  get name() {
    return this.view.name
  }
  get resourceType() {
    return this.view.resource_type
  }
  get status() {
    return this.view.status
  }
  get healthStatus() {
    return this.view.health_status
  }
  get trustRequired() {
    return this.view.trust_tier_required
  }
  get riskLevel() {
    return this.view.risk_level
  }
  get tags() {
    return this.view.tags
  }
}

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

const isSame = (a: PermissionCheck.ResourceFacts, b: PermissionCheck.ResourceFacts): boolean =>
  a.ancestorStatus === b.ancestorStatus && JSON.stringify(a.view) === JSON.stringify(b.view)

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
   * serves where the record is the same; `resourceId` is its id, as the entry holds it.
   */
  of(
    actorName: string,
    result: CheckResult,
    known: PermissionCheck.ResourceFacts | undefined,
    resourceId?: string
  ): HeldFacts | null {
    const { entry, permission } = result
    if (entry === undefined) return null
    const resource =
      entry.resource === null
        ? null
        : new HeldResource(resourceView(entry.resource, resourceId), entry.ancestorStatus)
    const actor = this.#actors.share(actorName, {
      view: recordOf(entry.actor),
      isSuspended: entry.agentStatus === "suspended",
      timeZone: entry.timeZone,
      enforcement: entry.enforcement
    })
    return new HeldFacts(
      actor,
      Object.values(entry.usage).every((used) => used === 0) ? PermissionCheck.noUsage : entry.usage,
      resource !== null && known !== undefined && isSame(known, resource) ? known : resource,
      permission
    )
  }
}
