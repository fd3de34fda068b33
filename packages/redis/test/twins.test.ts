import { AckedTrim, GuardedAppend, RedisStream } from "@agion/redis"
import { RedisContract, RedisServer } from "@agion/testing"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Redis } from "effect/persistence"
import { TestClock } from "effect/testing"

let runs = 0

/** Keys that no other run uses. */
const fresh = () => {
  runs += 1
  return `twins:${process.pid}:${runs}`
}

const send = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.flatMap(Redis.Redis, (redis) => redis.send(command, ...args))

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

const Batch = Schema.Struct({
  events: Schema.Array(Schema.Struct({ stream: upTo(1), event: upTo(4), size: upTo(2) })).check(
    Schema.isMaxLength(6)
  ),
  /** Seconds that pass before the batch. */
  wait: upTo(2)
})

/** Shorter than what passes between batches; a real server's time cannot be moved, so there it never ends. */
const shortly = 2500
const forEver = 86_400_000

const toEvent = (prefix: string, { stream, event, size }: (typeof Batch.Type)["events"][number]) => ({
  stream: `${prefix}:${stream}`,
  eventId: `e${event}`,
  fields: Object.fromEntries(Array.from({ length: size }, (_, i) => [`f${i}`, `é${event}`]))
})

/** Redis counts in times, the twin in ordinals: both become the ordinal of the entry. */
const ordinals = () => {
  const known = new Map<string, number>()
  return (stream: string, id: string) => {
    const key = `${stream} ${id}`
    const ordinal = known.get(key) ?? known.size + 1
    known.set(key, ordinal)
    return ordinal
  }
}

const comparable = (
  events: ReadonlyArray<GuardedAppend.Guarded>,
  answers: ReadonlyArray<GuardedAppend.Appended>,
  ordinal: (stream: string, id: string) => number
) =>
  answers.map((each, i) =>
    each._tag === "Refused" ? each._tag : `${each._tag} ${ordinal(events[i]?.stream ?? "", each.id)}`
  )

const guardedAppend = (
  batches: ReadonlyArray<typeof Batch.Type>,
  ttl: number,
  wait: (millis: number) => Effect.Effect<void>
) =>
  Effect.gen(function* () {
    const service = yield* RedisStream
    const prefix = fresh()
    const [mine, theirs] = [ordinals(), ordinals()]
    let state = GuardedAppend.empty
    let now = 0
    for (const batch of batches) {
      yield* wait(batch.wait * 1000)
      now += batch.wait * 1000
      const events = batch.events.map((each) => toEvent(prefix, each))
      const [next, expected] = GuardedAppend.append(state, events, ttl, now)
      state = next
      const answers = yield* service.appendGuarded(events, { guardTtl: ttl })
      assert.deepStrictEqual(comparable(events, answers, theirs), comparable(events, expected, mine))
    }
    for (const [stream, entries] of state.streams) {
      const stored = (yield* send("XRANGE", stream, "-", "+")) as ReadonlyArray<
        [string, ReadonlyArray<string>]
      >
      assert.deepStrictEqual(
        stored.map(([id, fields]) => [theirs(stream, id), fields]),
        entries.map(({ id, fields }) => [mine(stream, id), fields])
      )
    }
  })

const Move = Schema.Union([
  Schema.TaggedStruct("Add", {}),
  Schema.TaggedStruct("Create", { group: upTo(1), at: upTo(3) }),
  Schema.TaggedStruct("Read", {
    group: upTo(1),
    count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 }))
  }),
  Schema.TaggedStruct("Ack", { group: upTo(1), pick: upTo(9) }),
  Schema.TaggedStruct("Trim", { keep: upTo(3) })
])

interface Group {
  lastDelivered: string
  readonly pending: Array<string>
}

interface Model {
  readonly stream: string
  entries: ReadonlyArray<string>
  added: number
  readonly groups: Map<string, Group>
}

const play = (model: Model, move: typeof Move.Type) =>
  Effect.gen(function* () {
    const { stream } = model
    if (move._tag === "Add") {
      model.added += 1
      const id = `${Math.ceil(model.added / 3)}-${model.added}`
      yield* send("XADD", stream, id, "n", "1")
      model.entries = [...model.entries, id]
      return
    }
    if (move._tag === "Trim") {
      const states = [...model.groups.values()].map(({ lastDelivered, pending }) => ({
        lastDelivered,
        oldestPending: [...pending].sort(AckedTrim.compareIds)[0]
      }))
      const left = AckedTrim.cut(model.entries, states, move.keep)
      const gone = yield* (yield* RedisStream).trim(stream, { keep: move.keep })
      assert.strictEqual(gone, model.entries.length - left.length)
      model.entries = left
      return
    }
    yield* playGroup(model, `g${move.group}`, move)
  })

const playGroup = (model: Model, name: string, move: Extract<typeof Move.Type, { readonly group: number }>) =>
  Effect.gen(function* () {
    const group = model.groups.get(name)
    if (move._tag === "Create") {
      if (group !== undefined) return
      yield* send("XGROUP", "CREATE", model.stream, name, `${move.at}-0`, "MKSTREAM")
      model.groups.set(name, { lastDelivered: `${move.at}-0`, pending: [] })
      return
    }
    if (group === undefined) return
    if (move._tag === "Ack") {
      const [id] = group.pending.splice(move.pick % Math.max(1, group.pending.length), 1)
      if (id !== undefined) yield* send("XACK", model.stream, name, id)
      return
    }
    yield* send("XREADGROUP", "GROUP", name, "c", "COUNT", String(move.count), "STREAMS", model.stream, ">")
    const unread = model.entries.filter((id) => AckedTrim.compareIds(id, group.lastDelivered) > 0)
    for (const id of unread.slice(0, move.count)) {
      group.pending.push(id)
      group.lastDelivered = id
    }
  })

const ackedTrim = (moves: ReadonlyArray<typeof Move.Type>) =>
  Effect.gen(function* () {
    const model: Model = { stream: fresh(), entries: [], added: 0, groups: new Map() }
    for (const move of moves) yield* play(model, move)
    const stored = (yield* send("XRANGE", model.stream, "-", "+")) as ReadonlyArray<[string, unknown]>
    assert.deepStrictEqual(
      stored.map(([id]) => id),
      model.entries
    )
  })

const Batches = Schema.Array(Batch).check(Schema.isMaxLength(8))
const Moves = Schema.Array(Move).check(Schema.isMaxLength(40))

layer(RedisContract.inProcess())("on redis-memory", (it) => {
  it.effect.prop(
    "EVENT-5 the script that appends once and its twin agree, over time too",
    [Batches],
    ([batches]) => guardedAppend(batches, shortly, TestClock.adjust)
  )
  it.effect.prop("the script that trims what is acked and its twin agree", [Moves], ([moves]) =>
    ackedTrim(moves)
  )
})

describe.skipIf(!RedisServer.isThere())("on a real server", () => {
  layer(RedisContract.realServer(), { excludeTestServices: true, timeout: "20 seconds" })(
    "redis-server",
    (it) => {
      it.effect.prop("EVENT-5 the script that appends once and its twin agree", [Batches], ([batches]) =>
        guardedAppend(
          batches.map((batch) => ({ ...batch, wait: 0 })),
          forEver,
          () => Effect.void
        )
      )
      it.effect.prop("the script that trims what is acked and its twin agree", [Moves], ([moves]) =>
        ackedTrim(moves)
      )
    }
  )
})

it.prop(
  "ids are ordered as numbers, however long they are",
  [
    Schema.Array(Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: 2n ** 64n - 1n }))).check(
      Schema.isMinLength(4),
      Schema.isMaxLength(4)
    )
  ],
  ([[a = 0n, b = 0n, c = 0n, d = 0n]]) => {
    const expected = a !== c ? (a < c ? -1 : 1) : b < d ? -1 : b > d ? 1 : 0
    assert.strictEqual(AckedTrim.compareIds(`${a}-${b}`, `${c}-${d}`), expected)
  }
)
