/**
 * Prompts, models and resource configurations in SQL: three tables of the same shape, each with a name by which
 * its rows are looked up (`location`, `purpose`, `name`), unique in its organization.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { all, type Page, page } from "../sql/page.ts"

type Sql<A> = Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>

/** The tables, and by what each is looked up. */
export const lookUps = { prompts: "location", models: "purpose", resource_configs: "name" } as const

export type Table = keyof typeof lookUps

/** What rows of all three tables have. */
interface Common {
  readonly id: string
  readonly organization_id: string
  readonly name: string
  readonly metadata: { readonly [key: string]: never }
  readonly created_at: Date
  readonly updated_at: Date
}

export interface PromptRow extends Common {
  readonly location: string
  readonly content: string
  readonly variables: ReadonlyArray<string>
  readonly version: number
}

export interface ModelRow extends Common {
  readonly purpose: string
  readonly provider: string
  readonly model_name: string
  readonly parameters: { readonly [key: string]: never }
  readonly secrets: Uint8Array | null
}

export interface ConfigRow extends Common {
  readonly resource_type: string
  readonly config: { readonly [key: string]: never }
  readonly secrets: Uint8Array | null
}

/** The row type of a table. */
export interface Rows {
  readonly prompts: PromptRow
  readonly models: ModelRow
  readonly resource_configs: ConfigRow
}

const common = "id, organization_id, name, metadata, created_at, updated_at"

const columnsOf: { readonly [T in Table]: string } = {
  prompts: `${common}, location, content, variables, version`,
  models: `${common}, purpose, provider, model_name, parameters, secrets`,
  resource_configs: `${common}, resource_type, config, secrets`
}

/** Column values; JSON goes as text. */
export type Values = { readonly [column: string]: string | number | Uint8Array | null }

/** Columns that hold JSON. */
const jsonColumns = new Set(["variables", "metadata", "parameters", "config"])

const value = (sql: SqlClient.SqlClient, column: string, held: Values[string]) =>
  jsonColumns.has(column) ? sql`${held}::jsonb` : sql`${held}`

export const insertRow = <T extends Table>(table: T, values: Values): Sql<Rows[T] | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const columns = Object.keys(values)
    const rows = yield* sql<Rows[T]>`
      INSERT INTO ${sql(table)} (${sql.csv(columns.map((column) => sql`${sql(column)}`))})
      VALUES (${sql.csv(columns.map((column) => value(sql, column, values[column] ?? null)))})
      ON CONFLICT DO NOTHING RETURNING ${sql.literal(columnsOf[table])}`
    return rows[0]
  })

/** Changes a row; undefined when there is none in that organization (null: any). */
export const updateRow = <T extends Table>(
  table: T,
  id: string,
  organizationId: string | null,
  values: Values
): Sql<Rows[T] | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const sets = Object.keys(values).map(
      (column) => sql`${sql(column)} = ${value(sql, column, values[column] ?? null)}`
    )
    const version = table === "prompts" ? [sql`version = version + 1`] : []
    const rows = yield* sql<Rows[T]>`
      UPDATE ${sql(table)} SET ${sql.csv([...sets, ...version, sql`updated_at = clock_timestamp()`])}
      WHERE id = ${id} AND (${organizationId}::text IS NULL OR organization_id = ${organizationId})
      RETURNING ${sql.literal(columnsOf[table])}`
    return rows[0]
  })

/** What others must forget of a row. */
export interface Named {
  readonly organization_id: string
  /** Its location, purpose or name. */
  readonly key: string
}

/** Removes a row; undefined when there is none in that organization (null: any). */
export const deleteRow = (table: Table, id: string, organizationId: string | null): Sql<Named | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<Named>`
      DELETE FROM ${sql(table)}
      WHERE id = ${id} AND (${organizationId}::text IS NULL OR organization_id = ${organizationId})
      RETURNING organization_id, ${sql(lookUps[table])} AS key`
    return rows[0]
  })

/** By what a row is looked up now, held until the transaction ends. */
export const keyOfRow = (table: Table, id: string, organizationId: string | null): Sql<string | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ readonly key: string }>`
      SELECT ${sql(lookUps[table])} AS key FROM ${sql(table)}
      WHERE id = ${id} AND (${organizationId}::text IS NULL OR organization_id = ${organizationId})
      FOR UPDATE`
    return rows[0]?.key
  })

/** The row of a location, purpose or name; the oldest when organizations share it and none is named. */
export const findRow = <T extends Table>(
  table: T,
  key: string,
  organizationId: string | null
): Sql<Rows[T] | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<Rows[T]>`
      SELECT ${sql.literal(columnsOf[table])} FROM ${sql(table)}
      WHERE ${sql(lookUps[table])} = ${key}
        AND (${organizationId}::text IS NULL OR organization_id = ${organizationId})
      ORDER BY seq LIMIT 1`
    return rows[0]
  })

export const listRows = <T extends Table>(
  table: T,
  organizationId: string | null,
  limit: number,
  offset: number
): Sql<Page<Rows[T]>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* page<Rows[T]>(sql, {
      columns: sql.literal(columnsOf[table]),
      from: sql`${sql(table)}`,
      where: all(sql, [organizationId !== null && sql`organization_id = ${organizationId}`]),
      order: sql`seq`,
      limit,
      offset
    })
  })
