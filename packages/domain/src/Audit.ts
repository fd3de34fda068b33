/** What happened, for those who answer for agents. */
import { Schema } from "effect"
import { OrganizationName } from "./Id.ts"
import * as Wire from "./Wire.ts"

/** A line of the audit log. */
export const AuditEvent = Wire.struct({
  id: Schema.String,
  organizationId: Schema.String,
  eventType: Wire.Text,
  entityId: Schema.NullOr(Wire.Text),
  entityType: Schema.NullOr(Wire.Text),
  action: Schema.NullOr(Wire.Text),
  decision: Schema.NullOr(Wire.Text),
  reason: Schema.NullOr(Wire.Text),
  data: Wire.JsonObject,
  timestamp: Wire.Timestamp,
  createdAt: Wire.Timestamp
})
export type AuditEvent = typeof AuditEvent.Type

/** Logs an event; `eventId` makes a repetition count once. */
export const LogAuditEvent = Wire.struct({
  eventType: Wire.Name,
  eventId: Wire.optional(Wire.Name),
  organizationId: Wire.optional(OrganizationName),
  entityId: Wire.optional(Wire.Name),
  entityType: Wire.optional(Wire.Text),
  action: Wire.optional(Wire.Text),
  decision: Wire.optional(Wire.Text),
  reason: Wire.optional(Wire.Text),
  data: Wire.optional(Wire.JsonObject),
  timestamp: Wire.optional(Wire.Timestamp)
})
export type LogAuditEvent = typeof LogAuditEvent.Type

/** A page of the audit log; `total` counts the events on all pages, `offset` those before this one. */
export const AuditEventList = Wire.struct({
  events: Schema.Array(AuditEvent),
  total: Schema.Int,
  limit: Schema.Int,
  offset: Schema.Int
})

/** A report for one entity. */
export const ComplianceReport = Wire.struct({
  entityId: Schema.String,
  organizationId: Schema.NullOr(Schema.String),
  from: Wire.Timestamp,
  to: Wire.Timestamp,
  totalEvents: Schema.Int,
  allowed: Schema.Int,
  denied: Schema.Int,
  violations: Schema.Int,
  complianceRate: Schema.Finite,
  trustScore: Schema.NullOr(Schema.Finite),
  events: Schema.Array(AuditEvent)
})
export type ComplianceReport = typeof ComplianceReport.Type
