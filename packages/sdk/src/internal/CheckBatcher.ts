/** Checks of one turn of the event loop become one call for each organization; duplicates are asked once. */
import type { CheckRequest } from "@agion/domain"
import { Deferred, Effect, Exit, type Fiber, type Scope } from "effect"

/** The most that one call may hold. */
const maxBatch = 1000

interface Waiting<A, E> {
  readonly request: CheckRequest
  readonly answer: Deferred.Deferred<A, E>
}

/**
 * A function that asks one by one over `ask`, which asks many and answers each; its failure is everybody's. A caller
 * that goes away takes nobody with it: the call runs in the scope in which the batcher was made, and whoever still
 * waits when that scope closes fails with `closed`.
 */
export const makeBatcher = Effect.fnUntraced(function* <A, E>(
  ask: (requests: ReadonlyArray<CheckRequest>) => Effect.Effect<ReadonlyArray<Exit.Exit<A, E>>, E>,
  closed: E
): Effect.fn.Return<(request: CheckRequest) => Effect.Effect<A, E>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  let waiting = new Map<string, Waiting<A, E>>()

  const send = (batch: ReadonlyArray<Waiting<A, E>>): Effect.Effect<void> =>
    ask(batch.map(({ request }) => request)).pipe(
      Effect.exit,
      Effect.map((exit) => answerAll(batch, exit))
    )

  /** Sends those who wait, once this turn is over. */
  const flush = (turn: Map<string, Waiting<A, E>>): Effect.Effect<Fiber.Fiber<void>> =>
    Effect.yieldNow.pipe(
      Effect.andThen(
        Effect.suspend(() => {
          waiting = new Map()
          return Effect.forEach(batchesOf(turn.values()), send, { concurrency: "unbounded", discard: true })
        })
      ),
      Effect.forkIn(scope),
      Effect.tap((fiber) =>
        Effect.sync(() => {
          // It ends before its calls do only where the scope closes, also before its first step.
          fiber.addObserver(() => {
            if (waiting === turn) waiting = new Map()
            answerAll([...turn.values()], Exit.fail(closed))
          })
        })
      )
    )

  /** Whose turn has begun is sent, however early its caller goes away. */
  const enqueue = (request: CheckRequest): Effect.Effect<Deferred.Deferred<A, E>> =>
    Effect.uninterruptible(
      Effect.suspend(() => {
        const key = JSON.stringify(request)
        const known = waiting.get(key)
        if (known !== undefined) return Effect.succeed(known.answer)
        const answer = Deferred.makeUnsafe<A, E>()
        waiting.set(key, { request, answer })
        return waiting.size > 1 ? Effect.succeed(answer) : Effect.as(flush(waiting), answer)
      })
    )

  return (request) => Effect.flatMap(enqueue(request), Deferred.await)
})

const answerAll = <A, E>(
  batch: ReadonlyArray<Waiting<A, E>>,
  exit: Exit.Exit<ReadonlyArray<Exit.Exit<A, E>>, E>
): void => {
  for (const [index, { answer }] of batch.entries())
    Deferred.doneUnsafe(
      answer,
      Exit.isFailure(exit) ? Exit.failCause(exit.cause) : answerAt(exit.value, index)
    )
}

const answerAt = <A, E>(answers: ReadonlyArray<Exit.Exit<A, E>>, index: number): Exit.Exit<A, E> =>
  answers[index] ?? Exit.die(new Error("the platform answered fewer checks than were asked"))

/** One organization and at most 1,000 checks in each: an answer names the epoch of one organization. */
const batchesOf = <A, E>(all: Iterable<Waiting<A, E>>): ReadonlyArray<ReadonlyArray<Waiting<A, E>>> => {
  const open = new Map<string, Array<Waiting<A, E>>>()
  const batches: Array<Array<Waiting<A, E>>> = []
  for (const one of all) {
    const organization = one.request.organizationId ?? ""
    let batch = open.get(organization)
    if (batch === undefined || batch.length === maxBatch) {
      batch = []
      open.set(organization, batch)
      batches.push(batch)
    }
    batch.push(one)
  }
  return batches
}
