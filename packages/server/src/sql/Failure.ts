/** What stores do with the errors of statements. */
import { Effect } from "effect"
import { SqlError } from "effect/sql"

/** Turns a violated constraint into an error of the caller's; `constraint` is its name. */
export const onViolation =
  <E2>(constraint: string, make: () => E2) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | E2, R> =>
    Effect.catch(
      effect,
      (error): Effect.Effect<never, E | E2> =>
        violated(error) === constraint ? Effect.fail(make()) : Effect.fail(error)
    )

/** The name of the constraint that a statement violated. */
const violated = (error: unknown): string | undefined => {
  if (!SqlError.isSqlError(error)) return undefined
  if (error.reason._tag === "UniqueViolation") return error.reason.constraint
  if (error.reason._tag !== "ConstraintError") return undefined
  const cause = error.reason.cause
  if (typeof cause !== "object" || cause === null || !("constraint" in cause)) return undefined
  return typeof cause.constraint === "string" ? cause.constraint : undefined
}

/** Lets what a store cannot handle die: the HTTP layer answers 503 or 500. */
export const dying = <A, E, R>(
  effect: Effect.Effect<A, E | SqlError.SqlError, R>
): Effect.Effect<A, Exclude<E, SqlError.SqlError>, R> =>
  Effect.catch(
    effect,
    (error): Effect.Effect<never, Exclude<E, SqlError.SqlError>> =>
      SqlError.isSqlError(error) ? Effect.die(error) : Effect.fail(error as Exclude<E, SqlError.SqlError>)
  )
