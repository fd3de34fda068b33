/** What is written into the rows of the registry: every column of a new one, and of a change those that it names. */
import type {
  CreateModel,
  CreatePrompt,
  CreateResourceConfig,
  UpdateModel,
  UpdatePrompt,
  UpdateResourceConfig
} from "@agion/domain"
import type { Schema } from "effect"
import { json } from "../sql/Database.ts"
import type { Values } from "./RegistrySql.ts"

/** What is encrypted together in one row. */
export interface RowSecrets {
  readonly connectionString?: string
  readonly credentials?: { readonly [key: string]: Schema.Json }
}

/** What of a model or a configuration is a secret; undefined: nothing is said of any. */
export const secretsIn = (said: {
  readonly credentials?: RowSecrets["credentials"] | null | undefined
  readonly connectionString?: string | null | undefined
}): RowSecrets | undefined =>
  said.credentials == null && said.connectionString == null
    ? undefined
    : {
        ...(said.credentials == null ? {} : { credentials: said.credentials }),
        ...(said.connectionString == null ? {} : { connectionString: said.connectionString })
      }

export const newPrompt = (prompt: typeof CreatePrompt.Type): Values => ({
  name: prompt.name,
  location: prompt.location,
  content: prompt.content,
  variables: json(prompt.variables ?? []),
  metadata: json(prompt.metadata ?? {})
})

export const changedPrompt = (change: typeof UpdatePrompt.Type): Values => ({
  ...given("name", change.name),
  ...given("location", change.location),
  ...given("content", change.content),
  ...givenJson("variables", change.variables),
  ...givenJson("metadata", change.metadata)
})

export const newModel = (model: typeof CreateModel.Type): Values => ({
  name: model.name,
  purpose: model.purpose,
  provider: model.provider,
  model_name: model.modelName,
  parameters: json(model.parameters ?? {}),
  metadata: json(model.metadata ?? {})
})

export const changedModel = (change: typeof UpdateModel.Type): Values => ({
  ...given("name", change.name),
  ...given("purpose", change.purpose),
  ...given("provider", change.provider),
  ...given("model_name", change.modelName),
  ...givenJson("parameters", change.parameters),
  ...givenJson("metadata", change.metadata)
})

export const newConfig = (config: typeof CreateResourceConfig.Type): Values => ({
  name: config.name,
  resource_type: config.resourceType,
  config: json(config.config ?? {}),
  metadata: json(config.metadata ?? {})
})

export const changedConfig = (change: typeof UpdateResourceConfig.Type): Values => ({
  ...given("name", change.name),
  ...given("resource_type", change.resourceType),
  ...givenJson("config", change.config),
  ...givenJson("metadata", change.metadata)
})

const given = (column: string, value: string | null | undefined): Values =>
  value == null ? {} : { [column]: value }

const givenJson = (column: string, value: unknown): Values => (value == null ? {} : { [column]: json(value) })
