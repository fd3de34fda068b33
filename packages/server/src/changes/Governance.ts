/** What the platform says on `governance-events` and on the policy channels, as the outbox carries it. */
import { randomUUID } from "node:crypto"
import { type Permission, type Resource, Streams } from "@agion/domain"
import { Context } from "effect"
import type { Outgoing } from "./Changes.ts"

/** The names of streams and channels; an operator may rename or prefix them all. */
export const Names = Context.Reference<Streams.StreamNames>("@agion/server/Names", {
  defaultValue: () => Streams.streamNames()
})

/** A UUIDv7 of epoch milliseconds. The random bits are those of a UUIDv4, which come from a pool. */
export const uuidv7 = (now: number): string => {
  const time = Math.max(0, Math.floor(now)).toString(16).padStart(12, "0").slice(-12)
  const random = randomUUID()
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(15)}`
}

const entry = (name: string, now: number, fields: { readonly [field: string]: unknown }): Outgoing => ({
  _tag: "Stream",
  name,
  fields: Streams.toFields({ event_id: uuidv7(now), ...fields, timestamp: new Date(now).toISOString() })
})

/** A permission has moved. */
export const permissionChanged = (
  names: Streams.StreamNames,
  now: number,
  change: {
    readonly organizationId: string
    readonly permission: Permission
    readonly oldStatus: string
    readonly changedBy: string
    readonly reason: string
    readonly metadata?: { readonly [name: string]: unknown }
  }
): Outgoing => {
  const { permission } = change
  const verb = permission.status === "pending" ? "requested" : permission.status
  return entry(names.governanceEvents, now, {
    event_type: `permission_${verb}`,
    organization_id: change.organizationId,
    permission_id: permission.id,
    actor_id: permission.actorId,
    actor_type: permission.actorType,
    resource_id: permission.resourceId,
    permission_type: permission.permissionType,
    old_status: change.oldStatus,
    new_status: permission.status,
    changed_by: change.changedBy,
    reason: change.reason,
    metadata: change.metadata ?? {}
  })
}

/** A resource was created, updated or deleted. */
export const resourceChanged = (
  names: Streams.StreamNames,
  now: number,
  change: {
    readonly resource: Pick<Resource, "id" | "organizationId" | "resourceType" | "name">
    readonly action: "created" | "updated" | "deleted"
    readonly changedBy: string
    readonly changes: { readonly [name: string]: unknown }
  }
): Outgoing =>
  entry(names.governanceEvents, now, {
    event_type: `resource_${change.action}`,
    resource_id: change.resource.id,
    organization_id: change.resource.organizationId,
    resource_type: change.resource.resourceType,
    resource_name: change.resource.name,
    action: change.action,
    changed_by: change.changedBy,
    changes: change.changes
  })

/** Something that a person should look at. */
export const alertRaised = (
  names: Streams.StreamNames,
  now: number,
  alert: {
    readonly organizationId: string
    readonly severity: "warning" | "critical"
    readonly kind: string
    readonly subject: string
    readonly reason: string
    readonly metadata?: { readonly [name: string]: unknown }
  }
): Outgoing =>
  entry(names.governanceEvents, now, {
    event_type: "alert_raised",
    organization_id: alert.organizationId,
    severity: alert.severity,
    kind: alert.kind,
    subject: alert.subject,
    reason: alert.reason,
    metadata: alert.metadata ?? {}
  })

/** A policy has changed: agents fetch what they need. */
export const policyUpdated = (
  names: Streams.StreamNames,
  now: number,
  update: { readonly policyId: number; readonly organizationId: string | null; readonly version: number }
): ReadonlyArray<Outgoing> => {
  const message = JSON.stringify({
    event: "policy_updated",
    policy_id: update.policyId,
    version: update.version,
    organization_id: update.organizationId,
    timestamp: new Date(now).toISOString()
  })
  return names.policyUpdates.map((name) => ({ _tag: "Channel", name, message }))
}
