/** The routes of organizations: their settings, what they used, the keys that speak for them. */
import { ApiError } from "@agion/domain"
import { Api } from "@agion/domain/api"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import * as KeysHttp from "../keys/KeysHttp.ts"
import * as UsageHttp from "../usage/UsageHttp.ts"
import { Organizations } from "./Organizations.ts"
import { Tenancy } from "./Tenancy.ts"

/** The handlers of group `organizations`. */
export const layer = HttpApiBuilder.group(
  Api,
  "organizations",
  Effect.fnUntraced(function* (handlers) {
    const organizations = yield* Organizations
    const tenancy = yield* Tenancy
    const keys = yield* KeysHttp.handlers
    const usage = yield* UsageHttp.summary

    return handlers.handleAll({
      ...keys,
      usage,
      get: Effect.fnUntraced(function* ({ params }) {
        yield* tenancy.owns(params.id, () => missing(params.id))
        return yield* organizations.get(params.id)
      }),
      update: Effect.fnUntraced(function* ({ params, payload }) {
        yield* tenancy.owns(params.id, () => missing(params.id))
        return yield* organizations.update(params.id, payload)
      })
    })
  })
)

const missing = (id: string) => new ApiError.NotFound({ message: `there is no organization \`${id}\`` })
