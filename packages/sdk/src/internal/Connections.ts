/** undici's pool as an `HttpClient`: loaded when the layer of `HttpPool` is built. */
import * as Undici from "@effect/platform-node/NodeHttpClient"
import { Duration, Effect } from "effect"
import { HttpClient, HttpClientError } from "effect/http"

/** The service that connections are. */
export const Client = HttpClient.HttpClient

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

/** At most so many connections, and so long for an answer's head. */
export const connect = Effect.fnUntraced(function* (connections: number, timeout: Duration.Duration) {
  const dispatcher = yield* Undici.makeDispatcherOptions({ connections, keepAliveTimeout: 30_000 })
  const client = yield* Effect.provideService(Undici.makeUndici, Undici.Dispatcher, dispatcher)
  return timed(client, timeout)
})
