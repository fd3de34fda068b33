/**
 * What every Redis promises to agents, to the platform and to effect's own
 * stores. One suite, run on each target there is.
 *
 * ```ts
 * RedisContract.suite("redis-memory in process", RedisContract.inProcess())
 * ```
 */
import { type Redis, RedisClient, RedisPubSub, RedisStream } from "@agion/redis"
import type { Vitest } from "@effect/vitest"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Queue, Result, Schema, Stream } from "effect"
import {
  CircuitBreaker,
  Redis as EffectRedis,
  Persistable,
  PersistedCache,
  PersistedQueue,
  Persistence,
  RateLimiter
} from "effect/persistence"
import { waitUntil } from "../internal/Process.ts"
import { encodeCall, open } from "./RawSocket.ts"
import { RedisTarget, type Target } from "./RedisTarget.ts"

export { inProcess, memoryServer, RedisTarget, realServer, type Target } from "./RedisTarget.ts"

type It = Vitest.MethodsNonLive<Redis.Services | RedisTarget>

let names = 0

/** A key that no other test uses. */
const fresh = (name: string) => {
  names += 1
  return `contract:${process.pid}:${names}:${name}`
}

const send = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.flatMap(EffectRedis.Redis, (redis) => redis.send(command, ...args))

/** Redis' words for what it refuses. */
const refusal = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.map(Effect.flip(send(command, ...args)), ({ cause }) =>
    cause instanceof Error ? cause.message : String(cause)
  )

/** Polls a key's absence; expiry is the store's own clock. */
const gone = (key: string) =>
  Effect.flatMap(EffectRedis.Redis, (redis) =>
    waitUntil(
      `the expiry of ${key}`,
      redis.send("EXISTS", key).pipe(
        Effect.map((count) => count === 0),
        Effect.orDie
      ),
      5
    )
  )

const strings = (it: It) => {
  it.effect("keeps a string and forgets it when its time is over", () =>
    Effect.gen(function* () {
      const key = fresh("string")
      assert.strictEqual(yield* send("SET", key, "välue ☃ \u{1f600}", "PX", "60000"), "OK")
      assert.strictEqual(yield* send("GET", key), "välue ☃ \u{1f600}")
      assert.strictEqual(yield* send("STRLEN", key), 15)
      const left = yield* send("PTTL", key)
      assert.isTrue(typeof left === "number" && left > 50_000 && left <= 60_000)
      assert.strictEqual(yield* send("SET", key, "other", "XX", "KEEPTTL"), "OK")
      assert.notStrictEqual(yield* send("PTTL", key), -1)
      assert.strictEqual(yield* send("PERSIST", key), 1)
      assert.strictEqual(yield* send("TTL", key), -1)
      assert.strictEqual(yield* send("PEXPIRE", key, "30"), 1)
      yield* gone(key)
      assert.strictEqual(yield* send("GET", key), null)
      assert.strictEqual(yield* send("TTL", key), -2)
    })
  )

  it.effect("sets only what is not there, or only what is", () =>
    Effect.gen(function* () {
      const key = fresh("nx")
      assert.strictEqual(yield* send("SET", key, "1", "NX", "GET"), null)
      assert.strictEqual(yield* send("SET", key, "2", "NX"), null)
      assert.strictEqual(yield* send("SETNX", key, "2"), 0)
      assert.strictEqual(yield* send("SET", key, "3", "XX", "GET"), "1")
      assert.strictEqual(yield* send("SET", fresh("xx"), "1", "XX"), null)
      assert.strictEqual(yield* send("GETDEL", key), "3")
      assert.strictEqual(yield* send("GETDEL", key), null)
    })
  )

  it.effect("counts within 64 bits", () =>
    Effect.gen(function* () {
      const key = fresh("count")
      assert.strictEqual(yield* send("INCRBY", key, "41"), 41)
      assert.strictEqual(yield* send("INCR", key), 42)
      assert.strictEqual(yield* send("DECR", key), 41)
      yield* send("SET", key, "9223372036854775807")
      assert.strictEqual(yield* refusal("INCR", key), "ERR increment or decrement would overflow")
      yield* send("SET", key, "abc")
      assert.strictEqual(yield* refusal("INCR", key), "ERR value is not an integer or out of range")
    })
  )

  it.effect("finds keys by pattern, all at once and page by page", () =>
    Effect.gen(function* () {
      const prefix = fresh("scan")
      const keys = Array.from({ length: 25 }, (_, i) => `${prefix}:${i}`)
      yield* send("MSET", ...keys.flatMap((key) => [key, "1"]))
      const found = yield* send("KEYS", `${prefix}:*`)
      assert.sameMembers(found as Array<string>, keys)
      const scanned = new Set<string>()
      let cursor = "0"
      do {
        const [next, page] = (yield* send("SCAN", cursor, "MATCH", `${prefix}:*`, "COUNT", "7")) as [
          string,
          Array<string>
        ]
        for (const key of page) scanned.add(key)
        cursor = next
      } while (cursor !== "0")
      assert.sameMembers([...scanned], keys)
      assert.deepStrictEqual(yield* send("MGET", `${prefix}:1`, `${prefix}:none`), ["1", null])
      assert.strictEqual(yield* send("DEL", ...keys), 25)
      assert.strictEqual(yield* send("EXISTS", ...keys), 0)
    })
  )
}

const collections = (it: It) => {
  it.effect("keeps fields of a hash", () =>
    Effect.gen(function* () {
      const key = fresh("hash")
      assert.strictEqual(yield* send("HSET", key, "a", "1", "b", "2"), 2)
      assert.strictEqual(yield* send("HSET", key, "a", "3"), 0)
      assert.deepStrictEqual(yield* send("HGETALL", key), ["a", "3", "b", "2"])
      assert.deepStrictEqual(yield* send("HMGET", key, "a", "none"), ["3", null])
      assert.strictEqual(yield* send("HINCRBY", key, "a", "-4"), -1)
      assert.strictEqual(yield* send("HDEL", key, "a", "b", "c"), 2)
      assert.strictEqual(yield* send("EXISTS", key), 0)
    })
  )

  it.effect("orders a sorted set by score, then by bytes", () =>
    Effect.gen(function* () {
      const key = fresh("zset")
      assert.strictEqual(yield* send("ZADD", key, "2", "b", "2", "a", "-inf", "first", "10.5", "z"), 4)
      assert.strictEqual(yield* send("ZADD", key, "NX", "7", "a"), 0)
      assert.deepStrictEqual(yield* send("ZRANGE", key, "0", "-1"), ["first", "a", "b", "z"])
      assert.deepStrictEqual(yield* send("ZRANGE", key, "0", "0", "WITHSCORES"), ["first", "-inf"])
      assert.deepStrictEqual(yield* send("ZRANGEBYSCORE", key, "(-inf", "+inf", "LIMIT", "1", "1"), ["b"])
      assert.strictEqual(yield* send("ZSCORE", key, "z"), "10.5")
      assert.strictEqual(yield* send("ZINCRBY", key, "0.5", "z"), "11")
      assert.strictEqual(yield* send("ZREMRANGEBYSCORE", key, "-inf", "(11"), 3)
      assert.strictEqual(yield* send("ZCARD", key), 1)
      assert.strictEqual(yield* refusal("ZADD", key, "x", "a"), "ERR value is not a valid float")
    })
  )

  it.effect("pushes and pops at both ends of a list, and keeps members of a set once", () =>
    Effect.gen(function* () {
      const [list, set] = [fresh("list"), fresh("set")]
      assert.strictEqual(yield* send("RPUSH", list, "b", "c"), 2)
      assert.strictEqual(yield* send("LPUSH", list, "a", "z"), 4)
      assert.deepStrictEqual(yield* send("LRANGE", list, "0", "-1"), ["z", "a", "b", "c"])
      assert.strictEqual(yield* send("LTRIM", list, "1", "-2"), "OK")
      assert.strictEqual(yield* send("LPOP", list), "a")
      assert.deepStrictEqual(yield* send("RPOP", list, "2"), ["b"])
      assert.strictEqual(yield* send("SADD", set, "1", "2", "1"), 2)
      assert.strictEqual(yield* send("SREM", set, "1", "3"), 1)
      assert.deepStrictEqual(yield* send("SMEMBERS", set), ["2"])
    })
  )
}

const sumScript = EffectRedis.script((key: string, amount: number) => [key, amount], {
  numberOfKeys: 1,
  lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])"
}).withReturnType<number>()

const evaluate = (lua: string, keys: ReadonlyArray<string> = [], args: ReadonlyArray<string> = []) =>
  send("EVAL", lua, String(keys.length), ...keys, ...args)

const scripts = (it: It) => {
  it.effect("runs a script by its digest, also after Redis forgot it", () =>
    Effect.gen(function* () {
      const key = fresh("script")
      const add = (yield* EffectRedis.Redis).eval(sumScript)
      assert.strictEqual(yield* add(key, 2), 2)
      yield* send("SCRIPT", "FLUSH")
      assert.strictEqual(yield* add(key, 3), 5)
      assert.strictEqual(
        yield* refusal("EVALSHA", "0".repeat(40), "0"),
        "NOSCRIPT No matching script. Please use EVAL."
      )
    })
  )

  it.effect("has the numbers of Lua 5.1", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* evaluate("return 3.99"), 3)
      assert.strictEqual(yield* evaluate("return -3.99"), -3)
      assert.strictEqual(yield* evaluate("return tostring(1795732164 * 1000 + 553)"), "1795732164553")
      assert.strictEqual(
        yield* evaluate("return tostring(10 / 2) .. '|' .. 7 / 2 .. '|' .. 1e15 .. '|' .. 2^53"),
        "5|3.5|1e+15|9.007199254741e+15"
      )
      assert.strictEqual(yield* evaluate("return tostring(tonumber('1795732164553') + 1)"), "1795732164554")
      assert.strictEqual(
        yield* evaluate("return string.format('%d|%.3f|%5s|%x|%g', 1795732164553, 1.5, 'a', 255, 0.1)"),
        "1795732164553|1.500|    a|ff|0.1"
      )
      assert.strictEqual(
        yield* evaluate("return tostring(math.floor(1795732164553.7)) .. math.max(1, 2) .. 10 % 3"),
        "179573216455321"
      )
      assert.strictEqual(
        yield* evaluate("redis.call('SET', KEYS[1], 0.1) return redis.call('GET', KEYS[1])", [fresh("n")]),
        "0.10000000000000001"
      )
      assert.strictEqual(
        yield* evaluate("redis.call('SET', KEYS[1], 1795732164553) return redis.call('GET', KEYS[1])", [
          fresh("n")
        ]),
        "1795732164553"
      )
      assert.strictEqual(yield* evaluate("local n = 0 for i = 1, 10 do n = n + i end return n"), 55)
      assert.strictEqual(yield* evaluate("return #{unpack({1, 2, 3})} + table.getn({1})"), 4)
      assert.strictEqual(yield* evaluate("return bit.band(bit.bor(6, 9), 12)"), 12)
    })
  )

  it.effect("turns replies into Lua values and back", () =>
    Effect.gen(function* () {
      const key = fresh("values")
      yield* send("HSET", key, "a", "1")
      assert.deepStrictEqual(yield* evaluate("return redis.call('HGETALL', KEYS[1])", [key]), ["a", "1"])
      assert.deepStrictEqual(yield* evaluate("return {1, 'a', true, {2, {}}, false, 3}"), [
        1,
        "a",
        1,
        [2, []],
        null,
        3
      ])
      assert.deepStrictEqual(yield* evaluate("return {1, nil, 3}"), [1])
      assert.strictEqual(yield* evaluate("return redis.call('GET', 'no such key') == false and 1 or 0"), 1)
      assert.strictEqual(yield* evaluate("return redis.call('TYPE', KEYS[1]).ok", [key]), "hash")
      assert.strictEqual(yield* evaluate("return redis.status_reply('FINE')"), "FINE")
      assert.strictEqual(yield* evaluate("return ARGV[1]", [], ["é☃"]), "é☃")
      assert.strictEqual(yield* evaluate("return #ARGV[1]", [], ["é☃"]), 5)
      assert.strictEqual(
        yield* evaluate("return redis.sha1hex('')"),
        "da39a3ee5e6b4b0d3255bfef95601890afd80709"
      )
    })
  )

  it.effect("reads and writes JSON in a script", () =>
    Effect.gen(function* () {
      const text = JSON.stringify({ id: "é", list: [1, 2.5, null, true], deep: { a: "x/y" } })
      assert.deepStrictEqual(
        yield* evaluate(
          "local v = cjson.decode(ARGV[1]) return {v.id, #v.list, tostring(v.list[2]), v.list[3] == cjson.null and 1 or 0, v.deep.a}",
          [],
          [text]
        ),
        ["é", 4, "2.5", 1, "x/y"]
      )
      assert.strictEqual(
        yield* evaluate("return cjson.encode({1, 'a\"/b', {x = 1.5}, cjson.null})"),
        '[1,"a\\"\\/b",{"x":1.5},null]'
      )
      assert.strictEqual(yield* evaluate("return cjson.encode({})"), "{}")
    })
  )

  it.effect("tells what went wrong in a script", () =>
    Effect.gen(function* () {
      const key = fresh("wrong")
      yield* send("SET", key, "text")
      assert.match(
        yield* refusal("EVAL", "return redis.call('LPUSH', KEYS[1], 1)", "1", key),
        /^WRONGTYPE Operation against a key holding the wrong kind of value script: [0-9a-f]{40}, on @user_script:1\.$/
      )
      assert.match(
        yield* refusal("EVAL", "return nope", "0"),
        /^ERR user_script:1: Script attempted to access nonexistent global variable 'nope' script: /
      )
      assert.match(
        yield* refusal("EVAL", "nope = 1", "0"),
        /^ERR user_script:1: Attempt to modify a readonly table/
      )
      assert.match(
        yield* refusal("EVAL", "return +", "0"),
        /^ERR Error compiling script \(new function\): user_script:1:/
      )
      assert.strictEqual(
        yield* refusal("EVAL", "return redis.error_reply('MINE is this')", "0"),
        "MINE is this"
      )
      assert.match(
        yield* refusal("EVAL", "return redis.call('NOSUCH')", "0"),
        /^ERR Unknown Redis command called from script/
      )
      assert.match(
        yield* refusal("EVAL", "return redis.call('GET')", "0"),
        /^ERR Wrong number of args calling Redis command from script/
      )
      assert.strictEqual(
        yield* evaluate("return redis.pcall('LPUSH', KEYS[1], 1).err", [key]),
        "WRONGTYPE Operation against a key holding the wrong kind of value"
      )
    })
  )
}

const streams = (it: It) => {
  it.effect("appends entries with rising ids and reads them back", () =>
    Effect.gen(function* () {
      const key = fresh("stream")
      assert.strictEqual(yield* send("XADD", key, "5-1", "a", "1"), "5-1")
      assert.strictEqual(yield* send("XADD", key, "5-*", "a", "2"), "5-2")
      assert.strictEqual(
        yield* refusal("XADD", key, "5-2", "a", "3"),
        "ERR The ID specified in XADD is equal or smaller than the target stream top item"
      )
      assert.strictEqual(
        yield* refusal("XADD", key, "x", "a", "3"),
        "ERR Invalid stream ID specified as stream command argument"
      )
      assert.match(String(yield* send("XADD", key, "*", "a", "3", "b", "4")), /^\d{13}-\d+$/)
      assert.strictEqual(yield* send("XLEN", key), 3)
      assert.deepStrictEqual(yield* send("XRANGE", key, "-", "5"), [
        ["5-1", ["a", "1"]],
        ["5-2", ["a", "2"]]
      ])
      assert.deepStrictEqual(yield* send("XREVRANGE", key, "(5-2", "-"), [["5-1", ["a", "1"]]])
      assert.deepStrictEqual(yield* send("XREAD", "COUNT", "1", "STREAMS", key, "5-1"), [
        [key, [["5-2", ["a", "2"]]]]
      ])
      assert.strictEqual(yield* send("XREAD", "STREAMS", fresh("none"), "0"), null)
      assert.strictEqual(yield* send("XADD", fresh("none"), "NOMKSTREAM", "*", "a", "1"), null)
      assert.strictEqual(yield* send("XDEL", key, "5-1"), 1)
      assert.strictEqual(yield* send("XTRIM", key, "MAXLEN", "1"), 1)
      assert.strictEqual(
        yield* send(
          "XADD",
          key,
          "MINID",
          "18446744073709551615-0",
          "18446744073709551615-18446744073709551615",
          "a",
          "z"
        ),
        "18446744073709551615-18446744073709551615"
      )
      assert.strictEqual(
        yield* refusal("XADD", key, "*", "a", "1"),
        "ERR The stream has exhausted the last possible ID, unable to add more items"
      )
    })
  )

  it.effect("hands entries to a group, once each, until they are acked", () =>
    Effect.gen(function* () {
      const key = fresh("group")
      yield* send("XADD", key, "1-0", "n", "1")
      assert.strictEqual(yield* send("XGROUP", "CREATE", key, "g", "0"), "OK")
      assert.strictEqual(
        yield* refusal("XGROUP", "CREATE", key, "g", "0"),
        "BUSYGROUP Consumer Group name already exists"
      )
      yield* send("XADD", key, "2-0", "n", "2")
      const read = (consumer: string, from: string) =>
        send("XREADGROUP", "GROUP", "g", consumer, "COUNT", "1", "STREAMS", key, from)
      assert.deepStrictEqual(yield* read("a", ">"), [[key, [["1-0", ["n", "1"]]]]])
      assert.deepStrictEqual(yield* read("b", ">"), [[key, [["2-0", ["n", "2"]]]]])
      assert.strictEqual(yield* read("a", ">"), null)
      assert.deepStrictEqual(yield* read("a", "0"), [[key, [["1-0", ["n", "1"]]]]])
      assert.deepStrictEqual(yield* send("XPENDING", key, "g"), [
        2,
        "1-0",
        "2-0",
        [
          ["a", "1"],
          ["b", "1"]
        ]
      ])
      assert.strictEqual(yield* send("XACK", key, "g", "1-0", "9-9"), 1)
      assert.deepStrictEqual(yield* read("a", "0"), [[key, []]])
      const [row] = (yield* send("XPENDING", key, "g", "-", "+", "10")) as Array<Array<unknown>>
      assert.deepStrictEqual([row?.[0], row?.[1], row?.[3]], ["2-0", "b", 1])
      assert.deepStrictEqual(yield* send("XINFO", "GROUPS", key), [
        ["name", "g", "consumers", 2, "pending", 1, "last-delivered-id", "2-0", "entries-read", 2, "lag", 0]
      ])
      assert.strictEqual(
        yield* refusal("XREADGROUP", "GROUP", "none", "a", "STREAMS", key, ">"),
        `NOGROUP No such key '${key}' or consumer group 'none' in XREADGROUP with GROUP option`
      )
    })
  )

  it.effect("lets another consumer take over what is idle", () =>
    Effect.gen(function* () {
      const key = fresh("claim")
      for (const id of ["1-0", "2-0", "3-0"]) yield* send("XADD", key, id, "n", id)
      yield* send("XGROUP", "CREATE", key, "g", "0")
      yield* send("XREADGROUP", "GROUP", "g", "a", "STREAMS", key, ">")
      assert.deepStrictEqual(yield* send("XCLAIM", key, "g", "b", "60000", "1-0"), [])
      assert.deepStrictEqual(yield* send("XCLAIM", key, "g", "b", "0", "1-0"), [["1-0", ["n", "1-0"]]])
      yield* send("XDEL", key, "2-0")
      assert.deepStrictEqual(yield* send("XAUTOCLAIM", key, "g", "c", "0", "0-0", "COUNT", "2"), [
        "3-0",
        [["1-0", ["n", "1-0"]]],
        ["2-0"]
      ])
      assert.deepStrictEqual(yield* send("XAUTOCLAIM", key, "g", "c", "0", "3-0", "JUSTID"), [
        "0-0",
        ["3-0"],
        []
      ])
      const rows = (yield* send("XPENDING", key, "g", "-", "+", "10", "c")) as Array<Array<unknown>>
      assert.deepStrictEqual(
        rows.map((row) => [row[0], row[3]]),
        [
          ["1-0", 3],
          ["3-0", 1]
        ]
      )
    })
  )

  it.effect("wakes a blocked reader with the entry it waits for, and gives up in time", () =>
    Effect.gen(function* () {
      const redis = yield* EffectRedis.Redis
      const key = fresh("block")
      yield* send("XGROUP", "CREATE", key, "g", "$", "MKSTREAM")
      const connection = yield* redis.reserve
      assert.strictEqual(
        yield* connection.send("XREADGROUP", "GROUP", "g", "a", "BLOCK", "20", "STREAMS", key, ">"),
        null
      )
      const reader = yield* Effect.forkChild(
        connection.send("XREADGROUP", "GROUP", "g", "a", "BLOCK", "5000", "STREAMS", key, ">")
      )
      const other = yield* Effect.forkChild(
        redis.reserve.pipe(
          Effect.flatMap((each) => each.send("XREAD", "BLOCK", "5000", "STREAMS", key, "$")),
          Effect.scoped
        )
      )
      yield* waitForBlocked(key)
      const id = yield* send("XADD", key, "*", "n", "1")
      const answer = [[key, [[id, ["n", "1"]]]]]
      assert.deepStrictEqual(yield* joinValue(reader), answer)
      assert.deepStrictEqual(yield* joinValue(other), answer)
    })
  )
}

/** Nothing tells that a reader waits: gives the two of them the time of a few round trips. */
const waitForBlocked = (key: string) => Effect.repeat(send("XLEN", key), { times: 20 })

const joinValue = <A, E>(fiber: Fiber.Fiber<A, E>) => Fiber.join(fiber)

const redisStream = (it: It) => {
  it.effect("EVENT-5 appends an event once, however often it is sent", () =>
    Effect.gen(function* () {
      const service = yield* RedisStream
      const stream = fresh("guarded")
      const event = { stream, eventId: "e-1", fields: { n: "1" } }
      const [first] = yield* service.appendGuarded([event])
      assert.strictEqual(first?._tag, "Appended")
      const again = yield* service.appendGuarded([event, { ...event, eventId: "e-2" }, event])
      assert.deepStrictEqual(
        again.map((each) => each._tag),
        ["Duplicate", "Appended", "Duplicate"]
      )
      assert.strictEqual(yield* send("XLEN", stream), 2)
      yield* send("SET", `${stream}:text`, "not a stream")
      const [refused] = yield* service.appendGuarded([{ ...event, stream: `${stream}:text` }])
      assert.strictEqual(refused?._tag, "Refused")
      yield* service.appendGuarded([{ ...event, eventId: "short" }], { guardTtl: 30 })
      yield* gone(`agion:guard:{${stream}}:short`)
      assert.deepStrictEqual(
        (yield* service.appendGuarded([{ ...event, eventId: "short" }])).map((each) => each._tag),
        ["Appended"]
      )
    })
  )

  it.effect("reads several streams in a group and hands out again what was not acked", () =>
    Effect.gen(function* () {
      const service = yield* RedisStream
      const streams = [fresh("one"), fresh("two")]
      for (const stream of streams) yield* service.append(stream, { from: stream })
      const options = { streams, group: "g", consumer: "c", block: 50 }
      const first = yield* service.consume(options).pipe(Stream.take(2), Stream.runCollect)
      assert.sameMembers(
        first.map((entry) => entry.stream),
        streams
      )
      assert.deepStrictEqual(
        first.map((entry) => entry.deliveries),
        [1, 1]
      )
      yield* service.ack("g", first.slice(0, 1))
      const again = yield* service.consume(options).pipe(Stream.take(1), Stream.runCollect)
      assert.deepStrictEqual(
        again.map((entry) => entry.id),
        [first[1]?.id]
      )
      assert.isAbove(again[0]?.deliveries ?? 0, 1)
      const stolen = yield* service
        .consume({ ...options, consumer: "d", claimIdle: 1 })
        .pipe(Stream.take(1), Stream.runCollect)
      assert.deepStrictEqual(
        stolen.map((entry) => entry.id),
        [first[1]?.id]
      )
      yield* service.ack("g", stolen)
      for (const stream of streams) {
        assert.deepInclude(yield* service.lag(stream, "g"), { pending: 0, lag: 0, lost: 0 })
      }
    })
  )

  it.effect("EVENT-6 sets an entry aside once, with its reason, and goes on", () =>
    Effect.gen(function* () {
      const service = yield* RedisStream
      const [stream, to] = [fresh("poison"), fresh("dead")]
      yield* service.append(stream, { bad: "\u0000\ufffd" })
      yield* service.append(stream, { good: "1" })
      const [bad, good] = yield* service
        .consume({ streams: [stream], group: "g", consumer: "c", block: 50 })
        .pipe(Stream.take(2), Stream.runCollect)
      assert.isDefined(bad)
      assert.isDefined(good)
      if (bad === undefined) return
      yield* service.deadLetter("g", bad, "not JSON", { to })
      yield* service.deadLetter("g", bad, "not JSON", { to })
      const [letter, ...more] = (yield* send("XRANGE", to, "-", "+")) as Array<[string, Array<string>]>
      assert.lengthOf(more, 0)
      const fields = RedisStream.decodeFields(letter?.[1] ?? [])
      assert.deepInclude({ ...fields }, { stream, entry_id: bad.id, reason: "not JSON" })
      assert.deepStrictEqual(JSON.parse(fields["fields"] ?? ""), { bad: "\u0000\ufffd" })
      assert.deepInclude(yield* service.lag(stream, "g"), { pending: 1 })
    })
  )

  it.effect("trims what every group has acked and nothing else", () =>
    Effect.gen(function* () {
      const service = yield* RedisStream
      const stream = fresh("trim")
      for (let i = 0; i < 5; i++) yield* service.append(stream, { i: String(i) })
      assert.strictEqual(yield* service.trim(stream), 0)
      const read = (group: string, count: number) =>
        service
          .consume({ streams: [stream], group, consumer: "c", block: 50, count })
          .pipe(Stream.take(count), Stream.runCollect)
      const fast = yield* read("fast", 5)
      const slow = yield* read("slow", 2)
      yield* service.ack("fast", fast)
      assert.strictEqual(yield* service.trim(stream), 0)
      yield* service.ack("slow", slow.slice(0, 1))
      assert.strictEqual(yield* service.trim(stream, { keep: 5 }), 0)
      assert.strictEqual(yield* service.trim(stream), 1)
      yield* service.ack("slow", slow)
      assert.strictEqual(yield* service.trim(stream), 1)
      assert.deepStrictEqual(yield* service.lag(stream, "slow"), { length: 3, pending: 0, lag: 3, lost: 0 })
      assert.strictEqual(yield* service.trim(fresh("none")), 0)
    })
  )

  it.effect("keeps reading over a lost connection, without handing an entry out twice", () =>
    Effect.gen(function* () {
      const service = yield* RedisStream
      const target = yield* RedisTarget
      const stream = fresh("cut")
      const seen = yield* Queue.unbounded<string>()
      yield* service.consume({ streams: [stream], group: "g", consumer: "c", block: 200 }).pipe(
        Stream.runForEach((entry) => Queue.offer(seen, entry.fields[1] ?? "")),
        Effect.forkScoped
      )
      yield* service.append(stream, { n: "1" })
      assert.strictEqual(yield* Queue.take(seen), "1")
      yield* target.cut
      const event = { stream, eventId: "2", fields: { n: "2" } }
      yield* eventually("an append", service.appendGuarded([event]))
      assert.strictEqual(yield* Queue.take(seen), "2")
      assert.strictEqual(yield* Queue.size(seen), 0)
    })
  )
}

/** A cut shows a moment later: tries until the connection is there again. */
const eventually = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.context<R>(), (context) =>
    waitUntil(what, Effect.isSuccess(Effect.provideContext(effect, context)), 10)
  )

const messages = (it: It) => {
  it.effect("delivers to channels and patterns over one connection", () =>
    Effect.gen(function* () {
      const pubsub = yield* RedisPubSub
      const name = fresh("pubsub")
      const queue = yield* pubsub.subscribe({ channels: [`${name}:a`], patterns: [`${name}:[bc]*`] })
      assert.strictEqual(yield* pubsub.publish(`${name}:a`, "é"), 1)
      assert.strictEqual(yield* pubsub.publish(`${name}:b1`, "2"), 1)
      assert.strictEqual(yield* pubsub.publish(`${name}:d`, "3"), 0)
      assert.deepStrictEqual(yield* Queue.take(queue), {
        _tag: "Message",
        channel: `${name}:a`,
        pattern: undefined,
        message: "é"
      })
      assert.deepStrictEqual(yield* Queue.take(queue), {
        _tag: "Message",
        channel: `${name}:b1`,
        pattern: `${name}:[bc]*`,
        message: "2"
      })
      yield* Effect.scoped(pubsub.subscribe({ channels: [`${name}:d`] }))
      assert.strictEqual(yield* pubsub.publish(`${name}:d`, "3"), 0)
    })
  )

  it.effect("FRESH-4 tells a subscriber that it may have missed something", () =>
    Effect.gen(function* () {
      const pubsub = yield* RedisPubSub
      const target = yield* RedisTarget
      const channel = fresh("gap")
      const queue = yield* pubsub.subscribe({ channels: [channel] })
      yield* pubsub.publish(channel, "before")
      assert.propertyVal(yield* Queue.take(queue), "message", "before")
      yield* target.cut
      assert.deepStrictEqual(yield* Queue.take(queue), { _tag: "Lost" })
      assert.deepStrictEqual(yield* Queue.take(queue), { _tag: "Gap", reason: "reconnected" })
      yield* eventually("a message", pubsub.publish(channel, "after"))
      assert.propertyVal(yield* Queue.take(queue), "message", "after")
    })
  )

  it.effect("tells a slow subscriber where it lost messages", () =>
    Effect.gen(function* () {
      const pubsub = yield* RedisPubSub
      const channel = fresh("slow")
      const queue = yield* pubsub.subscribe({ channels: [channel], capacity: 2 })
      const probe = yield* pubsub.subscribe({ channels: [channel] })
      for (const n of ["1", "2", "3", "4"]) yield* pubsub.publish(channel, n)
      yield* Queue.takeN(probe, 4)
      assert.deepStrictEqual(
        (yield* Queue.takeAll(queue)).map((event) => (event._tag === "Message" ? event.message : event._tag)),
        ["1", "2", "Gap"]
      )
    })
  )
}

const batches = (it: It) => {
  it.effect("answers a pipeline command by command", () =>
    Effect.gen(function* () {
      const client = yield* RedisClient
      const key = fresh("pipeline")
      const replies = yield* client.pipeline([
        ["SET", key, "1"],
        ["LPUSH", key, "x"],
        ["INCR", key]
      ])
      assert.deepStrictEqual(replies.map(Result.isSuccess), [true, false, true])
      assert.deepStrictEqual(Result.getOrUndefined(replies[2] ?? Result.succeed(0)), 2)
      const failed = replies[1]
      assert.strictEqual(
        failed !== undefined && Result.isFailure(failed) ? RedisClient.outcome(failed.failure) : "",
        "refused"
      )
    })
  )

  it.effect("executes a transaction whole or not at all", () =>
    Effect.gen(function* () {
      const client = yield* RedisClient
      const key = fresh("multi")
      const replies = yield* client.transaction([
        ["SET", key, "1"],
        ["LPUSH", key, "x"],
        ["INCR", key]
      ])
      assert.deepStrictEqual(replies.map(Result.isSuccess), [true, false, true])
      const refused = yield* Effect.flip(client.transaction([["SET", key, "9"], ["NOSUCH"]]))
      assert.isTrue(RedisClient.isReply(refused, "ERR unknown command"))
      assert.strictEqual(yield* send("GET", key), "2")
    })
  )

  it.effect("discards a transaction whose watched key changed", () =>
    Effect.gen(function* () {
      const key = fresh("watch")
      const connection = yield* (yield* EffectRedis.Redis).reserve
      yield* connection.send("WATCH", key)
      yield* send("SET", key, "theirs")
      yield* connection.send("MULTI")
      assert.strictEqual(yield* connection.send("SET", key, "mine"), "QUEUED")
      assert.strictEqual(yield* connection.send("EXEC"), null)
      assert.strictEqual(yield* send("GET", key), "theirs")
    })
  )
}

const wordings = (it: It) => {
  it.effect("refuses in Redis' own words", () =>
    Effect.gen(function* () {
      const key = fresh("words")
      yield* send("SET", key, "1")
      assert.strictEqual(
        yield* refusal("NOSUCH", "a", "b"),
        "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "
      )
      assert.strictEqual(yield* refusal("GET"), "ERR wrong number of arguments for 'get' command")
      assert.strictEqual(
        yield* refusal("XGROUP", "CREATE", key),
        "ERR wrong number of arguments for 'xgroup|create' command"
      )
      assert.strictEqual(
        yield* refusal("XGROUP", "NOSUCH"),
        "ERR unknown subcommand 'NOSUCH'. Try XGROUP HELP."
      )
      assert.strictEqual(
        yield* refusal("HGET", key, "a"),
        "WRONGTYPE Operation against a key holding the wrong kind of value"
      )
      assert.strictEqual(
        yield* refusal("SET", key, "1", "PX", "0"),
        "ERR invalid expire time in 'set' command"
      )
      assert.strictEqual(yield* refusal("SET", key, "1", "NX", "XX"), "ERR syntax error")
      assert.strictEqual(yield* refusal("EXEC"), "ERR EXEC without MULTI")
      assert.strictEqual(yield* refusal("XINFO", "GROUPS", fresh("none")), "ERR no such key")
      assert.strictEqual(
        yield* refusal("XREADGROUP", "GROUP", "g", "c", "STREAMS", key),
        "ERR wrong number of arguments for 'xreadgroup' command"
      )
    })
  )
}

/** On the wire, for clients of any language; in process there is none. */
const wire = (it: It) => {
  const raw = Effect.flatMap(RedisTarget, ({ port }) => open(port ?? 0))

  it.effect("greets clients of RESP2 and of RESP3", () =>
    Effect.gen(function* () {
      const socket = yield* raw
      yield* socket.write(
        `${encodeCall("HELLO", "3")}${encodeCall("CLIENT", "SETNAME", "me")}${encodeCall("CLIENT", "GETNAME")}`
      )
      const three = yield* socket.hear(/\+OK\r\n\$2\r\nme\r\n$/)
      assert.match(
        three,
        /^%7\r\n\$6\r\nserver\r\n\$5\r\nredis\r\n\$7\r\nversion\r\n\$\d+\r\n7\.[\d.]+\r\n\$5\r\nproto\r\n:3\r\n\$2\r\nid\r\n:\d+\r\n/
      )
      const key = fresh("wire")
      yield* socket.write(
        `${encodeCall("HSET", key, "a", "1")}${encodeCall("HGETALL", key)}${encodeCall("GET", `${key}:none`)}`
      )
      yield* socket.hear(/^:1\r\n%1\r\n\$1\r\na\r\n\$1\r\n1\r\n_\r\n$/)
      yield* socket.write(encodeCall("HELLO", "2"))
      yield* socket.hear(/^\*14\r\n\$6\r\nserver[\s\S]*\$7\r\nmodules\r\n\*0\r\n$/)
      yield* socket.write(
        `${encodeCall("HGETALL", key)}${encodeCall("GET", `${key}:none`)}${encodeCall("HELLO", "4")}`
      )
      yield* socket.hear(/^\*2\r\n\$1\r\na\r\n\$1\r\n1\r\n\$-1\r\n-NOPROTO unsupported protocol version\r\n$/)
    })
  )

  it.effect("pushes messages to clients of RESP3 between other replies", () =>
    Effect.gen(function* () {
      const socket = yield* raw
      const channel = fresh("push")
      const name = `\\$${channel.length}\r\n${channel}\r\n`
      yield* socket.write(
        `${encodeCall("HELLO", "3")}${encodeCall("SUBSCRIBE", channel)}${encodeCall("PING")}`
      )
      yield* socket.hear(new RegExp(`>3\r\n\\$9\r\nsubscribe\r\n${name}:1\r\n\\+PONG\r\n$`))
      yield* (yield* RedisPubSub).publish(channel, "hi")
      yield* socket.hear(new RegExp(`^>3\r\n\\$7\r\nmessage\r\n${name}\\$2\r\nhi\r\n$`))
      yield* socket.write(
        `${encodeCall("RESET")}${encodeCall("SUBSCRIBE", channel)}${encodeCall("GET", "a")}${encodeCall("PING")}`
      )
      yield* socket.hear(
        new RegExp(
          `^\\+RESET\r\n\\*3\r\n\\$9\r\nsubscribe\r\n${name}:1\r\n-ERR Can't execute 'get': only \\(P[^\r]*\r\n\\*2\r\n\\$4\r\npong\r\n\\$0\r\n\r\n$`
        )
      )
    })
  )

  it.effect("answers what clients ask first, and a person at a terminal", () =>
    Effect.gen(function* () {
      const socket = yield* raw
      yield* socket.write('PING\r\n\r\nECHO "a b"\r\n')
      yield* socket.hear(/^\+PONG\r\n\$3\r\na b\r\n$/)
      yield* socket.write(
        `${encodeCall("SELECT", "0")}${encodeCall("CLIENT", "ID")}${encodeCall("COMMAND", "COUNT")}${encodeCall("TIME")}`
      )
      yield* socket.hear(/^\+OK\r\n:\d+\r\n:\d+\r\n\*2\r\n\$10\r\n\d{10}\r\n\$\d\r\n\d+\r\n$/)
      yield* socket.write(`${encodeCall("NOSUCH")}${encodeCall("PING")}${encodeCall("QUIT")}`)
      yield* socket.hear(/^-ERR unknown command 'NOSUCH', with args beginning with: \r\n\+PONG\r\n\+OK\r\n$/)
      yield* socket.closed
    })
  )

  it.effect("closes a connection that breaks the protocol, and no other", () =>
    Effect.gen(function* () {
      const [bad, good] = [yield* raw, yield* raw]
      yield* bad.write("*1\r\n!4\r\nPING\r\n")
      yield* bad.hear(/^-ERR Protocol error: expected '\$', got '!'\r\n$/)
      yield* bad.closed
      yield* good.write(encodeCall("PING"))
      yield* good.hear(/^\+PONG\r\n$/)
      const huge = yield* raw
      yield* huge.write("*1\r\n$99999999999\r\n")
      yield* huge.hear(/^-ERR Protocol error: invalid bulk length\r\n$/)
    })
  )

  it.effect("takes a request in pieces, however it is cut", () =>
    Effect.gen(function* () {
      const socket = yield* raw
      const [key, value] = [fresh("pieces"), "x".repeat(100_000)]
      const text = `${encodeCall("SET", key, value)}${encodeCall("STRLEN", key)}`
      for (const cut of [1, 2, 5, 20, 70_000]) {
        yield* socket.write(text.slice(0, cut))
        yield* Effect.yieldNow
        yield* socket.write(text.slice(cut))
        yield* socket.hear(/^\+OK\r\n:100000\r\n$/)
      }
    })
  )
}

class Doubled extends Persistable.Class<{ payload: { readonly n: number } }>()("Doubled", {
  primaryKey: ({ n }) => String(n),
  success: Schema.Int
}) {}

/** effect's own stores, whose scripts are the hardest test of the Lua machine. */
const effectStores = (it: It) => {
  it.effect("carries effect's rate limiter", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter.make
      const options = { window: "1 minute", limit: 3, key: fresh("rate") } as const
      for (const remaining of [2, 1, 0]) {
        assert.strictEqual((yield* limiter.consume(options)).remaining, remaining)
      }
      const refused = yield* Effect.flip(limiter.consume(options))
      assert.strictEqual(refused.reason._tag, "RateLimitExceeded")
      const bucket = { ...options, key: fresh("bucket"), algorithm: "token-bucket" } as const
      assert.strictEqual((yield* limiter.consume({ ...bucket, tokens: 2 })).remaining, 1)
      const adaptive = yield* limiter.adaptiveConsume({
        key: fresh("adaptive"),
        fallbackWindow: Duration.seconds(1),
        fallbackLimit: 10,
        tokens: 1
      })
      assert.strictEqual(adaptive.phase, "inactive")
    }).pipe(Effect.provide(RateLimiter.layerStoreRedis()))
  )

  it.effect("carries effect's circuit breaker", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(2),
        openDuration: "1 minute",
        onStoreError: "fail"
      })
      const key = fresh("breaker")
      for (let i = 0; i < 2; i++)
        assert.strictEqual(yield* Effect.flip(breaker.execute(Effect.fail("no"), { key })), "no")
      assert.strictEqual((yield* breaker.state(key))._tag, "Open")
      const refused = yield* Effect.flip(breaker.execute(Effect.succeed(1), { key }))
      assert.propertyVal(refused, "_tag", "CircuitBreakerError")
      const rate = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.rate({ threshold: 0.5, size: 4, minimumCalls: 4 }),
        openDuration: "1 minute",
        onStoreError: "fail"
      })
      const other = fresh("rate")
      for (const call of [Effect.succeed(1), Effect.fail("no"), Effect.succeed(1), Effect.fail("no")]) {
        yield* Effect.exit(rate.execute(call, { key: other }))
      }
      assert.strictEqual((yield* rate.state(other))._tag, "Open")
    }).pipe(Effect.provide(CircuitBreaker.layerStoreRedis()))
  )

  it.effect("carries effect's persisted queue", () =>
    Effect.gen(function* () {
      const queue = yield* PersistedQueue.make({
        name: fresh("queue"),
        schema: Schema.Struct({ n: Schema.Int, text: Schema.String })
      })
      const element = { n: 1, text: 'é"/\\☃' }
      yield* queue.offer(element, { id: "one" })
      yield* queue.offer(element, { id: "one" })
      yield* queue.offer({ n: 2, text: "" })
      const failed = yield* Effect.exit(queue.take(() => Effect.fail("again")))
      assert.isTrue(Exit.isFailure(failed))
      assert.deepStrictEqual(yield* queue.take((value) => Effect.succeed(value)), { n: 2, text: "" })
      yield* queue.take((value, { attempts }) =>
        Effect.sync(() => assert.deepStrictEqual([value, attempts], [element, 2]))
      )
    }).pipe(
      Effect.provide(
        PersistedQueue.layer.pipe(
          Layer.provide(PersistedQueue.layerStoreRedis({ pollInterval: "50 millis" }))
        )
      )
    )
  )

  it.effect("carries effect's persisted cache", () =>
    Effect.gen(function* () {
      let lookups = 0
      const storeId = fresh("cache")
      const make = PersistedCache.make(
        (key: Doubled) =>
          Effect.sync(() => {
            lookups += 1
            return key.n * 2
          }),
        { storeId, timeToLive: () => "1 minute" }
      )
      assert.strictEqual(yield* Effect.flatMap(make, (cache) => cache.get(new Doubled({ n: 21 }))), 42)
      const second = yield* make
      assert.strictEqual(yield* second.get(new Doubled({ n: 21 })), 42)
      assert.strictEqual(lookups, 1)
      yield* second.invalidate(new Doubled({ n: 21 }))
      assert.strictEqual(yield* second.get(new Doubled({ n: 21 })), 42)
      assert.strictEqual(lookups, 2)
    }).pipe(Effect.provide(Persistence.layerRedis))
  )
}

const parts = [
  ...[strings, collections, scripts, streams, redisStream],
  ...[messages, batches, wordings, effectStores]
]

/** Runs the whole contract on one target; without a port there is nothing to say on the wire. */
export const suite = (name: string, target: Target, options?: { readonly withoutPort: true }) =>
  layer(target, { excludeTestServices: true, timeout: "20 seconds" })(`Redis contract, ${name}`, (it) => {
    for (const part of options?.withoutPort ? parts : [...parts, wire]) part(it)
  })
