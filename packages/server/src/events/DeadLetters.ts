/** Entries that could not be understood: set aside with their reason, and told (EVENT-6). */
import { defaultOrganization, Streams, Wire } from "@agion/domain"
import { Clock, Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import type { Changes, Outgoing } from "../changes/Changes.ts"
import { alertRaised } from "../changes/Governance.ts"
import { meters } from "../telemetry/Meters.ts"
import * as Alerts from "./Alerts.ts"
import { type Misunderstood, printable } from "./Incoming.ts"
import { claim } from "./Processed.ts"

/** The organization that an entry names, if that can be told at all. */
const organizationIn = (dead: Misunderstood): string => {
  const named = dead.raw.fields["organization_id"] ?? ""
  return named !== "" && named.length <= 170 && Wire.isStorable(named) ? named : defaultOrganization
}

/**
 * Writes entries to the dead letters and raises an alert for each, once, by way of the outbox. Inside the
 * caller's transaction.
 */
export const bury = (
  parts: {
    readonly changes: Changes["Service"]
    readonly sql: SqlClient.SqlClient
    readonly names: Streams.StreamNames
  },
  dead: ReadonlyArray<Misunderstood>
): Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    if (dead.length === 0) return
    const now = yield* Clock.currentTimeMillis
    const fresh = yield* claim(
      dead.map((one) => ({
        organizationId: organizationIn(one),
        agentId: "",
        eventId: `dead/${one.raw.stream}/${one.raw.entryId}`,
        stream: parts.names.deadLetter
      }))
    )
    const buried = dead.filter((_, i) => fresh[i] === true)
    const alerts: Array<Alerts.Alert> = []
    for (const one of buried) {
      const alert = alertOf(one)
      alerts.push(alert)
      const letter: Outgoing = { _tag: "Stream", name: parts.names.deadLetter, fields: letterOf(one, now) }
      yield* parts.changes.publish(alert.organizationId, [letter, alertRaised(parts.names, now, alert)])
    }
    const { count } = yield* meters
    const counted = Effect.sync(() => {
      for (const { raw } of buried) count("agion.server.dead_letters", { "agion.stream.name": raw.stream })
    })
    yield* parts.sql.afterCommit(Effect.andThen(counted, Alerts.log(alerts)))
  })

const letterOf = (dead: Misunderstood, now: number): Streams.Fields =>
  Streams.toFields({
    stream: dead.raw.stream,
    entry_id: dead.raw.entryId,
    reason: dead.reason,
    fields: JSON.stringify(dead.raw.fields),
    timestamp: Wire.timestamp(now)
  })

const alertOf = (dead: Misunderstood): Alerts.Alert => ({
  organizationId: organizationIn(dead),
  severity: "warning",
  kind: "dead_letter",
  subject: printable(dead.raw.fields["agent_id"] ?? dead.raw.stream),
  reason: dead.reason,
  metadata: { stream: dead.raw.stream, entry_id: dead.raw.entryId }
})
