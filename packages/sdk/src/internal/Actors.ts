/**
 * Actors by type and id, one object an actor for as long as anybody holds it: decisions compare with the score of the
 * very object that pushes change.
 *
 * Of those that nobody else holds the last ones heard of are kept, and the others are forgotten: a process that decides
 * for very many users remembers no more of them than that.
 */
import { Trust } from "@agion/domain"
import type { ActorTrust } from "../TrustTracker.ts"

/** So many are kept that nobody else holds: as many as a cache has entries. */
const keptAtMost = 10_000

/** An actor of whom nothing is known. */
const newActor = (actorId: string, actorType: string): ActorTrust => ({
  actorId,
  actorType,
  score: Trust.initialScore,
  epoch: Number.NEGATIVE_INFINITY,
  known: false,
  signed: null,
  expected: Trust.initialScore
})

/** What tells an actor from others of its id: its type, or its organization and its type. */
type Kind = string

export class Actors {
  readonly #atMost: number
  readonly #byKind = new Map<Kind, Map<string, WeakRef<ActorTrust>>>()
  /** The last ones heard of, the oldest first. */
  readonly #kept = new Set<ActorTrust>()
  readonly #gone = new FinalizationRegistry<{ readonly kind: Kind; readonly actorId: string }>(
    ({ kind, actorId }) => {
      const ofKind = this.#byKind.get(kind)
      // There may be another by now.
      if (ofKind?.get(actorId)?.deref() === undefined) ofKind?.delete(actorId)
    }
  )

  constructor(atMost: number = keptAtMost) {
    this.#atMost = atMost
  }

  /** How many there are. */
  get size(): number {
    let size = 0
    for (const ofKind of this.#byKind.values()) size += ofKind.size
    return size
  }

  /** The actor, made where there is none. */
  of(actorId: string, actorType: string, kind: Kind = actorType): ActorTrust {
    let ofKind = this.#byKind.get(kind)
    if (ofKind === undefined) {
      ofKind = new Map()
      this.#byKind.set(kind, ofKind)
    }
    const known = ofKind.get(actorId)?.deref()
    if (known !== undefined) return known
    const actor = newActor(actorId, actorType)
    ofKind.set(actorId, new WeakRef(actor))
    this.#gone.register(actor, { kind, actorId })
    this.heard(actor)
    return actor
  }

  /** Something was heard of an actor: it is kept rather than those of whom nothing was for longer. */
  heard(actor: ActorTrust): void {
    this.#kept.delete(actor)
    this.#kept.add(actor)
    if (this.#kept.size <= this.#atMost) return
    for (const oldest of this.#kept) {
      this.#kept.delete(oldest)
      return
    }
  }

  /** All that there are. */
  *[Symbol.iterator](): Generator<ActorTrust> {
    for (const ofKind of this.#byKind.values())
      for (const held of ofKind.values()) {
        const actor = held.deref()
        if (actor !== undefined) yield actor
      }
  }
}
