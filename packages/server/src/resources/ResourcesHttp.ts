/** The routes of resources. */
import { Api, Caller } from "@agion/domain/api"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Tenancy } from "../organizations/Tenancy.ts"
import { Resources } from "./Resources.ts"

/** The handlers of group `resources`. */
export const layer = HttpApiBuilder.group(
  Api,
  "resources",
  Effect.fnUntraced(function* (handlers) {
    const resources = yield* Resources
    const tenancy = yield* Tenancy
    return handlers.handleAll({
      create: Effect.fnUntraced(function* ({ payload }) {
        const organizationId = yield* tenancy.of(payload.organizationId)
        return yield* resources.create({ ...payload, organizationId })
      }),
      list: Effect.fnUntraced(function* ({ query }) {
        const organizationId = yield* tenancy.of(query.organizationId)
        const limit = query.limit ?? 100
        const offset = query.offset ?? 0
        const { rows, total } = yield* resources.list({ ...query, organizationId, limit, offset })
        return { resources: rows, total, limit, offset }
      }),
      get: Effect.fnUntraced(function* ({ params }) {
        const found = yield* resources.get(params.id, yield* tenancy.scope)
        yield* tenancy.about(found.organizationId)
        return found
      }),
      children: Effect.fnUntraced(function* ({ params }) {
        const parent = yield* resources.get(params.id, yield* tenancy.scope)
        yield* tenancy.about(parent.organizationId)
        const children = yield* resources.children(params.id)
        return { children, total: children.length }
      }),
      update: Effect.fnUntraced(function* ({ params, payload }) {
        const updated = yield* resources.update(params.id, yield* tenancy.scope, payload)
        yield* tenancy.about(updated.organizationId)
        return updated
      }),
      remove: Effect.fnUntraced(function* ({ params, query }) {
        const caller = yield* Caller
        const removed = yield* resources.remove(params.id, yield* tenancy.scope, {
          cascade: query.cascade ?? false,
          by: caller.agentId ?? caller.keyId ?? "unknown"
        })
        yield* tenancy.about(removed.organizationId)
      })
    })
  })
)
