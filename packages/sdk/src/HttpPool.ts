/**
 * Connections to the platform: a pool of undici, a time-out for the answer's head, and a breaker around both.
 *
 * undici is loaded when the layer is built. The breaker counts what OUTAGE-1 counts; its state stands in
 * `PlatformCircuit`, for `Health` and for programs that want to look.
 */
import { Context, Duration, Effect, Layer } from "effect"
import { HttpClient, HttpClientError } from "effect/http"
import * as CircuitBreaker from "./CircuitBreaker.ts"

/** The breaker around the platform. */
export class PlatformCircuit extends Context.Service<PlatformCircuit, CircuitBreaker.CircuitBreaker>()(
  "@agion/sdk/PlatformCircuit"
) {}

/** How connections are held. */
export interface HttpPoolOptions {
  /** How long an answer's head may take. Default: 2 seconds. */
  readonly timeout?: Duration.Input
  /** Connections at most. Default: 32. */
  readonly connections?: number
  readonly breaker?: CircuitBreaker.CircuitBreakerOptions
}

/** A request that was not answered in time. */
const silent = (request: HttpClientError.HttpClientError["request"], after: Duration.Duration) => {
  const cause = new Error(`no answer within ${Duration.format(after)}`)
  cause.name = "TimeoutError"
  return new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({ request, cause, description: cause.message })
  })
}

const timed = (client: HttpClient.HttpClient, after: Duration.Duration): HttpClient.HttpClient =>
  HttpClient.transform(client, (answer, request) =>
    Effect.timeoutOrElse(answer, { duration: after, orElse: () => Effect.fail(silent(request, after)) })
  )

const undici = Effect.fnUntraced(function* (connections: number) {
  const node = yield* Effect.promise(() => import("@effect/platform-node/NodeHttpClient"))
  const dispatcher = yield* node.makeDispatcherOptions({ connections, keepAliveTimeout: 30_000 })
  return yield* Effect.provideService(node.makeUndici, node.Dispatcher, dispatcher)
})

/** An agent waits no longer than this for a platform that is back; a probe costs one call. */
const maxOpenMs = 3000

/** A pool with its breaker. */
export const layer = (options: HttpPoolOptions = {}): Layer.Layer<HttpClient.HttpClient | PlatformCircuit> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const timeout = Duration.fromInputUnsafe(options.timeout ?? "2 seconds")
      const client = timed(yield* undici(options.connections ?? 32), timeout)
      const breaker = yield* CircuitBreaker.make({ name: "platform", maxOpenMs, ...options.breaker })
      return Context.make(PlatformCircuit, breaker).pipe(
        Context.add(HttpClient.HttpClient, yield* CircuitBreaker.httpClient(breaker, client))
      )
    })
  )
