/** Sorted sets: members by score. */

import { parseFloat64 } from "../Bytes.ts"
import type { SortedSetValue } from "../Database.ts"
import type { Args, Command, Context } from "../Machine.ts"
import { Double, Failure, type Reply, Scored, syntaxError } from "../Reply.ts"
import { at, float, int, range } from "./arguments.ts"

type Pair = readonly [member: string, score: number]

const compare = (a: Pair, b: Pair) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1)

/** Infinities are equal to themselves, which a difference does not show. */
const order = (a: Pair, b: Pair) => (a[1] === b[1] ? (a[0] < b[0] ? -1 : 1) : compare(a, b))

const sorted = ({ db }: Context, key: string): ReadonlyArray<Pair> => {
  const value = db.typed(key, "zset")
  if (value === undefined) return []
  value.sorted ??= [...value.scores].sort(order)
  return value.sorted
}

const changed = ({ db }: Context, key: string, value: SortedSetValue) => {
  value.sorted = undefined
  if (db.get(key) === undefined) db.put(key, value)
  else db.touch(key)
}

const flagNames = new Set(["nx", "xx", "gt", "lt", "ch", "incr"])

const readFlags = (args: Args) => {
  const flags = new Set<string>()
  let next = 1
  while (flagNames.has(args[next]?.toLowerCase() ?? "")) flags.add(at(args, next++).toLowerCase())
  return { flags, rest: args.slice(next) }
}

const checkFlags = (flags: ReadonlySet<string>, rest: Args) => {
  if (rest.length === 0 || rest.length % 2 !== 0) throw syntaxError()
  if (flags.has("nx") && flags.has("xx")) {
    throw new Failure("ERR XX and NX options at the same time are not compatible")
  }
  if (Number(flags.has("gt")) + Number(flags.has("lt")) + Number(flags.has("nx")) > 1) {
    throw new Failure("ERR GT, LT, and/or NX options at the same time are not compatible")
  }
  if (flags.has("incr") && rest.length > 2) {
    throw new Failure("ERR INCR option supports a single increment-element pair")
  }
}

/** The score a member gets, or `undefined` when the flags leave it alone. */
const nextScore = (
  flags: ReadonlySet<string>,
  old: number | undefined,
  given: number
): number | undefined => {
  if (old === undefined) return flags.has("xx") ? undefined : given
  if (flags.has("nx")) return undefined
  const score = flags.has("incr") ? old + given : given
  if (Number.isNaN(score)) throw new Failure("ERR resulting score is not a number (NaN)")
  if ((flags.has("gt") && score <= old) || (flags.has("lt") && score >= old)) return undefined
  return score
}

const zadd = (context: Context, args: Args): Reply => {
  const { flags, rest } = readFlags(args)
  checkFlags(flags, rest)
  const scores = rest.filter((_, i) => i % 2 === 0).map(float)
  const key = at(args, 0)
  const value: SortedSetValue = context.db.typed(key, "zset") ?? {
    type: "zset",
    scores: new Map(),
    sorted: undefined
  }
  let [added, updated]: [number, number] = [0, 0]
  let result: number | undefined
  scores.forEach((given, i) => {
    const member = at(rest, i * 2 + 1)
    const old = value.scores.get(member)
    const score = nextScore(flags, old, given)
    if (score === undefined) return
    result = score
    if (old === undefined) added += 1
    else if (old !== score) updated += 1
    value.scores.set(member, score)
  })
  if (added + updated > 0) changed(context, key, value)
  if (flags.has("incr")) return result === undefined ? null : new Double(result)
  return flags.has("ch") ? added + updated : added
}

const zincrby = (context: Context, args: Args): Reply =>
  zadd(context, [at(args, 0), "INCR", at(args, 1), at(args, 2)])

type Test = (score: number) => boolean

const bound = (text: string): { readonly value: number; readonly open: boolean } => {
  const open = text.startsWith("(")
  const value = parseFloat64(open ? text.slice(1) : text)
  if (value === undefined) throw new Failure("ERR min or max is not a float")
  return { value, open }
}

const between = (min: string, max: string): Test => {
  const [low, high] = [bound(min), bound(max)]
  return (score) =>
    (low.open ? score > low.value : score >= low.value) &&
    (high.open ? score < high.value : score <= high.value)
}

const rangeOptions = (args: Args) => {
  let withScores = false
  let [offset, count]: [number, number] = [0, -1]
  for (let i = 3; i < args.length; i++) {
    const option = at(args, i).toLowerCase()
    if (option === "withscores") withScores = true
    else if (option === "limit") {
      offset = int(at(args, i + 1))
      count = int(at(args, i + 2))
      i += 2
    } else throw syntaxError()
  }
  const page = (pairs: ReadonlyArray<Pair>) =>
    offset < 0 ? [] : pairs.slice(offset, count < 0 ? undefined : offset + count)
  return { withScores, page }
}

const answer = (pairs: ReadonlyArray<Pair>, withScores: boolean): Reply =>
  withScores ? new Scored(pairs) : pairs.map(([member]) => member)

const byScore = (context: Context, args: Args, backwards: boolean): Reply => {
  const { withScores, page } = rangeOptions(args)
  const [min, max] = backwards ? [at(args, 2), at(args, 1)] : [at(args, 1), at(args, 2)]
  const inside = between(min, max)
  const pairs = sorted(context, at(args, 0)).filter(([, score]) => inside(score))
  return answer(page(backwards ? pairs.reverse() : pairs), withScores)
}

const zrange = (context: Context, args: Args): Reply => {
  const options = args.slice(3).map((arg) => arg.toLowerCase())
  if (options.includes("bylex")) throw syntaxError()
  const backwards = options.includes("rev")
  const plain = args.filter((arg, i) => i < 3 || !["rev", "byscore"].includes(arg.toLowerCase()))
  if (options.includes("byscore")) return byScore(context, plain, backwards)
  if (options.includes("limit")) {
    throw new Failure("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
  }
  const { withScores } = rangeOptions(plain)
  const [start, stop] = [int(at(args, 1)), int(at(args, 2))]
  const all = sorted(context, at(args, 0))
  const pairs = backwards ? all.toReversed() : all
  const found = range(start, stop, pairs.length)
  return answer(found === undefined ? [] : pairs.slice(found[0], found[1] + 1), withScores)
}

const removeAll = (context: Context, key: string, members: ReadonlyArray<string>): number => {
  const value = context.db.typed(key, "zset")
  if (value === undefined) return 0
  const removed = members.filter((member) => value.scores.delete(member)).length
  if (removed > 0) changed(context, key, value)
  return removed
}

const zrank = (context: Context, args: Args): Reply => {
  const index = sorted(context, at(args, 0)).findIndex(([member]) => member === at(args, 1))
  return index < 0 ? null : index
}

const zscore = (context: Context, args: Args): Reply => {
  const score = context.db.typed(at(args, 0), "zset")?.scores.get(at(args, 1))
  return score === undefined ? null : new Double(score)
}

const zremrangebyscore = (context: Context, args: Args): Reply => {
  const inside = between(at(args, 1), at(args, 2))
  const gone = sorted(context, at(args, 0)).filter(([, score]) => inside(score))
  return removeAll(
    context,
    at(args, 0),
    gone.map(([member]) => member)
  )
}

const zremrangebyrank = (context: Context, args: Args): Reply => {
  const [start, stop] = [int(at(args, 1)), int(at(args, 2))]
  const all = sorted(context, at(args, 0))
  const found = range(start, stop, all.length)
  if (found === undefined) return 0
  return removeAll(
    context,
    at(args, 0),
    all.slice(found[0], found[1] + 1).map(([member]) => member)
  )
}

const zcount = (context: Context, args: Args): Reply => {
  const inside = between(at(args, 1), at(args, 2))
  return sorted(context, at(args, 0)).filter(([, score]) => inside(score)).length
}

export const sortedSets: ReadonlyArray<Command> = [
  { name: "zadd", arity: -4, write: true, run: zadd },
  { name: "zincrby", arity: 4, write: true, run: zincrby },
  {
    name: "zrem",
    arity: -3,
    write: true,
    run: (context, [key = "", ...members]) => removeAll(context, key, members)
  },
  { name: "zscore", arity: 3, run: zscore },
  { name: "zcard", arity: 2, run: ({ db }, args) => db.typed(at(args, 0), "zset")?.scores.size ?? 0 },
  { name: "zcount", arity: 4, run: zcount },
  { name: "zrank", arity: 3, run: zrank },
  { name: "zrange", arity: -4, run: zrange },
  { name: "zrangebyscore", arity: -4, run: (context, args) => byScore(context, args, false) },
  { name: "zrevrangebyscore", arity: -4, run: (context, args) => byScore(context, args, true) },
  { name: "zremrangebyscore", arity: 4, write: true, run: zremrangebyscore },
  { name: "zremrangebyrank", arity: 4, write: true, run: zremrangebyrank }
]
