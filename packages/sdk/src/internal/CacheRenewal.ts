/** Keeping what is held current: entries ahead of their expiry or after a push, and records of resources. */
import { ResourceId, type SharedResource } from "@agion/domain"
import { PolicyFacts } from "@agion/policy/judgement"
import { Effect, Schema } from "effect"
import { fly } from "./CacheAsking.ts"
import type { CacheEntry } from "./CacheEntry.ts"
import { nameOf, type Parts } from "./CacheParts.ts"
import type { CacheState } from "./CacheState.ts"

/** Asks again for what was dropped or is about to expire; an outage leaves things as they are. */
export const renew = (parts: Parts, entries: ReadonlyArray<CacheEntry>): Effect.Effect<void> =>
  Effect.forEach(
    entries,
    (entry) => {
      const flying = parts.flying.get(nameOf(entry))
      if (flying !== undefined && !flying.flight.tainted) return Effect.void
      parts.state.counters.refreshed++
      return Effect.asVoid(fly(parts, entry, undefined))
    },
    { discard: true }
  )

/** The most that is renewed at once. */
export const renewAtOnce = 256

/** An allow in use is renewed so long before it expires. */
const ahead = 3000

/** Entries in use that are about to expire. */
export const expiring = (parts: Parts): ReadonlyArray<CacheEntry> => {
  const now = parts.now()
  const soon: Array<CacheEntry> = []
  for (const entry of parts.state.table.of(parts.settings.organizationId)) {
    if (entry.standing !== "held" || !entry.decision.allowed || entry.stamp === entry.refreshedStamp) continue
    if (now < entry.expiresAt && entry.expiresAt - now < ahead) soon.push(entry)
    if (soon.length === renewAtOnce) break
  }
  return soon
}

/** The records of resources, for degraded mode; those that cannot be had are left out. */
export const holdResources = (parts: Parts, ids: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.forEach(
    ids.filter((id) => isResourceId(id)),
    (id) => {
      const held = ({ resource, ancestorStatus }: SharedResource) =>
        Effect.sync(() => {
          parts.state.wanted.add(id)
          parts.state.resources.set(id, PolicyFacts.resourceFacts(resource, ancestorStatus))
        })
      const asked = parts.http
        .ask((api) => api.resources.get({ params: { id: ResourceId.make(id) } }))
        .pipe(Effect.map((resource) => ({ resource, ancestorStatus: null })))
      return Effect.flatMap(parts.shared.resource(id), (shared) =>
        Effect.ignore(Effect.flatMap(shared === undefined ? asked : Effect.succeed(shared), held))
      )
    },
    { concurrency: 8, discard: true }
  )

const isResourceId = Schema.is(ResourceId)

const missingOf = ({ resources, wanted }: CacheState): ReadonlyArray<string> =>
  wanted.size === 0 ? [] : [...wanted].filter((id) => !resources.has(id))

/** True while a record that was to be held is not. */
export const isMissing = (state: CacheState): boolean => missingOf(state).length > 0

/** Records that were to be held and were dropped are fetched again. */
export const refetch = (parts: Parts): Effect.Effect<void> => {
  const missing = missingOf(parts.state)
  return missing.length === 0 ? Effect.void : holdResources(parts, missing)
}
