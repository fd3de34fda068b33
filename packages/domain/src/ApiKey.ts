/** Keys of the API: shown once, stored hashed. */
import { Schema } from "effect"
import { OrganizationName } from "./Id.ts"
import * as Wire from "./Wire.ts"

/** A key as it is listed; the key itself stands only in the answer that made it. */
export const ApiKey = Wire.struct({
  id: Schema.String,
  organizationId: Schema.String,
  name: Wire.Text,
  /** The agent that the key belongs to; null: an operator's key. */
  agentId: Schema.NullOr(Wire.Text),
  createdAt: Wire.Timestamp,
  revokedAt: Schema.NullOr(Wire.Timestamp),
  /** Only in the answer that created it. */
  key: Schema.optional(Schema.String)
})
export type ApiKey = typeof ApiKey.Type

/** Makes a key: with `agentId` one that speaks for that agent alone, without it an operator's. */
export const CreateApiKey = Wire.struct({
  name: Wire.Name,
  organizationId: Wire.optional(OrganizationName),
  agentId: Wire.optional(Wire.Name)
})
export type CreateApiKey = typeof CreateApiKey.Type

/** The keys of an organization, the revoked ones too. */
export const ApiKeyList = Wire.struct({ keys: Schema.Array(ApiKey) })
