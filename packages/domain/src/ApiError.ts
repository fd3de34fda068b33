/**
 * What the HTTP API answers when it refuses: one class a status, one body for all of them:
 * `{"error": "Not Found", "message": "…", "details": "…", "timestamp": "…"}`.
 */
import { Effect, Schema } from "effect"

const body = (error: string) => ({
  /** The status in words. */
  error: Schema.String.pipe(Schema.withConstructorDefault(Effect.succeed(error))),
  /** What is wrong, what was seen, what to do next. */
  message: Schema.String,
  /** More for whoever looks for the cause; empty when there is no more. */
  details: Schema.String.pipe(Schema.withConstructorDefault(Effect.succeed(""))),
  /** When it was answered. */
  timestamp: Schema.String.pipe(
    Schema.withConstructorDefault(Effect.clockWith((clock) => Effect.map(clock.currentTimeMillis, iso)))
  )
})

const iso = (millis: number): string => new Date(millis).toISOString()

/** 400: malformed or an invalid value. */
export class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", body("Bad Request"), {
  httpApiStatus: 400
}) {
  readonly code = "bad_request"
}

/** 401: no key, or one that is not valid. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", body("Unauthorized"), {
  httpApiStatus: 401
}) {
  readonly code = "unauthorized"
}

/** 403: understood, and not allowed to this caller. */
export class Forbidden extends Schema.TaggedError<Forbidden>()("Forbidden", body("Forbidden"), {
  httpApiStatus: 403
}) {
  readonly code = "forbidden"
}

/** 404: there is no such thing, or it belongs to another organization. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", body("Not Found"), {
  httpApiStatus: 404
}) {
  readonly code = "not_found"
}

/** 409: a duplicate, a concurrent change, or a state from which this move does not start. */
export class Conflict extends Schema.TaggedError<Conflict>()("Conflict", body("Conflict"), {
  httpApiStatus: 409
}) {
  readonly code = "conflict"
}

/** 413: the body is larger than the server reads. */
export class PayloadTooLarge extends Schema.TaggedError<PayloadTooLarge>()(
  "PayloadTooLarge",
  body("Payload Too Large"),
  { httpApiStatus: 413 }
) {
  readonly code = "payload_too_large"
}

/** 422: well-formed and refused; for an expression with its line and column. */
export class Unprocessable extends Schema.TaggedError<Unprocessable>()(
  "Unprocessable",
  body("Unprocessable Entity"),
  { httpApiStatus: 422 }
) {
  readonly code = "unprocessable"
}

/** 429: later; the header `Retry-After` says when. */
export class TooManyRequests extends Schema.TaggedError<TooManyRequests>()(
  "TooManyRequests",
  body("Too Many Requests"),
  { httpApiStatus: 429 }
) {
  readonly code = "too_many_requests"
}

/** 500: a defect of the server. */
export class InternalError extends Schema.TaggedError<InternalError>()(
  "InternalError",
  body("Internal Server Error"),
  { httpApiStatus: 500 }
) {
  readonly code = "internal_error"
}

/** 503: something that the server needs is away. */
export class Unavailable extends Schema.TaggedError<Unavailable>()(
  "Unavailable",
  body("Service Unavailable"),
  {
    httpApiStatus: 503
  }
) {
  readonly code = "unavailable"
}

/** Every refusal of the API. */
export type ApiError =
  | BadRequest
  | Unauthorized
  | Forbidden
  | NotFound
  | Conflict
  | PayloadTooLarge
  | Unprocessable
  | TooManyRequests
  | InternalError
  | Unavailable
