/**
 * `agion dev` starts a platform with everything embedded, authentication off, for this machine only.
 * `agion serve` is the same with the real servers that `DATABASE_URL` and `REDIS_URL` name.
 *
 * **Gotchas**: without `--data` everything is in memory and gone at the end. Logs go to standard error, so that
 * standard output with `--json` is one line.
 */
import { join } from "node:path"
import { PermissionId } from "@agion/domain"
import { Redis, RedisStream } from "@agion/redis"
import { RedisMemory } from "@agion/redis-memory"
import { Server, type ServerOptions } from "@agion/server"
import { Config, Console, Context, Effect, FileSystem, Layer, Option, Redacted, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { CommandFailed, explain, Platform } from "./Platform.ts"
import * as Ports from "./Ports.ts"
import * as Seed from "./Seed.ts"

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

/** Where agents reach Redis. */
class RedisAddress extends Context.Service<RedisAddress, { readonly url: string }>()(
  "@agion/cli/RedisAddress"
) {}

interface RunOptions {
  readonly host: string
  readonly port: number
  readonly authentication: "off" | "keys"
  readonly database: ServerOptions["database"]
  readonly redis: Layer.Layer<Redis.Services | RedisAddress, CommandFailed>
  readonly data: string | null
  readonly seed: Option.Option<string>
  readonly autoApprove: boolean
  readonly json: boolean
}

const realRedis = (url: Redacted.Redacted<string>) =>
  Layer.merge(
    Redis.layer({ url, clientName: "agion-platform" }),
    Layer.succeed(RedisAddress, { url: withoutPassword(Redacted.value(url)) })
  )

/** An address that may be shown. */
const withoutPassword = (url: string): string => {
  if (!URL.canParse(url)) return "(an address that is no URL)"
  const parsed = new URL(url)
  if (parsed.password !== "") parsed.password = "***"
  return parsed.toString().replace(/\/$/, "")
}

const memoryRedis = (port: number, persist: string | null) =>
  Layer.effect(
    RedisAddress,
    Effect.map(RedisMemory, ({ url }) => RedisAddress.of({ url: url ?? "" }))
  ).pipe(
    Layer.provideMerge(RedisMemory.layerServer({ port, ...(persist === null ? {} : { persist }) })),
    Layer.catchTag("RedisMemoryListenError", (error) =>
      Layer.effectContext<RedisAddress | Redis.Services, CommandFailed, never>(
        Effect.fail(new CommandFailed({ message: `${error.message}; choose another with --redis-port` }))
      )
    )
  )

/** Starts it, seeds it, says that it is ready, and runs until it is interrupted. */
const run = (options: RunOptions) =>
  Effect.gen(function* () {
    const server = yield* Server
    const redis = yield* RedisAddress
    yield* Effect.gen(function* () {
      if (options.autoApprove) yield* Effect.forkScoped(approveAll)
      if (Option.isSome(options.seed)) yield* announceSeed(yield* Seed.load(options.seed.value), options.json)
    }).pipe(
      Effect.provide(Platform.layer({ url: server.url, apiKey: Option.none() })),
      Effect.mapError(explain(server.url))
    )
    yield* announce(options, server.url, redis.url)
    return yield* Effect.never
  }).pipe(
    Effect.scoped,
    Effect.provide(
      Server.layer({
        host: options.host,
        port: options.port,
        database: options.database,
        authentication: options.authentication
      }).pipe(Layer.provideMerge(options.redis))
    )
  )

const announceSeed = (seeded: Seed.Seeded, json: boolean) =>
  json
    ? Effect.void
    : Console.log(
        `seeded ${seeded.resources} resources, ${seeded.grants} grants, ${seeded.policies} policies; ${seeded.unchanged} were there already`
      )

const announce = (options: RunOptions, url: string, redisUrl: string) =>
  Console.log(
    options.json
      ? JSON.stringify({ url, redis_url: redisUrl, data: options.data, pid: process.pid })
      : [
          `Agion is ready on ${url}`,
          `  events over     ${redisUrl}`,
          `  data            ${options.data ?? "in memory, gone at the end; keep it with --data DIR"}`,
          `  authentication  ${options.authentication}`,
          `  next            agion approvals --url ${url}`
        ].join("\n")
  )

/** Approves whatever is requested, as it is announced on the stream. */
const approveAll = Effect.gen(function* () {
  const platform = yield* Platform
  const stream = yield* RedisStream
  const group = "agion-auto-approve"
  yield* stream.consume({ streams: ["governance-events"], group, consumer: "dev", block: "250 millis" }).pipe(
    Stream.runForEach((entry) =>
      Effect.gen(function* () {
        const fields = RedisStream.decodeFields(entry.fields)
        const id = Schema.decodeUnknownOption(PermissionId)(fields["permission_id"])
        if (fields["event_type"] === "permission_requested" && Option.isSome(id))
          yield* platform.permissions
            .approve({ params: { id: id.value }, payload: { approvedBy: "agion dev --auto-approve" } })
            .pipe(Effect.catch((error) => Effect.logDebug("left as it is", error)))
        yield* Effect.ignore(stream.ack(group, [entry]))
      })
    )
  )
})

const chooseRedisPort = (wanted: Option.Option<number>) =>
  Option.match(wanted, {
    onSome: (port) => Effect.succeed(port),
    onNone: () => Effect.map(Ports.isFree(defaultRedisPort), (free) => (free ? defaultRedisPort : 0))
  })

const makeFolder = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  yield* fs
    .makeDirectory(path, { recursive: true })
    .pipe(
      Effect.catch((error) =>
        Effect.fail(
          new CommandFailed({ message: `cannot use the data folder \`${path}\`: ${error.message}` })
        )
      )
    )
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
    yield* run({
      ...options,
      host: "127.0.0.1",
      authentication: "off",
      data,
      database: Option.match(databaseUrl, {
        onSome: (url) => ({ _tag: "Postgres", url: Redacted.value(url) }) as const,
        onNone: () =>
          data === null
            ? ({ _tag: "Memory" } as const)
            : ({ _tag: "Directory", path: join(data, "database") } as const)
      }),
      redis: Option.match(redisUrl, {
        onSome: (url): RunOptions["redis"] => realRedis(url),
        onNone: () => memoryRedis(redisPort, data === null ? null : join(data, "redis.log"))
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
    yield* run({
      ...options,
      data: withoutPassword(Redacted.value(databaseUrl)),
      database: { _tag: "Postgres", url: Redacted.value(databaseUrl) },
      redis: realRedis(redisUrl)
    })
  })
).pipe(Command.withDescription("Start a platform on a real PostgreSQL and a real Redis"))
