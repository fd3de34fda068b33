/**
 * Who listens to `GET /stream`, and what each is told: every change of the organization in the order of its
 * epochs, heartbeats, and for the one agent its approvals and mission messages.
 *
 * Frames are encoded once and shared by all connections of an organization. The first goes at once; what comes
 * while a round of writes is under way, or shortly after one to many connections, goes together in the next.
 * Each connection has a bounded queue: one that does not
 * read is told, once it reads again, to drop everything, instead of holding up the others or filling memory.
 */
import type { EpochMessage } from "@agion/domain"
import { Clock, Context, Effect, Exit, Layer, Queue, type Scope } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import { epochFrame, frame, merged, permissionsOf, resetFrame, storedFrame } from "./Frames.ts"
import { approvalsOf, type MissionNews, missionNews } from "./StreamSql.ts"

export interface Subscription {
  readonly organizationId: string
  readonly agentId: string
  /** The last epoch that the agent has seen; undefined: it begins. */
  readonly lastEpoch: number | undefined
}

export interface SubscribersOptions {
  /** Frames that wait for a slow connection. Default: 1,024. */
  readonly capacity?: number
  /** How often mission messages are looked for while anybody listens, in milliseconds. Default: 250. */
  readonly missionsEvery?: number
}

export class Subscribers extends Context.Service<
  Subscribers,
  {
    /** Frames for one connection, from its last epoch on, while the scope is open. */
    readonly subscribe: (
      subscription: Subscription
    ) => Effect.Effect<Queue.Dequeue<Uint8Array>, SqlError.SqlError, Scope.Scope>
    /** How many listen now. */
    readonly count: () => number
  }
>()("@agion/server/Subscribers") {
  static readonly layer = (
    options?: SubscribersOptions
  ): Layer.Layer<Subscribers, never, SqlClient.SqlClient | Changes> =>
    Layer.effect(Subscribers, make(options ?? {}))
}

/** A connection. */
interface Listener {
  readonly organizationId: string
  readonly agentId: string
  readonly queue: Queue.Queue<Uint8Array>
  /** What came before the past was read; undefined afterwards. */
  early: Array<EpochMessage> | undefined
  /** The queue was full: everything must be dropped. */
  overflowed: boolean
}

const make = Effect.fnUntraced(function* (options: SubscribersOptions) {
  const sql = yield* SqlClient.SqlClient
  const changes = yield* Changes
  const clock = yield* Clock.Clock
  const capacity = options.capacity ?? 1024
  const rooms = new Map<string, Room>()
  const withSql = Effect.provideService(SqlClient.SqlClient, sql)
  const approvals = yield* Effect.acquireRelease(Queue.sliding<Asked>(4096), Queue.shutdown)
  const busy = yield* Effect.acquireRelease(Queue.unbounded<Room>(), Queue.shutdown)

  yield* changes.listen(({ organizationId, message }) => {
    const room = rooms.get(organizationId)
    if (room === undefined) return
    if (message.kind === "heartbeat") changes.touch(organizationId)
    room.waiting.push(message)
    if (room.waiting.length === 1) Queue.offerUnsafe(busy, room)
  })

  yield* Effect.forkScoped(
    Effect.forever(
      Effect.gen(function* () {
        const rooms = yield* Queue.takeAll(busy)
        const began = clock.currentTimeMillisUnsafe()
        for (const room of rooms) deliver(room, approvals, began)
        // The writes of a round come to their turn before this does: listeners take half of this process at most.
        yield* Effect.sleep(1)
        const took = clock.currentTimeMillisUnsafe() - began
        if (took > 2) yield* Effect.sleep(Math.min(500, took))
      })
    )
  )
  yield* Effect.forkScoped(answerApprovals(approvals))
  yield* Effect.forkScoped(
    followMissions(options.missionsEvery ?? 250, () =>
      [...rooms.values()].flatMap(({ listeners }) => [...listeners])
    )
  )

  const enter = (listener: Listener) =>
    Effect.sync(() => {
      const room = rooms.get(listener.organizationId) ?? { listeners: new Set(), waiting: [] }
      rooms.set(listener.organizationId, room)
      room.listeners.add(listener)
      changes.touch(listener.organizationId)
    })

  const leave = (listener: Listener) =>
    Effect.suspend(() => {
      const room = rooms.get(listener.organizationId)
      room?.listeners.delete(listener)
      if (room?.listeners.size === 0) rooms.delete(listener.organizationId)
      return Queue.shutdown(listener.queue)
    })

  return Subscribers.of({
    subscribe: Effect.fnUntraced(function* ({ organizationId, agentId, lastEpoch }) {
      const queue = yield* Queue.dropping<Uint8Array>(capacity)
      const listener: Listener = { organizationId, agentId, queue, early: [], overflowed: false }
      yield* Effect.acquireRelease(enter(listener), () => leave(listener))
      const past = yield* withSql(pastOf(organizationId, lastEpoch))
      const now = clock.currentTimeMillisUnsafe()
      changes.note(organizationId, past.epoch)
      for (const bytes of past.frames ?? [resetFrame(past.epoch, now)]) Queue.offerUnsafe(queue, bytes)
      Queue.offerUnsafe(queue, epochFrame(heartbeatAt(past.epoch, now)))
      for (const message of listener.early ?? [])
        if (message.epoch > past.epoch) tell(listener, epochFrame(message), message.epoch, now)
      listener.early = undefined
      return queue
    }),
    count: () => [...rooms.values()].reduce((sum, { listeners }) => sum + listeners.size, 0)
  })
})

/** Those who listen to one organization, and what they have not been told yet. */
interface Room {
  readonly listeners: Set<Listener>
  waiting: Array<EpochMessage>
}

/** Tells everybody in a room what has come since. */
const deliver = (room: Room, approvals: Queue.Enqueue<Asked>, now: number): void => {
  const messages = room.waiting
  room.waiting = []
  const last = messages.at(-1)
  if (last === undefined) return
  const bytes = Buffer.concat(merged(messages).map(epochFrame))
  const moved = messages.filter((message) => message.kind === "permission")
  for (const listener of room.listeners) {
    if (listener.early !== undefined) listener.early.push(...messages)
    else tell(listener, bytes, last.epoch, now)
    const ids = moved.flatMap((message) => permissionsOf(message, listener.agentId))
    if (ids.length > 0) Queue.offerUnsafe(approvals, { listener, ids })
  }
}

/** Permissions of a listener's agent that have moved. */
interface Asked {
  readonly listener: Listener
  readonly ids: ReadonlyArray<string>
}

const heartbeatAt = (epoch: number, now: number): EpochMessage => ({
  previous: epoch,
  epoch,
  kind: "heartbeat",
  ids: [],
  timestamp: new Date(now).toISOString()
})

/** Queues a frame. After an overflow the first that fits is the order to drop everything. */
const tell = (listener: Listener, bytes: Uint8Array, epoch: number, now: number): void => {
  if (listener.overflowed) {
    if (!Queue.offerUnsafe(listener.queue, resetFrame(epoch, now))) return
    listener.overflowed = false
    return
  }
  if (!Queue.offerUnsafe(listener.queue, bytes)) listener.overflowed = true
}

/** Changes since an epoch, as far as they are all known; `frames` undefined: they are not. */
const pastOf = (organizationId: string, lastEpoch: number | undefined) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    // An organization in which nothing has happened yet has heartbeats too.
    yield* sql`INSERT INTO organizations (id) VALUES (${organizationId}) ON CONFLICT DO NOTHING`
    const rows = yield* sql<{ current: number; epoch: number | null; payload: string | null }>`
      SELECT coalesce((SELECT epoch FROM organizations WHERE id = ${organizationId}), 0) AS current,
        o.epoch, o.payload
      FROM (SELECT 1) one LEFT JOIN outbox o ON o.organization_id = ${organizationId} AND o.target = 'epoch'
        AND o.epoch > ${lastEpoch ?? Number.MAX_SAFE_INTEGER}::int8
      ORDER BY o.epoch LIMIT 1001`
    const current = rows[0]?.current ?? 0
    if (lastEpoch === undefined || lastEpoch === current) return { epoch: current, frames: [] }
    const frames: Array<Uint8Array> = []
    let expected = lastEpoch + 1
    for (const { epoch, payload } of rows) {
      if (epoch !== expected || payload === null) break
      frames.push(storedFrame(epoch, payload))
      expected += 1
    }
    return expected === current + 1 ? { epoch: current, frames } : { epoch: current, frames: undefined }
  })

/** Tells agents what became of their permissions. */
const answerApprovals = (asked: Queue.Dequeue<Asked>) =>
  Effect.forever(
    Effect.gen(function* () {
      const batch = yield* Queue.takeAll(asked)
      const found = yield* approvalsOf([...new Set(batch.flatMap(({ ids }) => ids))])
      for (const { listener, ids } of batch) {
        for (const id of ids) {
          const approval = found.get(id)
          if (approval !== undefined)
            Queue.offerUnsafe(listener.queue, frame("approval", JSON.stringify(approval)))
        }
      }
    }).pipe(Effect.catchTag("SqlError", (error) => Effect.logWarning("approvals could not be told", error)))
  )

/** Tells participants of new messages. */
const followMissions = Effect.fnUntraced(function* (
  everyMillis: number,
  listening: () => ReadonlyArray<Listener>
) {
  let last: number | undefined
  let seen: ReadonlySet<number> = new Set()
  for (;;) {
    yield* Effect.sleep(everyMillis)
    const listeners = listening()
    if (listeners.length === 0) {
      last = undefined
      continue
    }
    const read = yield* Effect.exit(missionNews(last))
    if (Exit.isFailure(read)) {
      yield* Effect.logWarning("mission messages could not be read", read.cause)
      continue
    }
    const first = last === undefined
    last = read.value.last
    const fresh = first ? [] : read.value.news.filter((one) => !seen.has(one.seq))
    seen = new Set(read.value.news.map((one) => one.seq))
    for (const one of fresh) tellMission(listeners, one)
  }
})

const tellMission = (listeners: ReadonlyArray<Listener>, one: MissionNews): void => {
  const bytes = frame("mission", one.data)
  for (const { organizationId, agentId, queue } of listeners)
    if (organizationId === one.organizationId && one.recipients.includes(agentId))
      Queue.offerUnsafe(queue, bytes)
}
