/** Streams without groups: appending, reading, trimming. */
import { type Args, Blocked, type Command, type Context } from "../Machine.ts"
import { Failure, nilList, ok, type Reply, Streams, syntaxError, wrongArity } from "../Reply.ts"
import { formatId, makeId, maxId, millisOf, parseId, type StreamEntry, StreamValue } from "../StreamValue.ts"
import { at, int64 } from "./arguments.ts"

export const stream = ({ db }: Context, key: string) => db.typed(key, "stream")

export const entryReply = (entry: StreamEntry): Reply => [formatId(entry.id), entry.fields]

/** An id in full, or its milliseconds alone with `seq`. */
export const id = (text: string, seq = 0n): bigint => {
  const value = parseId(text, seq)
  if (value === undefined) throw new Failure("ERR Invalid stream ID specified as stream command argument")
  return value
}

interface Trim {
  readonly by: "maxlen" | "minid"
  readonly about: boolean
  readonly limit: bigint
  /** LIMIT was given, which only makes sense with `~`. */
  readonly limited: boolean
}

const checkLimit = (trim: Trim | undefined) => {
  if (trim?.limited && !trim.about) {
    throw new Failure("ERR syntax error, LIMIT cannot be used without the special ~ option")
  }
}

/** `MAXLEN|MINID [=|~] threshold [LIMIT n]` at `from`; answers where it ends. */
const readTrim = (args: Args, from: number): { readonly trim: Trim; readonly next: number } => {
  const by = at(args, from).toLowerCase() === "maxlen" ? "maxlen" : "minid"
  const sign = args[from + 1]
  const about = sign === "~"
  let next = from + (about || sign === "=" ? 2 : 1)
  const text = at(args, next++)
  const limit = by === "maxlen" ? int64(text) : id(text)
  if (by === "maxlen" && limit < 0n) throw new Failure("ERR The MAXLEN argument must be >= 0.")
  if (args[next]?.toLowerCase() === "limit") {
    if (int64(at(args, next + 1)) < 0n) throw new Failure("ERR The LIMIT argument must be >= 0.")
    next += 2
    return { trim: { by, about, limit, limited: true }, next }
  }
  return { trim: { by, about, limit, limited: false }, next }
}

/** Redis drops whole nodes of a hundred entries when it need not be exact. */
const node = 100

const applyTrim = (value: StreamValue, trim: Trim): number => {
  const excess =
    trim.by === "maxlen" ? Math.max(0, value.length - Number(trim.limit)) : value.countBefore(trim.limit)
  return value.trim(trim.about ? Math.floor(excess / node) * node : excess)
}

const exhausted = () =>
  new Failure("ERR The stream has exhausted the last possible ID, unable to add more items")

/** `*`, `ms-*` or a whole id, always above the last one. */
const nextId = (value: StreamValue, text: string, now: number): bigint => {
  if (text === "*") {
    const fresh = makeId(BigInt(now), 0n)
    if (value.lastId === maxId) throw exhausted()
    return fresh > value.lastId ? fresh : value.lastId + 1n
  }
  const partial = text.endsWith("-*")
  const wanted = id(partial ? text.slice(0, -2) : text)
  if (value.lastId === maxId) throw exhausted()
  const tooSmall = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
  if (!partial) {
    if (wanted === 0n) throw new Failure("ERR The ID specified in XADD must be greater than 0-0")
    if (wanted <= value.lastId) throw new Failure(tooSmall)
    return wanted
  }
  if (millisOf(wanted) < millisOf(value.lastId)) throw new Failure(tooSmall)
  const next = wanted > value.lastId ? wanted : value.lastId + 1n
  if (millisOf(next) !== millisOf(wanted)) throw new Failure(tooSmall)
  return next === 0n ? 1n : next
}

const readAdd = (args: Args) => {
  let trim: Trim | undefined
  let create = true
  let next = 1
  while (next < args.length) {
    const option = at(args, next).toLowerCase()
    if (option === "nomkstream") {
      create = false
      next += 1
    } else if (option === "maxlen" || option === "minid") {
      if (trim !== undefined) {
        throw new Failure("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
      }
      ;({ trim, next } = readTrim(args, next))
    } else break
  }
  return { trim, create, idText: args[next], fields: args.slice(next + 1) }
}

const xadd = (context: Context, args: Args): Reply => {
  const { trim, create, idText, fields } = readAdd(args)
  const given = idText === undefined || idText === "*" ? undefined : id(idText.replace(/-\*$/, ""))
  checkLimit(trim)
  if (idText === undefined || fields.length === 0 || fields.length % 2 !== 0) throw wrongArity("xadd")
  if (given === 0n && !idText.endsWith("*")) {
    throw new Failure("ERR The ID specified in XADD must be greater than 0-0")
  }
  const key = at(args, 0)
  const there = stream(context, key)
  if (there === undefined && !create) return null
  const value = there ?? new StreamValue()
  const entry = { id: nextId(value, idText, context.now), fields }
  value.add(entry)
  if (trim !== undefined) applyTrim(value, trim)
  if (there === undefined) context.db.put(key, value)
  else context.db.touch(key)
  return formatId(entry.id)
}

const xtrim = (context: Context, args: Args): Reply => {
  if (!["maxlen", "minid"].includes(at(args, 1).toLowerCase())) throw syntaxError()
  const { trim, next } = readTrim(args, 1)
  if (next < args.length) throw syntaxError()
  checkLimit(trim)
  const value = stream(context, at(args, 0))
  if (value === undefined) return 0
  const gone = applyTrim(value, trim)
  if (gone > 0) context.db.touch(at(args, 0))
  return gone
}

const xdel = (context: Context, [key = "", ...texts]: Args): Reply => {
  const value = stream(context, key)
  if (value === undefined) return 0
  const ids = texts.map((text) => id(text))
  const gone = ids.filter((each) => value.delete(each)).length
  if (gone > 0) context.db.touch(key)
  return gone
}

/** An end of a range: `-`, `+`, an id, or `(` before one that is left out. */
export const edge = (text: string, upper: boolean): bigint => {
  if (text === "-") return 0n
  if (text === "+") return maxId
  if (!text.startsWith("(")) return id(text, upper ? (1n << 64n) - 1n : 0n)
  const value = id(text.slice(1), upper ? (1n << 64n) - 1n : 0n)
  if (value === (upper ? 0n : maxId)) {
    throw new Failure(`ERR invalid ${upper ? "end" : "start"} ID for the interval`)
  }
  return upper ? value - 1n : value + 1n
}

const xrange = (context: Context, args: Args, backwards: boolean): Reply => {
  const [from, to] = backwards ? [at(args, 2), at(args, 1)] : [at(args, 1), at(args, 2)]
  const [low, high] = [edge(from, false), edge(to, true)]
  let count = Number.POSITIVE_INFINITY
  for (let i = 3; i < args.length; i += 2) {
    if (at(args, i).toLowerCase() !== "count") throw syntaxError()
    count = Math.max(0, Number(int64(at(args, i + 1))))
  }
  const value = stream(context, at(args, 0))
  if (value === undefined) return []
  if (count === 0) return nilList
  return (backwards ? value.rangeBackwards(low, high, count) : value.range(low, high, count)).map(entryReply)
}

/** Moves the counters of a stream; what a stream was is told by them after its entries are gone. */
const xsetid = (context: Context, args: Args): Reply => {
  const lastId = id(at(args, 1))
  let [added, deleted]: [bigint | undefined, bigint | undefined] = [undefined, undefined]
  for (let i = 2; i < args.length; i += 2) {
    const option = at(args, i).toLowerCase()
    if (option === "entriesadded") added = int64(at(args, i + 1))
    else if (option === "maxdeletedid") deleted = id(at(args, i + 1))
    else throw syntaxError()
  }
  if (deleted !== undefined && lastId < deleted) {
    throw new Failure("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
  }
  const value = stream(context, at(args, 0))
  if (value === undefined) throw new Failure("ERR no such key")
  if (value.last !== undefined && lastId < value.last.id) {
    throw new Failure("ERR The ID specified in XSETID is smaller than the target stream top item")
  }
  value.lastId = lastId
  if (added !== undefined) value.entriesAdded = Number(added)
  if (deleted !== undefined && deleted !== 0n) value.maxDeletedId = deleted
  context.db.touch(at(args, 0))
  return ok
}

export interface ReadOptions {
  readonly count: number
  /** Milliseconds; 0 for ever; `undefined` not at all. */
  readonly block: number | undefined
  readonly noAck: boolean
  readonly keys: Args
  readonly ids: Args
}

/** `[COUNT n] [BLOCK ms] [NOACK] STREAMS key … id …` at `from`. */
export const readOptions = (args: Args, from: number, command: string): ReadOptions => {
  let [count, block, noAck]: [number, number | undefined, boolean] = [0, undefined, false]
  for (let i = from; i < args.length; i++) {
    const option = at(args, i).toLowerCase()
    if (option === "streams") return { count, block, noAck, ...split(args.slice(i + 1), command) }
    if (option === "count") count = Math.max(0, Number(int64(at(args, ++i))))
    else if (option === "block") block = timeout(at(args, ++i))
    else if (option === "noack" && command === "xreadgroup") noAck = true
    else throw syntaxError()
  }
  throw syntaxError()
}

const timeout = (text: string): number => {
  const value = /^-?\d+$/.test(text) ? Number(text) : undefined
  if (value === undefined) throw new Failure("ERR timeout is not an integer or out of range")
  if (value < 0) throw new Failure("ERR timeout is negative")
  return value
}

const split = (names: Args, command: string) => {
  if (names.length === 0 || names.length % 2 !== 0) {
    const symbol = command === "xread" ? "$" : ">"
    throw new Failure(
      `ERR Unbalanced '${command}' list of streams: for each stream key an ID or '${symbol}' must be specified.`
    )
  }
  return { keys: names.slice(0, names.length / 2), ids: names.slice(names.length / 2) }
}

/** Answers now, or waits for one of the streams as the options say. */
export const readOrBlock = (
  context: Context,
  options: ReadOptions,
  read: (now: number) => Reply | undefined
): Reply | Blocked => {
  const reply = read(context.now)
  if (reply !== undefined) return reply
  if (options.block === undefined || !context.mayBlock) return nilList
  const until = options.block === 0 ? Number.POSITIVE_INFINITY : context.now + options.block
  return new Blocked(options.keys, until, () => read(context.machine.now()))
}

const xread = (context: Context, args: Args): Reply | Blocked => {
  const options = readOptions(args, 0, "xread")
  const after = options.keys.map((key, i) => {
    const text = at(options.ids, i)
    const value = stream(context, key)
    if (text === ">") {
      throw new Failure(
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
      )
    }
    return text === "$" ? (value?.lastId ?? 0n) : id(text)
  })
  return readOrBlock(context, options, () => {
    const found = options.keys.flatMap((key, i): Array<readonly [string, Reply]> => {
      const from = after[i] ?? maxId
      const entries =
        from === maxId
          ? []
          : (stream(context, key)?.range(from + 1n, maxId, options.count || undefined) ?? [])
      return entries.length === 0 ? [] : [[key, entries.map(entryReply)]]
    })
    return found.length === 0 ? undefined : new Streams(found)
  })
}

export const streams: ReadonlyArray<Command> = [
  { name: "xadd", arity: -5, write: true, run: xadd },
  { name: "xlen", arity: 2, run: (context, args) => stream(context, at(args, 0))?.length ?? 0 },
  { name: "xrange", arity: -4, run: (context, args) => xrange(context, args, false) },
  { name: "xrevrange", arity: -4, run: (context, args) => xrange(context, args, true) },
  { name: "xread", arity: -4, run: xread },
  { name: "xtrim", arity: -4, write: true, run: xtrim },
  { name: "xsetid", arity: -3, write: true, run: xsetid },
  { name: "xdel", arity: -3, write: true, run: xdel }
]
