/** MULTI and EXEC, with WATCH. */
import type { Command, Context } from "../Machine.ts"
import { Failure, nilList, ok, type Reply } from "../Reply.ts"

const end = ({ machine, session }: Context) => {
  const queue = session.queue ?? []
  const { broken, stale } = session
  session.queue = undefined
  session.broken = false
  machine.unwatch(session)
  return { queue, broken, stale }
}

const exec = (context: Context): Reply => {
  if (context.session.queue === undefined) throw new Failure("ERR EXEC without MULTI")
  const { queue, broken, stale } = end(context)
  if (broken) throw new Failure("EXECABORT Transaction discarded because of previous errors.")
  return stale ? nilList : queue.map((call) => context.machine.nested(context, call))
}

export const transactions: ReadonlyArray<Command> = [
  {
    name: "multi",
    arity: 1,
    noScript: true,
    run: ({ session }) => {
      if (session.queue !== undefined) throw new Failure("ERR MULTI calls can not be nested")
      session.queue = []
      return ok
    }
  },
  { name: "exec", arity: 1, noScript: true, run: exec },
  {
    name: "discard",
    arity: 1,
    noScript: true,
    run: (context) => {
      if (context.session.queue === undefined) throw new Failure("ERR DISCARD without MULTI")
      end(context)
      return ok
    }
  },
  {
    name: "watch",
    arity: -2,
    noScript: true,
    run: ({ machine, session }, keys) => {
      if (session.queue !== undefined) throw new Failure("ERR WATCH inside MULTI is not allowed")
      for (const key of keys) machine.watch(session, key)
      return ok
    }
  },
  {
    name: "unwatch",
    arity: 1,
    noScript: true,
    run: ({ machine, session }) => {
      machine.unwatch(session)
      return ok
    }
  }
]
