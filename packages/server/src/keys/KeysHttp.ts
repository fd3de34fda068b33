/** Handlers of keys, for the group `organizations`: keys of the API and the platform's public keys. */
import { ApiError, type CreateApiKey } from "@agion/domain"
import { Effect } from "effect"
import { Tenancy } from "../organizations/Tenancy.ts"
import { Subscribers } from "../stream/Subscribers.ts"
import { ApiKeys } from "./ApiKeys.ts"
import { Signing } from "./Signing.ts"

/** `createApiKey`, `listApiKeys`, `removeApiKey`, `signingKeys`. */
export const handlers = Effect.gen(function* () {
  const keys = yield* ApiKeys
  const signing = yield* Signing
  const tenancy = yield* Tenancy
  const subscribers = yield* Subscribers
  return {
    createApiKey: Effect.fnUntraced(function* ({ payload }: { readonly payload: CreateApiKey }) {
      const organizationId = yield* tenancy.of(payload.organizationId)
      return yield* Effect.orDie(
        keys.create({ organizationId, name: payload.name, agentId: payload.agentId ?? null })
      )
    }),
    listApiKeys: Effect.fnUntraced(function* ({
      query
    }: {
      readonly query: { readonly organizationId?: string | undefined }
    }) {
      const organizationId = yield* tenancy.filter(query.organizationId)
      return { keys: yield* Effect.orDie(keys.list(organizationId)) }
    }),
    removeApiKey: Effect.fnUntraced(function* ({ params }: { readonly params: { readonly id: string } }) {
      const removed = yield* Effect.orDie(keys.remove(params.id, yield* tenancy.scope))
      if (!removed)
        return yield* new ApiError.NotFound({ message: `there is no key \`${params.id}\` in use` })
      subscribers.close(params.id)
    }),
    signingKeys: () => Effect.succeed({ keys: signing.keys })
  }
})
