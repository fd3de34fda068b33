/**
 * One reader of a consumer group: finishes what it had, takes over what others
 * left, waits for more; and starts again after whatever happens.
 */
import { Clock, Duration, Effect, Exit, type Pull, Random, Scope, Stream } from "effect"
import type { Redis } from "effect/persistence"
import { RedisClient, type RedisError } from "../RedisClient.ts"
import type { ConsumeOptions, Entry } from "../RedisStream.ts"
import { reason } from "./Connection.ts"
import type { InFlight } from "./InFlight.ts"
import { countDeliveries, type Read, readClaim, readStreams } from "./StreamReplies.ts"

/** What a reader works with. */
export interface Parts {
  readonly redis: Redis.Redis["Service"]
  readonly client: RedisClient["Service"]
  readonly inFlight: InFlight
}

interface Reader {
  readonly parts: Parts
  readonly held: ReturnType<InFlight["open"]>
  readonly streams: ReadonlyArray<string>
  readonly group: string
  readonly consumer: string
  readonly count: string
  readonly blockMillis: number
  readonly idleMillis: number
  readonly everyMillis: number
  link: { readonly connection: Redis.Connection; readonly scope: Scope.Closeable } | undefined
  /** Own unfinished entries are read after these ids; `undefined` once all were seen. */
  history: Map<string, string> | undefined
  /** Where XAUTOCLAIM goes on, by stream. */
  readonly claims: Map<string, string>
  claimAt: number
  failures: number
}

type Whole = Read & { readonly fields: ReadonlyArray<string> }

export const consume = (parts: Parts, options: ConsumeOptions): Stream.Stream<Entry> =>
  Stream.fromPull(
    Effect.gen(function* () {
      const reader = yield* Effect.acquireRelease(
        Effect.sync(() => makeReader(parts, options)),
        (reader) => Effect.andThen(disconnect(reader), Effect.sync(reader.held.close))
      )
      return next(reader)
    })
  ).pipe(Stream.scoped)

const makeReader = (parts: Parts, options: ConsumeOptions): Reader => {
  const idleMillis = Duration.toMillis(options.claimIdle ?? "30 seconds")
  return {
    parts,
    held: parts.inFlight.open(options.group),
    streams: [...new Set(options.streams)],
    group: options.group,
    consumer: options.consumer,
    count: String(options.count ?? 100),
    blockMillis: Math.max(1, Duration.toMillis(options.block ?? "1 second")),
    idleMillis,
    everyMillis: options.claimEvery === undefined ? idleMillis / 2 : Duration.toMillis(options.claimEvery),
    link: undefined,
    history: undefined,
    claims: new Map(),
    claimAt: 0,
    failures: 0
  }
}

type NonEmpty = readonly [Entry, ...Array<Entry>]

/** Reads until there is something; what goes wrong is slept on and tried again. */
const next = (reader: Reader): Pull.Pull<NonEmpty> =>
  Effect.gen(function* () {
    while (true) {
      const result = yield* Effect.result(step(reader))
      if (result._tag === "Failure") {
        yield* recover(reader, result.failure)
        continue
      }
      reader.failures = 0
      const [first, ...rest] = result.success
      if (first === undefined) continue
      for (const entry of result.success) reader.held.add(entry)
      return [first, ...rest] as const
    }
  })

const step = (reader: Reader): Effect.Effect<ReadonlyArray<Entry>, RedisError> =>
  Effect.gen(function* () {
    const connection = yield* connect(reader)
    if (reader.history !== undefined) return yield* readHistory(reader, connection, reader.history)
    const now = yield* Clock.currentTimeMillis
    if (now >= reader.claimAt) {
      const claimed = yield* claimIdle(reader, connection, now)
      if (claimed.length > 0) return claimed
    }
    const reply = yield* connection.send(
      "XREADGROUP",
      ...["GROUP", reader.group, reader.consumer, "COUNT", reader.count, "BLOCK", String(reader.blockMillis)],
      ...["STREAMS", ...reader.streams, ...reader.streams.map(() => ">")]
    )
    return readStreams(reply)
      .filter(isWhole)
      .map((read) => ({ ...read, deliveries: 1 }))
  })

const isWhole = (read: Read): read is Whole => read.fields !== undefined

/** A connection of its own, with the groups in place; after a new one, whatever a lost reply held is read again. */
const connect = Effect.fnUntraced(function* (reader: Reader) {
  if (reader.link !== undefined) return reader.link.connection
  const scope = yield* Scope.make()
  const opened = Effect.gen(function* () {
    const connection = yield* Scope.provide(reader.parts.redis.reserve, scope)
    yield* Effect.forEach(reader.streams, (stream) => createGroup(reader, stream))
    return connection
  })
  const connection = yield* Effect.onError(opened, (cause) => Scope.close(scope, Exit.failCause(cause)))
  reader.link = { connection, scope }
  reader.history = new Map(reader.streams.map((stream) => [stream, "0-0"]))
  return connection
})

/** At 0: what was appended before the group existed belongs to it. Sent on the shared connection: an error reply would cost the reserved one. */
const createGroup = (reader: Reader, stream: string) =>
  reader.parts.redis.send("XGROUP", "CREATE", stream, reader.group, "0", "MKSTREAM").pipe(
    Effect.catchIf(
      (error) => RedisClient.isReply(error, "BUSYGROUP"),
      () => Effect.void
    )
  )

const disconnect = (reader: Reader) =>
  Effect.suspend(() => {
    const link = reader.link
    reader.link = undefined
    return link === undefined ? Effect.void : Scope.close(link.scope, Exit.void)
  })

const recover = Effect.fnUntraced(function* (reader: Reader, error: RedisError) {
  yield* disconnect(reader)
  reader.failures += 1
  if (reader.failures === 1) {
    yield* Effect.logWarning(
      `reading \`${reader.streams.join("`, `")}\` was interrupted (${reason(error)}); trying on`
    )
  }
  const longest = Math.min(2000, 20 * 2 ** Math.min(reader.failures, 10))
  yield* Effect.sleep(longest * (0.5 + (yield* Random.next) / 2))
})

/** Own entries that were handed out and never acked, but for those this process still holds. */
const readHistory = Effect.fnUntraced(function* (
  reader: Reader,
  connection: Redis.Connection,
  history: Map<string, string>
) {
  const streams = [...history.keys()]
  const reply = yield* connection.send(
    "XREADGROUP",
    ...["GROUP", reader.group, reader.consumer, "COUNT", reader.count],
    ...["STREAMS", ...streams, ...history.values()]
  )
  const reads = readStreams(reply)
  for (const stream of streams) {
    const last = reads.findLast((read) => read.stream === stream)
    if (last === undefined) history.delete(stream)
    else history.set(stream, last.id)
  }
  if (history.size === 0) reader.history = undefined
  yield* reportDeleted(
    reader,
    reads.filter((read) => !isWhole(read))
  )
  const fresh = reads.filter(isWhole).filter((read) => !reader.held.has(read))
  return yield* countDeliveries(reader.parts.client, reader.group, fresh)
})

/** Takes over, a page of each stream at a time, what nobody has acked for too long. */
const claimIdle = Effect.fnUntraced(function* (reader: Reader, connection: Redis.Connection, now: number) {
  const claimed: Array<Whole> = []
  let more = false
  for (const stream of reader.streams) {
    const from = reader.claims.get(stream) ?? "0-0"
    const idle = String(Math.floor(reader.idleMillis))
    const reply = yield* connection.send(
      "XAUTOCLAIM",
      ...[stream, reader.group, reader.consumer, idle, from, "COUNT", reader.count]
    )
    const claim = readClaim(stream, reply)
    reader.claims.set(stream, claim.cursor)
    more ||= claim.cursor !== "0-0"
    yield* reportDeleted(
      reader,
      claim.deleted.map((id) => ({ stream, id }))
    )
    claimed.push(...claim.entries.filter(isWhole))
  }
  if (!more) reader.claimAt = now + reader.everyMillis
  return yield* countDeliveries(reader.parts.client, reader.group, claimed)
})

/** Deleted before it was acked: lost, which somebody should know, and no longer pending. */
const reportDeleted = Effect.fnUntraced(function* (
  reader: Reader,
  deleted: ReadonlyArray<{ readonly stream: string; readonly id: string }>
) {
  if (deleted.length === 0) return
  yield* Effect.logError(
    `group \`${reader.group}\` lost ${deleted.length} entries that were deleted before they were acked`,
    deleted
  )
  yield* reader.parts.client.pipeline(deleted.map(({ stream, id }) => ["XACK", stream, reader.group, id]))
})
