/**
 * `governedStream`: permitted before the first element, scanned on the way, settled at the end (GOVERN-4).
 */
import { Duration, Effect, Exit, Fiber, Stream } from "effect"
import { CallTimedOut, type Denied, PolicyViolation } from "./Denials.ts"
import {
  Governance,
  type GovernedCall,
  type GovernedOptions,
  type OpenCall,
  type TimeoutOf
} from "./Governance.ts"
import type { TextIn } from "./internal/ElementText.ts"
import { HeldBack, type Taken } from "./internal/HeldBack.ts"
import { PolicyEngine } from "./PolicyEngine.ts"

export type { TextIn } from "./internal/ElementText.ts"

/** What a program may say of a governed stream. */
export interface GovernedStreamOptions extends GovernedOptions<never> {
  /**
   * Scan text in the stream: a secret ends it, an e-mail address is redacted. Default: true, wherever text stands in
   * an element; a `TextIn` says where it does, and nothing else is looked at.
   */
  readonly scan?: boolean | { readonly [K in keyof TextIn<never>]: (element: never, text: string) => unknown }
  /**
   * How many characters of a text wait until what follows them is known, 0 to 65,536. Default: 4096. With fewer, what is
   * said is seen sooner, and the beginning of a secret that is longer may have left when its end is found.
   */
  readonly holdBack?: number
}

/** The elements that options can tell the text of. */
export type ScannedBy<O> = O extends { readonly scan: { readonly get: (element: infer A) => unknown } }
  ? A
  : unknown

/**
 * Governs a stream: permitted before its first element, settled at its end; text in it is scanned (GOVERN-4). With
 * `timeout` it fails with `CallTimedOut`, and is settled then whether somebody reads or not.
 */
export const governedStream =
  <O extends GovernedStreamOptions = GovernedStreamOptions>(action: string, resource: string, options?: O) =>
  <A extends ScannedBy<O>, E, R>(
    work: Stream.Stream<A, E, R> | ((call: GovernedCall) => Stream.Stream<A, E, R>)
  ): Stream.Stream<A, E | Denied | TimeoutOf<O>, R | Governance | PolicyEngine> => {
    const given: GovernedStreamOptions = options ?? {}
    return Stream.unwrap(
      Effect.gen(function* () {
        const governance = yield* Governance
        const engine = yield* PolicyEngine
        const call = yield* governance.open(action, resource, given)
        const stream = Stream.suspend(() => {
          call.start()
          return typeof work === "function" ? work(call) : work
        })
        const about = { action, resource, decisionId: call.decision.decisionId }
        const { holdBack, scan = true } = given
        const held = scan === false ? undefined : heldBack<A>(engine, call, scan, holdBack)
        const seen = held === undefined ? stream : scanned(stream, held, call, about)
        return ending(given.timeout === undefined ? seen : timed(seen, call, about, given.timeout), call)
      })
    ) as Stream.Stream<A, E | Denied | TimeoutOf<O>, R | Governance | PolicyEngine>
  }

/** Ends the call after its time, also while nobody reads, and the stream at the next reading. */
const timed = <A, E, R>(
  stream: Stream.Stream<A, E, R>,
  call: OpenCall,
  { action, resource }: About,
  timeout: Duration.Input
): Stream.Stream<A, E | CallTimedOut, R> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const afterMs = Duration.toMillis(Duration.fromInputUnsafe(timeout))
      const error = new CallTimedOut({ action, resource, afterMs })
      let isLate = false
      const late = yield* Effect.forkScoped(
        Effect.andThen(
          Effect.sleep(afterMs),
          Effect.suspend(() => {
            isLate = true
            call.end(Exit.fail(error))
            return Effect.fail(error)
          })
        )
      )
      // What was ready meanwhile comes too late as well.
      return stream.pipe(
        Stream.interruptWhen(Fiber.join(late)),
        Stream.mapEffect((element) => (isLate ? Effect.fail(error) : Effect.succeed(element)))
      )
    })
  )

/** Tells how the stream ended; one that was left early is charged by its estimate. */
const ending = <A, E, R>(stream: Stream.Stream<A, E, R>, call: OpenCall): Stream.Stream<A, E, R> =>
  stream.pipe(
    Stream.concat(
      Stream.suspend(() => {
        call.end(Exit.void)
        return Stream.empty
      })
    ),
    Stream.onError((cause) => Effect.sync(() => call.end(Exit.failCause(cause))))
  )

/** Elements under watch; what would block is redacted where here is only observed (POLICY-8). */
const heldBack = <A>(
  engine: PolicyEngine["Service"],
  call: OpenCall,
  scan: Exclude<GovernedStreamOptions["scan"], undefined>,
  holdBack: number | undefined
): HeldBack<A> =>
  new HeldBack<A>({
    dlp: engine.dlpFor(call.obligations),
    holdBack,
    observing: call.observing,
    textIn: typeof scan === "object" ? (scan as TextIn<A>) : undefined
  })

interface About {
  readonly action: string
  readonly resource: string
  readonly decisionId: string
}

const blocked = (about: About, subjects: ReadonlyArray<string>, seen: string, needed: string | null) =>
  new PolicyViolation({
    ...about,
    reason: `Content blocked: ${subjects.join(", ")}`,
    denial: { step: "dlp", seen, needed, retryAfterMs: null, remedy: "change_content", subjects },
    subjects
  })

const readable = "text, bytes or plain values, or `scan: { get, set }`"

/** Holds elements back until their text is known to be clean. */
const scanned = <A, E, R>(
  stream: Stream.Stream<A, E, R>,
  held: HeldBack<A>,
  call: OpenCall,
  about: About
): Stream.Stream<A, E | PolicyViolation, R> => {
  const passed = (taken: Taken<A>): Effect.Effect<ReadonlyArray<A>, PolicyViolation> => {
    if (taken._tag === "Let") return Effect.succeed(taken.out)
    const error =
      taken._tag === "Blocked"
        ? blocked(about, taken.kinds, taken.kinds.join(", "), null)
        : blocked(about, ["unreadable"], taken.what, readable)
    call.block(error)
    return Effect.fail(error)
  }
  return stream.pipe(
    Stream.mapEffect((element) => Effect.suspend(() => passed(held.take(element)))),
    Stream.concat(Stream.fromEffect(Effect.suspend(() => passed(held.end())))),
    Stream.flattenIterable
  )
}
