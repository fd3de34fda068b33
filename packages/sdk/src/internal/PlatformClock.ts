/**
 * How long what the platform says is on its way, by its own timestamps: a pure core (FRESH-3).
 *
 * The clocks here and there need not agree. Whatever was said at `t` there and is heard at `h` here puts our clock ahead
 * of the platform's by `h - t` at most, and an answer, which is not made before it is asked for, by `asked - t` at
 * least. A push is late by as much as it exceeds the least upper bound.
 *
 * Neither a window nor a rate of drift: a bound that is forgotten or raised as time goes by would take a line that is
 * constantly late for a punctual one. A clock that drifts or was set is followed by the next answer, whichever way it
 * went. Where the platform's was set back, all pushes look late, nothing is fresh, and so the next call asks for one.
 * A line that is late from its first push on looks punctual until an answer is heard; nothing is held before.
 *
 * Times are milliseconds, ours of a clock that only moves forward. The platform's replicas are taken to go by one clock:
 * by what theirs differ, pushes look later, or less late, than they are.
 */

/** What is known of the platform's clock: by how much ours is ahead of it. */
export interface PlatformClock {
  atMost: number
  /** By the last answer. */
  atLeast: number
  /** For how long the last push was on its way. */
  lateness: number
}

/** Nothing was heard. */
export const unknownClock = (): PlatformClock => ({
  atMost: Number.POSITIVE_INFINITY,
  atLeast: Number.NEGATIVE_INFINITY,
  lateness: 0
})

/** A push is heard; answers for how long it was on its way, 0 where its timestamp is none. */
export const onHeard = (clock: PlatformClock, timestamp: string, now: number): number => {
  const ahead = now - Date.parse(timestamp)
  if (Number.isNaN(ahead)) return 0
  if (ahead < clock.atLeast) {
    // The platform's clock was set forward, or this process slept: a late line is no more punctual for it.
    clock.atMost = ahead - clock.lateness
    clock.atLeast = Number.NEGATIVE_INFINITY
  } else if (ahead < clock.atMost) clock.atMost = ahead
  clock.lateness = ahead - clock.atMost
  return clock.lateness
}

/** An answer is heard; `askedAt` minus infinity: it may have been made before it was asked for. */
export const onAnswered = (clock: PlatformClock, timestamp: string, askedAt: number, now: number): void => {
  const saidAt = Date.parse(timestamp)
  if (Number.isNaN(saidAt)) return
  const before = clock.atMost
  const atLeast = askedAt - saidAt
  if (atLeast !== Number.NEGATIVE_INFINITY) clock.atLeast = atLeast
  clock.atMost = Math.max(atLeast, Math.min(before, now - saidAt))
  // The last push is judged anew: what it is late by outlives no answer that knows better.
  if (before !== Number.POSITIVE_INFINITY)
    clock.lateness = Math.max(0, clock.lateness + before - clock.atMost)
}
