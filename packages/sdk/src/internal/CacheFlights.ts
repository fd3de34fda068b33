/** Questions under way, of which pushes are told. */
import { Effect } from "effect"
import type { CacheState, Concern, Flight } from "./CacheState.ts"

/** Runs a question that pushes can name until it has ended, and what is done with its answer with it. */
export const watched = <A, E, R>(
  { flights }: Pick<CacheState, "flights">,
  { actorId, organizationId, resourceId }: Concern,
  question: (flight: Flight) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const flight: Flight = { organizationId, actorId, resourceId, tainted: null }
      flights.add(flight)
      return flight
    }),
    (flight) => Effect.suspend(() => question(flight)),
    (flight) => Effect.sync(() => flights.delete(flight))
  )
