/**
 * A `POST` to the gateway whose answer is one of three: taken, never to be taken, or to be sent again.
 *
 * That it is never to be taken only the platform can say, in the contract's error body: a page of some proxy on the
 * way (404 while the platform is being replaced) loses nothing.
 */
import { Clock, Duration, Effect, Redacted } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { retryAfterMs } from "../internal/RetryAfter.ts"
import { quiet } from "../telemetry/QuietClient.ts"
import { DeliveryFailed, type HttpTransportOptions } from "./EventTransport.ts"

/** What the gateway said; that it should be asked again is a `DeliveryFailed`. */
export type Answer =
  | { readonly _tag: "Taken"; readonly text: string }
  | { readonly _tag: "Refused"; readonly status: number; readonly reason: string }

/** Statuses at which the same request may be taken later: a key that is renewed, the rate, the platform's state. */
const passing = (status: number): boolean =>
  status >= 500 || status === 401 || status === 408 || status === 425 || status === 429

/** Makes the call; `path` is below `/api/v1`. */
export const makeCall = Effect.fnUntraced(function* (options: HttpTransportOptions) {
  const client = quiet(yield* HttpClient.HttpClient)
  const origin = options.url.replace(/\/+$/, "")
  const timeout = options.timeout ?? "10 seconds"
  const failed = (reason: string, retryAfterMs?: number) =>
    new DeliveryFailed({ to: origin, reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })

  return (path: string, body: string): Effect.Effect<Answer, DeliveryFailed> => {
    const plain = HttpClientRequest.post(`${origin}/api/v1${path}`)
    const full = body === "" ? plain : HttpClientRequest.bodyText(plain, body, "application/json")
    const request =
      options.apiKey === undefined
        ? full
        : HttpClientRequest.bearerToken(full, Redacted.value(options.apiKey))
    return client.execute(request).pipe(
      Effect.flatMap((response) => Effect.map(response.text, (text) => ({ response, text }))),
      Effect.mapError((error) => failed(error.message)),
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () =>
          Effect.fail(failed(`no answer within ${Duration.format(Duration.fromInputUnsafe(timeout))}`))
      }),
      Effect.flatMap(({ response, text }): Effect.Effect<Answer, DeliveryFailed> => {
        const { status } = response
        if (status < 300) return Effect.succeed({ _tag: "Taken", text })
        const message = told(text)
        const reason = `${status} ${message ?? ""}`.trim()
        if (!passing(status) && (message !== undefined || status === 413))
          return Effect.succeed({ _tag: "Refused", status, reason })
        return Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.fail(failed(reason, retryAfterMs(response.headers["retry-after"], now)))
        )
      })
    )
  }
})

/** What the contract's error body says, shortened; undefined when it is none. */
const told = (text: string): string | undefined => {
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body !== "object" || body === null || !("error" in body) || !("message" in body))
      return undefined
    return String(body.message).slice(0, 300)
  } catch {
    return undefined
  }
}
