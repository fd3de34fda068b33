/** An organization and its settings: the tenant that owns rows. */
import { Schema } from "effect"
import { OrganizationId } from "./Id.ts"
import { TrustModelSettings } from "./Trust.ts"
import * as Wire from "./Wire.ts"

const TimeZone = Wire.Name.check(
  Schema.makeFilter<string>((zone) => (isTimeZone(zone) ? undefined : "a time zone of the IANA database"), {
    // Tests make such zones.
    arbitraryConstraint: { patterns: [{ source: "^(UTC|Europe/Berlin|America/New_York)$", flags: "" }] }
  })
)

/** True for a zone that this runtime knows. */
export const isTimeZone = (zone: string): boolean => {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone })
    return true
  } catch {
    return false
  }
}

export const enforcementModes = ["enforce", "observe"] as const
/** `observe` decides and records everything and blocks nothing (POLICY-8). */
export const EnforcementMode = Schema.Literals(enforcementModes)
export type EnforcementMode = typeof EnforcementMode.Type

const settings = {
  name: Wire.Text,
  timeZone: TimeZone,
  trustModel: TrustModelSettings,
  enforcement: EnforcementMode,
  eventSignature: Schema.Literals(["optional", "required"]),
  llmContent: Schema.Literals(["full", "redacted", "none"]),
  /** US dollars a day. */
  budgetLimit: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)),
  retention: Wire.JsonObject
}

/** An organization as it is answered. */
export const Organization = Wire.struct({
  id: OrganizationId,
  ...settings,
  budgetLimit: Schema.NullOr(settings.budgetLimit),
  createdAt: Wire.Timestamp,
  updatedAt: Wire.Timestamp
})
export type Organization = typeof Organization.Type

/** `PUT /organizations/{id}`; what is absent stays. */
export const UpdateOrganization = Wire.struct({
  name: Wire.optional(settings.name),
  timeZone: Wire.optional(settings.timeZone),
  trustModel: Wire.optional(settings.trustModel),
  enforcement: Wire.optional(settings.enforcement),
  eventSignature: Wire.optional(settings.eventSignature),
  llmContent: Wire.optional(settings.llmContent),
  budgetLimit: Wire.optional(settings.budgetLimit),
  retention: Wire.optional(settings.retention)
})
export type UpdateOrganization = typeof UpdateOrganization.Type
