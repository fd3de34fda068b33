/** The routes of policies. */
import { Api, Caller } from "@agion/domain/api"
import { Clock, Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Tenancy } from "../organizations/Tenancy.ts"
import { Bundle } from "./Bundle.ts"
import { evaluate } from "./Evaluation.ts"
import { Policies } from "./Policies.ts"

/** The handlers of group `policies`. */
export const layer = HttpApiBuilder.group(
  Api,
  "policies",
  Effect.fnUntraced(function* (handlers) {
    const policies = yield* Policies
    const bundle = yield* Bundle
    const tenancy = yield* Tenancy

    const about = (organizationId: string | null) =>
      organizationId === null ? Effect.void : tenancy.about(organizationId)

    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ query }) {
        const organizationId = yield* tenancy.filter(query.organizationId)
        const { rows, total } = yield* policies.list({
          ...query,
          organizationId,
          limit: query.limit ?? 100,
          offset: query.offset ?? 0
        })
        return { policies: rows, total }
      }),
      create: Effect.fnUntraced(function* ({ payload }) {
        // Without a key and without a name it applies to all organizations.
        const organizationId = yield* tenancy.filter(payload.organizationId)
        return yield* policies.create(organizationId, payload)
      }),
      bundle: Effect.fnUntraced(function* ({ query, headers }) {
        const organizationId =
          query.agentId === undefined
            ? yield* tenancy.of(query.organizationId)
            : yield* tenancy.ofActor(query.organizationId, query.agentId)
        const { text, etag } = yield* bundle.of(organizationId)
        const known = headers["if-none-match"]
          ?.split(",")
          .some((tag) => ["*", etag].includes(tag.trim().replace(/^W\//, "")))
        return known === true
          ? HttpServerResponse.empty({ status: 304, headers: { etag } })
          : HttpServerResponse.text(text, { contentType: "application/json", headers: { etag } })
      }),
      get: Effect.fnUntraced(function* ({ params }) {
        const policy = yield* policies.get(params.id, yield* tenancy.scope)
        yield* about(policy.organizationId)
        return policy
      }),
      update: Effect.fnUntraced(function* ({ params, payload }) {
        const policy = yield* policies.update(yield* Caller, params.id, payload)
        yield* about(policy.organizationId)
        return policy
      }),
      remove: Effect.fnUntraced(function* ({ params }) {
        const policy = yield* policies.remove(yield* Caller, params.id)
        yield* about(policy.organizationId)
      }),
      evaluate: Effect.fnUntraced(function* ({ params, payload }) {
        const policy = yield* policies.get(params.id, yield* tenancy.scope)
        yield* about(policy.organizationId)
        return yield* evaluate(policy, payload.context, yield* Clock.currentTimeMillis)
      })
    })
  })
)
