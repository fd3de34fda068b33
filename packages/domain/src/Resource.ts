/** What agents want to use: models, databases, APIs, tools, in a hierarchy. */
import { Schema } from "effect"
import { OrganizationId, ResourceId } from "./Id.ts"
import * as Wire from "./Wire.ts"

/** Kinds of resources. */
export const resourceTypes = [
  "model_provider",
  "ai_model",
  "database",
  "api",
  "storage",
  "mcp_server",
  "tool",
  "webhook",
  "compute"
] as const
/** The kind of a resource. */
export const ResourceType = Schema.Literals(resourceTypes)
export type ResourceType = typeof ResourceType.Type

/** Where a resource is in its life. */
export const resourceStatuses = ["active", "inactive", "pending", "error", "deprecated"] as const
/** The status of a resource; only an `active` one can be used (CHECK-1). */
export const ResourceStatus = Schema.Literals(resourceStatuses)
export type ResourceStatus = typeof ResourceStatus.Type

/** What its last health check said. */
export const healthStatuses = ["healthy", "degraded", "unhealthy", "unknown"] as const
/** What the last health check said; `unhealthy` denies (CHECK-1). */
export const HealthStatus = Schema.Literals(healthStatuses)
export type HealthStatus = typeof HealthStatus.Type

/** How much harm its misuse can do. */
export const riskLevels = ["low", "medium", "high", "critical"] as const
/** How much harm the misuse of a resource can do: one of `riskLevels`. */
export const RiskLevel = Schema.Literals(riskLevels)
export type RiskLevel = typeof RiskLevel.Type

/** A trust score that a resource asks for: a whole number, 0 to 100. */
export const TrustRequired = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 }))

const Strings = Schema.Array(Wire.Text)

/** A resource as it is stored and answered. */
export const Resource = Wire.struct({
  id: ResourceId,
  organizationId: OrganizationId,
  resourceType: ResourceType,
  parentResourceId: Schema.NullOr(ResourceId),
  name: Wire.Name,
  description: Schema.NullOr(Wire.Text),
  resourceData: Wire.JsonObject,
  complianceLabels: Strings,
  dataResidency: Schema.NullOr(Wire.Text),
  trustTierRequired: TrustRequired,
  riskLevel: RiskLevel,
  status: ResourceStatus,
  healthStatus: HealthStatus,
  healthCheckAt: Schema.NullOr(Wire.Timestamp),
  healthMessage: Schema.NullOr(Wire.Text),
  tags: Strings,
  metadata: Wire.JsonObject,
  createdBy: Schema.NullOr(Wire.Text),
  updatedBy: Schema.NullOr(Wire.Text),
  createdAt: Wire.Timestamp,
  updatedAt: Wire.Timestamp
})
export type Resource = typeof Resource.Type

/** What creates a resource. */
export const CreateResource = Wire.struct({
  organizationId: OrganizationId,
  resourceType: ResourceType,
  name: Wire.Name,
  resourceData: Wire.JsonObject,
  createdBy: Wire.Name,
  parentResourceId: Wire.optional(ResourceId),
  description: Wire.optional(Wire.Text),
  complianceLabels: Wire.optional(Strings),
  dataResidency: Wire.optional(Wire.Text),
  trustTierRequired: Wire.optional(TrustRequired),
  riskLevel: Wire.optional(RiskLevel),
  status: Wire.optional(ResourceStatus),
  healthStatus: Wire.optional(HealthStatus),
  healthMessage: Wire.optional(Wire.Text),
  tags: Wire.optional(Strings),
  metadata: Wire.optional(Wire.JsonObject)
})
export type CreateResource = typeof CreateResource.Type

/** What changes a resource; what is absent stays. */
export const UpdateResource = Wire.struct({
  name: Wire.optional(Wire.Name),
  description: Wire.optional(Wire.Text),
  resourceData: Wire.optional(Wire.JsonObject),
  trustTierRequired: Wire.optional(TrustRequired),
  riskLevel: Wire.optional(RiskLevel),
  status: Wire.optional(ResourceStatus),
  healthStatus: Wire.optional(HealthStatus),
  healthMessage: Wire.optional(Wire.Text),
  tags: Wire.optional(Strings),
  updatedBy: Wire.optional(Wire.Text)
})
export type UpdateResource = typeof UpdateResource.Type
