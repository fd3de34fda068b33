/** Sets: members without order. */
import type { SetValue } from "../Database.ts"
import type { Command, Context } from "../Machine.ts"
import { Members } from "../Reply.ts"
import { at } from "./arguments.ts"

const members = ({ db }: Context, key: string) => db.typed(key, "set")?.members

export const sets: ReadonlyArray<Command> = [
  {
    name: "sadd",
    arity: -3,
    write: true,
    run: ({ db }, [key = "", ...values]) => {
      const there = db.typed(key, "set")
      const set: SetValue = there ?? { type: "set", members: new Set() }
      const before = set.members.size
      for (const value of values) set.members.add(value)
      if (there === undefined) db.put(key, set)
      else if (set.members.size > before) db.touch(key)
      return set.members.size - before
    }
  },
  {
    name: "srem",
    arity: -3,
    write: true,
    run: (context, [key = "", ...values]) => {
      const set = members(context, key)
      if (set === undefined) return 0
      const removed = values.filter((value) => set.delete(value)).length
      if (removed > 0) context.db.touch(key)
      return removed
    }
  },
  {
    name: "smembers",
    arity: 2,
    run: (context, args) => new Members([...(members(context, at(args, 0)) ?? [])])
  },
  {
    name: "sismember",
    arity: 3,
    run: (context, args) => (members(context, at(args, 0))?.has(at(args, 1)) ? 1 : 0)
  },
  { name: "scard", arity: 2, run: (context, args) => members(context, at(args, 0))?.size ?? 0 }
]
