/** Something that a person should look at: an entry of `governance-events`, a log line at ERROR and a counter. */
import { Effect } from "effect"
import { meters } from "../telemetry/Meters.ts"

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

/** Logs and counts alerts; after the commit of what they are about. */
export const log = (alerts: ReadonlyArray<Alert>): Effect.Effect<void> =>
  Effect.flatMap(meters, ({ count }) =>
    Effect.forEach(
      alerts,
      (alert) => {
        count("agion.server.alerts", { "agion.alert.kind": alert.kind })
        return Effect.logError(`alert: ${alert.kind}`, {
          organizationId: alert.organizationId,
          subject: alert.subject,
          reason: alert.reason
        })
      },
      { discard: true }
    )
  )
