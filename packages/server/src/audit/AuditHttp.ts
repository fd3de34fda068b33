/** The routes of the audit log: writing a line, finding lines, a report for one entity. */
import { ApiError, type AuditEvent, Wire } from "@agion/domain"
import { Api, Caller } from "@agion/domain/api"
import { Clock, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { SqlClient } from "effect/sql"
import { uuidv7 } from "../changes/Governance.ts"
import { Tenancy } from "../organizations/Tenancy.ts"
import { scoresOf, violationsOf } from "../trust/TrustSql.ts"
import * as AuditSql from "./AuditSql.ts"

const iso = (date: Date): string => Wire.timestamp(date.getTime())

const toAuditEvent = (row: AuditSql.AuditRow): AuditEvent => ({
  id: row.event_id,
  organizationId: row.organization_id,
  eventType: row.event_type,
  entityId: row.entity_id,
  entityType: row.entity_type,
  action: row.action,
  decision: row.decision,
  reason: row.reason,
  data: row.data,
  timestamp: iso(row.occurred_at),
  createdAt: iso(row.created_at)
})

const dayMillis = 86_400_000
/** How many lines a report shows. */
const shown = 100

/** The handlers of group `audit`. */
export const layer = HttpApiBuilder.group(
  Api,
  "audit",
  Effect.fnUntraced(function* (handlers) {
    const sql = yield* SqlClient.SqlClient
    const tenancy = yield* Tenancy
    const run = <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient>): Effect.Effect<A> =>
      Effect.orDie(Effect.provideService(effect, SqlClient.SqlClient, sql))

    return handlers.handleAll({
      log: Effect.fnUntraced(function* ({ payload }) {
        const caller = yield* Caller
        const entityId = payload.entityId ?? null
        if (caller.agentId !== null && entityId !== null && entityId !== caller.agentId)
          return yield* new ApiError.Forbidden({
            message: `the key belongs to agent \`${caller.agentId}\` and cannot log for \`${entityId}\``
          })
        const organizationId =
          entityId === null
            ? yield* tenancy.of(payload.organizationId)
            : yield* tenancy.ofActor(payload.organizationId, entityId)
        const eventId = payload.eventId ?? uuidv7(yield* Clock.currentTimeMillis)
        const event: AuditSql.NewAuditEvent = {
          organizationId,
          eventId,
          eventType: payload.eventType,
          entityId,
          entityType: payload.entityType ?? null,
          action: payload.action ?? null,
          decision: payload.decision ?? null,
          reason: payload.reason ?? null,
          data: payload.data ?? {},
          occurredAt: payload.timestamp == null ? null : Wire.timestamp(Date.parse(payload.timestamp))
        }
        const [row] = yield* run(AuditSql.insertAudit([event]))
        const stored = row ?? (yield* run(AuditSql.findAudit(organizationId, eventId)))
        if (stored === undefined)
          return yield* Effect.die(new Error("an audit event was neither new nor known"))
        return toAuditEvent(stored)
      }),
      list: Effect.fnUntraced(function* ({ query }) {
        const organizationId = yield* tenancy.filter(query.organizationId)
        const limit = query.limit ?? 100
        const offset = query.offset ?? 0
        const { rows, total } = yield* run(AuditSql.listAudit({ ...query, organizationId }, limit, offset))
        return { events: rows.map(toAuditEvent), total, limit, offset }
      }),
      compliance: Effect.fnUntraced(function* ({ params, query }) {
        const { entityId } = params
        const now = yield* Clock.currentTimeMillis
        const from = Wire.timestamp(now - (query.days ?? 30) * dayMillis)
        const organizationId = yield* tenancy.ofActor(query.organizationId, entityId)
        const filter = { organizationId, entityId, from }
        const counts = yield* run(AuditSql.countAudit(filter))
        const violations = yield* run(violationsOf(organizationId, entityId, from))
        const [score] = yield* run(scoresOf(organizationId, entityId))
        const { rows } = yield* run(AuditSql.newestAudit(filter, shown))
        return {
          entityId,
          organizationId,
          from,
          to: Wire.timestamp(now),
          totalEvents: counts.total,
          allowed: counts.allowed,
          denied: counts.denied,
          violations: counts.violations + violations,
          complianceRate: rateOf(counts.total, counts.violations + violations),
          trustScore: score?.score ?? null,
          events: rows.map(toAuditEvent)
        }
      })
    })
  })
)

/** The share of events that were no violation, in percent; 100 where there were none. */
const rateOf = (total: number, violations: number): number => {
  const all = Math.max(total, violations)
  return all === 0 ? 100 : Math.round((1000 * (all - violations)) / all) / 10
}
