/** Who asks: by key, or anybody while authentication is off. */
import { ApiError } from "@agion/domain"
import { Authentication, Caller, type CallerInfo, ErrorBodies } from "@agion/domain/api"
import { Effect, Layer } from "effect"
import { HttpServerRequest } from "effect/http"
import { Changes } from "../changes/Changes.ts"
import { Tenancy } from "../organizations/Tenancy.ts"
import { mayUse } from "./Access.ts"
import { withEpoch } from "./ErrorBody.ts"

/** Finds whom a key stands for; undefined: the key is not valid. */
export type KeyLookup = (key: string) => Effect.Effect<CallerInfo | undefined>

/** Names the caller of a request; fails when it must name one and does not. */
export type Identify = (
  request: HttpServerRequest.HttpServerRequest
) => Effect.Effect<CallerInfo, ApiError.Unauthorized>

/** Every request may speak for any organization. Each gets a caller of its own. */
export const identifyNobody: Identify = () =>
  Effect.succeed({ organizationId: null, agentId: null, keyId: null })

/** Reads `Authorization: Bearer KEY` or `X-API-Key: KEY`. */
export const identifyByKey =
  (lookup: KeyLookup): Identify =>
  (request) => {
    const key = keyOf(request)
    if (key === undefined)
      return Effect.fail(
        new ApiError.Unauthorized({ message: "a key is required; send `Authorization: Bearer KEY`" })
      )
    return Effect.flatMap(lookup(key), (caller) =>
      caller === undefined
        ? Effect.fail(
            new ApiError.Unauthorized({ message: "the key is not valid; it may have been removed" })
          )
        : // One object a request: what the request is about is remembered by it.
          Effect.succeed({ ...caller })
    )
  }

type Headers = { readonly [name: string]: string | ReadonlyArray<string> | undefined }

/** The caller of a request as far as memory knows; undefined: ask `Identify`. */
export type IdentifyNow = (headers: Headers) => CallerInfo | undefined

export const identifyNobodyNow: IdentifyNow = () => ({ organizationId: null, agentId: null, keyId: null })

export const identifyByKeyNow =
  (peek: (key: string) => CallerInfo | undefined): IdentifyNow =>
  (headers) => {
    const key = keyOf({ headers })
    const caller = key === undefined ? undefined : peek(key)
    return caller === undefined ? undefined : { ...caller }
  }

const keyOf = ({ headers }: { readonly headers: Headers }): string | undefined => {
  const header = headers["authorization"]
  if (typeof header === "string" && /^bearer /i.test(header)) return header.slice(7).trim()
  const key = headers["x-api-key"]
  return typeof key === "string" ? key : undefined
}

/** The contract's two middlewares. Answers carry the epoch of the organization that they are about. */
export const layer = (
  identify: Identify
): Layer.Layer<Authentication | ErrorBodies, never, Tenancy | Changes> =>
  Layer.mergeAll(
    Layer.effect(
      Authentication,
      Effect.gen(function* () {
        const tenancy = yield* Tenancy
        const changes = yield* Changes
        return Authentication.of((httpEffect, { endpoint, group }) =>
          Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
            Effect.flatMap(identify(request), (caller) =>
              mayUse(caller, group.identifier, endpoint.identifier).pipe(
                Effect.andThen(Effect.provideService(httpEffect, Caller, caller)),
                tenancy.isolated(caller, group.identifier, endpoint.identifier),
                Effect.map((response) => {
                  const subject = tenancy.subject(caller)
                  return subject === undefined ? response : withEpoch(response, changes.epoch(subject))
                })
              )
            )
          )
        )
      })
    ),
    Layer.succeed(ErrorBodies, (httpEffect) => httpEffect)
  )
