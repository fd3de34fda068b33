/**
 * The whole database as calls that make it anew: what a journal is replaced by
 * when it has grown far beyond what it says.
 */
import { formatScore } from "./Bytes.ts"
import type { Database, Value } from "./Database.ts"
import type { Args } from "./Machine.ts"
import { formatId, type Group, type StreamValue } from "./StreamValue.ts"

/** No single call grows too long. */
const page = 500

const paged = <A>(items: ReadonlyArray<A>, toCall: (items: ReadonlyArray<A>) => Args): ReadonlyArray<Args> =>
  Array.from({ length: Math.ceil(items.length / page) }, (_, i) =>
    toCall(items.slice(i * page, (i + 1) * page))
  )

/** Every call, in an order in which they can be replayed. */
export const snapshot = (db: Database): ReadonlyArray<Args> =>
  db.keys().flatMap((key) => {
    const value = db.get(key)
    if (value === undefined) return []
    const expiry = db.expiry(key)
    const expire: ReadonlyArray<Args> = expiry === undefined ? [] : [["PEXPIREAT", key, String(expiry)]]
    return [...valueCalls(key, value), ...expire]
  })

const valueCalls = (key: string, value: Value): ReadonlyArray<Args> => {
  switch (value.type) {
    case "string":
      return [["SET", key, value.text]]
    case "hash":
      return paged([...value.fields], (fields) => ["HSET", key, ...fields.flat()])
    case "list":
      return paged(value.items, (items) => ["RPUSH", key, ...items])
    case "set":
      return paged([...value.members], (members) => ["SADD", key, ...members])
    case "zset":
      return paged([...value.scores], (pairs) => [
        ...["ZADD", key],
        ...pairs.flatMap(([member, score]) => [formatScore(score), member])
      ])
    case "stream":
      return streamCalls(key, value)
  }
}

const streamCalls = (key: string, value: StreamValue): ReadonlyArray<Args> => {
  const { entries, lastId, entriesAdded, maxDeletedId } = value.dump()
  const counters = ["ENTRIESADDED", String(entriesAdded), "MAXDELETEDID", formatId(maxDeletedId)]
  return [
    // A group is a way to make a stream without an entry.
    ["XGROUP", "CREATE", key, "", "0", "MKSTREAM"],
    ["XGROUP", "DESTROY", key, ""],
    ...entries.map((entry): Args => ["XADD", key, formatId(entry.id), ...entry.fields]),
    ["XSETID", key, formatId(lastId), ...counters],
    ...[...value.groups].flatMap(([name, group]) => groupCalls(key, name, group))
  ]
}

const groupCalls = (key: string, name: string, group: Group): ReadonlyArray<Args> => [
  ["XGROUP", "CREATE", key, name, formatId(group.lastId), "ENTRIESREAD", String(group.entriesRead)],
  ...Array.from(
    group.consumers.keys(),
    (consumer): Args => ["XGROUP", "CREATECONSUMER", key, name, consumer]
  ),
  ...Array.from(group.pending(), ([id, pending]): Args => {
    const how = [
      "TIME",
      String(pending.deliveredAt),
      "RETRYCOUNT",
      String(pending.deliveries),
      "FORCE",
      "JUSTID"
    ]
    return ["XCLAIM", key, name, pending.consumer.name, "0", formatId(id), ...how]
  })
]
