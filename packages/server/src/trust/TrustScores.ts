/**
 * Trust is earned: scores of actors, and what changes them.
 *
 * `apply` is the one way in which a score changes: the score, its history, the entries of `trust-events` and the
 * push to caches are one transaction (TRUST-4, TRUST-9). Who calls it has seen to it that an event counts once.
 *
 * **Gotchas**: a model with caps on gain costs one more query and a lock before the change.
 */
import {
  type ActorType,
  actorTypes,
  type Streams,
  Trust,
  type TrustModel,
  TrustModelSettings
} from "@agion/domain"
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { Changes, type Outgoing } from "../changes/Changes.ts"
import { alertRaised, Names } from "../changes/Governance.ts"
import * as Alerts from "../events/Alerts.ts"
import { Signing } from "../keys/Signing.ts"
import { Permissions } from "../permissions/Permissions.ts"
import { entriesOf, pushesOf } from "./TrustEvents.ts"
import type { ScoreChange, ScoreEvent, ScoreKey, StoredEvent, StoredScore } from "./TrustSql.ts"
import * as TrustSql from "./TrustSql.ts"

export class TrustScores extends Context.Service<
  TrustScores,
  {
    /** Applies events in their order, in the caller's transaction or one of its own. */
    readonly apply: (
      events: ReadonlyArray<ScoreEvent>
    ) => Effect.Effect<ReadonlyArray<ScoreChange>, SqlError.SqlError>
    /** The model by which an organization's events count. */
    readonly model: (organizationId: string) => Effect.Effect<TrustModel, SqlError.SqlError>
    /** Creates scores at 40 where there are none. */
    readonly ensure: (keys: ReadonlyArray<ScoreKey>) => Effect.Effect<void, SqlError.SqlError>
    /** The actor's score of a type; without one the user's, else the only other. */
    readonly find: (
      organizationId: string,
      entityId: string,
      entityType: string | undefined
    ) => Effect.Effect<StoredScore | undefined, SqlError.SqlError>
    /** Newest first. */
    readonly history: (
      key: ScoreKey,
      limit: number
    ) => Effect.Effect<ReadonlyArray<StoredEvent>, SqlError.SqlError>
  }
>()("@agion/server/TrustScores") {
  static readonly layer: Layer.Layer<
    TrustScores,
    never,
    SqlClient.SqlClient | Changes | Signing | Permissions
  > = Layer.suspend(() => Layer.effect(TrustScores, make))
}

interface Parts {
  readonly sql: SqlClient.SqlClient
  readonly changes: Changes["Service"]
  readonly signing: Signing["Service"]
  readonly names: Streams.StreamNames
  readonly permissions: Permissions["Service"]
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const parts: Parts = {
    sql,
    changes: yield* Changes,
    signing: yield* Signing,
    names: yield* Names,
    permissions: yield* Permissions
  }
  const withSql = Effect.provideService(SqlClient.SqlClient, sql)

  return TrustScores.of({
    apply: (events) => sql.withTransaction(withSql(apply(parts, events))),
    model: (organizationId) =>
      Effect.map(
        withSql(modelsOf([organizationId])),
        (models) => models.get(organizationId) ?? Trust.defaultModel
      ),
    ensure: (keys) => withSql(TrustSql.ensureScores(keys)),
    find: (organizationId, entityId, entityType) =>
      entityType === undefined
        ? Effect.map(withSql(TrustSql.scoresOf(organizationId, entityId)), (scores) => scores[0])
        : withSql(TrustSql.findScore({ organizationId, entityId, entityType })),
    history: (key, limit) => withSql(TrustSql.historyOf(key, limit))
  })
})

const decodeSettings = Schema.decodeUnknownOption(TrustModelSettings)

/** The models of organizations; those that have none of their own are left out. */
export const modelsOf = (
  organizationIds: ReadonlyArray<string>
): Effect.Effect<ReadonlyMap<string, TrustModel>, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ id: string; trust_model: unknown }>`
      SELECT id, trust_model FROM organizations
      WHERE id = ANY(${organizationIds}::text[]) AND trust_model <> '{}'`
    return new Map(
      rows.map((row) => {
        const settings = decodeSettings(row.trust_model)
        return [row.id, Trust.modelOf(settings._tag === "Some" ? settings.value : null)] as const
      })
    )
  })

/** How many actors one epoch message names at most. */
const maxPushed = 250

const apply = Effect.fnUntraced(function* (parts: Parts, events: ReadonlyArray<ScoreEvent>) {
  if (events.length === 0) return []
  const organizations = [...new Set(events.map((event) => event.organizationId))].sort()
  const models = yield* modelsOf(organizations)
  const changes = yield* TrustSql.applyScores(yield* capped(models, events))
  for (const organizationId of organizations) {
    const own = changes.filter((change) => change.organizationId === organizationId)
    const alerts = yield* suspendViolators(parts, models.get(organizationId), own)
    yield* announce(parts, organizationId, own, alerts)
  }
  return changes
})

/** Events with what the caps of their organization leave of them. */
const capped = Effect.fnUntraced(function* (
  models: ReadonlyMap<string, TrustModel>,
  events: ReadonlyArray<ScoreEvent>
) {
  const limited = events.filter((event) => {
    const model = models.get(event.organizationId)
    return model !== undefined && (model.maxGainPerHour !== null || model.maxGainPerDay !== null)
  })
  if (limited.length === 0) return events
  const gains = new Map<string, { hour: number; day: number }>()
  for (const row of yield* TrustSql.gainsOf(limited)) gains.set(nameOf(row), { hour: row.hour, day: row.day })
  return events.map((event) => {
    const gained = gains.get(nameOf(event))
    const model = models.get(event.organizationId)
    if (gained === undefined || model === undefined) return event
    const impact = Trust.capGain(model, event.impact, gained)
    if (impact > 0) {
      gained.hour = Trust.apply(gained.hour, impact)
      gained.day = Trust.apply(gained.day, impact)
    }
    return impact === event.impact ? event : { ...event, impact }
  })
})

const nameOf = (key: ScoreKey) => `${key.organizationId}\0${key.entityType}\0${key.entityId}`

/** What is stored is one of them. */
export const actorTypeOf = (text: string): ActorType => actorTypes.find((type) => type === text) ?? "user"

/** Suspends those who violated too often (TRUST-10). */
const suspendViolators = Effect.fnUntraced(function* (
  parts: Parts,
  model: TrustModel | undefined,
  changes: ReadonlyArray<ScoreChange>
) {
  const limit = model?.revokeAfter ?? null
  const violations = changes.filter((change) => change.eventType === "policy_violation")
  if (limit === null || violations.length === 0) return []
  const reason = `${limit.violations} policy violations within ${limit.withinMinutes} minutes`
  const alerts: Array<Alerts.Alert> = []
  for (const { organizationId, entityId, entityType } of yield* TrustSql.violators(violations, limit)) {
    const ids = yield* parts.permissions.suspendActor({
      organizationId,
      actorId: entityId,
      actorType: actorTypeOf(entityType),
      by: "system",
      reason
    })
    if (ids.length === 0) continue
    alerts.push({
      organizationId,
      severity: "critical",
      kind: "permissions_suspended",
      subject: entityId,
      reason,
      metadata: { permissions: ids }
    })
  }
  return alerts
})

/** Tells of the changes: entries for all of them, one push for each actor. */
const announce = Effect.fnUntraced(function* (
  parts: Parts,
  organizationId: string,
  changes: ReadonlyArray<ScoreChange>,
  alerts: ReadonlyArray<Alerts.Alert>
) {
  const now = yield* Clock.currentTimeMillis
  const changed = changes.filter((change) => change.newScore !== change.oldScore)
  const entries: ReadonlyArray<Outgoing> = [
    ...changed.flatMap((change) => entriesOf(parts.names.trustEvents, change, now)),
    ...alerts.map((alert) => alertRaised(parts.names, now, alert))
  ]
  if (alerts.length > 0) yield* parts.sql.afterCommit(Alerts.log(alerts))
  const ids = [...new Set(changed.map((change) => change.entityId))]
  if (ids.length === 0)
    return yield* entries.length === 0 ? Effect.void : parts.changes.publish(organizationId, entries)
  for (let at = 0; at < ids.length; at += maxPushed) {
    const named = new Set(ids.slice(at, at + maxPushed))
    const about = changed.filter((change) => named.has(change.entityId))
    yield* parts.changes.record({
      organizationId,
      kind: "trust",
      ids: [...named],
      trust: (epoch) => Effect.sync(() => pushesOf(organizationId, about, parts.signing, epoch, now)),
      entries: at === 0 ? entries : []
    })
  }
})
