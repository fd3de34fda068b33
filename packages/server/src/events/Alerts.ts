/** Something that a person should look at: an entry of `governance-events`, a log line at ERROR and a counter. */
import { Effect, Metric } from "effect"

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
