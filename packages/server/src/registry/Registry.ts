/**
 * What agents look up by purpose: prompts, models, resource configurations. Credentials and connection strings
 * are encrypted at rest and leave only with the look-up that asks for one row; lists and updates leave them out.
 * Whoever keeps one is told when it changes.
 */
import type {
  CreateModel,
  CreatePrompt,
  CreateResourceConfig,
  UpdateModel,
  UpdatePrompt,
  UpdateResourceConfig
} from "@agion/domain"
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import { uuidv7 } from "../changes/Governance.ts"
import { contextOf, Secrets, type SecretUnreadable } from "../keys/Secrets.ts"
import { json } from "../sql/Database.ts"
import type { Page } from "../sql/page.ts"
import type { Rows, Table, Values } from "./RegistrySql.ts"
import * as RegistrySql from "./RegistrySql.ts"
import {
  changedConfig,
  changedModel,
  changedPrompt,
  newConfig,
  newModel,
  newPrompt,
  type RowSecrets,
  secretsIn
} from "./RegistryValues.ts"

/** Another row of the organization has that location, purpose or name. */
export class NameTaken extends Schema.TaggedError<NameTaken>()("NameTaken", { key: Schema.String }) {
  override get message() {
    return `\`${this.key}\` is taken in this organization; update that one or choose another`
  }
}

type Sql<A, E = never> = Effect.Effect<A, E | SqlError.SqlError>

export class Registry extends Context.Service<
  Registry,
  {
    readonly createPrompt: (
      organizationId: string,
      prompt: typeof CreatePrompt.Type
    ) => Sql<Rows["prompts"], NameTaken>
    readonly updatePrompt: (
      id: string,
      organizationId: string | null,
      change: typeof UpdatePrompt.Type
    ) => Sql<Rows["prompts"] | undefined, NameTaken>
    readonly createModel: (
      organizationId: string,
      model: typeof CreateModel.Type
    ) => Sql<Rows["models"], NameTaken>
    readonly updateModel: (
      id: string,
      organizationId: string | null,
      change: typeof UpdateModel.Type
    ) => Sql<Rows["models"] | undefined, NameTaken>
    readonly createConfig: (
      organizationId: string,
      config: typeof CreateResourceConfig.Type
    ) => Sql<Rows["resource_configs"], NameTaken>
    readonly updateConfig: (
      id: string,
      organizationId: string | null,
      change: typeof UpdateResourceConfig.Type
    ) => Sql<Rows["resource_configs"] | undefined, NameTaken | SecretUnreadable>
    /** The row of a location, purpose or name. */
    readonly find: <T extends Table>(
      table: T,
      key: string,
      organizationId: string | null
    ) => Sql<Rows[T] | undefined>
    readonly list: <T extends Table>(
      table: T,
      organizationId: string | null,
      limit: number,
      offset: number
    ) => Sql<Page<Rows[T]>>
    readonly remove: (table: Table, id: string, organizationId: string | null) => Sql<boolean>
    /** What is encrypted in a row. */
    readonly secretsOf: (
      table: "models" | "resource_configs",
      row: { readonly id: string; readonly secrets: Uint8Array | null }
    ) => Sql<RowSecrets, SecretUnreadable>
  }
>()("@agion/server/Registry") {
  static readonly layer: Layer.Layer<Registry, never, SqlClient.SqlClient | Secrets | Changes> =
    Layer.suspend(() => Layer.effect(Registry, make))
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const secrets = yield* Secrets
  const changes = yield* Changes
  const withSql = Effect.provideService(SqlClient.SqlClient, sql)

  const encrypt = (table: "models" | "resource_configs", id: string, held: RowSecrets | undefined) =>
    held === undefined ? Effect.succeed(null) : secrets.encrypt(json(held), contextOf(table, "secrets", id))

  const secretsOf: Registry["Service"]["secretsOf"] = Effect.fnUntraced(function* (table, row) {
    if (row.secrets === null) return {}
    const held: RowSecrets = JSON.parse(
      yield* secrets.decrypt(row.secrets, contextOf(table, "secrets", row.id))
    )
    return held
  })

  /** Agents drop what they keep under these names. */
  const tell = (table: Table, organizationId: string, keys: ReadonlyArray<string>) =>
    changes.record({ organizationId, kind: "config", ids: keys.flatMap((key) => [told[table], key]) })

  const insert = Effect.fnUntraced(function* <T extends Table>(table: T, values: Values) {
    return yield* sql.withTransaction(
      Effect.gen(function* () {
        const row = yield* withSql(RegistrySql.insertRow(table, values))
        const key = String(values[RegistrySql.lookUps[table]])
        if (row === undefined) return yield* new NameTaken({ key })
        yield* tell(table, row.organization_id, [key])
        return row
      })
    )
  })

  /** Changes a row; it is looked up by its old key and by its new one. */
  const changed = Effect.fnUntraced(function* <T extends Table>(
    table: T,
    id: string,
    organizationId: string | null,
    values: Values
  ) {
    const before = yield* withSql(RegistrySql.keyOfRow(table, id, organizationId))
    const row = yield* withSql(RegistrySql.updateRow(table, id, organizationId, values))
    if (row === undefined || before === undefined) return row
    const after = values[RegistrySql.lookUps[table]]
    yield* tell(
      table,
      row.organization_id,
      typeof after === "string" ? [...new Set([before, after])] : [before]
    )
    return row
  })

  const update = <T extends Table>(table: T, id: string, organizationId: string | null, values: Values) =>
    sql
      .withTransaction(changed(table, id, organizationId, values))
      .pipe(
        Effect.catch(
          (error): Effect.Effect<never, NameTaken | SqlError.SqlError> =>
            SqlError.isSqlError(error) && error.reason._tag === "UniqueViolation"
              ? Effect.fail(new NameTaken({ key: String(values[RegistrySql.lookUps[table]]) }))
              : Effect.fail(error)
        )
      )

  const newId = Effect.map(Clock.currentTimeMillis, uuidv7)

  /** The secrets of a configuration with what changes of them. */
  const changedSecrets = Effect.fnUntraced(function* (
    id: string,
    organizationId: string | null,
    change: RowSecrets | undefined
  ) {
    if (change === undefined) return {}
    const rows = yield* sql<{ id: string; secrets: Uint8Array | null }>`
      SELECT id, secrets FROM resource_configs
      WHERE id = ${id} AND (${organizationId}::text IS NULL OR organization_id = ${organizationId}) FOR UPDATE`
    const [row] = rows
    const held = row === undefined ? {} : yield* secretsOf("resource_configs", row)
    return { secrets: yield* encrypt("resource_configs", id, { ...held, ...change }) }
  })

  /** A new row of a table that holds secrets. */
  const insertWithSecrets = Effect.fnUntraced(function* <T extends "models" | "resource_configs">(
    table: T,
    organizationId: string,
    values: Values,
    held: RowSecrets | undefined
  ) {
    const id = yield* newId
    return yield* insert(table, {
      id,
      organization_id: organizationId,
      ...values,
      secrets: yield* encrypt(table, id, held)
    })
  })

  return Registry.of({
    createPrompt: (organizationId, prompt) =>
      Effect.flatMap(newId, (id) =>
        insert("prompts", { id, organization_id: organizationId, ...newPrompt(prompt) })
      ),
    updatePrompt: (id, organizationId, change) =>
      update("prompts", id, organizationId, changedPrompt(change)),
    createModel: (organizationId, model) =>
      insertWithSecrets(
        "models",
        organizationId,
        newModel(model),
        secretsIn({ credentials: model.credentials })
      ),
    updateModel: Effect.fnUntraced(function* (id, organizationId, change) {
      const held = secretsIn({ credentials: change.credentials })
      return yield* update("models", id, organizationId, {
        ...changedModel(change),
        ...(held === undefined ? {} : { secrets: yield* encrypt("models", id, held) })
      })
    }),
    createConfig: (organizationId, config) =>
      insertWithSecrets("resource_configs", organizationId, newConfig(config), secretsIn(config)),
    updateConfig: (id, organizationId, change) =>
      sql.withTransaction(
        Effect.flatMap(changedSecrets(id, organizationId, secretsIn(change)), (held) =>
          update("resource_configs", id, organizationId, { ...changedConfig(change), ...held })
        )
      ),
    find: (table, key, organizationId) => withSql(RegistrySql.findRow(table, key, organizationId)),
    list: (table, organizationId, limit, offset) =>
      withSql(RegistrySql.listRows(table, organizationId, limit, offset)),
    remove: (table, id, organizationId) =>
      sql.withTransaction(
        Effect.gen(function* () {
          const removed = yield* withSql(RegistrySql.deleteRow(table, id, organizationId))
          if (removed === undefined) return false
          yield* tell(table, removed.organization_id, [removed.key])
          return true
        })
      ),
    secretsOf
  })
})

/** What a table's rows are called in a push. */
const told: { readonly [T in Table]: string } = {
  prompts: "prompt",
  models: "model",
  resource_configs: "resource"
}
