/** Keeping what is held current: entries ahead of their expiry or after a push, and records of resources. */
import { ResourceId, type SharedResource } from "@agion/domain"
import { Effect, Schema } from "effect"
import { fly } from "./CacheAsking.ts"
import type { CacheEntry } from "./CacheEntry.ts"
import { watched } from "./CacheFlights.ts"
import { canonicalId, nameOf, ownUse, type Parts } from "./CacheParts.ts"
import { type CacheState, isBehind, isUnasked } from "./CacheState.ts"
import type { EntryKey } from "./EntryTable.ts"
import { HeldResource, resourceView } from "./HeldFacts.ts"
import { epochOf } from "./PlatformCalls.ts"

/** Asks again for what was dropped or is about to expire; an outage leaves things as they are. */
export const renew = (parts: Parts, keys: ReadonlyArray<EntryKey>): Effect.Effect<void> =>
  Effect.forEach(
    keys,
    (key) => {
      const flying = parts.flying.get(nameOf(key))
      if (flying !== undefined && flying.flight.tainted === null) return Effect.void
      parts.state.counters.refreshed++
      return Effect.asVoid(fly(parts, key, undefined))
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
    ids.filter((id) => isResourceId(id)).map(canonicalId),
    (id) => Effect.ignore(holdResource(parts, id, 1)),
    { concurrency: 8, discard: true }
  )

/** Fetches a record, and once more where a push named it or something was missed meanwhile. */
const holdResource = (parts: Parts, id: string, again: number): ReturnType<typeof fetchRecord> => {
  const { organizationId } = parts.settings
  return watched(parts.state, { organizationId, actorId: "", resourceId: id }, (flight) => {
    const { early, resources, wanted } = parts.state
    const askedAt = parts.now()
    return fetchRecord(parts, id).pipe(
      Effect.tap(({ ancestorStatus, epoch, resource }) => {
        wanted.add(id)
        if (flight.tainted !== null) return again > 0 ? holdResource(parts, id, again - 1) : Effect.void
        // A replica that has not followed a change yet: the record is missing, and asked for again each second.
        if (isBehind(parts.state, flight, epoch, askedAt)) return Effect.void
        early.delete(id)
        resources.set(id, new HeldResource(resourceView(resource, id), ancestorStatus))
        const key = { ...ownUse(parts.settings), resourceId: id }
        return isUnasked(parts.state, key) ? renew(parts, [key]) : Effect.void
      }),
      Effect.tapError((error) => {
        // It was deleted: it is asked for no more.
        if (error._tag === "NotFound") for (const held of [wanted, early, resources]) held.delete(id)
        return Effect.void
      })
    )
  })
}

/** A record, and of which epoch it is; null: it is of the one that is confirmed, or that was not said. */
interface Fetched extends SharedResource {
  readonly epoch: number | null
}

const fetchRecord = (parts: Parts, id: string) =>
  Effect.flatMap(parts.shared.resource(id), (shared) =>
    shared !== undefined
      ? Effect.succeed<Fetched>({ ...shared, epoch: null })
      : parts.http
          .ask((api) =>
            api.resources.get({
              params: { id: ResourceId.make(id) },
              responseMode: "decoded-and-response"
            })
          )
          .pipe(
            Effect.map(
              ([resource, { headers }]): Fetched => ({
                resource,
                ancestorStatus: null,
                epoch: epochOf(headers)
              })
            )
          )
  )

const isResourceId = Schema.is(ResourceId)

const missingOf = ({ early, resources, wanted }: CacheState): ReadonlyArray<string> =>
  wanted.size === 0 ? [] : [...wanted].filter((id) => !resources.has(id) || early.has(id))

/** True while a record that was to be held is not, or is from before any epoch was known. */
export const isMissing = (state: CacheState): boolean => missingOf(state).length > 0

/** Records that were to be held and were dropped are fetched again. */
export const refetch = (parts: Parts): Effect.Effect<void> => {
  const missing = missingOf(parts.state)
  return missing.length === 0 ? Effect.void : holdResources(parts, missing)
}
