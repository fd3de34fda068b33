/**
 * What a cache does beside answering: it asks again for what pushes dropped, and each second for what is about to
 * expire. Fibers are there only while something is asked.
 */
import { Cause, Context, Effect, Schedule, type Scope } from "effect"
import type { Parts } from "./CacheParts.ts"
import { expiring, isMissing, refetch, renew } from "./CacheRenewal.ts"
import type { EntryKey } from "./EntryTable.ts"

/** The seconds of all caches of a host, counted by one fiber; null: a cache counts its own. */
export const CacheTurns = Context.Reference<Turns | null>("@agion/sdk/CacheTurns", {
  defaultValue: () => null
})

export interface Turns {
  /** Takes a turn each second from now on. */
  readonly join: (turn: () => void) => Effect.Effect<void, never, Scope.Scope>
}

/** One fiber for the turns of all who join; one that throws is logged and ends nobody's. */
export const makeTurns: Effect.Effect<Turns, never, Scope.Scope> = Effect.gen(function* () {
  const turns = new Set<() => void>()
  yield* Effect.suspend(() => {
    const failures: Array<unknown> = []
    for (const turn of turns) {
      try {
        turn()
      } catch (error) {
        failures.push(error)
      }
    }
    return Effect.forEach(
      failures,
      (error) => Effect.logError("a cache could not be kept current; it is tried again", Cause.die(error)),
      { discard: true }
    )
  }).pipe(Effect.repeat(Schedule.spaced("1 second")), Effect.forkScoped)
  return {
    join: (turn) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          turns.add(turn)
        }),
        () => Effect.sync(() => turns.delete(turn))
      )
  }
})

/** The most pushes that wait for their entries to be asked for; the oldest goes first. */
const waitingAtMost = 64

/** Keeps a cache current; answers what to call with what a push dropped. */
export const keepCurrent = Effect.fnUntraced(function* (parts: Parts) {
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const start = (work: Effect.Effect<void>) => {
    fork(Effect.forkIn(work, parts.scope))
  }
  const asked = (keys: ReadonlyArray<EntryKey>) =>
    // What could not be fetched when it was dropped is due, too.
    Effect.andThen(
      renew(parts, keys),
      Effect.suspend(() => refetch(parts))
    )

  let waiting: Array<ReadonlyArray<EntryKey>> | undefined
  const dropped: Effect.Effect<void> = Effect.suspend(() => {
    const keys = waiting?.shift()
    if (keys !== undefined) return Effect.andThen(asked(keys), dropped)
    waiting = undefined
    return Effect.void
  })
  let isAsking = false
  const turn = () => {
    if (isAsking) return
    const soon = expiring(parts)
    if (soon.length === 0 && !isMissing(parts.state)) return
    isAsking = true
    const done = Effect.sync(() => {
      isAsking = false
    })
    start(Effect.ensuring(asked(soon), done))
  }
  const turns = (yield* CacheTurns) ?? (yield* makeTurns)
  yield* turns.join(turn)
  return (keys: ReadonlyArray<EntryKey>): void => {
    if (waiting !== undefined) {
      if (waiting.push(keys) > waitingAtMost) waiting.shift()
      return
    }
    waiting = [keys]
    start(dropped)
  }
})
