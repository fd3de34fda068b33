/** Publish and subscribe. */
import { globToRegExp } from "../Bytes.ts"
import { type Args, type Command, type Context, enter, leave } from "../Machine.ts"
import { type Reply, silent } from "../Reply.ts"
import { at } from "./arguments.ts"

const subscribe = (name: string, kind: "channels" | "patterns"): Command => ({
  name,
  arity: -2,
  noScript: true,
  run: ({ machine, session }, args) => {
    for (const each of args) {
      session[kind].add(each)
      enter(machine[kind], each, session)
      session.push([name, each, session.channels.size + session.patterns.size])
    }
    return silent
  }
})

const unsubscribe = (name: string, kind: "channels" | "patterns"): Command => ({
  name,
  arity: -1,
  noScript: true,
  run: ({ machine, session }, args) => {
    const names: ReadonlyArray<string | null> = args.length > 0 ? args : [...session[kind]]
    for (const each of names.length > 0 ? names : [null]) {
      if (each !== null && session[kind].delete(each)) leave(machine[kind], each, session)
      session.push([name, each, session.channels.size + session.patterns.size])
    }
    return silent
  }
})

const publish = ({ machine }: Context, args: Args): Reply => {
  const [channel, message] = [at(args, 0), at(args, 1)]
  let heard = 0
  for (const session of machine.channels.get(channel) ?? []) {
    session.push(["message", channel, message])
    heard += 1
  }
  for (const [pattern, sessions] of machine.patterns) {
    if (!globToRegExp(pattern).test(channel)) continue
    for (const session of sessions) {
      session.push(["pmessage", pattern, channel, message])
      heard += 1
    }
  }
  return heard
}

export const pubsub: ReadonlyArray<Command> = [
  subscribe("subscribe", "channels"),
  subscribe("psubscribe", "patterns"),
  unsubscribe("unsubscribe", "channels"),
  unsubscribe("punsubscribe", "patterns"),
  { name: "publish", arity: 3, run: publish }
]
