import { type Duration, Effect, Schedule } from "effect"

/** Waits for a condition with a bound of real time (default: 60 seconds); what was seen last is told. */
export const until = <A, E, R>(
  what: string,
  look: Effect.Effect<A, E, R>,
  holds: (value: A) => boolean,
  { every = "20 millis", seconds = 60 }: { readonly every?: Duration.Input; readonly seconds?: number } = {}
): Effect.Effect<A, E, R> => {
  let seen: unknown
  const looked = Effect.tap(look, (value) =>
    Effect.sync(() => {
      seen = value
    })
  )
  return looked.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced(every) }),
    Effect.timeoutOrElse({
      duration: `${seconds} seconds`,
      orElse: () =>
        Effect.die(new Error(`waited ${seconds} s for ${what}; the last was ${JSON.stringify(seen)}`))
    }),
    Effect.andThen(look)
  )
}
