/**
 * What a snapshot keeps, by organization: bounded, so many things in all; the least recently used organization leaves
 * first.
 */
import type { Permission, UsageTracking } from "@agion/domain"
import type { Announced } from "../changes/Order.ts"
import type * as Store from "./SnapshotSql.ts"

/** What is kept of an organization; of a resource that is not there, `null`. */
export interface Organization {
  readonly id: string
  readonly settings: Store.Settings
  readonly resources: Map<string, Store.KnownResource | null>
  readonly actors: Map<string, Actor>
}

export interface Actor {
  readonly known: Store.KnownActor
  /** By resource, then by actor type and permission type. */
  readonly permissions: Map<string, Map<string, Permission>>
}

/** Which permission it is. */
export interface Grant {
  readonly id: string
  readonly actorId: string
  readonly actorType: string
  readonly resourceId: string
  readonly permissionType: string
}

/** What was read of an organization; `settings` is undefined where there is none of that id. */
export interface Found {
  readonly settings: Store.Settings | undefined
  readonly actors: ReadonlyArray<Store.KnownActor>
  /** Which resources were asked for. */
  readonly resourceIds: ReadonlyArray<string>
  readonly resources: ReadonlyMap<string, Store.KnownResource>
}

/** Organizations, with at most so many actors and resources in all of them. */
export class SnapshotMemory {
  readonly #maxEntries: number
  readonly #organizations = new Map<string, Organization>()
  #entries = 0
  #newest: Organization | undefined

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries
  }

  get(id: string): Organization | undefined {
    return this.#organizations.get(id)
  }

  /** The same, which makes it the most recently used. */
  use(id: string): Organization | undefined {
    const organization = this.#organizations.get(id)
    if (organization === undefined || this.#newest === organization) return organization
    this.#newest = organization
    this.#organizations.delete(id)
    this.#organizations.set(id, organization)
    return organization
  }

  /** Drops what a change names, or all of its organization. */
  hear({ message, organizationId }: Announced): void {
    const organization = this.#organizations.get(organizationId)
    if (organization === undefined) return
    if (message.kind === "organization" || message.ids.length === 0) this.#empty(organization)
    else this.#entries -= drop(organization, message.kind, message.ids)
  }

  clear(): void {
    for (const organization of this.#organizations.values()) this.#empty(organization)
  }

  /** Keeps what was read, as far as there is room; what there is none for stands in the answer only. */
  place(id: string, { actors, resourceIds, resources, settings }: Found): Organization {
    const organization = this.#organizations.get(id) ?? {
      id,
      settings: settings ?? unknownSettings,
      resources: new Map(),
      actors: new Map()
    }
    if (settings !== undefined && !this.#organizations.has(id)) this.#organizations.set(id, organization)
    const counted = this.#entries
    for (const known of actors) {
      if (!organization.actors.has(known.id)) this.#entries++
      organization.actors.set(known.id, { known, permissions: indexed(known.permissions) })
    }
    for (const resourceId of resourceIds) {
      if (!organization.resources.has(resourceId)) this.#entries++
      organization.resources.set(resourceId, resources.get(resourceId) ?? null)
    }
    // An organization that is not there yet is not kept: nothing would tell when it comes.
    if (settings === undefined) this.#entries = counted
    else this.#bound(organization)
    return organization
  }

  /** What a permission shows of its usage has changed. */
  used(organizationId: string, permission: Grant, usage: UsageTracking): void {
    const granted = this.#organizations.get(organizationId)?.actors.get(permission.actorId)?.permissions
    const byType = granted?.get(permission.resourceId)
    const key = grantKey(permission.actorType, permission.permissionType)
    const kept = byType?.get(key)
    if (kept?.id === permission.id) byType?.set(key, { ...kept, usageTracking: usage })
  }

  size(): { readonly organizations: number; readonly entries: number } {
    return { organizations: this.#organizations.size, entries: this.#entries }
  }

  /** Lets the least recently used go until what is kept fits; the newest alone is emptied when it does not. */
  #bound(newcomer: Organization): void {
    for (const organization of this.#organizations.values()) {
      if (this.#entries <= this.#maxEntries) return
      if (organization !== newcomer) this.#forget(organization)
    }
    if (this.#entries > this.#maxEntries) this.#forget(newcomer)
  }

  #forget(organization: Organization): void {
    this.#entries -= organization.resources.size + organization.actors.size
    this.#organizations.delete(organization.id)
    if (this.#newest === organization) this.#newest = undefined
  }

  /** Also whoever has it in hand must read again. */
  #empty(organization: Organization): void {
    this.#forget(organization)
    organization.actors.clear()
    organization.resources.clear()
  }
}

const unknownSettings: Store.Settings = {
  epoch: 0,
  timeZone: "UTC",
  enforcement: "enforce",
  budgetLimit: null
}

export const grantKey = (actorType: string, permissionType: string): string =>
  `${actorType} ${permissionType}`

const indexed = (permissions: ReadonlyArray<Permission>): Map<string, Map<string, Permission>> => {
  const index = new Map<string, Map<string, Permission>>()
  for (const permission of permissions) {
    const byType = index.get(permission.resourceId) ?? new Map<string, Permission>()
    byType.set(grantKey(permission.actorType, permission.permissionType), permission)
    index.set(permission.resourceId, byType)
  }
  return index
}

/** Drops what a change names; answers how many entries went. */
const drop = (
  organization: Organization,
  kind: Announced["message"]["kind"],
  ids: ReadonlyArray<string>
): number => {
  let dropped = 0
  if (kind === "resource") for (const id of ids) dropped += organization.resources.delete(id) ? 1 : 0
  if (kind === "trust" || kind === "agent")
    for (const id of ids) dropped += organization.actors.delete(id) ? 1 : 0
  // Three ids for each permission: itself, its actor, its resource.
  if (kind === "permission")
    for (let at = 1; at < ids.length; at += 3) dropped += organization.actors.delete(ids[at] ?? "") ? 1 : 0
  return dropped
}
