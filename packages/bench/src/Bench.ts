/**
 * A small bench: floor, ours and peers measured in one process and one run, in interleaved rounds, so that a
 * ratio compares what the machine did at the same time.
 *
 * A suite is a file `src/NAME.ts` that exports `suite`:
 *
 * ```ts
 * export const suite: Suite = {
 *   name: "sdk",
 *   run: async (bench) => {
 *     await bench.compare("cached check", [
 *       floor("one Map lookup", sync((i) => map.get(keys[i & 8191] ?? ""))),
 *       ours("PermissionCache in a fiber", fiber((i) => cache.check(requests[i & 8191] ?? first))),
 *       peer("another cache", sync((i) => other.get(keys[i & 8191] ?? "")))
 *     ])
 *   }
 * }
 * ```
 *
 * **Gotchas**: a call shorter than the clock is timed in batches: its p99 is that of a batch's mean. What a
 * call returns is kept, so that nothing is optimised away; what it is asked for should depend on `i`.
 */
import { Effect } from "effect"
import { type Sample, summary } from "./Summary.ts"

/** A line of the result. Times are nanoseconds for one operation. */
export interface Result {
  readonly suite: string
  /** "comparison: variant". */
  readonly name: string
  /** The median. */
  readonly p50_ns: number
  /** Over calls, or over the means of batches where one call is shorter than the clock. */
  readonly p99_ns: number
  readonly ops_per_s: number
  /** The median of the comparison's floor. */
  readonly floor: number
  /** `p50_ns` divided by `floor`; smaller is better. */
  readonly ratio: number
}

/** Several things that are compared with a floor, in a file of their own. */
export interface Suite {
  readonly name: string
  readonly run: (bench: Bench) => Promise<void> | void
}

/** How a thing is called and timed; made by `sync`, `promise`, `fiber` and `load`. */
export interface Call {
  /** Calls once `count` times, timing all of them together unless they run at once. */
  readonly measure: (first: number, count: number, into: Array<Sample>) => Promise<number> | number
  /** Operations done by one call. */
  readonly opsPerCall: number
  /** Timed alone: the calls of a batch run at once, or each is far longer than the clock. */
  readonly single: boolean
}

/** One thing in a comparison. */
export interface Variant {
  readonly role: "floor" | "ours" | "peer"
  readonly name: string
  readonly call: Call
}

export interface CallOptions {
  /** Operations that one call does, so that times are for one of them. Default: 1. */
  readonly opsPerCall?: number
}

export interface CompareOptions {
  /** Rounds, each of which measures every variant in turn. Default: 20. */
  readonly rounds?: number
  /** How long a variant runs in a round, in milliseconds; at least one batch. Default: 15. */
  readonly roundMs?: number
  /** Calls in a batch. Default: as many as take 100 times the clock's own cost. */
  readonly batch?: number
  /** Runs before each variant of each round, untimed: fills a queue, empties a table. */
  readonly prepare?: (variant: string) => Promise<void> | void
  /** Batches of a variant in a round, where `prepare` sets up so many. Default: as many as fit. */
  readonly batchesPerRound?: number
}

/** What a suite is given. */
export interface Bench {
  /** Measures variants against the one floor among them. */
  readonly compare: (
    name: string,
    variants: ReadonlyArray<Variant>,
    options?: CompareOptions
  ) => Promise<ReadonlyArray<Result>>
  /** Says something beside the table: what was not measured and why, a size, a setting. */
  readonly note: (text: string) => void
}

/** The least that can do the job; exactly one in a comparison. */
export const floor = (name: string, call: Call): Variant => ({ role: "floor", name, call })
/** What this project does. */
export const ours = (name: string, call: Call): Variant => ({ role: "ours", name, call })
/** What others do. */
export const peer = (name: string, call: Call): Variant => ({ role: "peer", name, call })

const kept: { value: unknown } = { value: undefined }

/** Elapsed nanoseconds of `count` calls. Each variant has a loop of its own, so that none pays for the others' types. */
type SyncLoop = (f: (i: number) => unknown, first: number, count: number, kept: { value: unknown }) => number
type PromiseLoop = (...args: Parameters<SyncLoop>) => Promise<number>
type FiberLoop = (
  ...args: Parameters<SyncLoop>
) => Generator<Effect.Effect<unknown, unknown>, number, unknown>

const loop = (kind: "function" | "async function" | "function*", call: string): unknown =>
  new Function(`return ${kind} (f, first, count, kept) {
    let value
    const start = performance.now()
    for (let i = first, end = first + count; i < end; i++) value = ${call}
    const elapsed = (performance.now() - start) * 1e6
    kept.value = value
    return elapsed
  }`)()

const batched =
  (opsPerCall: number, run: (first: number, count: number) => Promise<number> | number): Call["measure"] =>
  async (first, count, into) => {
    const elapsed = await run(first, count)
    into.push({ ns: elapsed / (count * opsPerCall), ops: count * opsPerCall, elapsed })
    return elapsed
  }

/** A synchronous call; `i` rises from call to call. */
export const sync = (f: (i: number) => unknown, options: CallOptions = {}): Call => {
  const opsPerCall = options.opsPerCall ?? 1
  const run = loop("function", "f(i)") as SyncLoop
  return {
    opsPerCall,
    single: false,
    measure: (first, count, into) => {
      const elapsed = run(f, first, count, kept)
      into.push({ ns: elapsed / (count * opsPerCall), ops: count * opsPerCall, elapsed })
      return elapsed
    }
  }
}

/** A call whose promise is awaited before the next one. */
export const promise = (f: (i: number) => PromiseLike<unknown>, options: CallOptions = {}): Call => {
  const opsPerCall = options.opsPerCall ?? 1
  const run = loop("async function", "await f(i)") as PromiseLoop
  return { opsPerCall, single: false, measure: batched(opsPerCall, (i, n) => run(f, i, n, kept)) }
}

export interface FiberOptions extends CallOptions {
  /** Runs the fiber of a batch. Default: `Effect.runPromise`. */
  readonly run?: (effect: Effect.Effect<number, unknown>) => Promise<number>
}

/** An effect inside a running fiber: a batch is a loop of `yield*` in one generator, timed from within. */
export const fiber = (
  f: (i: number) => Effect.Effect<unknown, unknown>,
  options: FiberOptions = {}
): Call => {
  const opsPerCall = options.opsPerCall ?? 1
  const steps = loop("function*", "yield* f(i)") as FiberLoop
  const run = options.run ?? Effect.runPromise
  return {
    opsPerCall,
    single: false,
    measure: batched(opsPerCall, (i, n) => run(Effect.gen(() => steps(f, i, n, kept))))
  }
}

/** So many calls under way at once, as clients of a server make them; each is timed alone. */
export const load = (
  concurrency: number,
  f: (i: number) => PromiseLike<unknown>,
  options: CallOptions = {}
): Call => {
  const opsPerCall = options.opsPerCall ?? 1
  return {
    opsPerCall,
    single: true,
    measure: async (first, count, into) => {
      let next = first
      const start = performance.now()
      const worker = async () => {
        while (next < first + count) {
          const at = performance.now()
          kept.value = await f(next++)
          const ns = (performance.now() - at) * 1e6
          into.push({ ns: ns / opsPerCall, ops: opsPerCall, elapsed: ns / concurrency })
        }
      }
      await Promise.all(Array.from({ length: concurrency }, worker))
      return (performance.now() - start) * 1e6
    }
  }
}

/** What reading the clock costs, in nanoseconds. */
const clockCost = (): number => {
  const start = performance.now()
  for (let i = 0; i < 10_000; i++) kept.value = performance.now()
  return ((performance.now() - start) * 1e6) / 10_000
}

const collect: () => void = (globalThis as { gc?: () => void }).gc ?? (() => {})

interface Running {
  readonly variant: Variant
  readonly samples: Array<Sample>
  batch: number
  at: number
}

/** Warms a variant up until its code is compiled, and finds how many calls make a batch. */
const settle = async (running: Running, options: CompareOptions, clock: number): Promise<void> => {
  const { call } = running.variant
  const wanted = Math.max(100 * clock, 10_000)
  await options.prepare?.(running.variant.name)
  let batch = options.batch ?? (call.single ? 256 : 1)
  for (let spent = 0, tries = 0; spent < 50e6 && tries < 10_000; tries++) {
    const elapsed = await call.measure(running.at, batch, [])
    running.at += batch
    spent += elapsed
    if (options.batchesPerRound !== undefined) break
    if (options.batch === undefined && !call.single && elapsed < wanted) batch *= 2
  }
  running.batch = batch
}

const round = async (running: Running, options: CompareOptions): Promise<void> => {
  const budget = (options.roundMs ?? 15) * 1e6
  const batches = options.batchesPerRound ?? Number.POSITIVE_INFINITY
  await options.prepare?.(running.variant.name)
  for (let spent = 0, done = 0; done < batches && (done === 0 || spent < budget); done++) {
    spent += await running.variant.call.measure(running.at, running.batch, running.samples)
    running.at += running.batch
  }
}

const compare = async (
  suite: string,
  name: string,
  variants: ReadonlyArray<Variant>,
  options: CompareOptions
): Promise<ReadonlyArray<Result>> => {
  if (variants.filter((variant) => variant.role === "floor").length !== 1) {
    throw new Error(`the comparison \`${name}\` of \`${suite}\` needs exactly one floor`)
  }
  const clock = clockCost()
  const all = variants.map((variant): Running => ({ variant, samples: [], batch: 1, at: 0 }))
  for (const running of all) await settle(running, options, clock)
  for (let r = 0; r < (options.rounds ?? 20); r++) {
    collect()
    // Who comes first changes from round to round.
    for (let i = 0; i < all.length; i++) {
      const running = all[(i + r) % all.length]
      if (running !== undefined) await round(running, options)
    }
  }
  const sums = all.map((running) => summary(running.samples))
  const base = sums[variants.findIndex((variant) => variant.role === "floor")]?.p50 ?? Number.NaN
  return sums.map((sum, i) => ({
    suite,
    name: `${name}: ${variants[i]?.name}`,
    p50_ns: sum.p50,
    p99_ns: sum.p99,
    ops_per_s: sum.opsPerSecond,
    floor: base,
    ratio: sum.p50 / base
  }))
}

/** Hears what a suite measures, as it does. */
export interface Listener {
  readonly result: (result: Result, role: Variant["role"]) => void
  readonly note: (suite: string, text: string) => void
}

/** Runs a suite and tells the listener. `quick` makes few and short rounds, to see that the suite works. */
export const runSuite = async (
  suite: Suite,
  listener: Listener,
  settings: { readonly quick?: boolean } = {}
): Promise<void> => {
  const quick: CompareOptions = settings.quick === true ? { rounds: 2, roundMs: 1 } : {}
  await suite.run({
    compare: async (name, variants, options = {}) => {
      const results = await compare(suite.name, name, variants, { ...options, ...quick })
      results.forEach((result, i) => {
        listener.result(result, variants[i]?.role ?? "peer")
      })
      return results
    },
    note: (text) => listener.note(suite.name, text)
  })
}
