/** Random sequences of commands, and the replies of two implementations made comparable. */
import { type Command, RedisClient } from "@agion/redis"
import { Effect, Result, Schema } from "effect"

type Args = ReadonlyArray<string>
type Pool = ReadonlyArray<Args>

const one = (...texts: Args): Pool => texts.map((text) => [text])
const maybe = (...options: ReadonlyArray<Args>): Pool => [[], [], ...options]

const key = one("k1", "k2", "k3", "k4")
const value = one("1", "-7", "", "abc", "é☃", "\u0000\r\n", "9223372036854775807", "3.5", "007")
const int = one("0", "1", "-1", "2", "-3", "100", "x", "9223372036854775807", "9223372036854775808")
const small = one("0", "1", "2", "-1", "-2", "5")
const name = one("a", "b", "c")
const score = one("0", "1", "-1.5", "2.25", "inf", "-inf", "1e3", "nan", "x")
const bound = one("-inf", "+inf", "(0", "1", "(2.25", "y")
const millis = one("600000", "0", "-1", "x", "9223372036854775807")
const stream = one("s1", "s2")
const group = one("g1", "g2")
const consumer = one("c1", "c2")
const id = one(
  "1-1",
  "2-1",
  "2-2",
  "3-0",
  "4-*",
  "5",
  "7-7",
  "0-0",
  "0-1",
  "9-18446744073709551615",
  "bad",
  "-"
)
const edge = one("-", "+", "1", "2-1", "(2-2", "5-0", "(bad")
const position = one("0", "$", "2-1", "bad")
const word = (...texts: Args): Pool => one(...texts)
const trim = maybe(
  ["MAXLEN", "2"],
  ["MAXLEN", "=", "3"],
  ["MINID", "2-1"],
  ["MAXLEN", "-1"],
  ["MAXLEN", "2", "LIMIT", "1"]
)

const scripts = one(
  "return {KEYS[1], ARGV[1], 3.7, false, true, 'x'}",
  "return redis.call('INCR', KEYS[1])",
  "return redis.pcall('HGETALL', KEYS[1])",
  "return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')",
  "local v = redis.call('GET', KEYS[1]) return v and #v or -1",
  "return tostring(tonumber(ARGV[1]))",
  "return redis.call('XRANGE', KEYS[1], '-', '+')",
  "redis.call('SET', KEYS[1], ARGV[1] .. 'x') return redis.status_reply('done')",
  "return cjson.encode({1, ARGV[1], {a = 1.5}})",
  "return {err = 'MY error'}",
  "return nosuch"
)

const templates: ReadonlyArray<ReadonlyArray<Pool>> = [
  [
    word("SET"),
    key,
    value,
    maybe(["NX"], ["XX"], ["GET"], ["KEEPTTL"]),
    maybe(["PX", "600000"], ["EX", "0"], ["NX"])
  ],
  [
    word(
      "GET",
      "GETDEL",
      "STRLEN",
      "TYPE",
      "INCR",
      "DECR",
      "PERSIST",
      "EXISTS",
      "HLEN",
      "LLEN",
      "SCARD",
      "ZCARD"
    ),
    key
  ],
  [word("INCRBY", "DECRBY"), key, int],
  [word("APPEND", "SETNX"), key, value],
  [word("GETRANGE", "LRANGE"), key, small, small],
  [word("SETEX", "PSETEX"), key, millis, value],
  [word("EXPIRE", "PEXPIRE"), key, millis, maybe(["NX"], ["XX"], ["NX", "XX"], ["BAD"])],
  [
    word("EXPIREAT"),
    key,
    one("4000000000", "5000000000", "1"),
    maybe(["GT"], ["LT"], ["GT", "LT"], ["GT", "XX"])
  ],
  [word("TTL", "PTTL"), key],
  [word("MGET", "DEL", "EXISTS"), key, key],
  [word("MSET"), key, value, key, value],
  [word("KEYS"), one("k*", "*", "k[12]", "k[^1]", "?1", "\\k1", "[", "k[1-3]")],
  [word("HSET"), key, name, value, maybe(["a", "1"], ["a"])],
  [word("HGET", "HDEL", "HEXISTS"), key, name],
  [word("HMGET"), key, name, name],
  [word("HGETALL", "HKEYS", "HVALS"), key],
  [word("HINCRBY"), key, name, int],
  [word("HSETNX"), key, name, value],
  [word("LPUSH", "RPUSH", "SADD", "SREM"), key, value, maybe(["x"], ["y", "x"])],
  [word("LPOP", "RPOP"), key, maybe(["0"], ["2"], ["-1"], ["x"])],
  [word("LTRIM"), key, small, small],
  [word("LINDEX"), key, small],
  [word("LREM"), key, small, value],
  [word("SMEMBERS"), key],
  [word("SISMEMBER"), key, value],
  [
    word("ZADD"),
    key,
    maybe(["NX"], ["XX"], ["GT"], ["CH"], ["INCR"], ["NX", "GT"]),
    score,
    name,
    maybe(["5", "d"], ["5"])
  ],
  [word("ZINCRBY"), key, score, name],
  [word("ZREM", "ZSCORE", "ZRANK"), key, name],
  [word("ZRANGE"), key, small, small, maybe(["WITHSCORES"], ["REV"], ["BAD"])],
  [
    word("ZRANGEBYSCORE", "ZREVRANGEBYSCORE"),
    key,
    bound,
    bound,
    maybe(["WITHSCORES"], ["LIMIT", "1", "1"], ["LIMIT", "0", "-1"])
  ],
  [word("ZCOUNT", "ZREMRANGEBYSCORE"), key, bound, bound],
  [word("ZREMRANGEBYRANK"), key, small, small],
  [word("XADD"), stream, trim, id, one("f", "g"), value, maybe(["h", "1"], ["h"])],
  [word("XADD"), stream, id, one("f"), value],
  [word("XADD"), key, maybe(["NOMKSTREAM"]), id, one("f"), value],
  [word("XLEN"), stream],
  [word("XRANGE", "XREVRANGE"), stream, edge, edge, maybe(["COUNT", "1"], ["COUNT", "0"], ["BAD", "1"])],
  [word("XREAD"), maybe(["COUNT", "1"]), word("STREAMS"), stream, position],
  [word("XTRIM"), stream, one("MAXLEN", "MINID"), one("0", "1", "2-2", "x")],
  [word("XDEL"), stream, id, maybe(["2-1"])],
  [word("XSETID"), stream, id, maybe(["ENTRIESADDED", "5", "MAXDELETEDID", "2-1"], ["ENTRIESADDED", "x"])],
  [
    word("XGROUP"),
    word("CREATE"),
    stream,
    group,
    position,
    maybe(["MKSTREAM"], ["ENTRIESREAD", "1"], ["BAD"])
  ],
  [word("XGROUP"), word("CREATE"), stream, group, one("0"), one("MKSTREAM")],
  [word("XGROUP"), word("SETID"), stream, group, position],
  [word("XGROUP"), word("DESTROY"), stream, group],
  [word("XGROUP"), word("CREATECONSUMER", "DELCONSUMER"), stream, group, consumer],
  [
    word("XREADGROUP"),
    word("GROUP"),
    group,
    consumer,
    maybe(["COUNT", "1"], ["NOACK"]),
    word("STREAMS"),
    stream,
    one(">", ">", "0", "2-1", "$")
  ],
  [
    word("XREADGROUP"),
    word("GROUP"),
    group,
    consumer,
    word("STREAMS"),
    stream,
    stream,
    one(">"),
    one(">", "0")
  ],
  [word("XACK"), stream, group, id, maybe(["2-1"])],
  [
    word("XPENDING"),
    stream,
    group,
    maybe(["-", "+", "10"], ["2", "+", "1", "c1"], ["IDLE", "0", "-", "+", "5"], ["-"])
  ],
  [
    word("XCLAIM"),
    stream,
    group,
    consumer,
    one("0", "600000"),
    id,
    maybe(["JUSTID"], ["FORCE"], ["RETRYCOUNT", "7"], ["IDLE", "5"], ["BAD"])
  ],
  [
    word("XAUTOCLAIM"),
    stream,
    group,
    consumer,
    one("0", "600000"),
    one("0-0", "2-1", "(1-1"),
    maybe(["COUNT", "1"], ["JUSTID"], ["COUNT", "0"])
  ],
  [word("XINFO"), one("STREAM", "GROUPS"), stream],
  [word("XINFO"), word("CONSUMERS"), stream, group],
  [word("EVAL"), scripts, one("1"), key, value],
  [word("EVAL"), scripts, one("1"), stream, value],
  [word("MULTI", "EXEC", "DISCARD", "UNWATCH", "DBSIZE", "PING")],
  [word("WATCH", "ECHO", "SELECT"), key],
  [word("NOSUCH", "XGROUP", "SET", "EVAL"), maybe(["a"], ["NOSUCH", "a"])]
]

/** A command by numbers, so that a failing sequence shrinks. */
export const Step = Schema.Struct({
  template: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: templates.length - 1 })),
  picks: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 59 }))).check(
    Schema.isMinLength(9),
    Schema.isMaxLength(9)
  )
})

/** The command that the numbers stand for. */
export const toCommand = ({ template, picks }: typeof Step.Type): Command => {
  const pools = templates[template] ?? []
  const [command = "PING", ...args] = pools.flatMap((pool, i) => pool[(picks[i] ?? 0) % pool.length] ?? [])
  return [command, ...args]
}

/** What is time, memory layout or the order of a set is not compared. */
const comparable = (command: Command, reply: unknown): unknown => {
  const [called, sub] = command
  // The client reads integers as doubles, digit by digit, and errs beyond 53 bits.
  if (typeof reply === "number" && Math.abs(reply) > Number.MAX_SAFE_INTEGER) return "many"
  if (called === "TTL" || called === "PTTL")
    return typeof reply === "number" && reply > 0 ? "some time" : reply
  if (!Array.isArray(reply)) return reply
  if (called === "SMEMBERS" || called === "KEYS") return reply.toSorted()
  if (called === "XPENDING" && command.length > 3)
    return reply.map((row) => (Array.isArray(row) ? row.toSpliced(2, 1) : row))
  if (called === "XINFO" && sub === "STREAM") return reply.filter((_, i) => ![2, 3, 4, 5].includes(i))
  if (called === "XINFO" && sub === "CONSUMERS")
    return reply.map((row) => (Array.isArray(row) ? row.slice(0, 4) : row))
  return reply.map((each) => (each instanceof Error ? each.message : each))
}

const shown = (command: Command, reply: Result.Result<unknown, { readonly cause: unknown }>) =>
  Result.isSuccess(reply)
    ? { reply: comparable(command, reply.success) }
    : {
        error:
          reply.failure.cause instanceof Error ? reply.failure.cause.message : String(reply.failure.cause)
      }

/** Inside a transaction replies come with EXEC, so nothing that needs masking is queued. */
const unmaskable = new Set(["TTL", "PTTL", "SMEMBERS", "KEYS", "XPENDING", "XINFO", "HGETALL"])

export const usable = (commands: ReadonlyArray<Command>) => {
  let queued = false
  return commands.filter(([called]) => {
    if (called === "MULTI") queued = true
    if (called === "EXEC" || called === "DISCARD") queued = false
    return !(queued && unmaskable.has(called))
  })
}

/** Runs the commands on an empty database and makes the replies comparable. */
export const replies = (commands: ReadonlyArray<Command>) =>
  Effect.gen(function* () {
    const client = yield* RedisClient
    const all = yield* client.pipeline([["DISCARD"], ["UNWATCH"], ["FLUSHALL"], ...commands])
    return commands.map((command, i) => ({
      command: command.join(" "),
      ...shown(command, all[i + 3] ?? Result.succeed("none"))
    }))
  })
