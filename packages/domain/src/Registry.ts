/** What agents look up by purpose: prompts, models, resource configurations. */
import { Schema } from "effect"
import { OrganizationName } from "./Id.ts"
import * as Wire from "./Wire.ts"

const list = Wire.optional(Schema.Array(Wire.Text))

/** A prompt by the place in a program that uses it. */
export const Prompt = Wire.struct({
  id: Schema.String,
  name: Wire.Text,
  location: Wire.Text,
  content: Wire.Text,
  variables: Schema.Array(Wire.Text),
  version: Schema.Int,
  metadata: Wire.JsonObject,
  organizationId: Schema.NullOr(Schema.String),
  createdAt: Wire.Timestamp,
  updatedAt: Wire.Timestamp
})
export type Prompt = typeof Prompt.Type
/** Registers a prompt; `location` names the place that uses it. */
export const CreatePrompt = Wire.struct({
  name: Wire.Name,
  location: Wire.Name,
  content: Wire.Text,
  variables: list,
  metadata: Wire.optional(Wire.JsonObject),
  organizationId: Wire.optional(OrganizationName)
})
export type CreatePrompt = typeof CreatePrompt.Type
/** What changes a prompt; what is absent stays. */
export const UpdatePrompt = Wire.struct({
  name: Wire.optional(Wire.Name),
  location: Wire.optional(Wire.Name),
  content: Wire.optional(Wire.Text),
  variables: list,
  metadata: Wire.optional(Wire.JsonObject)
})
export type UpdatePrompt = typeof UpdatePrompt.Type

/** A model by its purpose. Lists leave `credentials` out. */
export const Model = Wire.struct({
  id: Schema.String,
  name: Wire.Text,
  purpose: Wire.Text,
  provider: Wire.Text,
  modelName: Wire.Text,
  parameters: Wire.JsonObject,
  credentials: Schema.optional(Wire.JsonObject),
  metadata: Wire.JsonObject,
  organizationId: Schema.NullOr(Schema.String),
  createdAt: Wire.Timestamp,
  updatedAt: Wire.Timestamp
})
export type Model = typeof Model.Type
/** Registers a model; its `credentials` are encrypted at rest. */
export const CreateModel = Wire.struct({
  name: Wire.Name,
  purpose: Wire.Name,
  provider: Wire.Name,
  modelName: Wire.Name,
  parameters: Wire.optional(Wire.JsonObject),
  credentials: Wire.optional(Wire.JsonObject),
  metadata: Wire.optional(Wire.JsonObject),
  organizationId: Wire.optional(OrganizationName)
})
export type CreateModel = typeof CreateModel.Type
/** What changes a model; what is absent stays. */
export const UpdateModel = Wire.struct({
  name: Wire.optional(Wire.Name),
  purpose: Wire.optional(Wire.Name),
  provider: Wire.optional(Wire.Name),
  modelName: Wire.optional(Wire.Name),
  parameters: Wire.optional(Wire.JsonObject),
  credentials: Wire.optional(Wire.JsonObject),
  metadata: Wire.optional(Wire.JsonObject)
})
export type UpdateModel = typeof UpdateModel.Type

/** How to reach a resource, by its name. Lists leave the secrets out. */
export const ResourceConfig = Wire.struct({
  id: Schema.String,
  name: Wire.Text,
  resourceType: Wire.Text,
  connectionString: Schema.optional(Wire.Text),
  credentials: Schema.optional(Wire.JsonObject),
  config: Wire.JsonObject,
  metadata: Wire.JsonObject,
  organizationId: Schema.NullOr(Schema.String),
  createdAt: Wire.Timestamp,
  updatedAt: Wire.Timestamp
})
export type ResourceConfig = typeof ResourceConfig.Type
/** Registers how to reach a resource; `connectionString` and `credentials` are encrypted at rest. */
export const CreateResourceConfig = Wire.struct({
  name: Wire.Name,
  resourceType: Wire.Name,
  connectionString: Wire.optional(Wire.Text),
  credentials: Wire.optional(Wire.JsonObject),
  config: Wire.optional(Wire.JsonObject),
  metadata: Wire.optional(Wire.JsonObject),
  organizationId: Wire.optional(OrganizationName)
})
export type CreateResourceConfig = typeof CreateResourceConfig.Type
/** What changes a resource's configuration; what is absent stays. */
export const UpdateResourceConfig = Wire.struct({
  name: Wire.optional(Wire.Name),
  resourceType: Wire.optional(Wire.Name),
  connectionString: Wire.optional(Wire.Text),
  credentials: Wire.optional(Wire.JsonObject),
  config: Wire.optional(Wire.JsonObject),
  metadata: Wire.optional(Wire.JsonObject)
})
export type UpdateResourceConfig = typeof UpdateResourceConfig.Type
