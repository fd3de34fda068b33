/**
 * The contract's error body on every answer that refuses, whoever refused: a handler, a schema that did not
 * decode, the router, a body that is too large, a defect. A defect's message stays in the log.
 */
import { epochHeader, Wire } from "@agion/domain"
import { Cause, type Clock, Effect } from "effect"
import { HttpRouter, HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"
import { isAway } from "../sql/Database.ts"
import { errorText, statusWord } from "./ErrorText.ts"
import { jsonFault } from "./JsonFault.ts"

/** A refusal in the contract's form. */
const errorResponse = (
  clock: Clock.Clock,
  status: number,
  message: string,
  details = ""
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(errorText(status, message, clock.currentTimeMillisUnsafe(), details), {
    status,
    contentType: "application/json"
  })

/** The organization's epoch in the header of an answer. */
export const withEpoch = (
  response: HttpServerResponse.HttpServerResponse,
  epoch: number | undefined
): HttpServerResponse.HttpServerResponse =>
  epoch === undefined ? response : HttpServerResponse.setHeader(response, epochHeader, String(epoch))

/** Global middleware of the router: every failure and every bare refusal gets the contract's body. */
export const errorBodies = HttpRouter.middleware(
  (httpEffect) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request): typeof httpEffect =>
      Effect.matchCauseEffect(httpEffect, {
        onFailure: (cause) => Effect.clockWith((clock) => ofCause(clock, cause, request)),
        onSuccess: (response) =>
          response.status >= 400 && !isJson(response)
            ? Effect.clockWith((clock) => Effect.succeed(ofBare(clock, response)))
            : Effect.succeed(response)
      })
    ),
  { global: true }
)

const isJson = (response: HttpServerResponse.HttpServerResponse): boolean =>
  response.body._tag === "Uint8Array" && response.body.contentType.startsWith("application/json")

const bareMessages: { readonly [status: number]: string } = {
  404: "there is no such route; see the document at /openapi.json",
  413: "the body is larger than the server reads",
  415: "send JSON with `content-type: application/json`"
}

const ofBare = (clock: Clock.Clock, response: HttpServerResponse.HttpServerResponse) =>
  errorResponse(clock, response.status, bareMessages[response.status] ?? statusWord(response.status))

const ofCause = (
  clock: Clock.Clock,
  cause: Cause.Cause<unknown>,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const error = Cause.squash(cause)
  if (HttpApiError.HttpApiSchemaError.is(error) && error.kind !== "Body" && error.kind !== "ResponseHeaders")
    return error.kind === "Payload"
      ? ofPayload(clock, error, request)
      : Effect.succeed(ofSchemaError(clock, error))
  if (HttpServerError.isHttpServerError(error)) return Effect.succeed(ofServerError(clock, error))
  if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
  if (isAway(error))
    return Effect.as(
      Effect.logWarning("the database is away", cause),
      errorResponse(clock, 503, "the database does not answer; try again shortly")
    )
  return Effect.as(
    Effect.logError("a request died", cause),
    errorResponse(clock, 500, "the request could not be handled; the server's log says why")
  )
}

const ofServerError = (clock: Clock.Clock, error: HttpServerError.HttpServerError) => {
  switch (error.reason._tag) {
    case "RouteNotFound":
      return isLongId(error)
        ? errorResponse(clock, 400, "an id in the path is too long; an id has at most 1000 characters")
        : errorResponse(clock, 404, "there is no such route; see the document at /openapi.json")
    case "RequestParseError":
      return isTooLarge(error)
        ? errorResponse(clock, 413, "the body is larger than the server reads; send less at once")
        : errorResponse(clock, 400, "the body could not be read")
    default:
      return errorResponse(clock, 500, "the request could not be handled; the server's log says why")
  }
}

/** A part of the path is longer than the router takes. */
const isLongId = ({ reason }: HttpServerError.HttpServerError): boolean =>
  reason._tag === "RouteNotFound" && /maxParamLength/.test(reason.description ?? "")

const isTooLarge = (error: HttpServerError.HttpServerError): boolean => /maxBytes/.test(inspectCause(error))

const inspectCause = (error: HttpServerError.HttpServerError): string => {
  const cause = error.reason.cause
  return cause instanceof Error ? cause.message : String(cause)
}

const places: { readonly [kind: string]: string } = {
  Params: "path",
  Query: "query",
  Headers: "headers",
  Payload: "body"
}

/** Of a body that is no JSON at all, the number that makes it none, if it is one. */
const ofPayload = Effect.fnUntraced(function* (
  clock: Clock.Clock,
  error: HttpApiError.HttpApiSchemaError,
  request: HttpServerRequest.HttpServerRequest
) {
  const refused = ofSchemaError(clock, error)
  if (!/valid JSON|JSON parse|SyntaxError|Unexpected token/i.test(error.cause.message)) return refused
  const text = yield* Effect.orElseSucceed(request.text, () => "")
  const fault = jsonFault(text)
  return fault === undefined ? refused : errorResponse(clock, 400, `the body is not valid JSON: ${fault}`)
})

/** 400 for what does not decode: where it is and what was expected. */
const ofSchemaError = (clock: Clock.Clock, error: HttpApiError.HttpApiSchemaError) => {
  const place = places[error.kind] ?? "request"
  const lines = Wire.wirePaths(error.cause.message.slice(0, 2000))
  return errorResponse(clock, 400, `the ${place} is not valid: ${lines.split("\n", 1)[0] ?? ""}`, lines)
}
