/**
 * The database: PostgreSQL, or PGlite inside this process. Both are spoken to by the same client over
 * PostgreSQL's wire protocol, so that there is one set of migrations and queries.
 *
 * Conventions of all stores: `sql` templates with parameters; what a statement answers is named column by column,
 * since connections keep it prepared and a `*` fails once a later version has added a column; `int8` is read as a
 * number; times are read as `Date` and made by the database's clock; JSON is written as text with a cast
 * (`${json(value)}::jsonb`). A store lets what it cannot handle die: the HTTP layer answers 503 when the database is
 * away and 500 otherwise.
 *
 * **Gotchas**: PGlite is one process and one session. A transaction holds that session, so nothing inside one
 * may wait for another fiber that needs the database.
 */
import { PgClient, PgConnection, PgTypes } from "@effect/sql-pg"
import { Context, Duration, Effect, identity, Layer, Redacted, Result } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, SqlError } from "effect/sql"
import * as Pglite from "./Pglite.ts"
import * as Silence from "./Silence.ts"
import * as TenantRole from "./TenantRole.ts"

/** Where the data lives. */
export type DatabaseOptions =
  | {
      readonly _tag: "Memory"
      /** What `dump` wrote: starts with that data, several times faster than from nothing. */
      readonly template?: Blob
    }
  | { readonly _tag: "Directory"; readonly path: string }
  | {
      readonly _tag: "Postgres"
      readonly url: string | Redacted.Redacted
      /** Connections of the pool; statements outside transactions are pipelined on them. Default: 10. */
      readonly maxConnections?: number
      /**
       * How long nothing may be heard on a connection before it is given up with all of its statements: longer than any
       * statement takes. Default: 30 seconds.
       */
      readonly maxSilence?: Duration.Input
    }

/** What the database is, beside its `SqlClient`. */
export class Database extends Context.Service<
  Database,
  {
    /** Which of the two it is. */
    readonly driver: "pglite" | "postgres"
    /** All data of a PGlite as one file's content; undefined on PostgreSQL. */
    readonly dump: Effect.Effect<Blob> | undefined
    /** Runs statements that may take as long as they need. */
    readonly patiently: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  }
>()("@agion/server/Database") {
  /** Opens the database and closes it with the scope. */
  static readonly layer = (
    options: DatabaseOptions
  ): Layer.Layer<
    Database | PgClient.PgClient | SqlClient.SqlClient,
    SqlError.SqlError | Pglite.DirectoryLocked
  > => (options._tag === "Postgres" ? layerPostgres(options) : layerPglite(options))
}

/** JSON as a parameter: `${json(value)}::jsonb`. */
export const json = (value: unknown): string => JSON.stringify(value)

const int8: PgTypes.Codec<unknown> = {
  encode: (value) => PgTypes.encode(typeof value === "number" ? BigInt(value) : value, PgTypes.OID.int8),
  decode: (bytes) =>
    Result.map(PgTypes.decode(bytes, PgTypes.OID.int8, 1), (value) =>
      typeof value === "bigint" ? Number(value) : value
    )
}

/** As PostgreSQL's own, but `int8` is a number: ids, counts and micro-dollars stay below 2^53. */
const registry = (): PgTypes.Registry => {
  const types = PgTypes.makeRegistry()
  types.register(PgTypes.OID.int8, int8, { arrayOid: PgTypes.OID.int8Array })
  return types
}

/**
 * What a connection asks of PostgreSQL where connections are given up: to see now and then whether its client is still
 * there, also while a statement runs or waits for a lock. Otherwise each that is given up goes on there, and whoever
 * tries again takes one more of the server's connections. Versions before 14, some systems and some poolers know
 * nothing of it, and refuse a connection that asks.
 */
const watched = (
  config: PgConnection.Config,
  maxSilence: Duration.Input
): Effect.Effect<Readonly<Record<string, string>>> => {
  const millis = Math.max(1, Math.round(Duration.toMillis(maxSilence) / 3))
  if (millis > 2_147_483_647) return Effect.succeed({})
  const startupParameters = { client_connection_check_interval: `${millis}ms` }
  return PgConnection.make({ ...config, startupParameters }).pipe(
    Effect.scoped,
    Effect.match({ onSuccess: () => startupParameters, onFailure: () => ({}) })
  )
}

const layerPostgres = (options: Extract<DatabaseOptions, { _tag: "Postgres" }>) =>
  Layer.effectContext(
    Effect.gen(function* () {
      const url = typeof options.url === "string" ? Redacted.make(options.url) : options.url
      const address = Silence.addressOf(Redacted.value(url))
      const maxSilence = options.maxSilence ?? "30 seconds"
      const silence = address === undefined ? undefined : yield* Silence.make(address, maxSilence)
      const config: PgConnection.Config = {
        url,
        applicationName: "agion",
        types: registry(),
        ...(silence === undefined ? {} : { stream: silence.open })
      }
      const client = yield* PgClient.make({
        ...config,
        maxConnections: options.maxConnections ?? 10,
        multiplex: true,
        ...(silence === undefined ? {} : { startupParameters: yield* watched(config, maxSilence) })
      })
      const sql = TenantRole.guarded(client)
      const patiently = silence?.allowed ?? identity
      return Context.make(Database, Database.of({ driver: "postgres", dump: undefined, patiently })).pipe(
        Context.add(PgClient.PgClient, sql),
        Context.add(SqlClient.SqlClient, sql)
      )
    })
  ).pipe(Layer.provide(Reactivity.layer))

const layerPglite = (options: Extract<DatabaseOptions, { _tag: "Memory" | "Directory" }>) =>
  Layer.effectContext(
    Effect.gen(function* () {
      const db = yield* Pglite.open(
        options._tag === "Directory" ? { path: options.path } : { template: options.template }
      )
      const client = yield* PgClient.makeClient({
        stream: () => Pglite.wire(db),
        username: "postgres",
        database: "postgres",
        types: registry()
      })
      // One session: whoever reserves connections for long must know.
      const sql: PgClient.PgClient = TenantRole.guarded(Object.assign(client, { driver: "pglite" }))
      const dump = Effect.promise(async (): Promise<Blob> => db.dumpDataDir("none"))
      return Context.make(Database, Database.of({ driver: "pglite", dump, patiently: identity })).pipe(
        Context.add(PgClient.PgClient, sql),
        Context.add(SqlClient.SqlClient, sql)
      )
    })
  ).pipe(Layer.provide(Reactivity.layer))

/** True for an error that says that the database is away rather than that a statement is wrong. */
export const isAway = (error: unknown): boolean => {
  if (!SqlError.isSqlError(error)) return false
  if (error.reason._tag === "ConnectionError") return true
  const { cause, message } = error.reason
  if (message?.includes("Failed to connect") === true) return true
  // Shutting down, starting up, out of connections.
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : ""
  return code.startsWith("57P") || code.startsWith("53")
}
