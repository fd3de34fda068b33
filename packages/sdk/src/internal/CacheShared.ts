/** An entry of the shared cache in place of the platform's answer, where it may be one (CACHE-3). */
import { Effect } from "effect"
import type { Decision } from "../Decision.ts"
import { takeAnswer } from "./CacheJudgement.ts"
import type { Parts } from "./CacheParts.ts"
import { type Flight, type MissReason, organizationOf } from "./CacheState.ts"
import type { EntryKey } from "./EntryTable.ts"

/** True where nothing is held that speaks against an entry of the shared cache. */
export const mayBeShared = (reason: MissReason): boolean =>
  reason === "absent" || reason === "expired" || reason === "dropped" || reason === "unconfirmed"

const nothing = Effect.succeed(undefined)

/** The decision of a usable entry, taken in as an answer as old as its signature; undefined: ask the platform. */
export const fromShared = (
  parts: Parts,
  key: EntryKey,
  flight: Flight
): Effect.Effect<Decision | undefined> =>
  Effect.suspend(() => {
    const held = parts.state.table.find(
      key.organizationId,
      key.actorId,
      key.actorType,
      key.resourceId,
      key.permissionType
    )
    // A push has named it: only the platform says what it is now.
    if (held?.standing === "suspect") return nothing
    return Effect.map(parts.shared.decision(key), (found) => {
      if (found === undefined || flight.tainted !== null) return undefined
      const organization = organizationOf(parts.state, key.organizationId)
      const now = parts.now()
      if (organization.epoch !== found.epoch || now >= organization.freshUntil) return undefined
      const decision = takeAnswer(
        parts,
        key,
        { result: found.result, epoch: found.epoch },
        {
          askedAt: now - found.ageMs,
          heldEpoch: found.epoch,
          tainted: false,
          withContext: false,
          confirms: false
        }
      )
      return { ...decision, source: "cache" }
    })
  })
