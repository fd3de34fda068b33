/**
 * Copies of what the database holds, in memory for a second: who asks again within it costs no query, and who
 * writes amends the copy with what the database answered.
 *
 * A copy is made by a reading alone, and is as old as the start of that reading. One reading of a key is under
 * way at a time; what is written meanwhile is noted and amends what the reading brings, so that an answer that
 * was overtaken never stands for a newer one. Past half its age a copy that is asked for is read again while it
 * still answers.
 *
 * Bounded: what was read longest ago leaves first.
 */
import { type Cause, Clock, Deferred, Duration, Effect, Exit, Queue, type Scope } from "effect"

export interface CopiesOptions<A, E> {
  /** Values of so many keys, in order. */
  readonly read: (keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<A>, E>
  /** What is kept where a copy was and a reading brings another. */
  readonly renew: (kept: A, read: A) => A
  /** How much of the bound a copy takes. */
  readonly weightOf: (value: A) => number
  /** The weight of all copies. */
  readonly maxWeight: number
  /** How long a copy answers, from the start of its reading. Default: 1 second. */
  readonly maxAge?: Duration.Input
}

export interface Copies<A, E> {
  /** A copy that is young enough; undefined: it must be read. */
  readonly peek: (key: string) => A | undefined
  /** A copy for each key, in order; reads those that are not there. */
  readonly get: (keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<A>, E | Cause.TimeoutError>
  /** Changes a copy after a write, and what a reading that is under way will bring; undefined drops it. */
  readonly amend: (key: string, f: (value: A) => A | undefined) => void
  /** Drops copies, and what readings under way will bring. Default: all. */
  readonly drop: (keys?: ReadonlyArray<string>) => void
  /** The weight of what is kept. */
  readonly weight: () => number
}

interface Copy<A> {
  readonly value: A
  readonly readAt: number
}

/** A reading of one key, waiting or under way. */
interface Reading<A, E> {
  readonly key: string
  readonly done: Deferred.Deferred<A, E | Cause.TimeoutError>
  readonly amendments: Array<(value: A) => A | undefined>
  /** Before it began: infinite. */
  began: number
  /** What it brings is not kept. */
  stale: boolean
}

/** How many keys one query asks for. */
const batchSize = 500

/** A connection that died may never answer. */
const patience = "2 seconds"

export const make = Effect.fnUntraced(function* <A, E>(
  options: CopiesOptions<A, E>
): Effect.fn.Return<Copies<A, E>, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const maxAge = Duration.toMillis(options.maxAge ?? "1 second")
  const copies = new Map<string, Copy<A>>()
  const readings = new Map<string, Reading<A, E>>()
  const waiting = yield* Queue.unbounded<Reading<A, E>>()
  let weight = 0
  // Tells what came before what, where a clock may show the same millisecond.
  let step = 0

  const remove = (key: string) => {
    const copy = copies.get(key)
    if (copy === undefined) return
    weight -= options.weightOf(copy.value)
    copies.delete(key)
  }

  const place = (key: string, value: A, readAt: number) => {
    remove(key)
    copies.set(key, { value, readAt })
    weight += options.weightOf(value)
    for (const oldest of copies.keys()) {
      if (weight <= options.maxWeight) return
      remove(oldest)
    }
  }

  const begin = (key: string): Reading<A, E> => {
    const known = readings.get(key)
    if (known !== undefined) return known
    const reading = {
      key,
      done: Deferred.makeUnsafe<A, E | Cause.TimeoutError>(),
      amendments: [],
      began: Number.POSITIVE_INFINITY,
      stale: false
    }
    readings.set(key, reading)
    Queue.offerUnsafe(waiting, reading)
    return reading
  }

  const arrive = (reading: Reading<A, E>, read: A, readAt: number) => {
    let value: A | undefined = read
    for (const amend of reading.amendments) value = value === undefined ? undefined : amend(value)
    if (reading.stale || value === undefined) {
      remove(reading.key)
      return read
    }
    const kept = copies.get(reading.key)
    const renewed = kept === undefined ? value : options.renew(kept.value, value)
    place(reading.key, renewed, readAt)
    return renewed
  }

  const readBatch = Effect.fnUntraced(function* (batch: ReadonlyArray<Reading<A, E>>) {
    const readAt = clock.currentTimeMillisUnsafe()
    const began = ++step
    for (const reading of batch) reading.began = began
    const exit = yield* Effect.exit(
      Effect.timeout(options.read(batch.map((reading) => reading.key)), patience)
    )
    for (const [index, reading] of batch.entries()) {
      readings.delete(reading.key)
      if (Exit.isFailure(exit)) {
        Deferred.doneUnsafe(reading.done, Exit.failCause(exit.cause))
        continue
      }
      const read = exit.value[index]
      const answer =
        read === undefined
          ? Exit.die(new Error("a key without a value"))
          : Exit.succeed(arrive(reading, read, readAt))
      Deferred.doneUnsafe(reading.done, answer)
    }
  })

  yield* Effect.forkScoped(
    Effect.forever(Effect.flatMap(Queue.takeBetween(waiting, 1, batchSize), readBatch))
  )

  const peek = (key: string): A | undefined => {
    const copy = copies.get(key)
    if (copy === undefined) return undefined
    const age = clock.currentTimeMillisUnsafe() - copy.readAt
    if (age > maxAge || age < 0) return undefined
    if (age > maxAge / 2) begin(key)
    return copy.value
  }

  /** What a reading brought counts where it was kept, or began after it was asked for. */
  const wait = Effect.fnUntraced(function* (key: string, asked: number) {
    for (;;) {
      const copy = peek(key)
      if (copy !== undefined) return copy
      const reading = begin(key)
      const read = yield* Deferred.await(reading.done)
      if (reading.began > asked) return peek(key) ?? read
    }
  })

  return {
    peek,
    get: (keys) =>
      Effect.suspend(() => {
        const asked = ++step
        for (const key of keys) if (peek(key) === undefined) begin(key)
        return Effect.forEach(keys, (key) => wait(key, asked))
      }),
    amend: (key, f) => {
      readings.get(key)?.amendments.push(f)
      const copy = copies.get(key)
      if (copy === undefined) return
      const amended = f(copy.value)
      if (amended === copy.value) return
      if (amended === undefined) return remove(key)
      weight += options.weightOf(amended) - options.weightOf(copy.value)
      copies.set(key, { value: amended, readAt: copy.readAt })
    },
    drop: (keys) => {
      for (const key of keys ?? copies.keys()) remove(key)
      for (const key of keys ?? readings.keys()) {
        const reading = readings.get(key)
        if (reading !== undefined) reading.stale = true
      }
    },
    weight: () => weight
  }
})
