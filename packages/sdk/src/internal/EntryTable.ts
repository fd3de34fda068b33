/**
 * Entries by organization, actor, actor type, resource and permission type, at most so many: the least recently
 * used goes first (CACHE-1, CACHE-2).
 *
 * A look-up walks Maps and builds no key. Use stamps an entry instead of moving it in a list; the order is
 * established when something must go, for a quarter of the table at a time, and is exact.
 */
import type { ActorType, PermissionType } from "@agion/domain"

/** What an entry is about. */
export interface EntryKey {
  readonly organizationId: string
  readonly actorId: string
  readonly actorType: ActorType
  readonly resourceId: string
  readonly permissionType: PermissionType
}

/** What the table needs of an entry; the fields below are the table's. */
export interface Held extends EntryKey {
  stamp: number
  live: boolean
  /** Actor type and permission type in one number. */
  slot: number
  /** The next entry of the same resource: most have one alone, so that a look-up ends at the first. */
  next: Held | undefined
}

type Resources<V> = Map<string, V>
type Actors<V> = Map<string, Resources<V>>

/** A new table. Not a class hierarchy: closures over Maps. */
export class EntryTable<V extends Held> {
  readonly #capacity: number
  readonly #onEvict: (entry: V) => void
  readonly #organizations = new Map<string, Actors<V>>()
  #lastOrganization: string | undefined
  #lastActors: Actors<V> | undefined
  #lastActor: string | undefined
  #lastResources: Resources<V> | undefined
  #size = 0
  #stamp = 0
  /** Candidates to go, oldest first, and the stamps that they had when they were lined up. */
  #queue: Array<V> = []
  #queueStamps: Array<number> = []
  #queueAt = 0

  constructor(capacity: number, onEvict: (entry: V) => void) {
    this.#capacity = capacity
    this.#onEvict = onEvict
  }

  /** How many entries there are. */
  get size(): number {
    return this.#size
  }

  #actors(organizationId: string): Actors<V> | undefined {
    if (organizationId === this.#lastOrganization) return this.#lastActors
    const actors = this.#organizations.get(organizationId)
    if (actors === undefined) return undefined
    this.#lastOrganization = organizationId
    this.#lastActors = actors
    this.#lastActor = undefined
    this.#lastResources = undefined
    return actors
  }

  #resources(organizationId: string, actorId: string): Resources<V> | undefined {
    if (organizationId === this.#lastOrganization && actorId === this.#lastActor) return this.#lastResources
    const resources = this.#actors(organizationId)?.get(actorId)
    if (resources === undefined) return undefined
    this.#lastActor = actorId
    this.#lastResources = resources
    return resources
  }

  /** The entry, if there is one; does not count as use. */
  find(
    organizationId: string,
    actorId: string,
    actorType: ActorType,
    resourceId: string,
    permissionType: PermissionType
  ): V | undefined {
    let entry: Held | undefined = this.#resources(organizationId, actorId)?.get(resourceId)
    const slot = slotOf(actorType, permissionType)
    while (entry !== undefined && entry.slot !== slot) entry = entry.next
    // Whatever stands in a chain was put there as a V.
    return entry as V | undefined
  }

  /** The entry has been used just now. */
  touch(entry: V): void {
    entry.stamp = ++this.#stamp
  }

  /** Holds an entry as the most recently used, in place of the one with its key. */
  put(entry: V): void {
    const actors = held(this.#organizations, entry.organizationId, newMap<Resources<V>>)
    const resources = held(actors, entry.actorId, newMap<V>)
    entry.slot = slotOf(entry.actorType, entry.permissionType)
    const head = resources.get(entry.resourceId)
    const rest = without(head, entry.slot)
    if (rest.removed === undefined) this.#size++
    else rest.removed.live = false
    entry.next = rest.chain
    entry.live = true
    resources.set(entry.resourceId, entry)
    this.touch(entry)
    if (this.#size > this.#capacity) this.#evict()
  }

  /** Forgets an entry. */
  remove(entry: V): void {
    if (!entry.live) return
    entry.live = false
    this.#size--
    const actors = this.#organizations.get(entry.organizationId)
    const resources = actors?.get(entry.actorId)
    if (actors === undefined || resources === undefined) return
    const { chain } = without(resources.get(entry.resourceId), entry.slot)
    if (chain !== undefined) {
      resources.set(entry.resourceId, chain as V)
      return
    }
    resources.delete(entry.resourceId)
    if (resources.size > 0) return
    actors.delete(entry.actorId)
    this.#lastActor = undefined
    if (actors.size > 0) return
    this.#organizations.delete(entry.organizationId)
    this.#lastOrganization = undefined
  }

  /** Every entry of an organization, or of one of its actors. */
  *of(organizationId: string, actorId?: string): Generator<V> {
    const actors = this.#organizations.get(organizationId)
    if (actors === undefined) return
    const all = actorId === undefined ? actors.values() : [actors.get(actorId) ?? newMap<V>()]
    for (const resources of all)
      for (const head of resources.values())
        for (let entry: Held | undefined = head; entry !== undefined; entry = entry.next) yield entry as V
  }

  #evict(): void {
    for (;;) {
      while (this.#queueAt < this.#queue.length) {
        const candidate = this.#queue[this.#queueAt]
        const stamp = this.#queueStamps[this.#queueAt++]
        if (candidate?.live === true && candidate.stamp === stamp) {
          this.remove(candidate)
          this.#onEvict(candidate)
          return
        }
      }
      this.#lineUp()
    }
  }

  /** Lines up the least recently used quarter: who is used meanwhile has a newer stamp and is passed over. */
  #lineUp(): void {
    const all: Array<V> = []
    for (const organizationId of this.#organizations.keys())
      for (const entry of this.of(organizationId)) all.push(entry)
    all.sort((a, b) => a.stamp - b.stamp)
    this.#queue = all.slice(0, Math.max(1, all.length >> 2))
    this.#queueStamps = this.#queue.map((entry) => entry.stamp)
    this.#queueAt = 0
  }
}

const newMap = <T>(): Map<string, T> => new Map()

/** What a map holds under a key, made when there is nothing. */
const held = <T>(map: Map<string, T>, key: string, make: () => T): T => {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

/** A chain without the entry of a slot, and that entry. */
const without = (
  head: Held | undefined,
  slot: number
): { readonly chain: Held | undefined; readonly removed: Held | undefined } => {
  if (head === undefined) return { chain: undefined, removed: undefined }
  if (head.slot === slot) return { chain: head.next, removed: head }
  for (let entry = head; entry.next !== undefined; entry = entry.next) {
    const { next } = entry
    if (next.slot !== slot) continue
    entry.next = next.next
    return { chain: head, removed: next }
  }
  return { chain: head, removed: undefined }
}

const slotOf = (actorType: ActorType, permissionType: PermissionType): number =>
  actorSlot(actorType) + permissionSlot(permissionType)

const actorSlot = (actorType: ActorType): number =>
  actorType === "agent" ? 0 : actorType === "user" ? 5 : 10

const permissionSlot = (permissionType: PermissionType): number => {
  switch (permissionType) {
    case "use":
      return 0
    case "read":
      return 1
    case "write":
      return 2
    case "execute":
      return 3
    case "admin":
      return 4
  }
}
