/**
 * What a change tells others. `record` runs inside the transaction of the change: it raises the organization's
 * epoch and writes what is to be published into the outbox, so that there is no event without its change and no
 * change without its event. After the commit, and before the request is answered, listeners in this process are
 * told (FRESH-1); a relay carries the outbox to Redis.
 *
 * **Gotchas**: `record` locks the organization's row. Lock data rows first and call it last; with several
 * organizations in one transaction, in order of their ids.
 */
import type { EpochMessage, PushedTrust, Streams } from "@agion/domain"
import { Clock, Context, Effect, Layer, PubSub, Queue, type Scope, Stream } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

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

/** A change after its commit, or a heartbeat. */
export interface Announced {
  readonly organizationId: string
  readonly message: EpochMessage
}

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
    /** Calls `f` with every change after its commit and before its request is answered, while the scope is open. */
    readonly listen: (f: (announced: Announced) => void) => Effect.Effect<void, never, Scope.Scope>
    /** Changes and heartbeats from now on, of all organizations, in order. A slow reader loses its oldest. */
    readonly announcements: Stream.Stream<Announced>
    /** Tells listeners in this process what was committed elsewhere, or a heartbeat. */
    readonly announce: (announced: Announced) => void
    /** Waits for something new in the outbox; answers at once when there is. For the relay. */
    readonly waiting: Effect.Effect<void>
    /** The last epoch of an organization that this process knows; undefined before its first change or load. */
    readonly epoch: (organizationId: string) => number | undefined
    /** Remembers an epoch that was read from the database. */
    readonly note: (organizationId: string, epoch: number) => void
    /** Marks an organization as in use: it gets heartbeats for the next 10 minutes. */
    readonly touch: (organizationId: string) => void
    /** Organizations in use. */
    readonly inUse: Effect.Effect<ReadonlyArray<string>>
    /** Tells the replicas of one database apart. */
    readonly origin: string
  }
>()("@agion/server/Changes") {
  static readonly layer = (): Layer.Layer<Changes, never, SqlClient.SqlClient> => Layer.effect(Changes, make)
}

const useMillis = 600_000
const maxKnown = 100_000

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const clock = yield* Clock.Clock
  const origin = crypto.randomUUID()
  const listeners = new Set<(announced: Announced) => void>()
  const bus = yield* Effect.acquireRelease(PubSub.sliding<Announced>({ capacity: 16_384 }), PubSub.shutdown)
  const signal = yield* Queue.sliding<void>(1)
  const epochs = new Map<string, number>()
  const used = new Map<string, number>()

  const note = (organizationId: string, epoch: number) => {
    const known = epochs.get(organizationId)
    if (known !== undefined && known >= epoch) return
    if (known === undefined && epochs.size >= maxKnown) epochs.clear()
    epochs.set(organizationId, epoch)
  }

  const announce = (announced: Announced) => {
    if (announced.message.kind !== "heartbeat") note(announced.organizationId, announced.message.epoch)
    for (const listener of listeners) listener(announced)
    PubSub.publishUnsafe(bus, announced)
    if (announced.message.kind !== "heartbeat") Queue.offerUnsafe(signal, undefined)
  }

  const committed = (announced: ReadonlyArray<Announced>) =>
    sql.afterCommit(
      Effect.sync(() => {
        for (const one of announced) announce(one)
        Queue.offerUnsafe(signal, undefined)
      })
    )

  const record = Effect.fnUntraced(function* (change: Change) {
    const timestamp = new Date(clock.currentTimeMillisUnsafe()).toISOString()
    const [row] = yield* sql<{ epoch: number }>`
      INSERT INTO organizations (id, epoch) VALUES (${change.organizationId}, 1)
      ON CONFLICT (id) DO UPDATE SET epoch = organizations.epoch + 1
      RETURNING epoch`
    const epoch = row?.epoch ?? 0
    const trust =
      typeof change.trust === "function"
        ? yield* Effect.provideService(change.trust(epoch), SqlClient.SqlClient, sql)
        : change.trust
    const message: EpochMessage = {
      previous: epoch - 1,
      epoch,
      kind: change.kind,
      ids: change.ids,
      timestamp,
      ...(trust === undefined || trust.length === 0 ? {} : { trust })
    }
    yield* write(change.organizationId, epoch, message, change.entries ?? [])
    yield* committed([{ organizationId: change.organizationId, message }])
    return epoch
  })

  const recordAll = Effect.fnUntraced(function* (change: Omit<Change, "organizationId" | "trust">) {
    const timestamp = new Date(clock.currentTimeMillisUnsafe()).toISOString()
    // One UPDATE locks the rows in no order; two such changes wait for each other here.
    yield* sql`SELECT pg_advisory_xact_lock(hashtext('agion.all'))`
    yield* sql`SELECT id FROM organizations ORDER BY id FOR UPDATE`
    const rows = yield* sql<{ id: string; epoch: number }>`
      UPDATE organizations SET epoch = epoch + 1 RETURNING id, epoch`
    const announced = rows.map(({ id, epoch }): Announced => {
      const message = { previous: epoch - 1, epoch, kind: change.kind, ids: change.ids, timestamp }
      return { organizationId: id, message }
    })
    yield* sql`
      INSERT INTO outbox (organization_id, epoch, target, name, payload, origin)
      SELECT t.id, t.epoch, 'epoch', '', t.payload, ${origin}
      FROM unnest(${announced.map((one) => one.organizationId)}::text[],
        ${announced.map((one) => one.message.epoch)}::int8[],
        ${announced.map((one) => encodeMessage(one.message))}::text[]) AS t(id, epoch, payload)`
    yield* write("*", 0, undefined, change.entries ?? [])
    yield* committed(announced)
  })

  const write = (
    organizationId: string,
    epoch: number,
    message: EpochMessage | undefined,
    entries: ReadonlyArray<Outgoing>
  ) => {
    const rows: Array<OutboxRow> = message === undefined ? [] : [["epoch", "", encodeMessage(message)]]
    for (const entry of entries) rows.push(outboxRow(entry))
    if (rows.length === 0) return Effect.void
    return Effect.asVoid(sql`
      INSERT INTO outbox (organization_id, epoch, target, name, payload, origin)
      SELECT ${organizationId}, ${epoch}::int8, t.target, t.name, t.payload, ${origin}
      FROM unnest(${rows.map((row) => row[0])}::text[], ${rows.map((row) => row[1])}::text[],
        ${rows.map((row) => row[2])}::text[]) WITH ORDINALITY AS t(target, name, payload, n)
      ORDER BY t.n`)
  }

  return Changes.of({
    record,
    recordAll,
    publish: (organizationId, entries) =>
      Effect.andThen(write(organizationId, 0, undefined, entries), committed([])),
    listen: (f) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          listeners.add(f)
        }),
        () => Effect.sync(() => listeners.delete(f))
      ),
    announcements: Stream.fromPubSub(bus),
    announce,
    waiting: Queue.take(signal),
    epoch: (organizationId) => epochs.get(organizationId),
    note,
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

type OutboxRow = readonly [target: string, name: string, payload: string]

const outboxRow = (entry: Outgoing): OutboxRow =>
  entry._tag === "Stream"
    ? ["stream", entry.name, JSON.stringify(entry.fields)]
    : ["channel", entry.name, entry.message]

/** An epoch message as JSON; the schema's encoding, by hand since it is on the way of every change. */
export const encodeMessage = (message: EpochMessage): string =>
  JSON.stringify({
    previous: message.previous,
    epoch: message.epoch,
    kind: message.kind,
    ids: message.ids,
    timestamp: message.timestamp,
    trust: message.trust?.map((one) => ({
      actor_id: one.actorId,
      actor_type: one.actorType,
      score: one.score,
      tier_changed: one.tierChanged,
      signed:
        one.signed === undefined
          ? undefined
          : { payload: one.signed.payload, key_id: one.signed.keyId, signature: one.signed.signature }
    }))
  })
