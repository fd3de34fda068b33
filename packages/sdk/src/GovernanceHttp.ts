/**
 * The platform over HTTP: every route of the contract as a typed method, with deadlines, retries and one error
 * for "the platform is away".
 *
 * ```ts
 * const http = yield* GovernanceHttp
 * const score = yield* http.ask((api) => api.trust.score({ params: { entityId }, query: {} }))
 * ```
 *
 * `ask` is for what may be repeated (reads, checks, whatever carries an id that counts once): it is retried with
 * jitter and honours `Retry-After`. `act` sends once. Both fail with `PlatformUnavailable` exactly for what
 * OUTAGE-1 counts, with `PlatformRefused` for statuses that a route does not name, and else with the errors
 * that the contract gives the route. `check` collects the checks of one turn of the event loop into one call.
 *
 * **Gotchas**: a time-out says nothing about whether the platform acted. The contract and effect's HTTP client are
 * imported when the layer is built, not with this module.
 */
import type { CheckRequest, CheckResult, ReserveRequest, ReserveResult } from "@agion/domain"
import type { Api } from "@agion/domain/api"
import { Context, type Duration, Effect, Layer, Schema, type Scope } from "effect"
import type { HttpClient, HttpClientError } from "effect/http"
import type { HttpApiClient } from "effect/http-api"
import type { Settings } from "./Settings.ts"

/** The platform gave no answer (OUTAGE-1). A refusal is never this. */
export class PlatformUnavailable extends Schema.TaggedError<PlatformUnavailable>()("PlatformUnavailable", {
  kind: Schema.Literals(["connection", "timeout", "status", "breaker", "garbled"]),
  detail: Schema.String,
  /** When asking again makes sense, milliseconds; null: not said. */
  retryAfterMs: Schema.NullOr(Schema.Number),
  /** Where it was looked for, such as `http://127.0.0.1:8080`. */
  url: Schema.optionalKey(Schema.String)
}) {
  readonly code = "platform_unavailable"
  override get message() {
    const at = this.url === undefined ? "" : ` at \`${this.url}\``
    const wait = this.retryAfterMs === null ? "" : `; ask again in ${Math.ceil(this.retryAfterMs)} ms`
    return `the platform${at} does not answer (${this.detail})${wait}`
  }
}

/** The platform answered, and what it said is a refusal that the route does not name. */
export class PlatformRefused extends Schema.TaggedError<PlatformRefused>()("PlatformRefused", {
  status: Schema.Int,
  detail: Schema.String,
  retryAfterMs: Schema.NullOr(Schema.Number)
}) {
  readonly code = "platform_refused"
  override get message() {
    return `the platform refused with ${this.status}: ${this.detail}`
  }
}

/** The contract's methods, one object a group. */
export type GovernanceApi = HttpApiClient.ForApi<typeof Api, PlatformUnavailable | PlatformRefused>

/** The errors of a route with the transport's in our words. */
export type Translated<E> =
  | Exclude<E, HttpClientError.HttpClientError | Schema.SchemaError>
  | PlatformUnavailable
  | PlatformRefused

/** How long to wait and how often to repeat. */
export interface GovernanceHttpOptions {
  /** One try, from the first byte to the last. Default: 2 seconds. */
  readonly timeout?: Duration.Input
  /** All tries of a call. Default: 5 seconds. */
  readonly deadline?: Duration.Input
  /** Repetitions of what may be repeated; in the long run of one call in ten. Default: 2. */
  readonly retries?: number
}

/** An answer to a check and the organization's epoch in its header. */
export interface CheckAnswer {
  readonly result: CheckResult
  /** Null: the answer named none. */
  readonly epoch: number | null
}

/** An answer to a reservation and the organization's epoch in its header. */
export interface ReserveAnswer {
  readonly result: ReserveResult
  readonly epoch: number | null
}

/** The platform over HTTP. */
export class GovernanceHttp extends Context.Service<
  GovernanceHttp,
  {
    /** Asks what may be asked again: retried within the deadline. */
    readonly ask: <A, E>(f: (api: GovernanceApi) => Effect.Effect<A, E>) => Effect.Effect<A, Translated<E>>
    /** Sends once. */
    readonly act: <A, E>(f: (api: GovernanceApi) => Effect.Effect<A, E>) => Effect.Effect<A, Translated<E>>
    /** Any route: what only reads is repeated within the deadline, what writes when it was turned away with a 429. */
    readonly call: <A, E>(f: (api: GovernanceApi) => Effect.Effect<A, E>) => Effect.Effect<A, Translated<E>>
    /** A check with what a cache needs; checks of one turn of the event loop travel together. */
    readonly check: (
      request: CheckRequest
    ) => Effect.Effect<CheckAnswer, PlatformUnavailable | PlatformRefused>
    /** Checks and takes what the call will use; repeatable by its idempotency key. */
    readonly reserve: (
      request: ReserveRequest
    ) => Effect.Effect<ReserveAnswer, PlatformUnavailable | PlatformRefused>
    /**
     * Calls the listener with the epoch of each answer to a check or a reservation in the agent's organization, as long
     * as the scope is open. It must not throw or wait.
     */
    readonly onEpoch: (listener: (epoch: number) => void) => Effect.Effect<void, never, Scope.Scope>
  }
>()("@agion/sdk/GovernanceHttp") {
  /** Over whatever `HttpClient` there is: a breaker goes around that one. */
  static readonly layer = (
    options: GovernanceHttpOptions = {}
  ): Layer.Layer<GovernanceHttp, never, Settings | HttpClient.HttpClient> =>
    Layer.effect(
      GovernanceHttp,
      Effect.flatMap(
        Effect.promise(() => import("./internal/PlatformCalls.ts")),
        ({ make }) => make(options)
      )
    )
}

/** A refusal that a route names, as `PlatformRefused`; what is one of ours already stays. */
export const asRefusal = <E extends { readonly _tag: string; readonly message: string }>(
  error: E | PlatformUnavailable | PlatformRefused
): PlatformUnavailable | PlatformRefused => {
  if (error instanceof PlatformUnavailable || error instanceof PlatformRefused) return error
  return new PlatformRefused({
    status: statusOf[error._tag] ?? 400,
    detail: error.message,
    retryAfterMs: null
  })
}

const statusOf: { readonly [tag: string]: number } = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  Conflict: 409,
  PayloadTooLarge: 413,
  Unprocessable: 422,
  InternalError: 500
}
