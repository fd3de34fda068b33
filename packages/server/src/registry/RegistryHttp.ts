/** The routes of prompts, models and resource configurations, and the gateway's list of policies. */
import { ApiError, type Model, type Prompt, type ResourceConfig, Wire } from "@agion/domain"
import { Api } from "@agion/domain/api"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Tenancy } from "../organizations/Tenancy.ts"
import { Policies } from "../policies/Policies.ts"
import { dying } from "../sql/Failure.ts"
import { type NameTaken, Registry } from "./Registry.ts"
import type { ConfigRow, ModelRow, PromptRow, Table } from "./RegistrySql.ts"
import type { RowSecrets } from "./RegistryValues.ts"

const iso = (date: Date): string => Wire.timestamp(date.getTime())

const common = (row: PromptRow | ModelRow | ConfigRow) => ({
  id: row.id,
  name: row.name,
  metadata: row.metadata,
  organizationId: row.organization_id,
  createdAt: iso(row.created_at),
  updatedAt: iso(row.updated_at)
})

const toPrompt = (row: PromptRow): Prompt => ({
  ...common(row),
  location: row.location,
  content: row.content,
  variables: row.variables,
  version: row.version
})

const toModel = (row: ModelRow, held: RowSecrets = {}): Model => ({
  ...common(row),
  purpose: row.purpose,
  provider: row.provider,
  modelName: row.model_name,
  parameters: row.parameters,
  ...(held.credentials === undefined ? {} : { credentials: held.credentials })
})

const toConfig = (row: ConfigRow, held: RowSecrets = {}): ResourceConfig => ({
  ...common(row),
  resourceType: row.resource_type,
  config: row.config,
  ...held
})

const words: { readonly [T in Table]: string } = {
  prompts: "prompt",
  models: "model",
  resource_configs: "resource configuration"
}

const missing = (table: Table, key: string) =>
  new ApiError.NotFound({ message: `there is no ${words[table]} \`${key}\`` })

const taken = (error: NameTaken) => Effect.fail(new ApiError.Conflict({ message: error.message }))

/** The handlers of group `registry`. */
export const layer = HttpApiBuilder.group(
  Api,
  "registry",
  Effect.fnUntraced(function* (handlers) {
    const registry = yield* Registry
    const tenancy = yield* Tenancy
    const policies = yield* Policies

    const find = Effect.fnUntraced(function* <T extends Table>(
      table: T,
      key: string,
      named: string | undefined
    ) {
      const row = yield* Effect.orDie(registry.find(table, key, yield* tenancy.filter(named)))
      if (row === undefined) return yield* missing(table, key)
      yield* tenancy.about(row.organization_id)
      return row
    })
    const there = Effect.fnUntraced(function* <Row extends { readonly organization_id: string }>(
      table: Table,
      id: string,
      row: Row | undefined
    ) {
      if (row === undefined) return yield* missing(table, id)
      yield* tenancy.about(row.organization_id)
      return row
    })
    const list = Effect.fnUntraced(function* <T extends Table>(
      table: T,
      query: {
        readonly organizationId?: string | undefined
        readonly limit?: number | undefined
        readonly offset?: number | undefined
      }
    ) {
      const [limit, offset] = [query.limit ?? 100, query.offset ?? 0]
      const organizationId = yield* tenancy.filter(query.organizationId)
      const { rows, total } = yield* Effect.orDie(registry.list(table, organizationId, limit, offset))
      return { rows, total, limit, offset }
    })
    const remove = Effect.fnUntraced(function* (table: Table, id: string) {
      const removed = yield* Effect.orDie(registry.remove(table, id, yield* tenancy.scope))
      if (!removed) return yield* missing(table, id)
    })

    return handlers.handleAll({
      promptByLocation: ({ params, query }) =>
        Effect.map(find("prompts", params.location, query.organizationId), toPrompt),
      createPrompt: Effect.fnUntraced(function* ({ payload }) {
        const organizationId = yield* tenancy.of(payload.organizationId)
        const made = registry.createPrompt(organizationId, payload)
        return toPrompt(yield* made.pipe(Effect.catchTag("NameTaken", taken), dying))
      }),
      listPrompts: Effect.fnUntraced(function* ({ query }) {
        const { rows, ...page } = yield* list("prompts", query)
        return { prompts: rows.map(toPrompt), ...page }
      }),
      updatePrompt: Effect.fnUntraced(function* ({ params, payload }) {
        const changed = registry.updatePrompt(params.id, yield* tenancy.scope, payload)
        const row = yield* changed.pipe(Effect.catchTag("NameTaken", taken), dying)
        return toPrompt(yield* there("prompts", params.id, row))
      }),
      removePrompt: ({ params }) => remove("prompts", params.id),
      modelByPurpose: Effect.fnUntraced(function* ({ params, query }) {
        const row = yield* find("models", params.purpose, query.organizationId)
        return toModel(row, yield* Effect.orDie(registry.secretsOf("models", row)))
      }),
      createModel: Effect.fnUntraced(function* ({ payload }) {
        const organizationId = yield* tenancy.of(payload.organizationId)
        const made = registry.createModel(organizationId, payload)
        return toModel(yield* made.pipe(Effect.catchTag("NameTaken", taken), dying))
      }),
      listModels: Effect.fnUntraced(function* ({ query }) {
        const { rows, ...page } = yield* list("models", query)
        return { models: rows.map((row) => toModel(row)), ...page }
      }),
      updateModel: Effect.fnUntraced(function* ({ params, payload }) {
        const changed = registry.updateModel(params.id, yield* tenancy.scope, payload)
        const row = yield* changed.pipe(Effect.catchTag("NameTaken", taken), dying)
        return toModel(yield* there("models", params.id, row))
      }),
      removeModel: ({ params }) => remove("models", params.id),
      resourceByName: Effect.fnUntraced(function* ({ params, query }) {
        const row = yield* find("resource_configs", params.name, query.organizationId)
        return toConfig(row, yield* Effect.orDie(registry.secretsOf("resource_configs", row)))
      }),
      createResourceConfig: Effect.fnUntraced(function* ({ payload }) {
        const organizationId = yield* tenancy.of(payload.organizationId)
        const made = registry.createConfig(organizationId, payload)
        return toConfig(yield* made.pipe(Effect.catchTag("NameTaken", taken), dying))
      }),
      listResourceConfigs: Effect.fnUntraced(function* ({ query }) {
        const { rows, ...page } = yield* list("resource_configs", query)
        return { resourceConfigs: rows.map((row) => toConfig(row)), ...page }
      }),
      updateResourceConfig: Effect.fnUntraced(function* ({ params, payload }) {
        const changed = registry.updateConfig(params.id, yield* tenancy.scope, payload)
        const row = yield* changed.pipe(
          Effect.catchTag("NameTaken", taken),
          Effect.catchTag("SecretUnreadable", Effect.die),
          dying
        )
        return toConfig(yield* there("resource_configs", params.id, row))
      }),
      removeResourceConfig: ({ params }) => remove("resource_configs", params.id),
      gatewayPolicies: Effect.fnUntraced(function* ({ query }) {
        const { agentId } = query
        const organizationId =
          agentId === undefined
            ? yield* tenancy.of(query.organizationId)
            : yield* tenancy.ofActor(query.organizationId, agentId)
        const status = query.status ?? "active"
        return { policies: yield* policies.gateway({ organizationId, agentId, status }) }
      })
    })
  })
)
