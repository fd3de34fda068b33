/**
 * What a change tells others. `record` runs inside the transaction of the change: it raises the organization's
 * epoch and writes what is to be published into the outbox, so that there is no event without its change and no
 * change without its event. After the commit, and before the request is answered, listeners in this process are
 * told (FRESH-1); a relay carries the outbox to Redis.
 *
 * Listeners hear epoch after epoch. A change that comes before those of other replicas waits until these were
 * read from the outbox, which takes one query, so that no answer names an epoch of which this process lacks a part.
 *
 * **Gotchas**: `record` locks the organization's row. Lock data rows first and call it last; with several
 * organizations in one transaction, in order of their ids.
 */
import type { EpochMessage, PushedTrust, Streams } from "@agion/domain"
import { Cause, Clock, Context, Effect, Layer, Queue, type Scope } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as Order from "./Order.ts"
import * as Outbox from "./Outbox.ts"

/** Something to publish: an entry of a stream or a message on a channel. */
export type Outgoing =
  | { readonly _tag: "Stream"; readonly name: string; readonly fields: Streams.Fields }
  | { readonly _tag: "Channel"; readonly name: string; readonly message: string }

/** A change that can alter a decision, or at least is to be told. */
export interface Change {
  readonly organizationId: string
  readonly kind: Exclude<EpochMessage["kind"], "heartbeat">
  /** What caches must drop; see `EpochMessage` for what each kind names. Empty: everything. */
  readonly ids: ReadonlyArray<string>
  /** Scores that changed, perhaps made for the new epoch. */
  readonly trust?:
    | ReadonlyArray<PushedTrust>
    | ((epoch: number) => Effect.Effect<ReadonlyArray<PushedTrust>, SqlError.SqlError, SqlClient.SqlClient>)
  /** Entries of streams and messages on channels; each stream entry has an `event_id`. */
  readonly entries?: ReadonlyArray<Outgoing>
}

/** A committed epoch of an organization, as it was read from the database. */
export interface Seen {
  readonly organizationId: string
  readonly epoch: number
}

/** Records changes in their transactions, and tells of them once they are committed (FRESH-1). */
export class Changes extends Context.Service<
  Changes,
  {
    /** Raises the epoch and writes the outbox, inside the caller's transaction. Answers the new epoch. */
    readonly record: (change: Change) => Effect.Effect<number, SqlError.SqlError>
    /** The same for every organization at once, as a policy of all of them needs. */
    readonly recordAll: (
      change: Omit<Change, "organizationId" | "trust">
    ) => Effect.Effect<void, SqlError.SqlError>
    /**
     * Publishes without a change of any decision: no epoch, only the outbox. Inside the caller's transaction,
     * if there is one.
     */
    readonly publish: (
      organizationId: string,
      entries: ReadonlyArray<Outgoing>
    ) => Effect.Effect<void, SqlError.SqlError>
    /**
     * Calls `f` with every change after its commit and before its request is answered, while the scope is open.
     * `late`: what was read since this process began holds it already, and nobody outside is to be told.
     */
    readonly listen: (f: Order.Tell) => Effect.Effect<void, never, Scope.Scope>
    /** Tells listeners in this process what was committed, here or elsewhere, and what came before it. */
    readonly take: (announced: ReadonlyArray<Order.Announced>) => Effect.Effect<void>
    /** Brings this process to epochs that were read from the database: it tells what it has not told yet. */
    readonly follow: (seen: ReadonlyArray<Seen>) => Effect.Effect<void>
    /**
     * Tells listeners that the present epoch of an organization, when it is known, was still the last at `timestamp`,
     * ISO-8601: what is confirmed is what was read then.
     */
    readonly heartbeat: (organizationId: string, timestamp: string) => void
    /** The database went back to an epoch: everybody drops all of the organization. */
    readonly goBack: (seen: Seen) => void
    /** Changes may have been missed: everybody drops everything. */
    readonly forget: () => void
    /** Waits for something new in the outbox; answers at once when there is. For the relay. */
    readonly waiting: Effect.Effect<void>
    /** The epoch up to which this process has told every change; undefined before its first change or load. */
    readonly epoch: (organizationId: string) => number | undefined
    /**
     * Begins to follow an organization at an epoch that was read from the database, unless it is followed. False:
     * what was read at that epoch may lack changes that will not be told any more; read it again.
     */
    readonly note: (organizationId: string, epoch: number) => boolean
    /** Marks an organization as in use: it gets heartbeats for the next 10 minutes. */
    readonly touch: (organizationId: string) => void
    /** Organizations in use. */
    readonly inUse: Effect.Effect<ReadonlyArray<string>>
    /** Tells the replicas of one database apart. */
    readonly origin: string
  }
>()("@agion/server/Changes") {
  /** Over the database's own record of changes. */
  static readonly layer = (): Layer.Layer<Changes, never, SqlClient.SqlClient> => Layer.effect(Changes, make)
}

const useMillis = 600_000
const maxKnown = 100_000
/** So many changes of one organization are told one by one; after more, everybody drops all of it. */
const maxMissing = 1000

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const clock = yield* Clock.Clock
  const origin = crypto.randomUUID()
  const outbox = Outbox.make(sql, origin)
  const listeners = new Set<Order.Tell>()
  const signal = yield* Queue.sliding<void>(1)
  const used = new Map<string, number>()
  const timestamp = () => new Date(clock.currentTimeMillisUnsafe()).toISOString()

  const order = Order.make((announced, late) => {
    for (const listener of listeners) listener(announced, late)
  }, maxKnown)

  /** Reads and tells what the outbox holds after the last epochs that were told; what fails is jumped over. */
  const catchUp = (organizationIds: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const ids = [...new Set(organizationIds)]
      const told = ids.map((id) => ({ id, epoch: order.applied(id) ?? 0 }))
      for (const announced of yield* outbox.after(told, maxMissing)) takeOrJump(announced)
    }).pipe(
      Effect.timeout("2 seconds"),
      Effect.catchCause((cause) =>
        Effect.logWarning("changes of other replicas cannot be read", Cause.pretty(cause).split("\n", 1)[0])
      )
    )

  const takeOrJump = (announced: Order.Announced) => {
    if (order.take(announced)) return
    order.jump(announced.organizationId, announced.message.previous, announced.message.timestamp)
    order.take(announced)
  }

  const take = (announced: ReadonlyArray<Order.Announced>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const ahead = announced.filter((one) => !order.take(one))
      if (announced.length > 0) Queue.offerUnsafe(signal, undefined)
      if (ahead.length === 0) return Effect.void
      return Effect.andThen(
        catchUp(ahead.map((one) => one.organizationId)),
        Effect.sync(() => {
          for (const one of ahead) takeOrJump(one)
        })
      )
    })

  const follow = (seen: ReadonlyArray<Seen>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const isBehind = ({ organizationId, epoch }: Seen) => (order.applied(organizationId) ?? epoch) < epoch
      for (const { organizationId, epoch } of seen) order.begin(organizationId, epoch)
      const behind = seen.filter(isBehind)
      if (behind.length === 0) return Effect.void
      return Effect.andThen(
        catchUp(behind.map((one) => one.organizationId)),
        Effect.sync(() => {
          for (const one of behind) if (isBehind(one)) order.jump(one.organizationId, one.epoch, timestamp())
        })
      )
    })

  const committed = (announced: ReadonlyArray<Order.Announced>) =>
    sql.afterCommit(
      Effect.suspend(() => {
        Queue.offerUnsafe(signal, undefined)
        return take(announced)
      })
    )

  const record = Effect.fnUntraced(function* (change: Change) {
    const epoch = yield* outbox.raise(change.organizationId)
    const trust =
      typeof change.trust === "function"
        ? yield* Effect.provideService(change.trust(epoch), SqlClient.SqlClient, sql)
        : change.trust
    const message: EpochMessage = {
      previous: epoch - 1,
      epoch,
      kind: change.kind,
      ids: change.ids,
      timestamp: timestamp(),
      ...(trust === undefined || trust.length === 0 ? {} : { trust })
    }
    yield* outbox.write(change.organizationId, epoch, message, change.entries ?? [])
    yield* committed([{ organizationId: change.organizationId, message }])
    return epoch
  })

  const recordAll = Effect.fnUntraced(function* (change: Omit<Change, "organizationId" | "trust">) {
    const rows = yield* outbox.raiseAll
    const announced = rows.map(
      ({ id, epoch }): Order.Announced => ({
        organizationId: id,
        message: { previous: epoch - 1, epoch, kind: change.kind, ids: change.ids, timestamp: timestamp() }
      })
    )
    yield* outbox.writeAll(announced)
    yield* outbox.write("*", 0, undefined, change.entries ?? [])
    yield* committed(announced)
  })

  return Changes.of({
    record,
    recordAll,
    publish: (organizationId, entries) =>
      Effect.andThen(outbox.write(organizationId, 0, undefined, entries), committed([])),
    listen: (f) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          listeners.add(f)
        }),
        () => Effect.sync(() => listeners.delete(f))
      ),
    take,
    follow,
    heartbeat: (organizationId, timestamp) => {
      const epoch = order.applied(organizationId)
      if (epoch === undefined) return
      const message = { previous: epoch, epoch, kind: "heartbeat", ids: [], timestamp } as const
      for (const listener of listeners) listener({ organizationId, message }, false)
    },
    goBack: ({ organizationId, epoch }) => order.jump(organizationId, epoch, timestamp()),
    forget: () => order.forget(timestamp()),
    waiting: Queue.take(signal),
    epoch: order.applied,
    note: order.begin,
    touch: (organizationId) => {
      used.set(organizationId, clock.currentTimeMillisUnsafe())
    },
    inUse: Effect.sync(() => {
      const since = clock.currentTimeMillisUnsafe() - useMillis
      for (const [id, at] of used) if (at < since) used.delete(id)
      return [...used.keys()]
    }),
    origin
  })
})
