/**
 * What the platform writes into the shared cache in Redis, for agents to read (CACHE-3): values inside `Signed`
 * envelopes, of kinds `permission`, `resource` and `trust` (a `SignedTrust`).
 *
 * An entry says itself what it is about: whoever reads one compares that with what was asked, since a name in
 * Redis can be written by anybody who may write there.
 */
import { Schema } from "effect"
import { CheckResult } from "./Permission.ts"
import { Resource } from "./Resource.ts"
import * as Wire from "./Wire.ts"

/** How long entries live, milliseconds. */
export const sharedFor = { approved: 30_000, denied: 5000, trust: 300_000, resource: 600_000 } as const

/** The answer to a check without a context, with what a cache needs. */
export const SharedDecision = Wire.struct({
  actorId: Schema.String,
  actorType: Schema.String,
  resourceId: Schema.String,
  permissionType: Schema.String,
  result: CheckResult
})
export type SharedDecision = typeof SharedDecision.Type

/** A resource's record. */
export const SharedResource = Wire.struct({
  resource: Resource,
  /** The first ancestor that is not active, if any. */
  ancestorStatus: Schema.NullOr(Schema.String)
})
export type SharedResource = typeof SharedResource.Type
