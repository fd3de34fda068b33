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
import { type Cause, Clock, Context, Effect, Layer, Queue, type Scope } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import { epochFrame, frame, merged, permissionsOf, resetFrame, storedFrame } from "./Frames.ts"
import * as MissionMessages from "./MissionMessages.ts"
import { approvalsOf, removedKeys } from "./StreamSql.ts"

export interface Subscription {
  readonly organizationId: string
  readonly agentId: string
  /** The last epoch that the agent has seen; undefined: it begins. */
  readonly lastEpoch: number | undefined
  /** The key by which it is there: without the key the connection ends. Null: none is needed. */
  readonly keyId: string | null
}

export interface SubscribersOptions {
  /** Frames that wait for a slow connection. Default: 1,024. */
  readonly capacity?: number
  /** How often mission messages are looked for while anybody listens, in milliseconds. Default: 250. */
  readonly missionsEvery?: number
  /** How often the keys of connections are looked up, in milliseconds. Default: 500. */
  readonly keysEvery?: number
}

export class Subscribers extends Context.Service<
  Subscribers,
  {
    /** Frames for one connection, from its last epoch on, while the scope is open. */
    readonly subscribe: (
      subscription: Subscription
    ) => Effect.Effect<Queue.Dequeue<Uint8Array, Cause.Done>, SqlError.SqlError, Scope.Scope>
    /** Ends the connections that are there by a key, since it was removed. Other replicas find out within a second. */
    readonly close: (keyId: string) => void
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
  readonly keyId: string | null
  readonly queue: Queue.Queue<Uint8Array, Cause.Done>
  /** The epoch that it was told when it came: older changes may still wait in its room. -1: none do. */
  cameAt: number
  /** What came before the past was read; undefined afterwards. */
  early: Array<EpochMessage> | undefined
  /** The queue was full: everything must be dropped. */
  overflowed: boolean
  /** What was told last of its permissions: several changes may be read at once, and what they made is told once. */
  readonly approvals: Map<string, string>
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

  yield* changes.listen(({ organizationId, message }, late) => {
    const room = rooms.get(organizationId)
    if (room === undefined || late) return
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
  const listening = () => [...rooms.values()].flatMap(({ listeners }) => [...listeners])
  const missions = MissionMessages.make(
    options.missionsEvery ?? 250,
    () => rooms.size > 0,
    (message) => {
      const bytes = frame("mission", message.data)
      for (const { agentId, queue } of rooms.get(message.organizationId)?.listeners ?? [])
        if (message.recipients.includes(agentId)) Queue.offerUnsafe(queue, bytes)
    }
  )
  yield* Effect.forkScoped(missions.follow)

  const close = (keyIds: ReadonlySet<string>) => {
    for (const { keyId, queue } of listening())
      if (keyId !== null && keyIds.has(keyId)) {
        Queue.endUnsafe(queue)
        Queue.shutdownUnsafe(queue)
      }
  }
  const closeRemoved = Effect.gen(function* () {
    const keyIds = new Set(listening().flatMap(({ keyId }) => keyId ?? []))
    if (keyIds.size > 0) close(yield* removedKeys([...keyIds]))
  }).pipe(Effect.catchTag("SqlError", (error) => Effect.logWarning("keys could not be looked up", error)))
  yield* Effect.forkScoped(
    Effect.forever(Effect.andThen(Effect.sleep(options.keysEvery ?? 500), closeRemoved))
  )

  /** What came before, once every later change is sure to be told. */
  const past = Effect.fnUntraced(function* (organizationId: string, lastEpoch: number | undefined) {
    const isFollowed = changes.epoch(organizationId) !== undefined
    const first = yield* pastOf(organizationId, lastEpoch)
    if (isFollowed) return first
    changes.note(organizationId, first.epoch)
    return yield* pastOf(organizationId, lastEpoch)
  })

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
    subscribe: Effect.fnUntraced(function* ({ organizationId, agentId, lastEpoch, keyId }) {
      const queue = yield* Queue.dropping<Uint8Array, Cause.Done>(capacity)
      const listener: Listener = {
        organizationId,
        agentId,
        keyId,
        queue,
        cameAt: -1,
        early: [],
        overflowed: false,
        approvals: new Map()
      }
      yield* Effect.acquireRelease(enter(listener), () => leave(listener))
      yield* withSql(missions.begin)
      const { epoch, frames } = yield* withSql(past(organizationId, lastEpoch))
      yield* changes.follow([{ organizationId, epoch }])
      // A key that was removed meanwhile is believed for a second.
      if (keyId !== null) close(yield* withSql(removedKeys([keyId])))
      const now = clock.currentTimeMillisUnsafe()
      for (const bytes of frames ?? [resetFrame(epoch, now)]) Queue.offerUnsafe(queue, bytes)
      Queue.offerUnsafe(queue, epochFrame(heartbeatAt(epoch, now)))
      for (const message of after(listener.early ?? [], epoch))
        tell(listener, epochFrame(message), message.epoch, now)
      listener.early = undefined
      listener.cameAt = epoch
      return queue
    }),
    close: (keyId) => close(new Set([keyId])),
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
    else if (listener.cameAt >= 0) {
      for (const message of after(messages, listener.cameAt))
        tell(listener, epochFrame(message), message.epoch, now)
      listener.cameAt = -1
    } else tell(listener, bytes, last.epoch, now)
    const ids = moved.flatMap((message) => permissionsOf(message, listener.agentId))
    if (ids.length > 0) Queue.offerUnsafe(approvals, { listener, ids })
  }
}

/** What came after an epoch. Heartbeats, and orders to drop everything, are always news. */
const after = (messages: ReadonlyArray<EpochMessage>, epoch: number): ReadonlyArray<EpochMessage> =>
  messages.filter((message) => message.epoch > epoch || message.epoch === message.previous)

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

const maxApprovals = 1000

/** Queues what became of a permission, unless the listener knows. */
const tellApproval = ({ approvals, queue }: Listener, id: string, data: string): void => {
  if (approvals.get(id) === data || !Queue.offerUnsafe(queue, frame("approval", data))) return
  approvals.delete(id)
  approvals.set(id, data)
  if (approvals.size > maxApprovals)
    for (const oldest of approvals.keys()) if (approvals.delete(oldest)) break
}

/** Tells agents what became of their permissions. */
const answerApprovals = (asked: Queue.Dequeue<Asked>) =>
  Effect.forever(
    Effect.gen(function* () {
      const batch = yield* Queue.takeAll(asked)
      const found = yield* approvalsOf([...new Set(batch.flatMap(({ ids }) => ids))])
      for (const { listener, ids } of batch) {
        for (const id of ids) {
          const approval = found.get(id)
          if (approval !== undefined) tellApproval(listener, id, JSON.stringify(approval))
        }
      }
    }).pipe(Effect.catchTag("SqlError", (error) => Effect.logWarning("approvals could not be told", error)))
  )
