/** A way out of the event buffer: sends batch after batch, and tries again what failed (EVENT-3). */
import { Cause, Duration, Effect, Exit, Latch, Random } from "effect"
import { DeliveryFailed } from "../events/EventTransport.ts"
import type { Outbox } from "../events/Outbox.ts"

const sendTimeout = "30 seconds"
/** The longest that a platform's `Retry-After` is heeded: it is asked again, however long it said it would be. */
const longestAskedMillis = 60_000

/** One of the two ways out, with what it remembers. */
export interface Link {
  readonly to: string
  /** Sends one batch and settles it; answers false when there was nothing to send. */
  readonly send: Effect.Effect<boolean, DeliveryFailed>
  /** Opened to try again at once. */
  readonly nudge: Latch.Latch
  /** Waits for `until` of its lanes to be settled. */
  readonly waiters: Set<() => void>
  batches: number
  failures: number
  /** Failures in a row. */
  attempt: number
  reason: string
}

export const makeLink = (to: string, send: Link["send"]): Link => ({
  to,
  send,
  nudge: Latch.makeUnsafe(false),
  waiters: new Set(),
  batches: 0,
  failures: 0,
  attempt: 0,
  reason: ""
})

/** Sends whenever there is work, and every `interval`. */
export const sendForEver = (
  link: Link,
  outbox: Outbox,
  work: Latch.Latch,
  interval: Duration.Input,
  announce: Effect.Effect<void>
) =>
  Effect.forever(
    Effect.gen(function* () {
      yield* Effect.raceFirst(Effect.raceFirst(work.await, link.nudge.await), Effect.sleep(interval))
      work.closeUnsafe()
      link.nudge.closeUnsafe()
      outbox.woken()
      yield* drain(link, announce)
    })
  )

/** Sends until nothing waits; what fails is tried again after a pause, and the pauses grow. */
const drain = Effect.fnUntraced(function* (link: Link, announce: Effect.Effect<void>) {
  while (true) {
    const exit = yield* Effect.exit(bounded(link))
    const error = remember(link, exit)
    for (const waiter of [...link.waiters]) waiter()
    if (Exit.isSuccess(exit) && !exit.value) return
    yield* announce
    if (error === undefined) continue
    const asked = error instanceof DeliveryFailed ? Math.min(longestAskedMillis, error.retryAfterMs ?? 0) : 0
    const pause = Math.max(asked, yield* pauseMillis(link.attempt))
    yield* Effect.raceFirst(link.nudge.await, Effect.sleep(Duration.millis(pause)))
    if (link.nudge.closeUnsafe()) link.attempt = 0
  }
})

/** Counts how a batch went; answers what was wrong. */
const remember = (link: Link, exit: Exit.Exit<boolean, DeliveryFailed>): unknown => {
  if (Exit.isSuccess(exit)) {
    if (exit.value) {
      link.batches += 1
      link.attempt = 0
      link.reason = ""
    }
    return undefined
  }
  const error = Cause.squash(exit.cause)
  link.failures += 1
  link.attempt += 1
  link.reason = error instanceof Error ? error.message : String(error)
  return error
}

const bounded = (link: Link) =>
  Effect.timeoutOrElse(link.send, {
    duration: sendTimeout,
    orElse: () => Effect.fail(new DeliveryFailed({ to: link.to, reason: `no answer within ${sendTimeout}` }))
  })

/** 100 ms, doubled with each failure up to 30 s, of which a random half is taken off. */
const pauseMillis = (attempt: number): Effect.Effect<number> =>
  Effect.map(Random.next, (random) => Math.min(30_000, 50 * 2 ** attempt) * (0.5 + random / 2))
