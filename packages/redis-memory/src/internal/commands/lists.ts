/** Lists: values in the order of their ends. */
import { parseInt64 } from "../Bytes.ts"
import type { ListValue } from "../Database.ts"
import type { Args, Command, Context } from "../Machine.ts"
import { Failure, nilList, ok, type Reply } from "../Reply.ts"
import { at, int, range } from "./arguments.ts"

const items = ({ db }: Context, key: string) => db.typed(key, "list")?.items ?? []

const push = (name: string, side: "left" | "right"): Command => ({
  name,
  arity: -3,
  write: true,
  run: ({ db }, [key = "", ...values]) => {
    const there = db.typed(key, "list")
    const list: ListValue = there ?? { type: "list", items: [] }
    list.items = side === "right" ? list.items.concat(values) : values.toReversed().concat(list.items)
    if (there === undefined) db.put(key, list)
    else db.touch(key)
    return list.items.length
  }
})

const pop = (name: string, side: "left" | "right"): Command => ({
  name,
  arity: -2,
  write: true,
  run: ({ db }, args) => {
    const key = at(args, 0)
    if (args.length > 2) throw new Failure(`ERR wrong number of arguments for '${name}' command`)
    const count = args[1] === undefined ? undefined : parseInt64(args[1])
    if (args[1] !== undefined && (count === undefined || count < 0n)) {
      throw new Failure("ERR value is out of range, must be positive")
    }
    const list = db.typed(key, "list")
    if (list === undefined) return count === undefined ? null : nilList
    const wanted = Number(count ?? 1n)
    const taken =
      side === "left"
        ? list.items.splice(0, wanted)
        : wanted === 0
          ? []
          : list.items.splice(-wanted).reverse()
    if (taken.length > 0) db.touch(key)
    return count === undefined ? (taken[0] ?? null) : taken
  }
})

const ltrim = ({ db }: Context, args: Args): Reply => {
  const [key, start, stop] = [at(args, 0), int(at(args, 1)), int(at(args, 2))]
  const list = db.typed(key, "list")
  if (list === undefined) return ok
  const found = range(start, stop, list.items.length)
  list.items = found === undefined ? [] : list.items.slice(found[0], found[1] + 1)
  db.touch(key)
  return ok
}

const lrem = ({ db }: Context, args: Args): Reply => {
  const [key, count, value] = [at(args, 0), int(at(args, 1)), at(args, 2)]
  const list = db.typed(key, "list")
  if (list === undefined) return 0
  let left = count === 0 ? list.items.length : Math.abs(count)
  const keep = (item: string) => item !== value || left-- <= 0
  const before = list.items.length
  list.items = count < 0 ? list.items.toReversed().filter(keep).reverse() : list.items.filter(keep)
  if (list.items.length !== before) db.touch(key)
  return before - list.items.length
}

export const lists: ReadonlyArray<Command> = [
  push("lpush", "left"),
  push("rpush", "right"),
  pop("lpop", "left"),
  pop("rpop", "right"),
  {
    name: "lrange",
    arity: 4,
    run: (context, args) => {
      const [start, stop] = [int(at(args, 1)), int(at(args, 2))]
      const all = items(context, at(args, 0))
      const found = range(start, stop, all.length)
      return found === undefined ? [] : all.slice(found[0], found[1] + 1)
    }
  },
  { name: "llen", arity: 2, run: (context, args) => items(context, at(args, 0)).length },
  {
    name: "lindex",
    arity: 3,
    run: (context, args) => {
      const all = items(context, at(args, 0))
      return all.at(int(at(args, 1))) ?? null
    }
  },
  { name: "ltrim", arity: 4, write: true, run: ltrim },
  { name: "lrem", arity: 4, write: true, run: lrem }
]
