/**
 * Reads what agents write to Redis, for as long as the scope is open: one reader a stream in the consumer group
 * `agion`, batches applied by `Ingest`, acked after the commit.
 *
 * One replica at a time reads a stream: a lease in SQL, which every transaction checks, so that an actor's
 * events are applied in stream order and a replica that was stopped too long writes nothing. All replicas read
 * under one consumer's name, so whoever takes a lease over first finishes what was left.
 *
 * While the database is away a batch is tried again until it is back; while Redis is away reading waits. Nothing
 * that stands in an entry ends a reader.
 */
import { type Entry, RedisStream } from "@agion/redis"
import { Cause, Clock, Context, Duration, Effect, Layer, Schedule, Schema, Stream } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import { Names } from "../changes/Governance.ts"
import * as FeedbackSql from "../feedback/FeedbackSql.ts"
import { Database } from "../sql/Database.ts"
import * as Leases from "../sql/Leases.ts"
import { type Meters, meters } from "../telemetry/Meters.ts"
import type { StreamKind } from "./Incoming.ts"
import { Ingest, type Verdict } from "./Ingest.ts"

export interface ConsumersOptions {
  /** Entries a batch may hold. Default: 1,000; on PGlite 200, since a batch holds its one session. */
  readonly batch?: number
  /** How long a lease lasts unless renewed: a dead replica's streams are taken over within about twice that. Default: 4 seconds. */
  readonly lease?: Duration.Input
  /** How long feedback waits for its execution to become known. Default: 1 hour. */
  readonly feedbackWait?: Duration.Input
  /** How often waiting feedback is looked at. Default: 5 seconds. */
  readonly sweep?: Duration.Input
}

/** The group in which the platform reads. */
const group = "agion"

/** What the readers have done since the start. */
export interface ConsumerCounts {
  readonly accepted: number
  readonly duplicates: number
  readonly refused: number
}

export class Consumers extends Context.Service<
  Consumers,
  {
    /** What this process has applied, over all streams. */
    readonly counts: Effect.Effect<ConsumerCounts>
    /** The streams whose lease this process holds. */
    readonly held: Effect.Effect<ReadonlyArray<string>>
  }
>()("@agion/server/Consumers") {
  static readonly layer = (
    options?: ConsumersOptions
  ): Layer.Layer<
    Consumers,
    SqlError.SqlError,
    SqlClient.SqlClient | Database | Changes | Ingest | RedisStream
  > => Layer.effect(Consumers, make(options ?? {}))
}

/** The lease went to another replica, or ran out. */
class LeaseLost extends Schema.TaggedError<LeaseLost>()("LeaseLost", { stream: Schema.String }) {
  override get message() {
    return `another replica reads \`${this.stream}\` now`
  }
}

interface Parts {
  readonly sql: SqlClient.SqlClient
  readonly ingest: Ingest["Service"]
  readonly streams: RedisStream["Service"]
  readonly holder: string
  readonly batch: number
  readonly leaseMillis: number
  readonly counts: { accepted: number; duplicates: number; refused: number }
  readonly held: Set<string>
}

const make = Effect.fnUntraced(function* (options: ConsumersOptions) {
  const sql = yield* SqlClient.SqlClient
  const names = yield* Names
  const { driver } = yield* Database
  const parts: Parts = {
    sql,
    ingest: yield* Ingest,
    streams: yield* RedisStream,
    holder: (yield* Changes).origin,
    batch: options.batch ?? (driver === "pglite" ? 200 : 1000),
    leaseMillis: Duration.toMillis(options.lease ?? "4 seconds"),
    counts: { accepted: 0, duplicates: 0, refused: 0 },
    held: new Set()
  }
  // A PGlite belongs to this process alone: whoever held its leases is dead.
  if (driver === "pglite") yield* sql`UPDATE leases SET expires_at = '-infinity'`
  const readers: ReadonlyArray<readonly [StreamKind, string]> = [
    ["trust", names.trust],
    ["feedback", names.feedback],
    ["llmInteractions", names.llmInteractions],
    ["missions", names.missions],
    ["decisions", names.decisions]
  ]
  for (const [kind, stream] of readers) yield* Effect.forkScoped(read(parts, kind, stream))
  const wait = Duration.toMillis(options.feedbackWait ?? "1 hour")
  yield* Effect.forkScoped(sweep(parts, names.feedback, wait, options.sweep ?? "5 seconds"))
  yield* Effect.forkScoped(
    trim(
      parts,
      readers.map(([, stream]) => stream)
    )
  )
  yield* Effect.forkScoped(watchLag(parts, yield* meters))
  return Consumers.of({
    counts: Effect.sync(() => ({ ...parts.counts })),
    held: Effect.sync(() => [...parts.held])
  })
})

const leaseName = (stream: string) => `stream/${stream}`

/** Waits for the lease of a stream, reads while it is held, and begins again. */
const read = (parts: Parts, kind: StreamKind, stream: string) => {
  const release = Effect.ignoreCause(
    Effect.provideService(Leases.release(leaseName(stream), parts.holder), SqlClient.SqlClient, parts.sql)
  )
  const once = Effect.gen(function* () {
    const lease = yield* take(parts, stream)
    if (lease === undefined) return yield* Effect.sleep(parts.leaseMillis / 2)
    parts.held.add(stream)
    yield* Effect.raceFirst(
      renew(parts, stream, lease.fence),
      consume(parts, kind, stream, lease.fence)
    ).pipe(
      Effect.ensuring(Effect.sync(() => parts.held.delete(stream))),
      Effect.onInterrupt(() => release)
    )
  })
  return Effect.forever(
    Effect.catchCause(once, (cause) =>
      Effect.andThen(
        Effect.logWarning(`reading \`${stream}\` was interrupted; trying on`, cause),
        Effect.sleep(parts.leaseMillis / 8)
      )
    )
  )
}

const take = (parts: Parts, stream: string) =>
  Effect.timeout(
    Effect.provideService(
      Leases.take(leaseName(stream), parts.holder, parts.leaseMillis),
      SqlClient.SqlClient,
      parts.sql
    ),
    parts.leaseMillis
  )

/** Keeps the lease; ends when it is lost. While the database is away nothing is known: the transactions will tell. */
const renew = Effect.fnUntraced(function* (parts: Parts, stream: string, fence: number) {
  for (;;) {
    yield* Effect.sleep(parts.leaseMillis / 3)
    const lease = yield* Effect.catch(take(parts, stream), () => Effect.succeed({ fence }))
    if (lease === undefined || lease.fence !== fence) return yield* new LeaseLost({ stream })
  }
})

/** Holds the lease's row until the transaction ends; fails when the lease is not this process's any more. */
const guard = (parts: Parts, stream: string, fence: number) =>
  Effect.flatMap(
    parts.sql`
      SELECT 1 FROM leases
      WHERE name = ${leaseName(stream)} AND holder = ${parts.holder} AND fence = ${fence}::int8 FOR SHARE`,
    (rows) => (rows.length > 0 ? Effect.void : Effect.fail(new LeaseLost({ stream })))
  )

const consume = (parts: Parts, kind: StreamKind, stream: string, fence: number) => {
  const options = { guard: guard(parts, stream, fence), deadLetters: true }
  return parts.streams
    .consume({ streams: [stream], group, consumer: group, count: parts.batch, claimIdle: "10 seconds" })
    .pipe(
      Stream.runForEachArray((entries) =>
        apply(parts, kind, stream, entries, options).pipe(Effect.andThen(acknowledge(parts, entries)))
      )
    )
}

const backOff = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("1 second")])

/** A connection that died may never answer: a batch that takes so long is tried again. Ids make that safe. */
const patience = "30 seconds"

/** Applies a batch, again and again while the database is away. */
const apply = Effect.fnUntraced(function* (
  parts: Parts,
  kind: StreamKind,
  stream: string,
  entries: ReadonlyArray<Entry>,
  options: {
    readonly guard: Effect.Effect<void, LeaseLost | SqlError.SqlError>
    readonly deadLetters: boolean
  }
) {
  const batch = entries.map((entry) => ({
    raw: { kind, stream, entryId: entry.id, fields: RedisStream.decodeFields(entry.fields) },
    bearer: null
  }))
  const verdicts = yield* parts.ingest.apply(batch, options).pipe(
    Effect.timeout(patience),
    Effect.tapError((error) =>
      isDatabase(error)
        ? Effect.logWarning(`${entries.length} entries of \`${stream}\` wait for the database`, error)
        : Effect.void
    ),
    Effect.retry({ schedule: backOff, while: isDatabase })
  )
  count(parts, verdicts)
})

const isDatabase = (error: unknown): boolean => SqlError.isSqlError(error) || Cause.isTimeoutError(error)

const count = (parts: Parts, verdicts: ReadonlyArray<Verdict>) => {
  for (const verdict of verdicts) {
    if (verdict._tag === "Accepted") parts.counts.accepted += 1
    else if (verdict._tag === "Duplicate") parts.counts.duplicates += 1
    else parts.counts.refused += 1
  }
}

/** What is committed is acked, however long Redis stays away: until then it would be read again. */
const acknowledge = (parts: Parts, entries: ReadonlyArray<Entry>) =>
  Effect.retry(parts.streams.ack(group, entries), { schedule: backOff })

/** Looks after feedback that waits, where the lease of its stream is held. */
const sweep = Effect.fnUntraced(function* (
  parts: Parts,
  stream: string,
  waitMillis: number,
  every: Duration.Input
) {
  let forgetAt = 0
  for (;;) {
    yield* Effect.sleep(every)
    if (!parts.held.has(stream)) continue
    const now = yield* Clock.currentTimeMillis
    const forget = Effect.provideService(FeedbackSql.forgetExecutions, SqlClient.SqlClient, parts.sql)
    yield* parts.ingest.settleFeedback(waitMillis).pipe(
      Effect.andThen(now >= forgetAt ? forget : Effect.void),
      Effect.catchCause((cause) => Effect.logWarning("waiting feedback could not be looked at", cause))
    )
    if (now >= forgetAt) forgetAt = now + 3_600_000
  }
})

/** Tells how far behind the streams are that this replica reads. */
const watchLag = (parts: Parts, { gauge }: Meters) =>
  Effect.forever(
    Effect.andThen(
      Effect.sleep("10 seconds"),
      Effect.suspend(() =>
        Effect.forEach(
          parts.held,
          (stream) =>
            Effect.ignore(
              Effect.map(parts.streams.lag(stream, group), ({ lag, pending }) =>
                gauge("agion.server.events.lag", { "agion.stream.name": stream }, pending + (lag ?? 0))
              )
            ),
          { discard: true }
        )
      )
    )
  )

/** The newest entries stay for those who look. */
const keep = 10_000

/** Removes what every group has acked, so that streams do not grow for ever. */
const trim = Effect.fnUntraced(function* (parts: Parts, streams: ReadonlyArray<string>) {
  for (;;) {
    yield* Effect.sleep("1 minute")
    for (const stream of streams) {
      if (parts.held.has(stream)) yield* Effect.ignore(parts.streams.trim(stream, { keep }))
    }
  }
})
