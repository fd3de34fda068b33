/**
 * `POST /permissions/check`, answered before the router where memory holds everything that the decision needs: no
 * query, no schema. Whatever is not plain (another shape of the body, a limit that must be counted, an alert to
 * raise, something that must be read first) goes on to the router, which answers the same.
 *
 * Twice: `early` answers in the `node:http` server, while nobody collects spans; `layer` in front of the router.
 */
import { epochHeader } from "@agion/domain"
import type { CallerInfo } from "@agion/domain/api"
import { Context, Effect, Layer, Option, Tracer } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import type { Identify, IdentifyNow } from "../http/Authentication.ts"
import type { EarlyAnswer, EarlyServer } from "../http/EarlyServer.ts"
import { Tenancy } from "../organizations/Tenancy.ts"
import * as CheckCodec from "./CheckCodec.ts"
import { Checks } from "./Checks.ts"
import { placeNow } from "./Placing.ts"

const url = "/api/v1/permissions/check"
const method = "POST"

/** Answers a body at once; undefined where it takes more. */
const answering = Effect.gen(function* () {
  const checks = yield* Checks
  const tenancy = yield* Tenancy
  return (caller: CallerInfo, text: string, peer: string | undefined): EarlyAnswer | undefined => {
    const request = CheckCodec.decode(parse(text))
    const asked = request === undefined ? undefined : placeNow(tenancy, caller, request, peer)
    const result = asked === undefined ? undefined : checks.now(asked)
    if (asked === undefined || result === undefined) return undefined
    tenancy.use(asked.organizationId)
    const { epoch } = result.metadata
    return {
      body: CheckCodec.encode(result),
      headers: epoch === undefined ? noHeaders : { [epochHeader]: String(epoch) }
    }
  }
})

const noHeaders = {}

/** Larger bodies are the router's. */
const maxEarly = 65_536

/**
 * Lets the server answer checks of at most `maxBody` bytes itself. Where spans are collected the router does, which makes them.
 */
export const early = (server: EarlyServer, identifyNow: IdentifyNow, maxBody: number) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const answer = yield* answering
      const tracer = yield* Effect.tracer
      if (tracer !== Context.get(Context.empty(), Tracer.Tracer)) return
      server.early = {
        method,
        url,
        maxLength: Math.min(maxEarly, maxBody),
        answer: (headers, text, peer) => {
          if (!CheckCodec.isJsonType(headers["content-type"])) return undefined
          const caller = identifyNow(headers)
          return caller === undefined ? undefined : answer(caller, text, peer)
        }
      }
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          server.early = undefined
        })
      )
    })
  )

/** Global middleware of the router. */
export const layer = (identify: Identify) =>
  HttpRouter.middleware(
    Effect.map(answering, (answer) => {
      const respond = (caller: CallerInfo, text: string, peer: string | undefined) => {
        const said = answer(caller, text, peer)
        if (said === undefined) return undefined
        return HttpServerResponse.text(said.body, { contentType: "application/json", headers: said.headers })
      }
      return (httpEffect) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request): typeof httpEffect => {
          if (request.url !== url || request.method !== method) return httpEffect
          if (!CheckCodec.isJsonType(request.headers["content-type"])) return httpEffect
          return Effect.flatMap(
            Effect.catchCause(
              Effect.zipWith(identify(request), request.text, (caller, text) =>
                respond(caller, text, Option.getOrUndefined(request.remoteAddress))
              ),
              () => Effect.succeed(undefined)
            ),
            (response) => (response === undefined ? httpEffect : Effect.succeed(response))
          )
        })
    }),
    { global: true }
  )

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
