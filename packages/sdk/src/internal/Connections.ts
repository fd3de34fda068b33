/** undici's pool as an `HttpClient`: loaded when the layer of `HttpPool` is built. */
import * as Undici from "@effect/platform-node/NodeHttpClient"
import { Duration, Effect } from "effect"
import { HttpClient, HttpClientError, type HttpClientRequest } from "effect/http"
import { limited } from "./AnswerLimit.ts"

/** The service that connections are. */
export const Client = HttpClient.HttpClient

type Request = HttpClientError.HttpClientError["request"]

/** A request whose answer did not come, or not whole. */
const lost = (request: Request, cause: unknown) =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({
      request,
      cause,
      ...(cause instanceof Error ? { description: cause.message } : {})
    })
  })

/** A request that was not answered in time. */
const silent = (request: Request, after: Duration.Duration) => {
  const cause = new Error(`no answer within ${Duration.format(after)}`)
  cause.name = "TimeoutError"
  return lost(request, cause)
}

const timed = (client: HttpClient.HttpClient, after: Duration.Duration): HttpClient.HttpClient =>
  HttpClient.transform(client, (answer, request) =>
    Effect.timeoutOrElse(answer, { duration: after, orElse: () => Effect.fail(silent(request, after)) })
  )

const isStream = ({ headers }: HttpClientRequest.HttpClientRequest): boolean =>
  headers["accept"] === "text/event-stream"

/** An answer is there when all of it is: one that breaks off or stalls after its head is none. */
const whole = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.transform(client, (answer, request) =>
    isStream(request)
      ? answer
      : Effect.tap(answer, ({ arrayBuffer }) =>
          Effect.mapError(arrayBuffer, ({ reason: { cause } }) => lost(request, cause))
        )
  )

/** At most so many connections, and so long for an answer; for the head of one that is a stream. */
export const connect = Effect.fnUntraced(function* (connections: number, timeout: Duration.Duration) {
  const dispatcher = yield* Undici.makeDispatcherOptions({ connections, keepAliveTimeout: 30_000 })
  const client = yield* Effect.provideService(
    Undici.makeUndici,
    Undici.Dispatcher,
    dispatcher.compose(limited)
  )
  return timed(whole(client), timeout)
})
