/**
 * Deletes what need not be kept any longer: once an hour, by the one replica that holds the lease, in batches that
 * no event has to wait for.
 *
 * Ids of applied events are kept for 90 days: an event that comes again later than that counts again (EVENT-5), so
 * it is to be longer than any agent waits with its write-ahead files. Reservations that were settled or released are kept
 * as long: until then a repeated report or a repeated key is known as one (LIMIT-3), later it is told as unknown. One
 * that is open stays, however old, for it is charged. Keys of reservations that were reported before
 * their reservation arrived are kept for an hour: one that is on its way for longer is charged (LIMIT-3). Of what an
 * organization sets a `retention` for, rows older than its days go; of the rest nothing does.
 */
import type { RetentionKind } from "@agion/domain"
import { Cause, Context, Duration, Effect, Layer } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import * as Leases from "../sql/Leases.ts"

/** What goes when. */
export interface RetentionOptions {
  /** How long the ids of applied events are kept. Default: 90 days. */
  readonly eventIds?: Duration.Input
  /** How long reservations are kept that were settled or released, two days at least. Default: 90 days. */
  readonly reservations?: Duration.Input
  /** How long a key that was reported before its reservation arrived keeps it from being made. Default: 1 hour. */
  readonly reservationKeys?: Duration.Input
  /** Rows that one statement deletes. Default: 5,000. */
  readonly batch?: number
}

/** How many rows went, by kind. */
export type Pruned = {
  readonly [kind in RetentionKind | "event_ids" | "reservations" | "reservation_keys"]: number
}

export class Retention extends Context.Service<
  Retention,
  {
    /** Deletes what is too old; undefined when another replica does. */
    readonly prune: Effect.Effect<Pruned | undefined, SqlError.SqlError>
  }
>()("@agion/server/Retention") {
  static readonly layer = (
    options?: RetentionOptions
  ): Layer.Layer<Retention, never, SqlClient.SqlClient | Changes> =>
    Layer.effect(Retention, make(options ?? {}))
}

const leaseName = "retention"

/** Longer than a batch takes; each batch renews it. */
const leaseMillis = 60_000

const make = Effect.fnUntraced(function* (options: RetentionOptions) {
  const sql = yield* SqlClient.SqlClient
  const { origin } = yield* Changes
  const keptMillis = Duration.toMillis(options.eventIds ?? "90 days")
  // What was used today is counted by the reservations of today, which may have been closed late.
  const closedMillis = Math.max(172_800_000, Duration.toMillis(options.reservations ?? "90 days"))
  const keysMillis = Duration.toMillis(options.reservationKeys ?? "1 hour")
  const batch = options.batch ?? 5000
  const withSql = Effect.provideService(SqlClient.SqlClient, sql)
  const holdsLease = Effect.map(
    withSql(Leases.take(leaseName, origin, leaseMillis)),
    (lease) => lease !== undefined
  )

  /**
   * Deletes batch after batch while the lease is held. Each in a transaction, which has a connection of its own: on one that
   * is shared everybody would wait behind it, and fail with it where it takes too long.
   */
  const drain = Effect.fnUntraced(function* (
    deleteSome: Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>
  ) {
    let gone = 0
    while (yield* holdsLease) {
      const { length } = yield* sql.withTransaction(deleteSome)
      gone += length
      if (length < batch) break
    }
    return gone
  })

  const oldIds = sql`
    DELETE FROM processed_events WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM processed_events
      WHERE processed_at < clock_timestamp() - ${keptMillis} * interval '1 millisecond' LIMIT ${batch}))
    RETURNING 1`

  const oldReservations = sql`
    DELETE FROM reservations WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM reservations WHERE status IN ('settled', 'released')
        AND closed_at < clock_timestamp() - ${closedMillis} * interval '1 millisecond' LIMIT ${batch}))
    RETURNING 1`

  const oldKeys = sql`
    DELETE FROM reservations WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM reservations WHERE status = 'unmade'
        AND closed_at < clock_timestamp() - ${keysMillis} * interval '1 millisecond' LIMIT ${batch}))
    RETURNING 1`

  const oldRows = (kind: RetentionKind) => {
    const table = sql(kind)
    return sql`
      DELETE FROM ${table} WHERE ctid = ANY(ARRAY(
        SELECT t.ctid FROM ${table} t JOIN organizations o ON o.id = t.organization_id
        WHERE jsonb_typeof(o.retention->${kind}) = 'number'
          AND t.created_at < clock_timestamp() - (o.retention->>${kind})::float8 * interval '1 day'
        LIMIT ${batch}))
      RETURNING 1`
  }

  const pruneAll = Effect.gen(function* () {
    const event_ids = yield* drain(oldIds)
    const reservations = yield* drain(oldReservations)
    const reservation_keys = yield* drain(oldKeys)
    const [audit_events, llm_interactions, trust_history] = yield* Effect.all([
      drain(oldRows("audit_events")),
      drain(oldRows("llm_interactions")),
      drain(oldRows("trust_history"))
    ])
    return {
      event_ids,
      reservations,
      reservation_keys,
      audit_events,
      llm_interactions,
      trust_history
    } satisfies Pruned
  })

  const prune = Effect.flatMap(holdsLease, (held) => (held ? pruneAll : Effect.succeed(undefined)))

  const quietly = Effect.catchCause(prune, (cause) =>
    Effect.logWarning("old rows could not be deleted", Cause.pretty(cause).split("\n", 1)[0])
  )
  yield* Effect.forkScoped(
    Effect.andThen(Effect.sleep("1 minute"), Effect.forever(Effect.andThen(quietly, Effect.sleep("1 hour"))))
  )
  yield* Effect.addFinalizer(() => Effect.ignoreCause(withSql(Leases.release(leaseName, origin))))
  return Retention.of({ prune })
})
