/**
 * What was heard of actors and of their permissions that no entry may hold: it stands while the platform is away
 * (OUTAGE-2).
 *
 * **Gotchas**: bounded. Of an agent's own actor all is kept; of others' what was heard last, and of one of whom
 * something was forgotten nothing is taken for unchanged.
 */
import type { Denial } from "@agion/domain"

/** A suspension in the platform's words. */
export interface Suspension {
  readonly reason: string
  readonly denial: Denial
}

/** What is known of an actor as such. */
interface Actor {
  readonly organizationId: string
  /** `changed`: a push has named it, and no answer has spoken of it since. */
  status: "active" | "changed" | Suspension
  /** The epoch that said so: an earlier answer says nothing against it. */
  epoch: number
  /** Permissions that a push has named and no answer has shown since, by resource; null: more than are kept. */
  resources: Map<string, Set<string>> | null
}

/** The most actors beside the agent's own, and the most resources of one. */
const actorsAtMost = 1000
const resourcesAtMost = 10_000
/** The most permissions of one actor on one resource: a few for each type of permission. */
const permissionsAtMost = 100

const nameOf = (organizationId: string, actorId: string): string => JSON.stringify([organizationId, actorId])

/** Suspensions, and changes that nobody has asked about since. */
export class Heard {
  readonly #own: string
  readonly #actors = new Map<string, Actor>()
  /** Something was forgotten of actors that are not here. */
  #forgot = false

  constructor(organizationId: string, actorId: string) {
    this.#own = nameOf(organizationId, actorId)
  }

  #actor(organizationId: string, actorId: string): Actor {
    const name = nameOf(organizationId, actorId)
    const known = this.#actors.get(name)
    if (known !== undefined) return known
    const actor: Actor = this.#absent(name, organizationId)
    this.#actors.set(name, actor)
    if (this.#actors.size > actorsAtMost) this.#forget()
    return actor
  }

  #absent(name: string, organizationId: string): Actor {
    const isForgotten = this.#forgot && name !== this.#own
    return {
      organizationId,
      status: isForgotten ? "changed" : "active",
      epoch: Number.NEGATIVE_INFINITY,
      resources: isForgotten ? null : new Map()
    }
  }

  #forget(): void {
    for (const name of this.#actors.keys()) {
      if (name === this.#own) continue
      this.#actors.delete(name)
      this.#forgot = true
      return
    }
  }

  /** A push has named an actor. */
  changed(organizationId: string, actorId: string, epoch: number): void {
    const actor = this.#actor(organizationId, actorId)
    actor.status = "changed"
    actor.epoch = epoch
  }

  /** A push has named a permission of an actor on a resource. */
  moved(organizationId: string, actorId: string, resourceId: string, permissionId: string): void {
    const actor = this.#actor(organizationId, actorId)
    if (actor.resources === null) return
    const named = actor.resources.get(resourceId) ?? new Set()
    actor.resources.set(resourceId, named.add(permissionId))
    if (actor.resources.size > resourcesAtMost || named.size > permissionsAtMost) actor.resources = null
  }

  /** An answer has shown a permission as it is: others of the actor on the resource may be other than they were. */
  shown(organizationId: string, actorId: string, resourceId: string, permissionId: string): void {
    const resources = this.#actors.get(nameOf(organizationId, actorId))?.resources
    const named = resources?.get(resourceId)
    if (named?.delete(permissionId) === true && named.size === 0) resources?.delete(resourceId)
  }

  /** An answer of the platform has said whether an actor is suspended. */
  told(organizationId: string, actorId: string, epoch: number | null, suspension: Suspension | null): void {
    const name = nameOf(organizationId, actorId)
    const known = this.#actors.get(name) ?? this.#absent(name, organizationId)
    if (suspension === null && known.status === "active") return
    const actor = this.#actor(organizationId, actorId)
    if (epoch !== null && epoch < actor.epoch) return
    actor.status = suspension ?? "active"
    actor.epoch = epoch ?? actor.epoch
  }

  /** The data of an organization went back: what was heard stands until an answer speaks of it, of whatever epoch. */
  wentBack(organizationId: string): void {
    for (const actor of this.#actors.values())
      if (actor.organizationId === organizationId) actor.epoch = Number.NEGATIVE_INFINITY
  }

  /** What is known of an actor: one of whom nothing was heard is taken for active. */
  statusOf(organizationId: string, actorId: string): Actor["status"] {
    const name = nameOf(organizationId, actorId)
    return (this.#actors.get(name) ?? this.#absent(name, organizationId)).status
  }

  /** True when a push has named such a permission, or may have, that no answer has shown since. */
  hasMoved(organizationId: string, actorId: string, resourceId: string): boolean {
    const name = nameOf(organizationId, actorId)
    const { resources } = this.#actors.get(name) ?? this.#absent(name, organizationId)
    return resources === null || resources.has(resourceId)
  }
}
