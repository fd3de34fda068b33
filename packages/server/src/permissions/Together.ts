/**
 * Calls that arrive together, asked in one statement. Whoever comes first is asked at once; who comes while that
 * many statements are under way goes with the next one, so that batches grow with the load alone.
 *
 * A statement that does not answer holds up those behind it for a moment only: then the next one starts beside it.
 * What was asked is done even when its caller has gone.
 */
import { Cause, Deferred, Effect, Exit, Fiber, Queue, type Scope } from "effect"

/** Asks with the others. */
export type Ask<Call, Answer, E> = (call: Call) => Effect.Effect<Answer, E>

interface Waiting<Call, Answer, E> {
  readonly call: Call
  readonly answer: Deferred.Deferred<Answer, E>
}

/** Calls of one statement. */
const batchSize = 200

/** Statements under way: one that the database works on, and one on its way. */
const atOnce = 2

/** How long a statement holds up those that follow. */
const patience = "250 millis"

/**
 * `ask` answers calls in their order. When it fails with several by an error that may be the fault of one, nothing
 * having been done, each is asked alone.
 */
export const make = Effect.fnUntraced(function* <Call, Answer, E>(
  ask: (calls: ReadonlyArray<Call>) => Effect.Effect<ReadonlyArray<Answer>, E>,
  mayBeOnes: (error: unknown) => boolean
): Effect.fn.Return<Ask<Call, Answer, E>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const queue = yield* Queue.unbounded<Waiting<Call, Answer, E>>()

  const answer = (batch: ReadonlyArray<Waiting<Call, Answer, E>>): Effect.Effect<void> =>
    Effect.flatMap(Effect.exit(ask(batch.map(({ call }) => call))), (exit) => {
      if (Exit.isFailure(exit) && batch.length > 1 && mayBeOnes(Cause.squash(exit.cause)))
        return Effect.forEach(batch, (one) => answer([one]), { discard: true })
      for (const [index, waiting] of batch.entries()) {
        const done = Exit.map(exit, (answers) => answers[index] as Answer)
        Deferred.doneUnsafe(waiting.answer, done)
      }
      return Effect.void
    })

  const work = Effect.gen(function* () {
    const batch = yield* Queue.takeBetween(queue, 1, batchSize)
    const asking = yield* Effect.forkIn(answer(batch), scope)
    yield* Effect.raceFirst(Fiber.await(asking), Effect.sleep(patience))
  })
  for (let n = 0; n < atOnce; n++) yield* Effect.forkScoped(Effect.forever(work))

  return (call) =>
    Effect.suspend(() => {
      const waiting = { call, answer: Deferred.makeUnsafe<Answer, E>() }
      Queue.offerUnsafe(queue, waiting)
      return Deferred.await(waiting.answer)
    })
})
