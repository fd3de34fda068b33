/**
 * Entries that could not be understood: set aside with their reason, and told (EVENT-6). A letter holds no more of a
 * conversation than its organization keeps.
 */
import { defaultOrganization, Streams, Wire } from "@agion/domain"
import type { Dlp } from "@agion/policy"
import { Clock, Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import type { Changes, Outgoing } from "../changes/Changes.ts"
import { alertRaised } from "../changes/Governance.ts"
import type { Tenancy } from "../organizations/Tenancy.ts"
import { noteRefused } from "../registry/AgentsSql.ts"
import { meters } from "../telemetry/Meters.ts"
import * as Alerts from "./Alerts.ts"
import * as Content from "./Content.ts"
import { type Misunderstood, printable } from "./Incoming.ts"
import { settingsOf } from "./Placing.ts"
import { claim } from "./Processed.ts"
import { agentName } from "./Signatures.ts"

const isUsable = (name: string): boolean => name !== "" && name.length <= 170 && Wire.isStorable(name)

/** The organization that an entry names, else that of its agent, if that can be told at all. */
const organizationIn = (dead: Misunderstood, homes: ReadonlyMap<string, string>): string => {
  const named = dead.raw.fields["organization_id"] ?? ""
  return isUsable(named) ? named : (homes.get(dead.raw.fields["agent_id"] ?? "") ?? defaultOrganization)
}

const homesOf = (tenancy: Tenancy["Service"], dead: ReadonlyArray<Misunderstood>) => {
  const agents = dead.map((one) => one.raw.fields["agent_id"] ?? "").filter(isUsable)
  return agents.length === 0
    ? Effect.succeed(new Map<string, string>())
    : tenancy.organizationsOf([...new Set(agents)])
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
    readonly tenancy: Tenancy["Service"]
    readonly dlp: Dlp.Dlp
  },
  dead: ReadonlyArray<Misunderstood>
): Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    if (dead.length === 0) return
    const now = yield* Clock.currentTimeMillis
    const homes = yield* homesOf(parts.tenancy, dead)
    const fresh = yield* claim(
      dead.map((one) => ({
        organizationId: organizationIn(one, homes),
        agentId: "",
        eventId: `dead/${one.raw.stream}/${one.raw.entryId}`,
        stream: parts.names.deadLetter
      }))
    )
    const buried = dead.filter((_, i) => fresh[i] === true)
    const settings = yield* settingsOf(
      buried
        .filter((one) => Content.hasContent(one.raw.fields))
        .map((one) => ({ organizationId: organizationIn(one, homes) }))
    )
    const alerts: Array<Alerts.Alert> = []
    for (const one of buried) {
      const organizationId = organizationIn(one, homes)
      const alert = alertOf(one, organizationId)
      alerts.push(alert)
      const keep = settings.get(organizationId)?.llmContent ?? "full"
      const kept = Content.keptFields(parts.dlp, one.raw.fields, keep)
      const letter: Outgoing = {
        _tag: "Stream",
        name: parts.names.deadLetter,
        fields: letterOf(one, kept, now)
      }
      yield* parts.changes.publish(alert.organizationId, [letter, alertRaised(parts.names, now, alert)])
    }
    const { count } = yield* meters
    const counted = Effect.sync(() => {
      for (const { raw } of buried) count("agion.server.dead_letters", { "agion.stream.name": raw.stream })
    })
    yield* parts.sql.afterCommit(
      Effect.all([counted, Alerts.log(alerts), tellAgents(parts.sql, buried, homes)], { discard: true })
    )
  })

/**
 * Who wrote to Redis got no answer: what was set aside for its signature is noted at its agent, who hears of it when it
 * registers next. After the commit, since whoever registers locks in another order; a note that fails is no reason to
 * apply the batch again.
 */
const tellAgents = (
  sql: SqlClient.SqlClient,
  buried: ReadonlyArray<Misunderstood>,
  homes: ReadonlyMap<string, string>
): Effect.Effect<void> => {
  const refused = new Map<string, { organizationId: string; agentId: string; count: number }>()
  for (const one of buried) {
    const agentId = speakerOf(one.raw.fields)
    if (one.code !== "signature" || !isUsable(agentId)) continue
    const organizationId = organizationIn(one, homes)
    const name = agentName({ organizationId, agentId })
    const count = (refused.get(name)?.count ?? 0) + 1
    refused.set(name, { organizationId, agentId, count })
  }
  if (refused.size === 0) return Effect.void
  return noteRefused([...refused.values()]).pipe(
    Effect.provideService(SqlClient.SqlClient, sql),
    Effect.catchCause((cause) => Effect.logWarning("agents are not told of refused events", cause))
  )
}

/** Whose word an entry would have been. */
const speakerOf = (fields: Streams.Fields): string =>
  fields["reported_by"] ?? fields["agent_id"] ?? fields["participant_id"] ?? fields["from_participant"] ?? ""

const letterOf = (dead: Misunderstood, kept: Streams.Fields, now: number): Streams.Fields =>
  Streams.toFields({
    stream: dead.raw.stream,
    entry_id: dead.raw.entryId,
    reason: dead.reason,
    fields: JSON.stringify(kept),
    timestamp: Wire.timestamp(now)
  })

const alertOf = (dead: Misunderstood, organizationId: string): Alerts.Alert => ({
  organizationId,
  severity: "warning",
  kind: "dead_letter",
  subject: printable(dead.raw.fields["agent_id"] ?? dead.raw.stream),
  reason: dead.reason,
  metadata: { stream: dead.raw.stream, entry_id: dead.raw.entryId }
})
