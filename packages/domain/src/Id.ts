/** The ids of the platform: text on the wire, told apart by type inside. */
import { Schema } from "effect"
import * as Wire from "./Wire.ts"

const uuidPattern = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/

const uuid = Schema.String.check(Schema.isPattern(uuidPattern))

/** The name of an organization. `*` is none: it stands for all of them. */
export const OrganizationName = Wire.Name.check(
  Schema.makeFilter<string>((id) =>
    id === "*" ? "an organization other than `*`, which stands for all of them" : undefined
  )
)

/** An organization: the tenant that owns rows. */
export const OrganizationId = OrganizationName.pipe(Schema.brand("OrganizationId"))
export type OrganizationId = typeof OrganizationId.Type

/** Who acts: an agent, a user or a service. */
export const ActorId = Wire.Name.pipe(Schema.brand("ActorId"))
export type ActorId = typeof ActorId.Type

/** A resource, a UUID. */
export const ResourceId = uuid.pipe(Schema.brand("ResourceId"))
export type ResourceId = typeof ResourceId.Type

/** A permission, a UUID. */
export const PermissionId = uuid.pipe(Schema.brand("PermissionId"))
export type PermissionId = typeof PermissionId.Type

/** A reservation, a UUID. */
export const ReservationId = uuid.pipe(Schema.brand("ReservationId"))
export type ReservationId = typeof ReservationId.Type

/** A mission. */
export const MissionId = Wire.Name.pipe(Schema.brand("MissionId"))
export type MissionId = typeof MissionId.Type

/** An event; our own are UUIDv7. */
export const EventId = Wire.Name.pipe(Schema.brand("EventId"))
export type EventId = typeof EventId.Type

/** The organization of whoever names none while authentication is off. */
export const defaultOrganization: OrganizationId = OrganizationId.make("default")

/** True for the text of a UUID. */
export const isUuid = (text: string): boolean => uuidPattern.test(text)
