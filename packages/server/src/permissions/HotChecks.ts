/**
 * `POST /permissions/check`, answered before the router where memory holds everything that the decision needs: no
 * query, no schema. Whatever is not plain (another shape of the body, a limit that must be counted, an alert to
 * raise, something that must be read first) goes on to the router, which answers the same.
 */
import type { CallerInfo } from "@agion/domain/api"
import { Effect } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import type { Identify } from "../http/Authentication.ts"
import { withEpoch } from "../http/ErrorBody.ts"
import { Tenancy } from "../organizations/Tenancy.ts"
import * as CheckCodec from "./CheckCodec.ts"
import { Checks } from "./Checks.ts"
import { placeNow } from "./Placing.ts"

const path = "/api/v1/permissions/check"

/** Global middleware of the router. */
export const layer = (identify: Identify) =>
  HttpRouter.middleware(
    Effect.gen(function* () {
      const checks = yield* Checks
      const tenancy = yield* Tenancy

      const answer = (caller: CallerInfo, text: string) => {
        const request = CheckCodec.decode(parse(text))
        const asked = request === undefined ? undefined : placeNow(tenancy, caller, request)
        const result = asked === undefined ? undefined : checks.now(asked)
        if (asked === undefined || result === undefined) return undefined
        tenancy.use(asked.organizationId)
        const response = HttpServerResponse.text(CheckCodec.encode(result), json)
        return withEpoch(response, result.metadata.epoch)
      }

      return (httpEffect) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request): typeof httpEffect => {
          if (request.url !== path || request.method !== "POST") return httpEffect
          if (!CheckCodec.isJsonType(request.headers["content-type"])) return httpEffect
          return Effect.flatMap(
            Effect.catchCause(Effect.zipWith(identify(request), request.text, answer), () =>
              Effect.succeed(undefined)
            ),
            (response) => (response === undefined ? httpEffect : Effect.succeed(response))
          )
        })
    }),
    { global: true }
  )

const json = { contentType: "application/json" } as const

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
