/**
 * `agion dev` starts a platform with everything embedded, authentication off, for this machine only.
 * `agion serve` is the same with the real servers that `DATABASE_URL` and `REDIS_URL` name.
 *
 * **Gotchas**: without `--data` everything is in memory and gone at the end. Logs go to standard error, so that
 * standard output with `--json` is one line.
 */
import { dirname, join, resolve } from "node:path"
import { Config, Effect, FileSystem, Option, type PlatformError, Redacted, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { secretKeys } from "./Keys.ts"
import { CommandFailed } from "./Platform.ts"
import * as Ports from "./Ports.ts"
import type { RunOptions } from "./Run.ts"

const defaultRedisPort = 6379

const Port = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))

const shared = {
  port: Flag.Int("port").pipe(
    Flag.withSchema(Port),
    Flag.withDescription("Port of the HTTP API; 0 takes a free one"),
    Flag.withDefault(8080)
  ),
  seed: Flag.String("seed").pipe(
    Flag.withDescription("YAML file of resources, grants and policies"),
    Flag.optional
  ),
  autoApprove: Flag.Boolean("auto-approve").pipe(
    Flag.withDescription("Approve every permission that is requested"),
    Flag.withDefault(false)
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("Print one line of JSON with the URLs once it is ready"),
    Flag.withDefault(false)
  )
}

/** The platform itself is imported when it is wanted: other commands start sooner without it. */
const start = (options: RunOptions) =>
  Effect.flatMap(
    Effect.promise(() => import("./Run.ts")),
    ({ run }) => run(options)
  )

const chooseRedisPort = (wanted: Option.Option<number>) =>
  Option.match(wanted, {
    onSome: (port) => Effect.succeed(port),
    onNone: () => Effect.map(Ports.isTaken(defaultRedisPort), (taken) => (taken ? 0 : defaultRedisPort))
  })

const makeFolder = (path: string) =>
  Effect.mapError(
    makeBelow(resolve(path)),
    (error) =>
      new CommandFailed({
        message: `cannot use the data folder \`${path}\`: ${error.message}; name one that can be written with --data`
      })
  )

/**
 * Makes a folder and what it stands in, one by one: asked for all of them at once, Node tries for ever where a folder
 * takes no others, as in `/proc`.
 */
const makeBelow = (
  path: string
): Effect.Effect<void, PlatformError.PlatformError | CommandFailed, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    if (yield* fs.exists(path)) {
      if ((yield* fs.stat(path)).type === "Directory") return yield* fs.access(path, { writable: true })
      return yield* new CommandFailed({ message: `\`${path}\` is no folder` })
    }
    if (dirname(path) !== path) yield* makeBelow(dirname(path))
    yield* fs.makeDirectory(path)
  })

/** `agion dev`. */
export const dev = Command.make(
  "dev",
  {
    ...shared,
    redisPort: Flag.Int("redis-port").pipe(
      Flag.withSchema(Port),
      Flag.withDescription(
        `Port of the embedded Redis; default ${defaultRedisPort}, or a free one when that is taken`
      ),
      Flag.optional
    ),
    data: Flag.String("data").pipe(
      Flag.withDescription("Folder that keeps the database and the streams"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function* (options) {
    const databaseUrl = yield* Config.option(Config.Redacted("DATABASE_URL"))
    const redisUrl = yield* Config.option(Config.Redacted("REDIS_URL"))
    const data = Option.getOrNull(options.data)
    if (data !== null) yield* makeFolder(data)
    const redisPort = yield* chooseRedisPort(options.redisPort)
    yield* start({
      ...options,
      host: "127.0.0.1",
      authentication: "off",
      secrets: yield* secretKeys,
      data,
      database: Option.match(databaseUrl, {
        onSome: (url) => ({ _tag: "Postgres", url: Redacted.value(url) }) as const,
        onNone: () =>
          data === null
            ? ({ _tag: "Memory" } as const)
            : ({ _tag: "Directory", path: join(data, "database") } as const)
      }),
      redis: Option.match(redisUrl, {
        onSome: (url): RunOptions["redis"] => ({ _tag: "Real", url }),
        onNone: () => ({
          _tag: "Memory",
          port: redisPort,
          persist: data === null ? null : join(data, "redis.log")
        })
      })
    })
  })
).pipe(
  Command.withDescription("Start a platform with everything embedded, for this machine only"),
  Command.withExamples([
    { command: "agion dev --data .agion", description: "Keep everything in a folder" },
    { command: "agion dev --seed seed.yaml --auto-approve", description: "Start with resources and grants" }
  ])
)

const required = (name: string) =>
  Effect.mapError(
    Config.Redacted(name),
    () =>
      new CommandFailed({ message: `\`agion serve\` needs ${name}; \`agion dev\` has everything embedded` })
  )

const loopback = new Set(["127.0.0.1", "::1", "localhost"])

/** `agion serve`. */
export const serve = Command.make(
  "serve",
  {
    ...shared,
    host: Flag.String("host").pipe(
      Flag.withDescription("Address to listen on"),
      Flag.withDefault("127.0.0.1")
    ),
    authentication: Flag.Literals("authentication", ["keys", "off"]).pipe(
      Flag.withDescription("Whether requests need a key of the API"),
      Flag.withFallbackConfig(Config.Literals(["keys", "off"], "AGION_AUTHENTICATION")),
      Flag.withDefault("keys" as const)
    )
  },
  Effect.fnUntraced(function* (options) {
    const databaseUrl = yield* required("DATABASE_URL")
    const redisUrl = yield* required("REDIS_URL")
    if (options.authentication === "off" && !loopback.has(options.host))
      return yield* new CommandFailed({
        message: `\`--authentication off\` is for this machine only; listen on 127.0.0.1 instead of \`${options.host}\``
      })
    yield* start({
      ...options,
      secrets: yield* secretKeys,
      data: null,
      database: { _tag: "Postgres", url: Redacted.value(databaseUrl) },
      redis: { _tag: "Real", url: redisUrl }
    })
  })
).pipe(Command.withDescription("Start a platform on a real PostgreSQL and a real Redis"))
