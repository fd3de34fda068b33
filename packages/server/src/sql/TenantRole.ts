/**
 * Statements of a request that speaks for one organization run as the role `agion_tenant` (`rowSecurity.ts`): a
 * forgotten WHERE answers nothing of another organization, and a write cannot reach it.
 *
 * ```ts
 * const sql = TenantRole.guarded(client)
 * const names = TenantRole.within(sql, "acme")(sql`SELECT name FROM resources`)
 * ```
 *
 * Every transaction takes the role as its first statement, and a statement outside of transactions gets one of its
 * own; nothing else about the stores changes. What runs after a commit, and fibers that a layer forked, are the
 * owner's.
 *
 * **Gotchas**: a lone statement costs three more round trips. Statements cannot be streamed.
 */
import { Context, Effect, Stream } from "effect"
import type { SqlClient, SqlConnection, SqlError } from "effect/sql"
import { tenantRole } from "./rowSecurity.ts"

type Connection = SqlConnection.Connection

/** The organizations of connections that open a transaction for each statement. */
const opening = new WeakMap<Connection, string>()

/** The organizations of connections whose transaction has taken the role. */
const holding = new WeakMap<Connection, string>()

/** The same client, whose transactions take the role within `within`. */
export const guarded = <Client extends SqlClient.SqlClient>(sql: Client): Client => {
  const { withTransaction } = sql
  return Object.assign(sql, {
    withTransaction: <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError.SqlError, R> =>
      Effect.withFiber((fiber) => {
        const connection = connectionOf(sql, fiber.context)
        const organizationId = connection && opening.get(connection)
        if (organizationId === undefined) return withTransaction(effect)
        return without(sql, withTransaction(Effect.andThen(take(sql, organizationId), effect)))
      })
  })
}

/** Runs statements and transactions as the role, for one organization. Not inside of a transaction. */
export const within =
  (sql: SqlClient.SqlClient, organizationId: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiber((fiber) => {
      const connection = connectionOf(sql, fiber.context)
      if (connection !== undefined && !opening.has(connection))
        return Effect.die(new Error("a transaction is open already, and not as the role of a tenant"))
      return Effect.provideService(effect, sql.transactionService, [
        openingConnection(sql, organizationId),
        0
      ])
    })

/** Runs what is the platform's own, and no tenant's, as the owner of the tables, in the same transaction if any. */
export const asOwner =
  (sql: SqlClient.SqlClient) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError.SqlError, R> =>
    Effect.withFiber((fiber): Effect.Effect<A, E | SqlError.SqlError, R> => {
      const connection = connectionOf(sql, fiber.context)
      if (connection === undefined) return effect
      if (opening.has(connection)) return without(sql, effect)
      const organizationId = holding.get(connection)
      if (organizationId === undefined) return effect
      const giveBack = Effect.map(sql`SELECT set_config('role', 'none', true)`, () =>
        holding.delete(connection)
      )
      // After an error nothing can be said until a rollback, which gives the role back by itself.
      const retake = Effect.map(Effect.ignore(take(sql, organizationId)), () =>
        holding.set(connection, organizationId)
      )
      return Effect.uninterruptibleMask((restore) =>
        Effect.andThen(
          giveBack,
          Effect.onExit(restore(effect), () => retake)
        )
      )
    })

const connectionOf = (sql: SqlClient.SqlClient, context: Context.Context<never>) =>
  Context.getOrUndefined(context, sql.transactionService)?.[0]

/** Outside of whatever transaction there is. */
const without = <A, E, R>(sql: SqlClient.SqlClient, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateContext(effect, (context: Context.Context<R>) =>
    Context.makeUnsafe<R>(Context.omit(sql.transactionService)(context).mapUnsafe)
  )

/** Takes the role for the rest of the transaction. */
const take = (sql: SqlClient.SqlClient, organizationId: string): Effect.Effect<void, SqlError.SqlError> =>
  Effect.andThen(
    sql`SELECT set_config('role', ${tenantRole}, true), set_config('agion.organization', ${organizationId}, true)`,
    Effect.withFiber((fiber) => {
      const connection = connectionOf(sql, fiber.context)
      if (connection !== undefined) holding.set(connection, organizationId)
      return Effect.void
    })
  )

/** Stands where the connection of a transaction would: each statement gets a transaction of its own. */
const openingConnection = (sql: SqlClient.SqlClient, organizationId: string): Connection => {
  const alone = <A>(statement: (connection: Connection) => Effect.Effect<A, SqlError.SqlError>) =>
    sql.withTransaction(
      Effect.withFiber((fiber) => statement(Context.getUnsafe(fiber.context, sql.transactionService)[0]))
    )
  const connection: Connection = {
    execute: (text, params, transform) => alone((one) => one.execute(text, params, transform)),
    executeRaw: (text, params) => alone((one) => one.executeRaw(text, params)),
    executeStream: () => Stream.die(new Error("a statement of a tenant cannot be streamed")),
    executeValues: (text, params) => alone((one) => one.executeValues(text, params)),
    executeValuesUnprepared: (text, params) => alone((one) => one.executeValuesUnprepared(text, params)),
    executeUnprepared: (text, params, transform) =>
      alone((one) => one.executeUnprepared(text, params, transform))
  }
  opening.set(connection, organizationId)
  return connection
}
