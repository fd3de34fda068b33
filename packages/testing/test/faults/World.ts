/** The servers that fault tests break: PostgreSQL, Redis and a platform, each a process of its own. */
import { Database } from "@agion/server"
import { PostgresServer, RedisServer } from "@agion/testing"
import { Context, Effect, Layer, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { freePort } from "../../src/internal/Process.ts"
import * as Children from "./Children.ts"

/** A platform that can be killed and started again on the same data and port. */
interface PlatformProcess {
  readonly port: number
  readonly url: string
  readonly kill: Effect.Effect<void>
  readonly restart: Effect.Effect<void>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
}

/** Everything that runs. */
export class World extends Context.Service<
  World,
  {
    readonly platform: PlatformProcess
    readonly redis: RedisServer.RedisServer["Service"]
    /** Starts everything again, after a fault that did not go as it should. */
    readonly repair: Effect.Effect<void>
    readonly sql: SqlClient.SqlClient
    /** One request under `/api/v1`; dies unless it succeeds. */
    readonly post: (path: string, body: unknown) => Effect.Effect<Answer>
  }
>()("@agion/testing/test/faults/World") {
  static readonly layer = Layer.suspend(() => Layer.effect(World, make))
}

/** A body as it came. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads whatever stands there.
export type Answer = any

const startPlatform = (
  databaseUrl: string,
  redisUrl: string,
  port: number
): Effect.Effect<Children.Child, never, Scope.Scope> =>
  Effect.gen(function* () {
    let isUp: () => void = () => {}
    const up = new Promise<void>((resolve) => {
      isUp = resolve
    })
    const child = yield* Children.start("faultPlatform.ts", [databaseUrl, redisUrl, String(port)], () =>
      isUp()
    )
    const failed = Effect.flatMap(child.ended, () =>
      Effect.die(new Error(`the platform did not start: ${child.complaints()}`))
    )
    yield* Effect.raceFirst(
      Effect.promise(() => up),
      failed
    )
    return child
  })

const makePlatform = Effect.fnUntraced(function* (databaseUrl: string, redisUrl: string) {
  const scope = yield* Effect.scope
  const port = yield* freePort
  const start = Effect.provideService(startPlatform(databaseUrl, redisUrl, port), Scope.Scope, scope)
  let child = yield* start
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    kill: Effect.suspend(() => child.kill),
    restart: Effect.gen(function* () {
      yield* child.kill
      child = yield* start
    }),
    signal: (signal: NodeJS.Signals) => Effect.suspend(() => child.signal(signal))
  } satisfies PlatformProcess
})

const post = (url: string) => (path: string, body: unknown) =>
  Effect.promise(async (): Promise<Answer> => {
    const response = await fetch(`${url}/api/v1${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body)
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${text}`)
    return JSON.parse(text)
  })

const make = Effect.gen(function* () {
  const postgres = yield* PostgresServer.make()
  const redis = yield* RedisServer.make({ appendonly: "always" })
  const databaseUrl = yield* postgres.database
  const platform = yield* makePlatform(databaseUrl, redis.url)
  const database = yield* Effect.orDie(
    Layer.build(Database.layer({ _tag: "Postgres", url: databaseUrl, maxConnections: 2 }))
  )
  return World.of({
    platform,
    redis,
    repair: Effect.andThen(redis.restart(), platform.restart),
    sql: Context.get(database, SqlClient.SqlClient),
    post: post(platform.url)
  })
})
