/** What was used: the ledger of a permission and sums over it. */
import { Schema } from "effect"
import * as Wire from "./Wire.ts"

/** A row of a permission's ledger. */
export const LedgerEntry = Wire.struct({
  id: Schema.String,
  permissionId: Schema.String,
  kind: Schema.Literals(["usage", "reservation", "settlement", "release"]),
  eventId: Schema.NullOr(Schema.String),
  reservationId: Schema.NullOr(Schema.String),
  requests: Schema.Int,
  tokens: Schema.Int,
  costUsd: Schema.Finite,
  occurredAt: Wire.Timestamp,
  recordedAt: Wire.Timestamp
})
export type LedgerEntry = typeof LedgerEntry.Type
/** A page of a permission's ledger; `total` counts the rows on all pages, `offset` those before this one. */
export const Ledger = Wire.struct({
  entries: Schema.Array(LedgerEntry),
  total: Schema.Int,
  limit: Schema.Int,
  offset: Schema.Int
})

const sums = { requests: Schema.Int, tokens: Schema.Int, costUsd: Schema.Finite }

/** Requests, tokens and US dollars of one source. */
export const UsageSums = Wire.struct(sums)

/**
 * Sums by agent, model and day, as asked.
 *
 * `ledger` is what permissions were charged (reservations, settlements, reported usage), `interactions` what was
 * told of conversations with models. A governed call that also logs its conversation stands in both, and no id
 * ties the two together, so they are never added: `requests`, `tokens` and `cost_usd` are the ledger's for an
 * agent's day on which it has any, else the conversations'.
 */
export const UsageRow = Wire.struct({
  /** The actor, of whatever type. */
  agentId: Schema.optional(Schema.NullOr(Schema.String)),
  /** In the ledger the resource's `resource_data.model`, else the name of an `ai_model`; null for other resources. */
  model: Schema.optional(Schema.NullOr(Schema.String)),
  /** In the organization's time zone; what was reserved counts on the day of its reservation. */
  day: Schema.optional(Schema.NullOr(Schema.String)),
  ...sums,
  ledger: UsageSums,
  interactions: UsageSums
})
export type UsageRow = typeof UsageRow.Type
/** One row for each combination of what was asked to be told apart. */
export const UsageSummary = Wire.struct({ rows: Schema.Array(UsageRow) })
