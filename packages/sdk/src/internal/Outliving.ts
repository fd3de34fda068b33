/** Work that is done again and again as long as a scope is open: a defect of one round must not be its end. */
import { Cause, Effect } from "effect"

/** Logs a defect, after which the next round may begin. */
export const outliving =
  (what: string) =>
  <A, E, R>(round: Effect.Effect<A, E, R>): Effect.Effect<A | undefined, E, R> =>
    Effect.catchDefect(round, (defect) =>
      Effect.as(Effect.logError(`${what} ended in a defect; it is tried again`, Cause.die(defect)), undefined)
    )
