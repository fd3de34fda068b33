/**
 * ioredis as effects: one connection that comes back, and single ones that do
 * not. The only place, with `SubscriberLink`, that knows ioredis.
 */
import {
  Cause,
  Duration,
  Effect,
  Redacted,
  Result,
  Schedule,
  type Scope,
  Stream,
  SubscriptionRef
} from "effect"
import { Redis as EffectRedis } from "effect/persistence"
import type { Redis as IoRedis, RedisOptions } from "ioredis"
import type { Command, RedisClientOptions, Reply, Status } from "../RedisClient.ts"

/** ioredis' module, as the dynamic import gives it. */
export interface IoModule {
  readonly Redis: typeof IoRedis
}

export interface ConnectionOptions {
  /** `redis://[[user]:password@]host[:port][/db]`, or `rediss://` for TLS. */
  readonly url: string | Redacted.Redacted<string>
  /** How long a command may take; then its outcome is unknown. Default: 500 ms. */
  readonly commandTimeout?: Duration.Input
  /** How long opening a connection may take, and the longest that building the layer waits for it. Default: 2 s. */
  readonly connectTimeout?: Duration.Input
  /** How often an idle connection is asked whether it lives. Default: 1 s. */
  readonly heartbeat?: Duration.Input
  /** Shown in CLIENT LIST. Default: `agion`. */
  readonly clientName?: string
}

/** The options with their defaults, in milliseconds. */
export interface Settings {
  readonly url: string
  readonly commandTimeout: number
  readonly connectTimeout: number
  readonly heartbeat: number
  readonly clientName: string
}

export const settings = (options: ConnectionOptions): Settings => ({
  url: typeof options.url === "string" ? options.url : Redacted.value(options.url),
  commandTimeout: Duration.toMillis(options.commandTimeout ?? 500),
  connectTimeout: Duration.toMillis(options.connectTimeout ?? 2000),
  heartbeat: Duration.toMillis(options.heartbeat ?? 1000),
  clientName: options.clientName ?? "agion"
})

const longestPause = 2000

/** Doubles from 50 ms to 2 s; the jitter keeps many processes from coming back at the same moment. */
const pause = (attempt: number) =>
  Math.min(longestPause, 50 * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2)

/**
 * A failover made the server that is connected a replica, and did not end the connection: its address leads to another by
 * now, which takes writes.
 */
const isDemoted = ({ message }: Error): boolean => message.startsWith("READONLY")

/** A client that is not connected yet and that comes back for ever. */
export const makeClient = (
  module: IoModule,
  from: Settings,
  more?: Omit<RedisOptions, "replyMapping">
): IoRedis => {
  const client = new module.Redis(from.url, {
    lazyConnect: true,
    protocol: 2,
    connectionName: from.clientName,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    connectTimeout: from.connectTimeout,
    keepAlive: 10_000,
    retryStrategy: pause,
    reconnectOnError: isDemoted,
    ...more
  })
  // Failures show on the commands; without a listener ioredis prints each of them.
  client.on("error", () => {})
  return client
}

/** Closes without waiting for the other side, which may not be there. */
export const destroy = (client: IoRedis) => {
  client.disconnect()
  client.stream?.destroy()
}

const fail = (cause: unknown) => new EffectRedis.RedisError({ cause })

/** What went wrong, in the client's words, for a log. */
export const reason = ({ cause }: EffectRedis.RedisError) =>
  cause instanceof Error ? cause.message : String(cause)

const timedOut = (command: string, millis: number) =>
  fail(new Cause.TimeoutError(`no reply to \`${command}\` within ${millis} ms; it may have been executed`))

/** ioredis may leave a promise unsettled after a reconnect, hence a time limit of our own. */
const withLimit = <A>(
  command: string,
  millis: number,
  run: () => Promise<A>
): Effect.Effect<A, EffectRedis.RedisError> => {
  const call = Effect.tryPromise({ try: run, catch: fail })
  if (millis === Number.POSITIVE_INFINITY) return call
  return Effect.timeoutOrElse(call, {
    duration: millis,
    orElse: () => Effect.fail(timedOut(command, millis))
  })
}

/** How long a command may block on purpose, in milliseconds. */
const blockMillis = (command: string, args: ReadonlyArray<string>) => {
  const name = command.toUpperCase()
  const at = name.startsWith("XREAD") ? args.findIndex((arg) => arg.toUpperCase() === "BLOCK") : -1
  const seconds = /^B(L|R|Z|LM|ZM)?(POP|MOVE|POPMIN|POPMAX)/.test(name) ? Number(args.at(-1)) : undefined
  const block = at >= 0 ? Number(args[at + 1]) : seconds === undefined ? undefined : seconds * 1000
  return block === undefined ? 0 : block > 0 ? block : Number.POSITIVE_INFINITY
}

/** `send` of effect's service over a client. */
const sender =
  (client: IoRedis, limit: number): EffectRedis.Connection["send"] =>
  <A = unknown>(command: string, ...args: ReadonlyArray<string>) =>
    withLimit(command, limit + blockMillis(command, args), () => client.call(command, ...args) as Promise<A>)

/** A connection that nobody shares and that does not come back: behind `Redis.reserve`. */
export const openSingle = (module: IoModule, from: Settings) =>
  Effect.gen(function* () {
    const client = makeClient(module, from, { retryStrategy: null })
    yield* withLimit("CONNECT", from.connectTimeout, () => client.connect()).pipe(
      Effect.onError(() => Effect.sync(() => destroy(client)))
    )
    return { send: sender(client, from.commandTimeout), close: Effect.sync(() => destroy(client)) }
  })

/** The shared connection and what `RedisClient` wants of it. */
export interface Lasting extends RedisClientOptions {
  readonly send: EffectRedis.Connection["send"]
}

/** The shared connection: waits a little for the first time, comes back for ever, ends with the scope. */
export const openLasting = Effect.fnUntraced(function* (
  module: IoModule,
  from: Settings
): Effect.fn.Return<Lasting, never, Scope.Scope> {
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => makeClient(module, from)),
    (client) => Effect.sync(() => destroy(client))
  )
  const status = yield* watchStatus(client)
  yield* withLimit("CONNECT", from.connectTimeout, () => client.connect()).pipe(
    Effect.catch((error) => Effect.logWarning(`Redis does not answer yet (${reason(error)}); trying on`))
  )
  yield* Effect.forkScoped(heartbeat(client, from))
  const send = sender(client, from.commandTimeout)
  return {
    send,
    pipeline: (commands) => pipeline(client, from.commandTimeout, commands),
    status: Effect.sync((): Status => (client.status === "ready" ? "connected" : "disconnected")),
    statusChanges: Stream.changes(SubscriptionRef.changes(status))
  }
})

const watchStatus = Effect.fnUntraced(function* (client: IoRedis) {
  const status = yield* SubscriptionRef.make<Status>("disconnected")
  const run = Effect.runForkWith(yield* Effect.context<never>())
  client.on("ready", () => run(SubscriptionRef.set(status, "connected")))
  client.on("close", () => run(SubscriptionRef.set(status, "disconnected")))
  return status
})

/** A half-open link swallows everything in silence: asks, and cuts the link when no answer comes. */
export const heartbeat = (client: IoRedis, from: Settings) =>
  Effect.suspend(() => {
    if (client.status !== "ready") return Effect.void
    return withLimit("PING", from.commandTimeout, () => client.ping()).pipe(
      Effect.catch(() => Effect.sync(() => client.stream?.destroy()))
    )
  }).pipe(Effect.repeat(Schedule.spaced(from.heartbeat)))

/** All commands leave in one tick, so in one or two packets, on a connection that keeps their order. */
const pipeline = (client: IoRedis, limit: number, commands: ReadonlyArray<Command>) =>
  withLimit("pipeline", limit, async () => {
    const settled = await Promise.allSettled(commands.map(([name, ...args]) => client.call(name, ...args)))
    return settled.map(
      (each): Reply =>
        each.status === "fulfilled" ? Result.succeed(each.value) : Result.fail(fail(each.reason))
    )
  }).pipe(Effect.catch((error) => Effect.succeed(commands.map((): Reply => Result.fail(error)))))
