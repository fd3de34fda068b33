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
export const Ledger = Wire.struct({
  entries: Schema.Array(LedgerEntry),
  total: Schema.Int,
  limit: Schema.Int,
  offset: Schema.Int
})

/** Sums by agent, model and day, as asked. */
export const UsageRow = Wire.struct({
  agentId: Schema.optional(Schema.NullOr(Schema.String)),
  model: Schema.optional(Schema.NullOr(Schema.String)),
  day: Schema.optional(Schema.NullOr(Schema.String)),
  requests: Schema.Int,
  tokens: Schema.Int,
  costUsd: Schema.Finite
})
export type UsageRow = typeof UsageRow.Type
export const UsageSummary = Wire.struct({ rows: Schema.Array(UsageRow) })
