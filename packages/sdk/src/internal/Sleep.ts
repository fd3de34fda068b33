/**
 * How long the machine has slept: `performance.now` stands still meanwhile, and what was confirmed before must not look
 * as if it had been just now. The time since the machine's start goes on, and no setting of the wall clock alters it.
 */
import os from "node:os"

/** Milliseconds each. */
export interface Clocks {
  readonly wall: () => number
  /** Stands still while the machine sleeps. */
  readonly awake: () => number
  /** Goes on while it sleeps; in whole seconds on some systems. */
  readonly uptime: () => number
}

/** Less is no sleep. */
const least = 2000

/** So long awake, and the time is not told without another look: for so long at most it misses a sleep. */
const lookEvery = 1

export interface Sleep {
  /** Milliseconds, as of the last look; only rises. */
  slept: number
  /** Looks whether the machine has slept since. */
  readonly look: () => void
  /** Milliseconds since an unspecified moment, those of sleep included; only rises. On the way of every hit. */
  readonly now: () => number
}

/** Watches from now on. */
export const makeSleep = (clocks: Clocks): Sleep => {
  const ahead = () => clocks.uptime() - clocks.awake()
  const wallAhead = () => clocks.wall() - clocks.awake()
  const start = ahead()
  let wall = wallAhead()
  let dueAt = Number.NEGATIVE_INFINITY
  const sleep: Sleep = {
    slept: 0,
    now: () => {
      const awake = clocks.awake()
      if (awake >= dueAt) {
        dueAt = awake + lookEvery
        sleep.look()
      }
      return awake + sleep.slept
    },
    look: () => {
      // The wall clock, which costs little, goes on as well: where it went with ours nobody slept.
      const now = wallAhead()
      if (Math.abs(now - wall) < least / 2) return
      wall = now
      const slept = ahead() - start
      if (slept >= sleep.slept + least) sleep.slept = slept
    }
  }
  return sleep
}

/** Not every system tells: there none is seen. */
const uptime = (): number => {
  try {
    return os.uptime() * 1000
  } catch {
    return performance.now()
  }
}

/** That of this machine. */
export const machine = makeSleep({ wall: () => Date.now(), awake: () => performance.now(), uptime })
