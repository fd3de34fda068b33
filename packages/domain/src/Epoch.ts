/**
 * An organization's epoch rises with every change that can alter a decision (FRESH-2). Pushes say what a cache
 * must drop; heartbeats, once a second, say that the line still works.
 */
import { Schema } from "effect"
import { Signed } from "./Signed.ts"
import * as Wire from "./Wire.ts"

/** What an epoch was raised for; `heartbeat` raises none and says that the line still works. */
export const epochKinds = [
  "heartbeat",
  "permission",
  "resource",
  "policy",
  "trust",
  "agent",
  "organization",
  "config"
] as const

/** A score that has changed, for agents that hold decisions about it. */
export const PushedTrust = Wire.struct({
  actorId: Schema.String,
  actorType: Schema.String,
  score: Schema.Finite,
  /** The tier has changed: that actor's decisions are dropped (TRUST-9). */
  tierChanged: Schema.Boolean,
  signed: Schema.optional(Signed)
})
export type PushedTrust = typeof PushedTrust.Type

/**
 * What is said on `agion:epoch:{organization}` and on `GET /stream`.
 *
 * What `ids` names: permission: [permission, actor, resource, …], three for each; resource: resources, children
 * included; trust and agent: actors; policy: policies (every decision of the organization is dropped); config:
 * ["prompt", location, "model", purpose, "resource", name, …], two for each, and no decision is dropped. No ids
 * with a kind other than heartbeat: everything of the organization is dropped.
 */
export const EpochMessage = Wire.struct({
  previous: Schema.Int,
  epoch: Schema.Int,
  kind: Schema.Literals(epochKinds),
  ids: Schema.Array(Schema.String),
  /** When it was said, by the platform's clock: what it confirms, it confirms as of then (FRESH-2). */
  timestamp: Schema.String,
  trust: Schema.optional(Schema.Array(PushedTrust))
})
export type EpochMessage = typeof EpochMessage.Type

/** The message as the channel carries it. */
export const EpochText = Schema.fromJsonString(EpochMessage)

/** The header of every answer that names the epoch at which it was made. */
export const epochHeader = "agion-epoch"
