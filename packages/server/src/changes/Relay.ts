/**
 * Carries the outbox to Redis, in order, for as long as its scope is open. One replica at a time does it, by a
 * lease. When Redis is away the rows wait. Every second it also tells the epochs of the organizations in use:
 * a heartbeat, which never overtakes a change that still waits.
 *
 * A row may be sent twice when an answer is lost: stream entries are appended once by their event id; a
 * repeated epoch message is known by its number.
 */
import type { Streams } from "@agion/domain"
import { type Command, RedisClient, type RedisError, RedisStream } from "@agion/redis"
import { Cause, Clock, Context, Duration, Effect, Layer, Result } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as Leases from "../sql/Leases.ts"
import { Changes } from "./Changes.ts"
import { encodeMessage } from "./Outbox.ts"

export interface RelayOptions {
  readonly names: Streams.StreamNames
  /** How often heartbeats go out and the outbox is looked at unasked. Default: 1 second. */
  readonly interval?: Duration.Input
}

/** The running relay. */
export class Relay extends Context.Service<
  Relay,
  {
    /** Sends what waits; answers how many rows still do. Another replica may hold the lease: then nothing is sent. */
    readonly drain: Effect.Effect<number, SqlError.SqlError>
  }
>()("@agion/server/Relay") {
  static readonly layer = (
    options: RelayOptions
  ): Layer.Layer<Relay, never, SqlClient.SqlClient | Changes | RedisClient | RedisStream> =>
    Layer.effect(Relay, make(options))
}

interface Row {
  readonly id: number
  readonly organization_id: string
  readonly target: "epoch" | "stream" | "channel"
  readonly name: string
  readonly payload: string
}

const batchSize = 1000
const leaseMillis = 5000
/** Published rows stay for as long as a reader of `GET /stream` may resume from them. */
const keepPublished = "10 minutes"

const make = Effect.fnUntraced(function* (options: RelayOptions) {
  const sql = yield* SqlClient.SqlClient
  const changes = yield* Changes
  const client = yield* RedisClient
  const streams = yield* RedisStream
  const clock = yield* Clock.Clock
  const interval = Duration.toMillis(options.interval ?? "1 second")
  const withSql = Effect.provideService(SqlClient.SqlClient, sql)
  let leasedUntil = 0

  const holdsLease = Effect.gen(function* () {
    const now = clock.currentTimeMillisUnsafe()
    if (now < leasedUntil - leaseMillis / 2) return true
    const lease = yield* withSql(Leases.take("relay", changes.origin, leaseMillis))
    leasedUntil = lease === undefined ? 0 : now + leaseMillis
    return lease !== undefined
  })

  const send = (rows: ReadonlyArray<Row>) =>
    Effect.gen(function* () {
      const messages = rows.filter((row) => row.target !== "stream")
      const entries = rows.filter((row) => row.target === "stream")
      const told = yield* sendMessages(client, options.names, messages)
      const appended = yield* Effect.catch(appendEntries(streams, entries), () => Effect.succeed([]))
      return [...told, ...appended]
    })

  const drain: Effect.Effect<number, SqlError.SqlError> = Effect.gen(function* () {
    if (!(yield* holdsLease)) return 0
    for (;;) {
      const rows = yield* sql<Row>`
        SELECT id, organization_id, target, name, payload FROM outbox
        WHERE published_at IS NULL ORDER BY id LIMIT ${batchSize}`
      if (rows.length === 0) return 0
      const sent = yield* send(rows)
      if (sent.length > 0)
        yield* sql`UPDATE outbox SET published_at = clock_timestamp() WHERE id = ANY(${sent}::int8[])`
      if (sent.length < rows.length) return rows.length - sent.length
    }
  })

  const heartbeat = Effect.gen(function* () {
    const ids = yield* changes.inUse
    if (ids.length === 0) return
    // Of this moment is what is read, however long the answer takes.
    const timestamp = new Date(clock.currentTimeMillisUnsafe()).toISOString()
    const before = new Map(ids.map((id) => [id, changes.epoch(id) ?? 0]))
    const rows = yield* sql<{ id: string; exists: boolean; epoch: number; waits: boolean }>`
      SELECT t.id, o.id IS NOT NULL AS exists, coalesce(o.epoch, 0) AS epoch, EXISTS (
        SELECT FROM outbox WHERE organization_id = t.id AND published_at IS NULL) AS waits
      FROM unnest(${ids}::text[]) AS t(id) LEFT JOIN organizations o ON o.id = t.id`
    const seen = rows.map(({ id, epoch }) => ({ organizationId: id, epoch }))
    for (const one of seen) if (one.epoch < (before.get(one.organizationId) ?? 0)) changes.goBack(one)
    // A change that is committed and not yet told comes first.
    yield* changes.follow(seen)
    for (const id of ids) changes.heartbeat(id, timestamp)
    const commands = rows.flatMap(({ id, epoch, exists, waits }): ReadonlyArray<Command> => {
      if (waits || !exists) return []
      const message = { previous: epoch, epoch, kind: "heartbeat", ids: [], timestamp } as const
      return [["PUBLISH", options.names.epoch(id), encodeMessage(message)]]
    })
    if (commands.length > 0) yield* client.pipeline(commands)
  })

  const purge = sql`DELETE FROM outbox WHERE published_at < clock_timestamp() - ${keepPublished}::interval`

  let warned = false
  /** Says once that it cannot work, until it can again. */
  const quietly = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.matchCauseEffect(effect, {
      onSuccess: () =>
        Effect.sync(() => {
          warned = false
        }),
      onFailure: (cause) => {
        if (warned) return Effect.void
        warned = true
        return Effect.logWarning("the outbox is not being carried", Cause.pretty(cause).split("\n", 1)[0])
      }
    })

  yield* Effect.forkScoped(
    Effect.forever(
      Effect.gen(function* () {
        yield* quietly(drain)
        yield* Effect.timeoutOption(changes.waiting, interval)
      })
    )
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(interval), quietly(heartbeat))))
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep("1 minute"), quietly(purge))))
  yield* Effect.addFinalizer(() => Effect.ignoreCause(withSql(Leases.release("relay", changes.origin))))
  return Relay.of({ drain })
})

/** The ids of the rows that were published. */
const sendMessages = (
  client: RedisClient["Service"],
  names: Streams.StreamNames,
  rows: ReadonlyArray<Row>
): Effect.Effect<ReadonlyArray<number>> => {
  if (rows.length === 0) return Effect.succeed([])
  const commands = rows.map((row): Command => {
    const channel = row.target === "epoch" ? names.epoch(row.organization_id) : row.name
    return ["PUBLISH", channel, row.payload]
  })
  return Effect.map(client.pipeline(commands), (results) =>
    prefix(rows, (index) => {
      const result = results[index]
      return result !== undefined && Result.isSuccess(result)
    })
  )
}

/** The ids of the rows that were appended. */
const appendEntries = (
  streams: RedisStream["Service"],
  rows: ReadonlyArray<Row>
): Effect.Effect<ReadonlyArray<number>, RedisError> => {
  if (rows.length === 0) return Effect.succeed([])
  const guarded = rows.map((row) => {
    const fields: Record<string, string> = JSON.parse(row.payload)
    return { stream: row.name, eventId: fields["event_id"] ?? String(row.id), fields }
  })
  return Effect.map(streams.appendGuarded(guarded), (answers) =>
    prefix(rows, (index) => answers[index]?._tag !== "Refused" && answers[index] !== undefined)
  )
}

/** Ids up to the first that failed: what follows must not overtake it. */
const prefix = (rows: ReadonlyArray<Row>, succeeded: (index: number) => boolean): ReadonlyArray<number> => {
  const failed = rows.findIndex((_, index) => !succeeded(index))
  return (failed < 0 ? rows : rows.slice(0, failed)).map((row) => row.id)
}
