/** Which answers may be shared between agents, and under which names: pure (CACHE-3). */
import { type CheckResult, type Streams, sharedFor } from "@agion/domain"
import { PermissionCheck } from "@agion/policy"
import { encode } from "../permissions/CheckCodec.ts"
import type { Asked } from "../permissions/Checks.ts"

/** An entry before it is signed. */
export interface Entry {
  readonly name: string
  readonly kind: "permission" | "resource" | "trust"
  /** JSON as the wire spells it. */
  readonly value: unknown
  /** Milliseconds. */
  readonly life: number
}

/**
 * True for an answer that holds for whoever asks next: it was asked without a context, and neither what was used
 * nor the hour had a part in it.
 */
export const isShareable = (asked: Asked, result: CheckResult): boolean =>
  asked.fields === "entry" &&
  asked.context == null &&
  result.entry !== undefined &&
  (result.metadata.epoch ?? 0) > 0 &&
  (result.permission === null || PermissionCheck.isUnlimited(result.permission.constraints))

/** How long the answer lives, milliseconds. */
export const lifeOf = (result: CheckResult): number =>
  result.allowed ? sharedFor.approved : sharedFor.denied

/** What an answer is about, as one text. */
export const keyOf = ({ organizationId, actorType, actorId, resourceId, permissionType }: Asked): string =>
  `${organizationId}\0${actorType}\0${actorId}\0${resourceId}\0${permissionType}`

/** The answer itself. */
export const decisionEntry = (names: Streams.StreamNames, asked: Asked, result: CheckResult): Entry => {
  const { actorId, actorType, organizationId, permissionType, resourceId } = asked
  return {
    name: names.shared("permission", organizationId, actorType, actorId, resourceId, permissionType),
    kind: "permission",
    value: {
      actor_id: actorId,
      actor_type: actorType,
      resource_id: resourceId,
      permission_type: permissionType,
      result: JSON.parse(encode(result))
    },
    life: lifeOf(result)
  }
}

/** The score of the actor that asked. */
export const trustEntry = (names: Streams.StreamNames, asked: Asked, result: CheckResult): Entry => ({
  name: names.shared("trust", asked.organizationId, asked.actorType, asked.actorId),
  kind: "trust",
  value: { entity_id: asked.actorId, entity_type: asked.actorType, score: result.metadata.trustScore },
  life: sharedFor.trust
})

/** The record of the resource that was asked about, if there is one. */
export const resourceEntry = (
  names: Streams.StreamNames,
  asked: Asked,
  result: CheckResult
): Entry | undefined => {
  const { entry } = result
  if (entry == null || entry.resource === null) return undefined
  const { resource } = JSON.parse(encode({ ...result, permission: null })).entry
  return {
    name: names.shared("resource", asked.organizationId, asked.resourceId),
    kind: "resource",
    value: { resource, ancestor_status: entry.ancestorStatus },
    life: sharedFor.resource
  }
}
