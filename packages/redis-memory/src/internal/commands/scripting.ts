/** Lua scripts, by source or by digest. */

import { parseInt64 } from "../Bytes.ts"
import type { Args, Command, Context } from "../Machine.ts"
import { Failure, notInteger, ok, type Reply } from "../Reply.ts"
import { at } from "./arguments.ts"

const evaluate = (
  context: Context,
  args: Args,
  digest: (scripts: Context["machine"]["scripts"]) => string
): Reply => {
  const count = parseInt64(at(args, 1))
  if (count === undefined) throw notInteger()
  if (count > BigInt(args.length - 2))
    throw new Failure("ERR Number of keys can't be greater than number of args")
  if (count < 0n) throw new Failure("ERR Number of keys can't be negative")
  const keys = Number(count)
  const { scripts } = context.machine
  return scripts.run(context, digest(scripts), args.slice(2, 2 + keys), args.slice(2 + keys))
}

const evalsha = (context: Context, args: Args): Reply =>
  evaluate(context, args, (scripts) => {
    const sha = at(args, 0).toLowerCase()
    if (!scripts.has(sha)) throw new Failure("NOSCRIPT No matching script. Please use EVAL.")
    return sha
  })

export const scripting: ReadonlyArray<Command> = [
  {
    name: "eval",
    arity: -3,
    noScript: true,
    run: (context, args) => evaluate(context, args, (scripts) => scripts.load(at(args, 0)))
  },
  { name: "evalsha", arity: -3, noScript: true, run: evalsha },
  {
    name: "script|load",
    arity: 3,
    noScript: true,
    run: ({ machine }, args) => machine.scripts.load(at(args, 1))
  },
  {
    name: "script|exists",
    arity: -3,
    noScript: true,
    run: ({ machine }, [, ...shas]) => shas.map((sha) => (machine.scripts.has(sha.toLowerCase()) ? 1 : 0))
  },
  {
    name: "script|flush",
    arity: -2,
    noScript: true,
    run: ({ machine }) => {
      machine.scripts.flush()
      return ok
    }
  }
]
