/** A platform in this process: its layers chosen, seeded, announced, and run until it is interrupted. */
import { PermissionId } from "@agion/domain"
import { Redis, RedisStream } from "@agion/redis"
import { RedisMemory } from "@agion/redis-memory"
import { Server, type ServerOptions } from "@agion/server"
import { Config, Console, Context, Effect, Layer, Option, Redacted, Schema, Stream } from "effect"
import { CommandFailed, explain, Platform } from "./Platform.ts"
import * as Ports from "./Ports.ts"
import * as Seed from "./Seed.ts"
import * as Telemetry from "./Telemetry.ts"

/** Where agents reach Redis. */
class RedisAddress extends Context.Service<RedisAddress, { readonly url: string }>()(
  "@agion/cli/RedisAddress"
) {}

export interface RunOptions {
  readonly host: string
  readonly port: number
  readonly authentication: "off" | "keys"
  readonly database: ServerOptions["database"]
  readonly secrets: ServerOptions["secrets"]
  readonly redis:
    | { readonly _tag: "Real"; readonly url: Redacted.Redacted<string> }
    | { readonly _tag: "Memory"; readonly port: number; readonly persist: string | null }
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

const redisOf = (redis: RunOptions["redis"]): Layer.Layer<Redis.Services | RedisAddress, CommandFailed> =>
  redis._tag === "Real" ? realRedis(redis.url) : memoryRedis(redis.port, redis.persist)

/** Starts it, seeds it, says that it is ready, and runs until it is interrupted. */
export const run = Effect.fnUntraced(function* (options: RunOptions) {
  // What can be told before anything is started is told then: a database is neither opened nor changed for nothing.
  if (options.port !== 0 && (yield* Ports.isTaken(options.port, options.host)))
    return yield* taken(options.port)
  const seed = Option.isSome(options.seed) ? yield* Seed.read(options.seed.value) : null
  const shares = yield* Config.Boolean("AGION_SHARED_CACHE").pipe(Config.withDefault(true))
  const environment = yield* Config.String("AGION_ENV").pipe(Config.withDefault(""))
  return yield* running(options, seed, {
    sharedCache: shares && options.redis._tag === "Real",
    ...(environment === "" ? {} : { environment })
  })
})

const running = (
  options: RunOptions,
  seed: Seed.SeedFile | null,
  more: Pick<ServerOptions, "sharedCache" | "environment">
) =>
  Effect.gen(function* () {
    const server = yield* Server
    const redis = yield* RedisAddress
    yield* Effect.gen(function* () {
      if (options.autoApprove) yield* Effect.forkScoped(approveAll)
      if (seed !== null) yield* announceSeed(yield* Seed.apply(seed), options.json)
    }).pipe(
      Effect.provide(Platform.layer({ url: server.url, apiKey: Option.none() })),
      Effect.mapError(explain(server.url))
    )
    yield* announce(options, server.url, redis.url)
    return yield* untilTold
  }).pipe(
    Effect.scoped,
    Effect.provide(
      Server.layer({
        host: options.host,
        port: options.port,
        database: options.database,
        authentication: options.authentication,
        ...more,
        ...(options.secrets === undefined ? {} : { secrets: options.secrets })
      }).pipe(Layer.provideMerge(redisOf(options.redis)), Layer.provideMerge(Telemetry.layer))
    ),
    Effect.mapError((error) => notStarted(options, error))
  )

/** Runs until it is interrupted, which from then on is no failure: supervisors take any other exit code for one. */
const untilTold = Effect.onInterrupt(Effect.never, () =>
  Effect.sync(() => {
    process.exitCode = 0
  })
)

/** Why a platform did not start, and what to do. */
const notStarted = (options: RunOptions, error: unknown): CommandFailed => {
  if (error instanceof CommandFailed) return error
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const message = cause instanceof Error ? cause.message : String(cause)
  if (message.includes("EADDRINUSE")) return taken(options.port)
  return new CommandFailed({
    message: `the platform did not start: ${message}`
  })
}

const taken = (port: number) =>
  new CommandFailed({
    message: `port ${port} is taken; choose another with --port, or --port 0 for a free one`
  })

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
          options.authentication === "keys"
            ? "  next            agion keys create --name NAME"
            : `  next            agion approvals --url ${url}`
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
