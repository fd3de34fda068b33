/** Something that a person should look at: an entry of `governance-events`, a log line at ERROR and a counter. */
import { Streams } from "@agion/domain"
import { Effect, Metric } from "effect"
import type { Outgoing } from "../changes/Changes.ts"
import { uuid7 } from "./EventId.ts"

/** An alert. */
export interface Alert {
  readonly organizationId: string
  readonly severity: "warning" | "critical"
  /** What happened, such as `dead_letter`, `permissions_suspended`. */
  readonly kind: string
  /** Whom or what it is about. */
  readonly subject: string
  readonly reason: string
  readonly metadata?: { readonly [key: string]: unknown }
}

const raised = Metric.counter("agion_alerts_total", {
  description: "alerts raised, by kind",
  incremental: true
})

/** The entry that tells of an alert; written to the outbox with the change itself. */
export const entryOf = (names: Streams.StreamNames, alert: Alert, now: number): Outgoing => ({
  _tag: "Stream",
  name: names.governanceEvents,
  fields: Streams.toFields({
    event_id: uuid7(now),
    event_type: "alert_raised",
    organization_id: alert.organizationId,
    severity: alert.severity,
    kind: alert.kind,
    subject: alert.subject,
    reason: alert.reason,
    metadata: alert.metadata ?? {},
    timestamp: new Date(now).toISOString()
  })
})

/** Logs and counts alerts; after the commit of what they are about. */
export const log = (alerts: ReadonlyArray<Alert>): Effect.Effect<void> =>
  Effect.forEach(
    alerts,
    (alert) =>
      Effect.andThen(
        Metric.update(Metric.withAttributes(raised, { kind: alert.kind }), 1),
        Effect.logError(`alert: ${alert.kind}`, {
          organizationId: alert.organizationId,
          subject: alert.subject,
          reason: alert.reason
        })
      ),
    { discard: true }
  )
