/** Consumer groups of streams: handing out, acking, taking over, looking into. */
import type { Args, Blocked, Command, Context } from "../Machine.ts"
import { Failure, nilList, ok, Pairs, type Reply, Streams, syntaxError } from "../Reply.ts"
import { formatId, Group, maxId, type Pending, parseId, StreamValue } from "../StreamValue.ts"
import { at, int } from "./arguments.ts"
import { edge, entryReply, id, readOptions, readOrBlock, stream } from "./streams.ts"

const noSuchKey = () => new Failure("ERR no such key")

const keyNeeded = () =>
  new Failure(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically."
  )

const noGroup = (group: string, key: string) =>
  new Failure(`NOGROUP No such consumer group '${group}' for key name '${key}'`)

/** `xgroup`'s options, and the id at which the group stands. */
const groupOptions = (args: Args, allowed: ReadonlyArray<string>) => {
  const seen = new Set<string>()
  let entriesRead = -1
  for (let i = 4; i < args.length; i++) {
    const option = at(args, i).toLowerCase()
    if (!allowed.includes(option)) {
      const sub = at(args, 0).slice(0, 128)
      throw new Failure(`ERR unknown subcommand or wrong number of arguments for '${sub}'. Try XGROUP HELP.`)
    }
    seen.add(option)
    if (option !== "entriesread") continue
    entriesRead = int(at(args, ++i))
    if (entriesRead < -1) throw new Failure("ERR value for ENTRIESREAD must be positive or -1")
  }
  return { seen, entriesRead }
}

const position = (value: StreamValue | undefined, text: string) =>
  text === "$" ? (value?.lastId ?? 0n) : id(text)

const create = (context: Context, args: Args): Reply => {
  const { seen, entriesRead } = groupOptions(args, ["mkstream", "entriesread"])
  const [key, name] = [at(args, 1), at(args, 2)]
  const there = stream(context, key)
  if (there === undefined && !seen.has("mkstream")) throw keyNeeded()
  const value = there ?? new StreamValue()
  const lastId = position(value, at(args, 3))
  if (value.groups.has(name)) throw new Failure("BUSYGROUP Consumer Group name already exists")
  value.groups.set(name, new Group(lastId, entriesRead))
  if (there === undefined) context.db.put(key, value)
  else context.db.touch(key)
  return ok
}

/** The stream and the group that `xgroup` works on. */
const existing = (context: Context, args: Args) => {
  const [key, name] = [at(args, 1), at(args, 2)]
  const value = stream(context, key)
  if (value === undefined) throw keyNeeded()
  return { key, name, value, group: value.groups.get(name) }
}

const setId = (context: Context, args: Args): Reply => {
  const { entriesRead } = groupOptions(args, ["entriesread"])
  const { key, name, value, group } = existing(context, args)
  if (group === undefined) throw noGroup(name, key)
  group.lastId = position(value, at(args, 3))
  group.entriesRead = entriesRead
  context.db.touch(key)
  return ok
}

const destroy = (context: Context, args: Args): Reply => {
  const { key, name, value } = existing(context, args)
  if (!value.groups.delete(name)) return 0
  context.db.touch(key)
  return 1
}

const createConsumer = (context: Context, args: Args): Reply => {
  const { key, name, group } = existing(context, args)
  if (group === undefined) throw noGroup(name, key)
  if (!group.consumer(at(args, 3), context.now).created) return 0
  context.db.touch(key)
  return 1
}

const deleteConsumer = (context: Context, args: Args): Reply => {
  const { key, name, group } = existing(context, args)
  if (group === undefined) throw noGroup(name, key)
  const consumer = group.consumers.get(at(args, 3))
  if (consumer === undefined) return 0
  const mine = [...group.pending()].filter(([, pending]) => pending.consumer === consumer)
  for (const [each] of mine) group.remove(each)
  group.consumers.delete(consumer.name)
  context.db.touch(key)
  return mine.length
}

interface Source {
  readonly key: string
  readonly value: StreamValue
  readonly group: Group
}

const source = (context: Context, key: string, name: string): Source => {
  const value = stream(context, key)
  const group = value?.groups.get(name)
  if (value === undefined || group === undefined) {
    throw new Failure(
      `NOGROUP No such key '${key}' or consumer group '${name}' in XREADGROUP with GROUP option`
    )
  }
  return { key, value, group }
}

interface Handing {
  readonly consumer: string
  readonly count: number | undefined
  readonly noAck: boolean
}

/** New entries, handed to the consumer. */
const handOut = (
  context: Context,
  { key, value, group }: Source,
  to: Handing,
  now: number
): Reply | undefined => {
  if (value.lastId <= group.lastId) return undefined
  const entries = value.range(group.lastId + 1n, maxId, to.count)
  if (entries.length === 0) return undefined
  const { consumer } = group.consumer(to.consumer, now)
  for (const entry of entries) {
    value.advance(group, entry.id)
    if (!to.noAck) group.assign(entry.id, { consumer, deliveredAt: now, deliveries: 1 })
  }
  context.db.touch(key)
  return entries.map(entryReply)
}

/** Entries that the consumer was handed before and has not acked; `null` for one that is gone. */
const history = (
  context: Context,
  { key, value, group }: Source,
  to: Handing,
  after: bigint,
  now: number
): Reply => {
  const replies: Array<Reply> = []
  const { created } = group.consumer(to.consumer, now)
  for (const [each, pending] of group.pending()) {
    if (replies.length >= (to.count ?? Number.POSITIVE_INFINITY)) break
    if (each <= after || pending.consumer.name !== to.consumer) continue
    const entry = value.find(each)
    if (entry !== undefined) {
      pending.deliveredAt = now
      pending.deliveries += 1
    }
    replies.push(entry === undefined ? [formatId(each), null] : entryReply(entry))
  }
  if (created || replies.length > 0) context.db.touch(key)
  return replies
}

const xreadgroup = (context: Context, args: Args): Reply | Blocked => {
  if (at(args, 0).toLowerCase() !== "group") throw syntaxError()
  const [name, consumer] = [at(args, 1), at(args, 2)]
  const options = readOptions(args, 3, "xreadgroup")
  const to: Handing = { consumer, count: options.count || undefined, noAck: options.noAck }
  const from = options.keys.map((key, i) => {
    source(context, key, name)
    return groupPosition(at(options.ids, i))
  })
  const read = (now: number) => {
    const found = options.keys.flatMap((key, i): Array<readonly [string, Reply]> => {
      const after = from[i]
      const each = source(context, key, name)
      const reply =
        after === undefined ? handOut(context, each, to, now) : history(context, each, to, after, now)
      return reply === undefined ? [] : [[key, reply]]
    })
    return found.length === 0 ? undefined : new Streams(found)
  }
  return readOrBlock(context, options, read)
}

/** The id after which own entries are read; `undefined` for `>`, new ones. */
const groupPosition = (text: string): bigint | undefined => {
  if (text === ">") return undefined
  if (text === "$") {
    throw new Failure(
      "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set."
    )
  }
  return id(text)
}

const xack = (context: Context, [key = "", name = "", ...texts]: Args): Reply => {
  const group = stream(context, key)?.groups.get(name)
  if (group === undefined) return 0
  const acked = texts.map((text) => id(text)).filter((each) => group.remove(each)).length
  if (acked > 0) context.db.touch(key)
  return acked
}

/** For XPENDING, XCLAIM and XAUTOCLAIM, which share their words for what is missing. */
const claimSource = (context: Context, args: Args): Source => {
  const [key, name] = [at(args, 0), at(args, 1)]
  const value = stream(context, key)
  const group = value?.groups.get(name)
  if (value === undefined || group === undefined) {
    throw new Failure(`NOGROUP No such key '${key}' or consumer group '${name}'`)
  }
  return { key, value, group }
}

const xpending = (context: Context, args: Args): Reply => {
  if (args.length === 2) return pendingSummary(claimSource(context, args).group)
  let next = 2
  let minIdle = 0
  if (at(args, 2).toLowerCase() === "idle") {
    minIdle = int(at(args, 3))
    next = 4
  }
  if (args.length < next + 3 || args.length > next + 4) throw syntaxError()
  const count = Math.max(0, int(at(args, next + 2)))
  const [low, high] = [edge(at(args, next), false), edge(at(args, next + 1), true)]
  const { group } = claimSource(context, args)
  const consumer = args[next + 3]
  const rows: Array<Reply> = []
  for (const [each, pending] of group.pending()) {
    if (rows.length >= count || each > high) break
    const idle = Math.max(0, context.now - pending.deliveredAt)
    if (each < low || idle < minIdle || (consumer !== undefined && consumer !== pending.consumer.name))
      continue
    rows.push([formatId(each), pending.consumer.name, idle, pending.deliveries])
  }
  return rows
}

const pendingSummary = (group: Group): Reply => {
  const ids = Array.from(group.pending(), ([each]) => each)
  const [first, last] = [ids[0], ids.at(-1)]
  if (first === undefined || last === undefined) return [0, null, null, nilList]
  const consumers = [...group.consumers.values()].filter((each) => each.pending > 0)
  const counts = consumers
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((each) => [each.name, String(each.pending)])
  return [ids.length, formatId(first), formatId(last), counts]
}

interface Claim {
  deliveredAt: number
  retryCount: number | undefined
  force: boolean
  justId: boolean
  lastId: bigint
}

const claimed = ({ now }: Context): Claim => ({
  deliveredAt: now,
  retryCount: undefined,
  force: false,
  justId: false,
  lastId: 0n
})

const claimOptions = (context: Context, args: Args, from: number): Claim => {
  const claim = claimed(context)
  for (let i = from; i < args.length; i++) {
    const option = at(args, i).toLowerCase()
    if (option === "force") claim.force = true
    else if (option === "justid") claim.justId = true
    else if (option === "idle") claim.deliveredAt = context.now - claimNumber("IDLE", at(args, ++i))
    else if (option === "time") claim.deliveredAt = claimNumber("TIME", at(args, ++i))
    else if (option === "retrycount") claim.retryCount = claimNumber("RETRYCOUNT", at(args, ++i))
    else if (option === "lastid") claim.lastId = id(at(args, ++i))
    else throw new Failure(`ERR Unrecognized XCLAIM option '${at(args, i)}'`)
  }
  if (claim.deliveredAt < 0 || claim.deliveredAt > context.now) claim.deliveredAt = context.now
  return claim
}

const claimNumber = (option: string, text: string) => {
  const value = /^-?\d+$/.test(text) ? Number(text) : undefined
  if (value === undefined) throw new Failure(`ERR Invalid ${option} option argument for XCLAIM`)
  return value
}

const minIdleTime = (text: string, command: string) => {
  if (!/^-?\d+$/.test(text)) throw new Failure(`ERR Invalid min-idle-time argument for ${command}`)
  return Math.max(0, Number(text))
}

/** Hands an entry that somebody else may have to `consumer`. */
const take = (
  group: Group,
  each: bigint,
  old: Pending | undefined,
  name: string,
  claim: Claim,
  now: number
) => {
  const { consumer } = group.consumer(name, now)
  const counted = old === undefined ? 1 : old.deliveries + (claim.justId ? 0 : 1)
  const deliveries = claim.retryCount ?? counted
  group.assign(each, { consumer, deliveredAt: claim.deliveredAt, deliveries })
}

const xclaim = (context: Context, args: Args): Reply => {
  const { key, value, group } = claimSource(context, args)
  const minIdle = minIdleTime(at(args, 3), "XCLAIM")
  const texts = args.slice(4)
  const options = texts.findIndex((text) => parseId(text, 0n) === undefined)
  const ids = (options < 0 ? texts : texts.slice(0, options)).map((text) => id(text))
  const claim = claimOptions(context, args, 4 + ids.length)
  if (claim.lastId > group.lastId) group.lastId = claim.lastId
  const replies: Array<Reply> = []
  for (const each of ids) {
    const entry = value.find(each)
    const old = group.get(each)
    if (entry === undefined) {
      group.remove(each)
      continue
    }
    if (old === undefined && !claim.force) continue
    if (old !== undefined && context.now - old.deliveredAt < minIdle) continue
    take(group, each, old, at(args, 2), claim, context.now)
    replies.push(claim.justId ? formatId(each) : entryReply(entry))
  }
  context.db.touch(key)
  return replies
}

const autoclaimOptions = (args: Args) => {
  let [count, justId]: [number, boolean] = [100, false]
  for (let i = 5; i < args.length; i++) {
    const option = at(args, i).toLowerCase()
    if (option === "count") {
      count = int(at(args, ++i))
      if (count <= 0) throw new Failure("ERR COUNT must be > 0")
    } else if (option === "justid") justId = true
    else throw syntaxError()
  }
  return { count, justId }
}

const xautoclaim = (context: Context, args: Args): Reply => {
  const minIdle = minIdleTime(at(args, 3), "XAUTOCLAIM")
  const start = edge(at(args, 4), false)
  const { count, justId } = autoclaimOptions(args)
  const { key, value, group } = claimSource(context, args)
  const claim: Claim = { ...claimed(context), justId }
  const [taken, deleted]: [Array<Reply>, Array<Reply>] = [[], []]
  const candidates = [...group.pending()].filter(([each]) => each >= start)
  let looked = 0
  for (const [each, pending] of candidates) {
    if (looked >= count * 10 || taken.length + deleted.length >= count) break
    looked += 1
    const entry = value.find(each)
    if (entry === undefined) {
      group.remove(each)
      deleted.push(formatId(each))
    } else if (context.now - pending.deliveredAt >= minIdle) {
      take(group, each, pending, at(args, 2), claim, context.now)
      taken.push(justId ? formatId(each) : entryReply(entry))
    }
  }
  if (taken.length + deleted.length > 0) context.db.touch(key)
  const rest = candidates[looked]
  return [rest === undefined ? "0-0" : formatId(rest[0]), taken, deleted]
}

const info = (context: Context, key: string): StreamValue => {
  const value = stream(context, key)
  if (value === undefined) throw noSuchKey()
  return value
}

const xinfoStream = (context: Context, args: Args): Reply => {
  const value = info(context, at(args, 1))
  if (args.length > 2) throw syntaxError()
  const nodes = Math.ceil(value.length / 100)
  return new Pairs([
    ...["length", value.length, "radix-tree-keys", nodes, "radix-tree-nodes", nodes + 1],
    ...["last-generated-id", formatId(value.lastId), "max-deleted-entry-id", formatId(value.maxDeletedId)],
    ...["entries-added", value.entriesAdded, "recorded-first-entry-id", formatId(value.first?.id ?? 0n)],
    ...["groups", value.groups.size],
    "first-entry",
    value.first === undefined ? null : entryReply(value.first),
    "last-entry",
    value.last === undefined ? null : entryReply(value.last)
  ])
}

const byName = <A>(map: ReadonlyMap<string, A>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1))

const xinfoGroups = (context: Context, args: Args): Reply => {
  const value = info(context, at(args, 1))
  return byName(value.groups).map(
    ([name, group]) =>
      new Pairs([
        ...["name", name, "consumers", group.consumers.size, "pending", group.size],
        ...["last-delivered-id", formatId(group.lastId)],
        ...["entries-read", group.entriesRead < 0 ? null : group.entriesRead, "lag", value.lag(group)]
      ])
  )
}

const xinfoConsumers = (context: Context, args: Args): Reply => {
  const [key, name] = [at(args, 1), at(args, 2)]
  const group = info(context, key).groups.get(name)
  if (group === undefined) throw noGroup(name, key)
  return byName(group.consumers).map(
    ([each, consumer]) =>
      new Pairs([
        "name",
        each,
        "pending",
        consumer.pending,
        "idle",
        Math.max(0, context.now - consumer.seenAt)
      ])
  )
}

export const groups: ReadonlyArray<Command> = [
  { name: "xgroup|create", arity: -5, write: true, run: create },
  { name: "xgroup|setid", arity: -5, write: true, run: setId },
  { name: "xgroup|destroy", arity: 4, write: true, run: destroy },
  { name: "xgroup|createconsumer", arity: 5, write: true, run: createConsumer },
  { name: "xgroup|delconsumer", arity: 5, write: true, run: deleteConsumer },
  { name: "xreadgroup", arity: -7, write: true, run: xreadgroup },
  { name: "xack", arity: -4, write: true, run: xack },
  { name: "xpending", arity: -3, run: xpending },
  { name: "xclaim", arity: -6, write: true, run: xclaim },
  { name: "xautoclaim", arity: -6, write: true, run: xautoclaim },
  { name: "xinfo|stream", arity: -3, run: xinfoStream },
  { name: "xinfo|groups", arity: 3, run: xinfoGroups },
  { name: "xinfo|consumers", arity: 4, run: xinfoConsumers }
]
