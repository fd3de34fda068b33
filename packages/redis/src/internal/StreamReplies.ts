/**
 * What Redis answers about streams, read with care: the shape is Redis' own, and
 * a surprise becomes nothing rather than an exception.
 */
import { Effect } from "effect"
import { RedisClient, type RedisError } from "../RedisClient.ts"
import type { Entry } from "../RedisStream.ts"

/** How far a group is behind, in entries. */
export interface Lag {
  /** What the stream holds. */
  readonly length: number
  /** Handed out and not acked. */
  readonly pending: number
  /** Not handed out yet; `undefined` when Redis cannot tell. */
  readonly lag: number | undefined
  /** At least so many were trimmed before the group had them: data is lost. */
  readonly lost: number
}

/** An entry whose fields may be gone: it was deleted while it was pending. */
export interface Read {
  readonly stream: string
  readonly id: string
  readonly fields: ReadonlyArray<string> | undefined
}

const list = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

/** `[[id, fields], …]` of XRANGE, XCLAIM and, per stream, XREADGROUP. */
const readEntries = (stream: string, reply: unknown): ReadonlyArray<Read> =>
  list(reply).flatMap((each) => {
    const [id, fields] = list(each)
    if (typeof id !== "string") return []
    return [{ stream, id, fields: Array.isArray(fields) ? fields.map(String) : undefined }]
  })

/** `[[stream, entries], …]` of XREAD and XREADGROUP; nothing within the time is an empty list. */
export const readStreams = (reply: unknown): ReadonlyArray<Read> =>
  list(reply).flatMap((each) => {
    const [stream, entries] = list(each)
    return typeof stream === "string" ? readEntries(stream, entries) : []
  })

/** `[cursor, entries, deleted ids]` of XAUTOCLAIM. */
export const readClaim = (stream: string, reply: unknown) => {
  const [cursor, entries, deleted] = list(reply)
  return {
    cursor: typeof cursor === "string" ? cursor : "0-0",
    entries: readEntries(stream, entries),
    deleted: list(deleted).map(String)
  }
}

/** Asks how often each entry was handed out; one that is gone counts as once. */
export const countDeliveries = (
  client: RedisClient["Service"],
  group: string,
  reads: ReadonlyArray<Read & { readonly fields: ReadonlyArray<string> }>
): Effect.Effect<ReadonlyArray<Entry>> =>
  Effect.map(
    client.pipeline(reads.map((read) => ["XPENDING", read.stream, group, read.id, read.id, "1"])),
    (replies) =>
      reads.map((read, i) => {
        const reply = replies[i]
        const [row] = reply?._tag === "Success" ? list(reply.success) : []
        const count = Number(list(row)[3])
        return { ...read, deliveries: Number.isInteger(count) ? count : 1 }
      })
  )

const pairs = (reply: unknown) => {
  const flat = list(reply)
  const map = new Map<string, unknown>()
  for (let i = 0; i + 1 < flat.length; i += 2) map.set(String(flat[i]), flat[i + 1])
  return map
}

const nothing: Lag = { length: 0, pending: 0, lag: 0, lost: 0 }

/** A stream or a group that is not there is behind by what the stream holds. */
export const readLag = Effect.fnUntraced(function* (
  client: RedisClient["Service"],
  stream: string,
  group: string
): Effect.fn.Return<Lag, RedisError> {
  const [length, groups] = yield* client.pipeline([
    ["XLEN", stream],
    ["XINFO", "GROUPS", stream]
  ])
  if (length === undefined || groups === undefined) return nothing
  const held = Number(yield* Effect.fromResult(length))
  if (groups._tag === "Failure") {
    if (RedisClient.isReply(groups.failure, "ERR no such key")) return nothing
    return yield* groups.failure
  }
  const mine = list(groups.success)
    .map(pairs)
    .find((each) => each.get("name") === group)
  if (mine === undefined) return { length: held, pending: 0, lag: held, lost: 0 }
  const lag = mine.get("lag")
  const behind = typeof lag === "number" ? lag : undefined
  return {
    length: held,
    pending: Number(mine.get("pending") ?? 0),
    lag: behind,
    lost: Math.max(0, (behind ?? 0) - held)
  }
})
