/**
 * Redis streams: entries appended once, read by consumer groups that survive
 * crashes, lost connections and a Redis that came back without its data.
 *
 * ```ts
 * const streams = yield* RedisStream
 * yield* streams.consume({ streams: ["agion:events:trust"], group: "trust", consumer: "replica-1" }).pipe(
 *   Stream.runForEach((entry) => handle(RedisStream.decodeFields(entry.fields)).pipe(
 *     Effect.andThen(streams.ack("trust", [entry]))
 *   ))
 * )
 * ```
 *
 * Delivery is at least once: an entry that is not acked comes again, to this
 * consumer or another, with `deliveries` counted up. Entries are raw: what they
 * mean, and what to do with one that means nothing, is the caller's.
 *
 * **Gotchas**: `claimIdle` must be longer than the slowest handling, or a busy
 * consumer's entries are handed to another. Each `consume` holds one reserved
 * connection.
 */
import { Context, DateTime, Duration, Effect, Layer, type Stream } from "effect"
import { Redis } from "effect/persistence"
import * as AckedTrim from "./AckedTrim.ts"
import * as GuardedAppend from "./GuardedAppend.ts"
import { consume } from "./internal/Consumer.ts"
import { InFlight } from "./internal/InFlight.ts"
import { type Lag, readLag } from "./internal/StreamReplies.ts"
import { type Command, RedisClient, type RedisError } from "./RedisClient.ts"

/** An entry as it was read. */
export interface Entry {
  readonly stream: string
  readonly id: string
  /** Name, value, name, value; any text at all. */
  readonly fields: ReadonlyArray<string>
  /** How often the group has handed it out; 1 for the first time. */
  readonly deliveries: number
}

/** Names an entry; every `Entry` is one. */
export interface EntryRef {
  readonly stream: string
  readonly id: string
}

/** Who reads what. */
export interface ConsumeOptions {
  /** Names of the streams, read together. */
  readonly streams: ReadonlyArray<string>
  /** Created at the beginning of each stream when it is not there. */
  readonly group: string
  /** Unique among the group's readers; a restarted one with the same name gets its unfinished entries back. */
  readonly consumer: string
  /** Entries a read may bring, from each stream. Default: 100. */
  readonly count?: number
  /** How long a read waits for entries. Default: 1 s. */
  readonly block?: Duration.Input
  /** An entry unacked for this long is taken over. Default: 30 s. */
  readonly claimIdle?: Duration.Input
  /** How often to look for such entries. Default: half of `claimIdle`. */
  readonly claimEvery?: Duration.Input
}

export type { Lag } from "./internal/StreamReplies.ts"

/** Where dead letters go unless told otherwise. */
export const deadLetters = "agion:events:dead-letter"

/** Appending to streams and reading them in consumer groups. */
export class RedisStream extends Context.Service<
  RedisStream,
  {
    /** Appends one entry and tells its id. `maxLength` cuts the stream to about that many entries. */
    readonly append: (
      stream: string,
      fields: Readonly<Record<string, string>>,
      options?: { readonly maxLength?: number }
    ) => Effect.Effect<string, RedisError>
    /** Appends each event unless its id was appended within `guardTtl` (default: 1 day) before. Safe to repeat. */
    readonly appendGuarded: (
      events: ReadonlyArray<GuardedAppend.Guarded>,
      options?: { readonly guardTtl?: Duration.Input }
    ) => Effect.Effect<ReadonlyArray<GuardedAppend.Appended>, RedisError>
    /** Entries for ever, a chunk per read; neither fails nor ends, whatever happens to Redis. */
    readonly consume: (options: ConsumeOptions) => Stream.Stream<Entry>
    /** Marks entries as done for the group. */
    readonly ack: (group: string, entries: ReadonlyArray<EntryRef>) => Effect.Effect<void, RedisError>
    /** Sets an entry that cannot be handled aside with its reason, once, and acks it. */
    readonly deadLetter: (
      group: string,
      entry: Entry,
      reason: string,
      options?: { readonly to?: string }
    ) => Effect.Effect<void, RedisError>
    /** Removes what every group has acked and tells how many went; at least the newest `keep` (default: 0) stay. */
    readonly trim: (stream: string, options?: { readonly keep?: number }) => Effect.Effect<number, RedisError>
    /** How far a group is behind. */
    readonly lag: (stream: string, group: string) => Effect.Effect<Lag, RedisError>
  }
>()("@agion/redis/RedisStream") {
  /** Makes the service over the two others. */
  static make(redis: Redis.Redis["Service"], client: RedisClient["Service"]) {
    return Effect.sync(() => make(redis, client))
  }

  /** Over any `Redis` with its `RedisClient`. */
  static readonly layer: Layer.Layer<RedisStream, never, Redis.Redis | RedisClient> = Layer.effect(
    RedisStream,
    Effect.gen(function* () {
      return make(yield* Redis.Redis, yield* RedisClient)
    })
  )

  /** Raw fields by name; of a repeated name the last value, of an odd tail nothing. Has no prototype. */
  static decodeFields(fields: ReadonlyArray<string>): Record<string, string> {
    const record: Record<string, string> = Object.create(null)
    for (let i = 0; i + 1 < fields.length; i += 2) record[String(fields[i])] = String(fields[i + 1])
    return record
  }
}

/** Scripts hold Redis up while they run: a batch goes in pieces of this many events. */
const batchSize = 200

const make = (redis: Redis.Redis["Service"], client: RedisClient["Service"]): RedisStream["Service"] => {
  const inFlight = new InFlight()
  const appendBatch = redis.eval(GuardedAppend.script)
  const trimAcked = redis.eval(AckedTrim.script)

  const appendGuarded: RedisStream["Service"]["appendGuarded"] = (events, options) => {
    const ttl = Duration.toMillis(options?.guardTtl ?? "1 day")
    const batches = Array.from({ length: Math.ceil(events.length / batchSize) }, (_, i) =>
      events.slice(i * batchSize, (i + 1) * batchSize)
    )
    return Effect.forEach(batches, (batch) => Effect.map(appendBatch(batch, ttl), GuardedAppend.decode)).pipe(
      Effect.map((answers) => answers.flat())
    )
  }

  const ack: RedisStream["Service"]["ack"] = (group, entries) => {
    if (entries.length === 0) return Effect.void
    return acknowledge(client, group, entries).pipe(
      Effect.tap(() => Effect.sync(() => inFlight.done(group, entries)))
    )
  }

  const deadLetter: RedisStream["Service"]["deadLetter"] = Effect.fnUntraced(
    function* (group, entry, reason, options) {
      const timestamp = DateTime.formatIso(yield* DateTime.now)
      const { stream, id } = entry
      const fields = JSON.stringify(RedisStream.decodeFields(entry.fields))
      const event = { stream: options?.to ?? deadLetters, eventId: `${stream}/${group}/${id}` }
      yield* appendGuarded([{ ...event, fields: { stream, entry_id: id, reason, fields, timestamp } }])
      yield* ack(group, [entry])
    }
  )

  return RedisStream.of({
    append: (stream, fields, options) => {
      const limit = options?.maxLength === undefined ? [] : ["MAXLEN", "~", String(options.maxLength)]
      return redis.send<string>("XADD", stream, ...limit, "*", ...GuardedAppend.flatten(fields))
    },
    appendGuarded,
    consume: (options) => consume({ redis, client, inFlight }, options),
    ack,
    deadLetter,
    trim: (stream, options) => trimAcked(stream, options?.keep ?? 0),
    lag: (stream, group) => readLag(client, stream, group)
  })
}

const acknowledge = (client: RedisClient["Service"], group: string, entries: ReadonlyArray<EntryRef>) => {
  const byStream = new Map<string, Array<string>>()
  for (const { stream, id } of entries) {
    const ids = byStream.get(stream)
    if (ids === undefined) byStream.set(stream, [id])
    else ids.push(id)
  }
  const commands = Array.from(byStream, ([stream, ids]): Command => ["XACK", stream, group, ...ids])
  return Effect.flatMap(client.pipeline(commands), (replies) =>
    Effect.asVoid(Effect.forEach(replies, Effect.fromResult))
  )
}
