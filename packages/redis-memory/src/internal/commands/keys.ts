/** Keys of any type: presence, expiry, listing. */
import { globToRegExp } from "../Bytes.ts"
import type { Command, Context } from "../Machine.ts"
import { Failure, ok, type Reply, Status, syntaxError } from "../Reply.ts"
import { at, int, int64 } from "./arguments.ts"

const remove: Command["run"] = ({ db }, args) => args.filter((key) => db.delete(key)).length

const expire = (name: string, seconds: boolean, absolute: boolean): Command => ({
  name,
  arity: -3,
  write: true,
  run: ({ db, now }, args) => {
    const flags = expireFlags(args.slice(2))
    const time = int64(at(args, 1)) * (seconds ? 1000n : 1n) + (absolute ? 0n : BigInt(now))
    if (time >= 2n ** 63n || time < -(2n ** 63n))
      throw new Failure(`ERR invalid expire time in '${name}' command`)
    const key = at(args, 0)
    if (db.get(key) === undefined) return 0
    const until = Number(time)
    if (!flags(db.expiry(key), until)) return 0
    db.expire(key, until)
    return 1
  }
})

const expireFlags = (flags: ReadonlyArray<string>) => {
  for (const flag of flags) {
    if (!["nx", "xx", "gt", "lt"].includes(flag.toLowerCase()))
      throw new Failure(`ERR Unsupported option ${flag}`)
  }
  const seen = new Set(flags.map((flag) => flag.toLowerCase()))
  if (seen.has("nx") && seen.size > 1) {
    throw new Failure("ERR NX and XX, GT or LT options at the same time are not compatible")
  }
  if (seen.has("gt") && seen.has("lt")) {
    throw new Failure("ERR GT and LT options at the same time are not compatible")
  }
  return (old: number | undefined, until: number) => {
    if (seen.has("nx") && old !== undefined) return false
    if (seen.has("xx") && old === undefined) return false
    if (seen.has("gt") && (old === undefined || until <= old)) return false
    return !(seen.has("lt") && old !== undefined && until >= old)
  }
}

const timeLeft = (name: string, read: (expiry: number, now: number) => number): Command => ({
  name,
  arity: 2,
  run: ({ db, now }, args) => {
    const key = at(args, 0)
    if (db.get(key) === undefined) return -2
    const expiry = db.expiry(key)
    return expiry === undefined ? -1 : read(expiry, now)
  }
})

/** The cursor is the number of keys seen: keys stay in the order of creation. */
const scan = ({ db }: Context, args: ReadonlyArray<string>): Reply => {
  const cursor = Number(at(args, 0))
  if (!/^\d+$/.test(at(args, 0))) throw new Failure("ERR invalid cursor")
  let pattern: RegExp | undefined
  let type: string | undefined
  let count = 10
  for (let i = 1; i < args.length; i += 2) {
    const option = at(args, i).toLowerCase()
    if (option === "match") pattern = globToRegExp(at(args, i + 1))
    else if (option === "type") type = at(args, i + 1).toLowerCase()
    else if (option === "count") count = int(at(args, i + 1))
    else throw syntaxError()
    if (count < 1) throw syntaxError()
  }
  const keys = db.keys()
  const page = keys.slice(cursor, cursor + count)
  const next = cursor + count < keys.length ? cursor + count : 0
  return [
    String(next),
    page.filter((key) => (pattern?.test(key) ?? true) && (type === undefined || db.get(key)?.type === type))
  ]
}

const flush: Command["run"] = ({ db }) => {
  db.clear()
  return ok
}

export const keys: ReadonlyArray<Command> = [
  { name: "del", arity: -2, write: true, run: remove },
  { name: "unlink", arity: -2, write: true, run: remove },
  {
    name: "exists",
    arity: -2,
    run: ({ db }, args) => args.filter((key) => db.get(key) !== undefined).length
  },
  expire("expire", true, false),
  expire("pexpire", false, false),
  expire("expireat", true, true),
  expire("pexpireat", false, true),
  timeLeft("ttl", (expiry, now) => Math.floor((expiry - now + 500) / 1000)),
  timeLeft("pttl", (expiry, now) => expiry - now),
  timeLeft("pexpiretime", (expiry) => expiry),
  {
    name: "persist",
    arity: 2,
    write: true,
    run: ({ db }, args) => {
      const key = at(args, 0)
      if (db.get(key) === undefined || db.expiry(key) === undefined) return 0
      db.expire(key, undefined)
      return 1
    }
  },
  { name: "type", arity: 2, run: ({ db }, args) => new Status(db.get(at(args, 0))?.type ?? "none") },
  {
    name: "keys",
    arity: 2,
    run: ({ db }, args) => {
      const pattern = globToRegExp(at(args, 0))
      return db.keys().filter((key) => pattern.test(key))
    }
  },
  { name: "scan", arity: -2, run: scan },
  { name: "dbsize", arity: 1, run: ({ db }) => db.keys().length },
  { name: "flushall", arity: -1, write: true, run: flush },
  { name: "flushdb", arity: -1, write: true, run: flush }
]
