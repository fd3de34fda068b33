/** Hashes: fields under a key. */

import { parseInt64 } from "../Bytes.ts"
import type { HashValue } from "../Database.ts"
import type { Args, Command, Context } from "../Machine.ts"
import { Failure, ok, Pairs, type Reply, wrongArity } from "../Reply.ts"
import { at, int64, integerReply } from "./arguments.ts"

const fields = ({ db }: Context, key: string) => db.typed(key, "hash")?.fields

const forWriting = (context: Context, key: string): HashValue => {
  const value = context.db.typed(key, "hash")
  if (value !== undefined) return value
  const created: HashValue = { type: "hash", fields: new Map() }
  return created
}

/** Stores a hash that may be new, or says that it changed. */
const keep = ({ db }: Context, key: string, value: HashValue) => {
  if (db.get(key) === undefined) db.put(key, value)
  else db.touch(key)
}

const setFields = (context: Context, args: Args, name: string): number => {
  if (args.length % 2 !== 1) throw wrongArity(name)
  const key = at(args, 0)
  const hash = forWriting(context, key)
  let added = 0
  for (let i = 1; i < args.length; i += 2) {
    if (!hash.fields.has(at(args, i))) added += 1
    hash.fields.set(at(args, i), at(args, i + 1))
  }
  keep(context, key, hash)
  return added
}

const hincrby = (context: Context, args: Args): Reply => {
  const [key, field] = [at(args, 0), at(args, 1)]
  const amount = int64(at(args, 2))
  const hash = forWriting(context, key)
  const old = parseInt64(hash.fields.get(field) ?? "0")
  if (old === undefined) throw new Failure("ERR hash value is not an integer")
  const sum = old + amount
  if (sum >= 2n ** 63n || sum < -(2n ** 63n)) throw new Failure("ERR increment or decrement would overflow")
  hash.fields.set(field, String(sum))
  keep(context, key, hash)
  return integerReply(sum)
}

const hdel = (context: Context, args: Args): Reply => {
  const [key = "", ...names] = args
  const hash = context.db.typed(key, "hash")
  if (hash === undefined) return 0
  const removed = names.filter((name) => hash.fields.delete(name)).length
  if (removed > 0) context.db.touch(key)
  return removed
}

const hsetnx = (context: Context, args: Args): Reply => {
  if (fields(context, at(args, 0))?.has(at(args, 1))) return 0
  return setFields(context, args, "hsetnx")
}

export const hashes: ReadonlyArray<Command> = [
  { name: "hset", arity: -4, write: true, run: (context, args) => setFields(context, args, "hset") },
  {
    name: "hmset",
    arity: -4,
    write: true,
    run: (context, args) => {
      setFields(context, args, "hmset")
      return ok
    }
  },
  { name: "hsetnx", arity: 4, write: true, run: hsetnx },
  { name: "hget", arity: 3, run: (context, args) => fields(context, at(args, 0))?.get(at(args, 1)) ?? null },
  {
    name: "hmget",
    arity: -3,
    run: (context, [key = "", ...names]) => {
      const found = fields(context, key)
      return names.map((name) => found?.get(name) ?? null)
    }
  },
  {
    name: "hgetall",
    arity: 2,
    run: (context, args) => new Pairs([...(fields(context, at(args, 0)) ?? [])].flat())
  },
  { name: "hkeys", arity: 2, run: (context, args) => [...(fields(context, at(args, 0))?.keys() ?? [])] },
  { name: "hvals", arity: 2, run: (context, args) => [...(fields(context, at(args, 0))?.values() ?? [])] },
  { name: "hlen", arity: 2, run: (context, args) => fields(context, at(args, 0))?.size ?? 0 },
  {
    name: "hexists",
    arity: 3,
    run: (context, args) => (fields(context, at(args, 0))?.has(at(args, 1)) ? 1 : 0)
  },
  { name: "hdel", arity: -3, write: true, run: hdel },
  { name: "hincrby", arity: 4, write: true, run: hincrby }
]
