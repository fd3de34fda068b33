/** Interruptions at each step of an effect, where a scheduler may well let them in. */
import { Effect, Fiber, Scheduler } from "effect"

/** Forks an effect, and asks at each step of it and of what it forks whether it yields there. */
const forkUnder = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  shouldYield: Scheduler.Scheduler["shouldYield"]
) => {
  const real = new Scheduler.MixedScheduler()
  const scheduler: Scheduler.Scheduler = {
    executionMode: "async",
    makeDispatcher: () => real.makeDispatcher(),
    shouldYield
  }
  return Effect.forkChild(
    Effect.provideService(
      Effect.suspend(() => effect),
      Scheduler.Scheduler,
      scheduler
    ),
    { startImmediately: true }
  )
}

/** Interrupts an effect before its nth step; false: it has not so many before it waits or ends. */
export const interruptedAt = <A, E, R>(effect: Effect.Effect<A, E, R>, step: number) =>
  Effect.gen(function* () {
    let watched: number | undefined
    let steps = 0
    const fiber = yield* forkUnder(effect, ({ id }) => {
      watched ??= id
      return id === watched && ++steps === step
    })
    fiber.interruptUnsafe()
    // What it has forked ends on the same terms.
    for (let turn = 0; turn < 5; turn++) yield* Effect.yieldNow
    return steps >= step
  })

/**
 * Interrupts an effect at the nth step of itself and of what it forks, however often it waits before that, and answers
 * its end; `isReached` is false when there are not so many.
 */
export const interruptedWithin = <A, E, R>(effect: Effect.Effect<A, E, R>, step: number) =>
  Effect.gen(function* () {
    let steps = 0
    let interrupt = () => {}
    const fiber = yield* forkUnder(effect, () => {
      if (++steps !== step) return false
      queueMicrotask(() => interrupt())
      return true
    })
    interrupt = () => fiber.interruptUnsafe()
    const exit = yield* Fiber.await(fiber)
    return { exit, isReached: steps >= step }
  })

/** Runs `trial` with an effect that is interrupted at its first step, its second and so on, as many as it has. */
export const atEachStep = <E, R>(trial: (step: number) => Effect.Effect<boolean, E, R>) =>
  Effect.gen(function* () {
    let step = 1
    while (yield* trial(step)) step++
    return step - 1
  })
