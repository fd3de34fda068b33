/**
 * Which organization a check is about (contract 2.3): the key's, the named, the resource's, where the actor was
 * last seen. A check is a sight of the actor too.
 */
import { type ApiError, type CheckRequest, ResourceId } from "@agion/domain"
import { Caller, type CallerInfo } from "@agion/domain/api"
import { Effect } from "effect"
import { Tenancy } from "../organizations/Tenancy.ts"
import type { Asked } from "./Checks.ts"
import { Snapshot } from "./Snapshot.ts"

/** Ids are compared as text in memory; the database spells them in small letters. */
const spelled = (id: ResourceId): ResourceId => ResourceId.make(id.toLowerCase(), { disableChecks: true })

/**
 * A request whose organization is settled. Spelled out, not copied: the shape of a copy goes with the last one at a
 * full collection, and with it all that was compiled for it.
 */
const askedOf = (
  { actorId, actorType, permissionType, context, fields }: CheckRequest,
  resourceId: ResourceId,
  organizationId: string,
  peer: string | undefined
): Asked => ({ organizationId, actorId, actorType, resourceId, permissionType, context, fields, peer })

/** Settles it where nothing has to be looked up or written; undefined where it takes more. */
export const placeNow = (
  tenancy: Tenancy["Service"],
  caller: CallerInfo,
  request: CheckRequest,
  peer: string | undefined
): Asked | undefined => {
  const { organizationId } = request
  if (organizationId == null) return undefined
  if (caller.organizationId !== null && caller.organizationId !== organizationId) return undefined
  if (caller.organizationId === null && !tenancy.isNoted(request.actorId, organizationId)) return undefined
  return askedOf(request, spelled(request.resourceId), organizationId, peer)
}

/** Settles where a check belongs; fails for an organization that the key does not speak for. */
export type Place = (
  request: CheckRequest,
  peer: string | undefined
) => Effect.Effect<Asked, ApiError.Forbidden, Caller>

/** Settles it, looking up what must be. */
export const whereChecked: Effect.Effect<Place, never, Tenancy | Snapshot> = Effect.gen(function* () {
  const tenancy = yield* Tenancy
  const snapshot = yield* Snapshot
  return Effect.fnUntraced(function* (request: CheckRequest, peer: string | undefined) {
    const caller = yield* Caller
    const resourceId = spelled(request.resourceId)
    const named =
      caller.organizationId === null && request.organizationId == null
        ? yield* snapshot.ownerOf(resourceId)
        : request.organizationId
    const organizationId =
      named == null ? yield* tenancy.ofActor(named, request.actorId) : yield* tenancy.of(named)
    if (caller.organizationId === null) yield* tenancy.note(request.actorId, organizationId)
    return askedOf(request, resourceId, organizationId, peer)
  })
})
