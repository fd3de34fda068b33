/** Strings: one value under a key, counters among them. */
import type { Args, Command, Context } from "../Machine.ts"
import { Failure, ok, type Reply, syntaxError, wrongArity } from "../Reply.ts"
import { at, expireAt, int, int64, integerReply } from "./arguments.ts"

const text = ({ db }: Context, key: string): string | null => db.typed(key, "string")?.text ?? null

const put = ({ db }: Context, key: string, value: string, expiry?: number) => {
  db.put(key, { type: "string", text: value })
  if (expiry !== undefined) db.expire(key, expiry)
}

interface SetOptions {
  only: "nx" | "xx" | undefined
  get: boolean
  keepExpiry: boolean
  expiry: number | undefined
}

const setOptions = (context: Context, args: Args): SetOptions => {
  const options: SetOptions = { only: undefined, get: false, keepExpiry: false, expiry: undefined }
  for (let i = 2; i < args.length; i++) {
    const option = at(args, i).toLowerCase()
    if (option === "nx" || option === "xx") {
      if (options.only !== undefined && options.only !== option) throw syntaxError()
      options.only = option
    } else if (option === "get") options.get = true
    else if (option === "keepttl" && options.expiry === undefined) options.keepExpiry = true
    else if (timeOptions.has(option) && options.expiry === undefined && !options.keepExpiry) {
      options.expiry = timeOption(context, option, at(args, ++i), "set")
    } else throw syntaxError()
  }
  return options
}

const timeOptions = new Set(["ex", "px", "exat", "pxat"])

const timeOption = (context: Context, option: string, value: string, command: string) =>
  expireAt(value, option.startsWith("ex"), option.endsWith("at") ? 0 : context.now, command)

const set = (context: Context, args: Args): Reply => {
  const key = at(args, 0)
  const options = setOptions(context, args)
  const old = options.get ? text(context, key) : null
  const there = context.db.get(key) !== undefined
  if ((options.only === "nx" && there) || (options.only === "xx" && !there)) return options.get ? old : null
  context.db.put(key, { type: "string", text: at(args, 1) }, options.keepExpiry)
  if (options.expiry !== undefined) context.db.expire(key, options.expiry)
  return options.get ? old : ok
}

const getex = (context: Context, args: Args): Reply => {
  const key = at(args, 0)
  const option = args[1]?.toLowerCase()
  if (option !== undefined && option !== "persist" && !timeOptions.has(option)) throw syntaxError()
  if (args.length > (option === undefined || option === "persist" ? 2 : 3)) throw syntaxError()
  const value = text(context, key)
  if (value === null || option === undefined) return value
  context.db.expire(key, option === "persist" ? undefined : timeOption(context, option, at(args, 2), "getex"))
  return value
}

const setWithTime = (name: string, seconds: boolean): Command => ({
  name,
  arity: 4,
  write: true,
  run: (context, args) => {
    put(context, at(args, 0), at(args, 2), expireAt(at(args, 1), seconds, context.now, name))
    return ok
  }
})

const add = (context: Context, key: string, amount: bigint): Reply => {
  const value = context.db.typed(key, "string")
  const sum = int64(value?.text ?? "0") + amount
  if (sum >= 2n ** 63n || sum < -(2n ** 63n)) throw new Failure("ERR increment or decrement would overflow")
  context.db.put(key, { type: "string", text: String(sum) }, true)
  return integerReply(sum)
}

const mset = (context: Context, args: Args): Reply => {
  if (args.length % 2 !== 0) throw wrongArity("mset")
  for (let i = 0; i < args.length; i += 2) put(context, at(args, i), at(args, i + 1))
  return ok
}

const append = (context: Context, args: Args): Reply => {
  const key = at(args, 0)
  const joined = (text(context, key) ?? "") + at(args, 1)
  context.db.put(key, { type: "string", text: joined }, true)
  return joined.length
}

/** Unlike a list's, a range that ends before the beginning still holds the first byte. */
const getrange = (context: Context, args: Args): Reply => {
  const [start, stop] = [int(at(args, 1)), int(at(args, 2))]
  const value = text(context, at(args, 0)) ?? ""
  if (start < 0 && stop < 0 && start > stop) return ""
  const from = Math.max(0, start < 0 ? value.length + start : start)
  const to = Math.max(0, stop < 0 ? value.length + stop : stop)
  return value.slice(from, to + 1)
}

export const strings: ReadonlyArray<Command> = [
  { name: "get", arity: 2, run: (context, args) => text(context, at(args, 0)) },
  { name: "set", arity: -3, write: true, run: set },
  {
    name: "getdel",
    arity: 2,
    write: true,
    run: (context, args) => {
      const value = text(context, at(args, 0))
      context.db.delete(at(args, 0))
      return value
    }
  },
  { name: "getex", arity: -2, write: true, run: getex },
  setWithTime("setex", true),
  setWithTime("psetex", false),
  {
    name: "setnx",
    arity: 3,
    write: true,
    run: (context, args) => {
      if (context.db.get(at(args, 0)) !== undefined) return 0
      put(context, at(args, 0), at(args, 1))
      return 1
    }
  },
  {
    name: "mget",
    arity: -2,
    run: ({ db }, args) =>
      args.map((key) => {
        const value = db.get(key)
        return value?.type === "string" ? value.text : null
      })
  },
  { name: "mset", arity: -3, write: true, run: mset },
  { name: "incr", arity: 2, write: true, run: (context, args) => add(context, at(args, 0), 1n) },
  { name: "decr", arity: 2, write: true, run: (context, args) => add(context, at(args, 0), -1n) },
  {
    name: "incrby",
    arity: 3,
    write: true,
    run: (context, args) => add(context, at(args, 0), int64(at(args, 1)))
  },
  {
    name: "decrby",
    arity: 3,
    write: true,
    run: (context, args) => add(context, at(args, 0), -int64(at(args, 1)))
  },
  { name: "append", arity: 3, write: true, run: append },
  { name: "strlen", arity: 2, run: (context, args) => text(context, at(args, 0))?.length ?? 0 },
  { name: "getrange", arity: 4, run: getrange }
]
