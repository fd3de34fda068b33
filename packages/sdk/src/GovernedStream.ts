/**
 * `governedStream`: permitted before the first element, scanned on the way, settled at the end (GOVERN-4).
 */
import type { Dlp } from "@agion/policy"
import { Duration, Effect, Exit, Fiber, Stream } from "effect"
import { CallTimedOut, type Denied, PolicyViolation } from "./Denials.ts"
import {
  Governance,
  type GovernedCall,
  type GovernedOptions,
  type OpenCall,
  type TimeoutOf
} from "./Governance.ts"
import { PolicyEngine } from "./PolicyEngine.ts"

/** What a program may say of a governed stream. */
export interface GovernedStreamOptions extends GovernedOptions<never> {
  /** Scan text in the stream: a secret ends it, an e-mail address is redacted. Default: true. */
  readonly scan?: boolean
}

/**
 * Governs a stream: permitted before its first element, settled at its end; text in it is scanned (GOVERN-4). With
 * `timeout` it fails with `CallTimedOut`, and is settled then whether somebody reads or not.
 */
export const governedStream =
  <O extends GovernedStreamOptions = GovernedStreamOptions>(action: string, resource: string, options?: O) =>
  <A, E, R>(
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
        const watch = given.scan === false ? undefined : watchOf(engine, call)
        const seen = watch === undefined ? stream : scanned(stream, watch, about)
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

interface About {
  readonly action: string
  readonly resource: string
  readonly decisionId: string
}

const blocked = (about: About, findings: ReadonlyArray<Dlp.Finding>): PolicyViolation => {
  const subjects = [
    ...new Set(findings.filter((finding) => finding.action === "block").map(({ kind }) => kind))
  ]
  return new PolicyViolation({
    ...about,
    reason: `Content blocked: ${subjects.join(", ")}`,
    denial: {
      step: "dlp",
      seen: subjects.join(", "),
      needed: null,
      retryAfterMs: null,
      remedy: "change_content",
      subjects
    },
    subjects
  })
}

/** What would block is redacted where here is only observed (POLICY-8). */
const watchOf = (engine: PolicyEngine["Service"], call: OpenCall): Dlp.DlpStream =>
  engine.dlpFor(call.obligations).stream(call.observing ? { onBlock: "redact" } : {})

/** The most elements that wait for the text before them; of more the first goes ahead of it. */
const waitingAtMost = 1000

/** Text and what came between, in the order in which it came, as far as the text is known to be clean. */
const inOrder = <A>(watch: Dlp.DlpStream) => {
  const waiting: Array<{ readonly at: number; readonly element: A }> = []
  let pushed = 0
  // Only text is rebuilt, and text is what came in: the element type stays what it was.
  const text = (piece: string): ReadonlyArray<A> => (piece === "" ? [] : [piece as A])
  const released = (emit: string, before: number): ReadonlyArray<A> => {
    const after = watch.released()
    const out: Array<A> = []
    // A redacted text has no places of its own: what came within it follows it.
    const isWhole = emit.length === after - before
    let cut = 0
    for (let next = waiting[0]; next !== undefined && next.at <= after; next = waiting[0]) {
      const upTo = isWhole ? next.at - before : emit.length
      out.push(...text(emit.slice(cut, upTo)), next.element)
      cut = upTo
      waiting.shift()
    }
    out.push(...text(emit.slice(cut)))
    return out
  }
  return {
    element: (element: A): ReadonlyArray<A> => {
      if (waiting.length === 0 && pushed === watch.released()) return [element]
      waiting.push({ at: pushed, element })
      const first = waiting.length > waitingAtMost ? waiting.shift() : undefined
      return first === undefined ? [] : [first.element]
    },
    step: (chunk: string | null): { readonly made: Dlp.StreamStep; readonly out: () => ReadonlyArray<A> } => {
      const before = watch.released()
      if (chunk !== null) pushed += chunk.length
      const made = chunk === null ? watch.end() : watch.push(chunk)
      return { made, out: () => released(made.emit, before) }
    }
  }
}

/** Holds text back until it is known to be clean, and what follows it behind it. */
const scanned = <A, E, R>(
  stream: Stream.Stream<A, E, R>,
  watch: Dlp.DlpStream,
  about: About
): Stream.Stream<A, E | PolicyViolation, R> => {
  const order = inOrder<A>(watch)
  const seen: Array<Dlp.Finding> = []
  const step = (chunk: string | null): Effect.Effect<ReadonlyArray<A>, PolicyViolation> => {
    const { made, out } = order.step(chunk)
    seen.push(...made.findings)
    return made.blocked ? Effect.fail(blocked(about, seen)) : Effect.succeed(out())
  }
  return stream.pipe(
    Stream.mapEffect((element) =>
      typeof element === "string"
        ? Effect.suspend(() => step(element))
        : Effect.sync(() => order.element(element))
    ),
    Stream.concat(Stream.fromEffect(Effect.suspend(() => step(null)))),
    Stream.flattenIterable
  )
}
