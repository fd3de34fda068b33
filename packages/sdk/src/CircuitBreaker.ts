/**
 * A circuit breaker around a dependency: while it is away, callers are told at once instead of waiting for it.
 *
 * ```ts
 * const breaker = yield* CircuitBreaker.make({ name: "governance" })
 * const answer = yield* breaker.run(Effect.timeout(call, "2 seconds"))
 * ```
 *
 * The rules are those of `Circuit`; its clock is the monotonic one, so that a wall clock that jumps opens and
 * closes nothing. Put a time-out inside it, and retries outside; `CircuitOpen` is not worth a retry before
 * `retryAfterMs`.
 *
 * **Gotchas**: only real calls change its state, a health probe beside it does not.
 */

import type { RedisError, RedisStream } from "@agion/redis"
import { Cause, Clock, Effect, Exit, Layer, Random, References, Result, Schema, type Stream } from "effect"
import type { HttpClient, HttpClientError, HttpClientRequest } from "effect/http"
import * as Circuit from "./Circuit.ts"
import { AnswerTooLarge } from "./internal/AnswerLimit.ts"
import { given } from "./internal/Given.ts"
import { streams } from "./internal/Later.ts"

/** The dependency is away, and this call was not tried. */
export class CircuitOpen extends Schema.TaggedError<CircuitOpen>()("CircuitOpen", {
  /** The breaker's name. */
  breaker: Schema.String,
  /** When it makes sense to ask again, milliseconds from now. */
  retryAfterMs: Schema.Finite
}) {
  override get message() {
    return `\`${this.breaker}\` is away; the call was not tried, ask again in ${Math.ceil(this.retryAfterMs)} ms`
  }
}

/** A breaker's name and numbers. */
export interface CircuitBreakerOptions extends Partial<Circuit.Rules> {
  /** For logs, errors and transitions. Default: `dependency`. */
  readonly name?: string
}

/** A change of state. */
export interface Transition {
  readonly name: string
  readonly from: Circuit.Phase
  readonly to: Circuit.Phase
  /** Epoch milliseconds. */
  readonly at: number
  /** How long it stays open at least, milliseconds; 0 when it does not. */
  readonly openMs: number
}

/** What calls became, since the start. */
export interface CircuitCounters {
  readonly admitted: number
  readonly rejected: number
  readonly successes: number
  readonly failures: number
  readonly ignored: number
  /** How often it opened. */
  readonly openings: number
}

/** Where a circuit stands. */
export interface CircuitState {
  readonly phase: Circuit.Phase
  /** When the next call is let through, milliseconds from now; 0: at once. */
  readonly retryAfterMs: number
}

/** Says what an end means for the circuit. */
export type Judge<A, E> = (exit: Exit.Exit<A, E>) => Circuit.Outcome

/** A circuit with its calls; made by `make`, shared by all who call the dependency. */
export interface CircuitBreaker {
  readonly name: string
  /** Runs the effect, or fails at once. */
  readonly run: <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    judge?: Judge<A, E>
  ) => Effect.Effect<A, E | CircuitOpen, R>
  /** Where it stands, for hot paths. */
  readonly stateUnsafe: () => CircuitState
  readonly state: Effect.Effect<CircuitState>
  /** Changes of state from now on. */
  readonly transitions: Stream.Stream<Transition>
  readonly counters: Effect.Effect<CircuitCounters>
  /** Forces it open or closed, or takes that back. */
  readonly force: (mode: "open" | "closed" | "none") => Effect.Effect<void>
}

/** A success is one, an end by interruption is nobody's fault, any other is a failure. */
export const judgeExit = (exit: Exit.Exit<unknown, unknown>): Circuit.Outcome =>
  Exit.isSuccess(exit) ? "success" : Cause.hasInterruptsOnly(exit.cause) ? "ignored" : "failure"

/** A breaker of its own state; provide one value to all who share the dependency. */
export const make = Effect.fnUntraced(function* (options: CircuitBreakerOptions = {}) {
  const { PubSub, Stream } = yield* streams
  const { name = "dependency", ...numbers } = options
  const rules: Circuit.Rules = { ...Circuit.defaultRules, ...given(numbers) }
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  // Whoever calls has a level of its own: what is said of the dependency is said at that of the breaker.
  const level = yield* References.MinimumLogLevel
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const changes = yield* PubSub.sliding<Transition>(64)
  const counters = { admitted: 0, rejected: 0, successes: 0, failures: 0, ignored: 0, openings: 0 }
  let circuit = Circuit.initial(now())

  /** Takes the new state over; an effect only when there is something to tell. */
  const become = (next: Circuit.Circuit): Effect.Effect<void> => {
    const from = circuit.phase
    circuit = next
    if (next.phase === from) return Effect.void
    if (next.phase === "open") counters.openings += 1
    const openMs = next.phase === "open" ? next.lastOpenMs : 0
    const transition = { name, from, to: next.phase, at: clock.currentTimeMillisUnsafe(), openMs }
    const told = Effect.provideService(tell(transition), References.MinimumLogLevel, level)
    return Effect.andThen(PubSub.publish(changes, transition), told)
  }

  const settle = (ticket: Circuit.Ticket, outcome: Circuit.Outcome) => {
    if (outcome === "success") counters.successes += 1
    else if (outcome === "failure") counters.failures += 1
    else counters.ignored += 1
    return become(Circuit.settle(circuit, ticket, outcome, now(), rules, random.nextDoubleUnsafe()))
  }

  const run = <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    judge: Judge<A, E> = judgeExit
  ): Effect.Effect<A, E | CircuitOpen, R> =>
    // What is admitted is settled: a probe whose caller goes away in between would keep its place.
    Effect.uninterruptibleMask((restore): Effect.Effect<A, E | CircuitOpen, R> => {
      const [next, admission] = Circuit.admit(circuit, now(), rules)
      const told = become(next)
      if (admission._tag === "Rejected") {
        counters.rejected += 1
        return Effect.fail(new CircuitOpen({ breaker: name, retryAfterMs: admission.retryAfterMs }))
      }
      counters.admitted += 1
      const judged = Effect.onExit(restore(effect), (exit) => settle(admission.ticket, judge(exit)))
      return told === Effect.void ? judged : Effect.andThen(told, judged)
    })

  const stateUnsafe = (): CircuitState => ({
    phase: circuit.phase,
    retryAfterMs: Circuit.retryAfterMs(circuit, now(), rules)
  })

  const breaker: CircuitBreaker = {
    name,
    run,
    stateUnsafe,
    state: Effect.sync(stateUnsafe),
    transitions: Stream.fromPubSub(changes),
    counters: Effect.sync(() => ({ ...counters })),
    force: (mode) => Effect.suspend(() => become(Circuit.force(circuit, mode, now())))
  }
  return breaker
})

const tell = ({ name, from, to, openMs }: Transition): Effect.Effect<void> =>
  to === "open"
    ? Effect.logWarning(`\`${name}\` is away: no calls for ${Math.ceil(openMs)} ms`)
    : Effect.logInfo(`circuit of \`${name}\`: ${from} to ${to}`)

/** 502, 503, 504 say that the platform is away. A 500 says that it tripped over one request: nobody may open it so. */
const judgeStatus = (status: number): Circuit.Outcome =>
  status === 502 || status === 503 || status === 504 ? "failure" : status >= 500 ? "ignored" : "success"

/** What an answer says of the platform; no answer at all is a failure, a 4xx is none (OUTAGE-1). */
export const judgeHttp: Judge<{ readonly status: number }, HttpClientError.HttpClientError> = (exit) => {
  if (Exit.isSuccess(exit)) return judgeStatus(exit.value.status)
  if (Cause.hasInterruptsOnly(exit.cause)) return "ignored"
  const error = Result.getOrUndefined(Cause.findError(exit.cause))
  if (error === undefined) return "failure"
  switch (error.reason._tag) {
    case "TransportError":
      // Who sends too much is there, as is one whose answer cannot be understood.
      return error.reason.cause instanceof AnswerTooLarge ? "ignored" : "failure"
    case "DecodeError":
    case "EmptyBodyError":
      return "failure"
    case "StatusCodeError":
      return judgeStatus(error.reason.response.status)
    default:
      return "ignored"
  }
}

/** The client behind the breaker: a call that is not tried fails as a `TransportError` whose cause is `CircuitOpen`. */
export const httpClient = Effect.fnUntraced(function* (
  breaker: CircuitBreaker,
  client: HttpClient.HttpClient
) {
  const [HttpClient, HttpClientError] = yield* Effect.promise(() =>
    Promise.all([import("effect/http/HttpClient"), import("effect/http/HttpClientError")])
  )
  const away = (request: HttpClientRequest.HttpClientRequest, cause: CircuitOpen) =>
    new HttpClientError.HttpClientError({
      reason: new HttpClientError.TransportError({ request, cause, description: cause.message })
    })
  return HttpClient.makeWith<HttpClientError.HttpClientError, never, HttpClientError.HttpClientError, never>(
    (prepared) =>
      Effect.flatMap(prepared, (request) =>
        breaker
          .run(client.postprocess(Effect.succeed(request)), judgeHttp)
          .pipe(Effect.catchTag("CircuitOpen", (cause) => Effect.fail(away(request, cause))))
      ),
    client.preprocess
  )
})

/** A breaker around the `HttpClient` of the layer below. */
export const layerHttpClient = (
  options: CircuitBreakerOptions = {}
): Layer.Layer<HttpClient.HttpClient, never, HttpClient.HttpClient> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { HttpClient } = yield* Effect.promise(() => import("effect/http/HttpClient"))
      const client = yield* HttpClient
      const breaker = yield* make({ name: "http", ...given(options) })
      return Layer.succeed(HttpClient, yield* httpClient(breaker, client))
    })
  )

/** The same for writes to Redis' streams: a refusal by Redis is an answer, a lost link or a time-out is not. */
export const redisStream = Effect.fnUntraced(function* (
  breaker: CircuitBreaker,
  streams: RedisStream["Service"]
) {
  const { RedisStream, RedisClient } = yield* Effect.promise(() => import("@agion/redis"))
  const effectRedis = yield* Effect.promise(() => import("effect/persistence/Redis"))
  const judge = (exit: Exit.Exit<unknown, RedisError>): Circuit.Outcome => {
    if (Exit.isSuccess(exit)) return "success"
    if (Cause.hasInterruptsOnly(exit.cause)) return "ignored"
    const error = Result.getOrUndefined(Cause.findError(exit.cause))
    return error !== undefined && RedisClient.outcome(error) === "refused" ? "success" : "failure"
  }
  const guard = <A>(effect: Effect.Effect<A, RedisError>): Effect.Effect<A, RedisError> =>
    breaker
      .run(effect, judge)
      .pipe(Effect.catchTag("CircuitOpen", (cause) => Effect.fail(new effectRedis.RedisError({ cause }))))
  return RedisStream.of({
    ...streams,
    append: (stream, fields, options) => guard(streams.append(stream, fields, options)),
    appendGuarded: (events, options) => guard(streams.appendGuarded(events, options)),
    ack: (group, entries) => guard(streams.ack(group, entries)),
    deadLetter: (group, entry, reason, options) => guard(streams.deadLetter(group, entry, reason, options)),
    trim: (stream, options) => guard(streams.trim(stream, options)),
    lag: (stream, group) => guard(streams.lag(stream, group))
  })
})

/** A breaker around the `RedisStream` of the layer below. */
export const layerRedisStream = (
  options: CircuitBreakerOptions = {}
): Layer.Layer<RedisStream, never, RedisStream> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { RedisStream } = yield* Effect.promise(() => import("@agion/redis"))
      const streams = yield* RedisStream
      const breaker = yield* make({ name: "redis", ...given(options) })
      return Layer.succeed(RedisStream, yield* redisStream(breaker, streams))
    })
  )
