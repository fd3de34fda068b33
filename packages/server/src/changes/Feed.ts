/**
 * What other replicas changed. Reads the outbox several times a second and announces their changes in this
 * process, so that what it keeps in memory follows within a second (FRESH-1). A replica that has not read for a
 * second may be behind, and must not decide.
 *
 * PGlite has one process: there is nothing to follow, and it is always fresh.
 */
import { EpochText } from "@agion/domain"
import { Cause, Clock, Context, Duration, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Database } from "../sql/Database.ts"
import { Changes } from "./Changes.ts"

export interface FeedOptions {
  /** How often to read. Default: 200 ms. */
  readonly interval?: Duration.Input
  /** How long after the last reading a replica still decides. Default: 1 second. */
  readonly maxAge?: Duration.Input
}

export class Feed extends Context.Service<
  Feed,
  {
    /** False while this replica may be further behind than it may be. */
    readonly isFresh: () => boolean
    /** Called when changes may have been missed: whatever is kept must be dropped. */
    readonly onGap: (f: () => void) => void
  }
>()("@agion/server/Feed") {
  static readonly layer = (
    options?: FeedOptions
  ): Layer.Layer<Feed, never, SqlClient.SqlClient | Database | Changes> =>
    Layer.effect(Feed, make(options ?? {}))
}

/** A row of the outbox beside the horizon of its reading; without a new row the horizon stands alone. */
interface Row {
  readonly horizon: string
  readonly id: number | null
  readonly organization_id: string
  readonly payload: string
}

/** After so long without a reading, rows may have left the outbox unread. */
const gapMillis = 300_000

/** A connection that died may never answer. What takes that long no longer makes a replica fresh. */
const patience = "2 seconds"

const decodeMessage = Schema.decodeUnknownSync(EpochText)

const make = Effect.fnUntraced(function* (options: FeedOptions) {
  const database = yield* Database
  if (database.driver === "pglite") return Feed.of({ isFresh: () => true, onGap: () => {} })
  const sql = yield* SqlClient.SqlClient
  const changes = yield* Changes
  const clock = yield* Clock.Clock
  const interval = Duration.fromInputUnsafe(options.interval ?? "200 millis")
  const maxAge = Duration.toMillis(options.maxAge ?? "1 second")
  const gaps: Array<() => void> = []
  let horizon = "0"
  let recent = new Set<number>()
  let readAt = Number.NEGATIVE_INFINITY

  const start = Effect.gen(function* () {
    const [row] = yield* sql<{
      horizon: string
    }>`SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon`
    horizon = row?.horizon ?? "0"
  })

  /**
   * Rows of transactions that were not all visible at the last reading; those announced already are known by id. One
   * statement, hence one round trip: where this process is busy each waits for all that is to be done, and a reading
   * that takes a second is worth nothing.
   */
  const read = Effect.gen(function* () {
    const began = clock.currentTimeMillisUnsafe()
    const answer = yield* sql<Row>`
      SELECT seen.horizon::text AS horizon, id, organization_id, payload
      FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS horizon) seen
      LEFT JOIN outbox ON target = 'epoch' AND tx >= ${horizon}::xid8 AND origin <> ${changes.origin}
      ORDER BY id`
    const rows = answer.flatMap((row) => (row.id === null ? [] : [{ ...row, id: row.id }]))
    if (began - readAt > gapMillis && readAt > 0) {
      changes.forget()
      for (const gap of gaps) gap()
    }
    const unread = rows.filter((row) => !recent.has(row.id))
    yield* changes.take(
      unread.map((row) => ({ organizationId: row.organization_id, message: decodeMessage(row.payload) }))
    )
    recent = new Set(rows.map((row) => row.id))
    horizon = answer[0]?.horizon ?? horizon
    readAt = began
    warned = false
  })

  let warned = false
  /** Says once that it cannot follow, until it can again. */
  const missed = (cause: Cause.Cause<unknown>) => {
    if (warned) return Effect.void
    warned = true
    return Effect.logWarning(
      "changes of other replicas cannot be read",
      Cause.pretty(cause).split("\n", 1)[0]
    )
  }

  yield* Effect.orDie(start)
  yield* Effect.orDie(read)
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.andThen(Effect.sleep(interval), Effect.catchCause(Effect.timeout(read, patience), missed))
    )
  )
  return Feed.of({
    isFresh: () => clock.currentTimeMillisUnsafe() - readAt <= maxAge,
    onGap: (f) => {
      gaps.push(f)
    }
  })
})
