/**
 * Connections to the platform: a pool of undici, a time-out and a size for an answer, and a breaker around all.
 *
 * undici and the client over it are loaded when the layer is built. The breaker counts what OUTAGE-1 counts; its
 * state stands in `PlatformCircuit`, for `Health` and for programs that want to look.
 *
 * Of an answer 16 MiB are read at most, of one to a single check, a reservation or events 1 MiB. A larger one is none
 * (`PlatformUnavailable`, kind `garbled`), and says nothing to the breaker. A stream of events goes on for ever.
 */
import { Context, Duration, Effect, Layer } from "effect"
import type { HttpClient } from "effect/http"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import { given } from "./internal/Given.ts"

/** The breaker around the platform. */
export class PlatformCircuit extends Context.Service<PlatformCircuit, CircuitBreaker.CircuitBreaker>()(
  "@agion/sdk/PlatformCircuit"
) {}

/** How connections are held. */
export interface HttpPoolOptions {
  /** How long an answer may take, and of a stream its head. Default: 2 seconds. */
  readonly timeout?: Duration.Input
  /** Connections at most. Default: 32. */
  readonly connections?: number
  /** Default: as `CircuitBreaker`, named `platform` and open for at most 3 seconds. */
  readonly breaker?: CircuitBreaker.CircuitBreakerOptions
}

/** An agent waits no longer than this for a platform that is back; a probe costs one call. */
const maxOpenMs = 3000

/** A pool with its breaker. */
export const layer = (options: HttpPoolOptions = {}): Layer.Layer<HttpClient.HttpClient | PlatformCircuit> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const timeout = Duration.fromInputUnsafe(options.timeout ?? "2 seconds")
      const connections = yield* Effect.promise(() => import("./internal/Connections.ts"))
      const client = yield* connections.connect(options.connections ?? 32, timeout)
      const breaker = yield* CircuitBreaker.make({ name: "platform", maxOpenMs, ...given(options.breaker) })
      return Context.make(PlatformCircuit, breaker).pipe(
        Context.add(connections.Client, yield* CircuitBreaker.httpClient(breaker, client))
      )
    })
  )
