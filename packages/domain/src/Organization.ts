/** An organization and its settings: the tenant that owns rows. */
import { Effect, Schema, SchemaGetter, SchemaIssue } from "effect"
import { OrganizationId } from "./Id.ts"
import { TimeZone } from "./TimeZone.ts"
import { TrustModelChange, TrustModelSettings } from "./Trust.ts"
import * as Wire from "./Wire.ts"

/** Whether decisions block. */
export const enforcementModes = ["enforce", "observe"] as const
/** `observe` decides and records everything and blocks nothing (POLICY-8). */
export const EnforcementMode = Schema.Literals(enforcementModes)
export type EnforcementMode = typeof EnforcementMode.Type

const Days = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 36_500 }))

const kinds = {
  audit_events: Schema.optional(Days),
  llm_interactions: Schema.optional(Days),
  trust_history: Schema.optional(Days)
}

/**
 * Days for which rows are kept, by kind: `{"llm_interactions": 30}`. A kind that is not named is kept for ever, one
 * that there is not is refused. Keep `trust_history` for at least as long as `revoke_after` looks back.
 */
export const Retention = Schema.Record(Schema.String, Days).pipe(
  Schema.decodeTo(Schema.Struct(kinds), {
    decode: SchemaGetter.transformEffect((kept: { readonly [kind: string]: number }) => {
      const unknown = Object.keys(kept).find((kind) => !Object.hasOwn(kinds, kind))
      if (unknown === undefined) return Effect.succeed(kept)
      const message = `\`${unknown}\` is none of ${Object.keys(kinds).join(", ")}`
      return Effect.fail(new SchemaIssue.InvalidValue({ message }))
    }),
    encode: SchemaGetter.transform((kept) => {
      const said: Record<string, number> = {}
      for (const [kind, days] of Object.entries(kept)) if (days !== undefined) said[kind] = days
      return said
    })
  })
)
export type Retention = typeof Retention.Type
/** Kinds of rows that an organization can let go. */
export type RetentionKind = keyof Retention

const settings = {
  name: Wire.Text,
  timeZone: TimeZone,
  trustModel: TrustModelSettings,
  enforcement: EnforcementMode,
  eventSignature: Schema.Literals(["optional", "required"]),
  llmContent: Schema.Literals(["full", "redacted", "none"]),
  /** US dollars a day. */
  budgetLimit: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 9_000_000_000 })),
  retention: Retention
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

/** `PUT /organizations/{id}`; what is absent or null stays, but a `budget_limit` of null takes the limit away. */
export const UpdateOrganization = Wire.struct({
  name: Wire.optional(settings.name),
  timeZone: Wire.optional(settings.timeZone),
  trustModel: Wire.optional(TrustModelChange),
  enforcement: Wire.optional(settings.enforcement),
  eventSignature: Wire.optional(settings.eventSignature),
  llmContent: Wire.optional(settings.llmContent),
  budgetLimit: Wire.optional(settings.budgetLimit),
  retention: Wire.optional(settings.retention)
})
export type UpdateOrganization = typeof UpdateOrganization.Type
