/** Connections to PostgreSQL that carry nothing any more, and of which nobody says so. */
import { type AddressInfo, connect, createServer, type Server } from "node:net"
import { FaultProxy, PostgresServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Schedule } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { Database, isAway } from "../src/sql/Database.ts"
import { addressOf } from "../src/sql/Silence.ts"

const maxSilence = 1000

/** A database behind a proxy, and its client with so many connections. */
const start = Effect.fnUntraced(function* (maxConnections: number) {
  const server = yield* PostgresServer.make()
  const direct = yield* server.database
  const url = new URL(direct)
  const proxy = yield* FaultProxy.make({ port: Number(url.port), host: url.hostname })
  url.hostname = "127.0.0.1"
  url.port = String(proxy.port)
  const context = yield* Layer.build(
    Database.layer({ _tag: "Postgres", url: url.href, maxConnections, maxSilence })
  )
  const other = yield* Layer.build(Database.layer({ _tag: "Postgres", url: direct }))
  return {
    proxy,
    sql: Context.get(context, SqlClient.SqlClient),
    database: Context.get(context, Database),
    /** One that asks without the proxy, and waits longer. */
    other: Context.get(other, SqlClient.SqlClient)
  }
})

/** How long an effect took, milliseconds. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const began = performance.now()
    const exit = yield* Effect.exit(effect)
    return { exit, millis: performance.now() - began }
  })

/** A connection is looked at ten times within the bound; the rest is for a busy machine. */
const soon = 5 * maxSilence

describe("the address of a database", () => {
  it("is read as the driver reads it", () => {
    assert.deepStrictEqual(addressOf("postgres://u:p@db.test/x"), { host: "db.test", port: 5432 })
    assert.deepStrictEqual(addressOf("postgresql://[::1]:6000/x"), { host: "::1", port: 6000 })
    assert.deepStrictEqual(addressOf("postgres:///x"), { host: "localhost", port: 5432 })
    assert.deepStrictEqual(addressOf("postgres://a/x?host=b&port=7"), { host: "b", port: 7 })
    for (const url of [
      "no url",
      "postgres:///x?host=/run/postgresql",
      "postgres://%2Frun/x",
      "postgres://a/x?port=y"
    ])
      assert.isUndefined(addressOf(url))
  })
})

describe.skipIf(!PostgresServer.isThere())("a real server behind a proxy", () => {
  it.live(
    "a connection that answers nothing is given up with all who wait for it, and replaced",
    () =>
      Effect.gen(function* () {
        const { proxy, sql } = yield* start(1)
        yield* sql`SELECT 1`
        yield* proxy.strand
        // They share the one connection; who comes later keeps sending on it, which makes it no younger.
        const waiting = yield* Effect.forkChild(
          timed(Effect.all([sql`SELECT 2`, sql`SELECT 3`], { concurrency: 2 }))
        )
        const later = yield* Effect.forkChild(
          Effect.repeat(
            Effect.andThen(Effect.exit(Effect.timeout(sql`SELECT 4`, "50 millis")), Effect.void),
            {
              times: 10
            }
          )
        )
        const { exit, millis } = yield* Fiber.join(waiting)
        const error = yield* Effect.flip(exit)
        assert.isTrue(SqlError.isSqlError(error) && isAway(error), String(error))
        assert.include(String(Object(error.reason.cause)), "has answered nothing")
        assert.isBelow(millis, soon)
        yield* Fiber.join(later)
        assert.deepStrictEqual(yield* sql`SELECT 5 AS n`, [{ n: 5 }])
      }).pipe(Effect.scoped),
    30_000
  )

  it.live(
    "a transaction whose connection answers nothing ends, and the next one has another",
    () =>
      Effect.gen(function* () {
        const { proxy, sql } = yield* start(2)
        const begun = yield* Deferred.make<void>()
        const stranded = yield* Deferred.make<void>()
        const transaction = sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`SELECT 1`
            yield* Deferred.succeed(begun, undefined)
            yield* Deferred.await(stranded)
            return yield* sql`SELECT 2`
          })
        )
        const fiber = yield* Effect.forkChild(timed(transaction))
        yield* Deferred.await(begun)
        yield* proxy.strand
        yield* Deferred.succeed(stranded, undefined)
        const { exit, millis } = yield* Fiber.join(fiber)
        assert.isTrue(Exit.isFailure(exit) && isAway(Cause.squash(exit.cause)), String(exit))
        assert.isBelow(millis, soon)
        assert.deepStrictEqual(yield* sql.withTransaction(sql`SELECT 3 AS n`), [{ n: 3 }])
      }).pipe(Effect.scoped),
    30_000
  )

  it.live(
    "a statement that is given up while it waits at the database ends there too",
    () =>
      Effect.gen(function* () {
        const { sql, other } = yield* start(1)
        yield* other`CREATE TABLE taken ()`
        yield* other.withTransaction(
          Effect.gen(function* () {
            yield* other`LOCK TABLE taken`
            const waiting = other<{ n: number }>`SELECT count(*) AS n FROM pg_locks WHERE NOT granted`
            const error = yield* Effect.flip(sql`SELECT FROM taken`)
            assert.isTrue(isAway(error), String(error))
            // Else each that comes again would keep one more connection of the server, for as long as the lock is held.
            yield* Effect.repeat(waiting, {
              until: ([row]) => row?.n === 0,
              schedule: Schedule.spaced("20 millis")
            }).pipe(Effect.timeout(soon))
          })
        )
      }).pipe(Effect.scoped),
    30_000
  )

  it.live("a pooler, or an earlier version, that does not know what is asked of it is asked no more", () =>
    Effect.gen(function* () {
      const url = new URL(yield* (yield* PostgresServer.make()).database)
      const port = Number(url.port)
      let refused = 0
      const pooler = yield* Effect.acquireRelease(
        Effect.callback<Server>((resume) => {
          const server = createServer((socket) => {
            const database = connect(port, url.hostname)
            for (const one of [socket, database]) one.on("error", () => {})
            database.pipe(socket)
            socket.on("data", (said) => {
              if (!said.includes("client_connection_check_interval")) return void database.write(said)
              refused += 1
              socket.destroy()
            })
            socket.on("close", () => database.destroy())
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      url.port = String((pooler.address() as AddressInfo).port)
      const context = yield* Layer.build(Database.layer({ _tag: "Postgres", url: url.href }))
      const sql = Context.get(context, SqlClient.SqlClient)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
      assert.strictEqual(refused, 1)
    }).pipe(Effect.scoped)
  )

  it.live(
    "a process that was stopped for longer hears what was answered meanwhile",
    () =>
      Effect.gen(function* () {
        const { sql } = yield* start(1)
        yield* sql`SELECT 1`
        const answer = yield* Effect.forkChild(sql`SELECT 2 AS n FROM pg_sleep(0.5)`)
        yield* Effect.sleep(maxSilence / 5)
        const until = performance.now() + 3 * maxSilence
        while (performance.now() < until);
        assert.deepStrictEqual(yield* Fiber.join(answer), [{ n: 2 }])
      }).pipe(Effect.scoped),
    30_000
  )

  it.live(
    "an idle connection is replaced unseen, and a migration may take as long as it needs",
    () =>
      Effect.gen(function* () {
        const { database, proxy, sql } = yield* start(1)
        const pid = sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`
        const before = yield* pid
        yield* database.patiently(sql`SELECT pg_sleep(${(2 * maxSilence) / 1000}::float8)`)
        assert.deepStrictEqual(yield* pid, before)
        yield* Effect.repeat(Effect.void, {
          until: () => proxy.connections() === 0,
          schedule: Schedule.spaced("20 millis")
        })
        assert.notDeepEqual(yield* pid, before)
        const error = yield* Effect.flip(sql`SELECT pg_sleep(30)`)
        assert.isTrue(isAway(error))
      }).pipe(Effect.scoped),
    30_000
  )
})
