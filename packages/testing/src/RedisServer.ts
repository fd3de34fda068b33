/**
 * A real `redis-server` for a test: on a free port, with a directory of its own,
 * ended with the scope. The machine's own Redis is never touched.
 *
 * ```ts
 * describe.skipIf(!RedisServer.isThere())("on Redis", () => {
 *   it.live("keeps a key", () => Effect.gen(function* () {
 *     const server = yield* RedisServer.make()
 *     …server.url…
 *   }))
 * })
 * ```
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Context, Effect, Layer, type Scope } from "effect"
import {
  findProgram,
  freePort,
  listens,
  type Running,
  reportMissing,
  start,
  temporaryDirectory,
  waitUntil
} from "./internal/Process.ts"

const program = findProgram("redis-server")

/**
 * Whether tests with a real Redis can run. When not, says so in one line, or
 * throws where `AGION_REQUIRE_SERVICES=1`.
 */
export const isThere = (): boolean =>
  program !== undefined ||
  reportMissing("redis-server", "install Redis 7 (`apt-get install redis-server`, `brew install redis`)")

/** How the server keeps its data. */
export interface RedisServerOptions {
  /** Default: `no`, nothing survives a restart. */
  readonly appendonly?: "always" | "everysec" | "no"
  /** Further arguments, such as `["--maxmemory", "10mb"]`. */
  readonly args?: ReadonlyArray<string>
}

/** A running server. */
export class RedisServer extends Context.Service<
  RedisServer,
  {
    readonly port: number
    /** For clients: `redis://127.0.0.1:PORT`. */
    readonly url: string
    /** Ends it at once, as a crash would (SIGKILL). */
    readonly kill: Effect.Effect<void>
    /** Starts it again on the same port, after `kill`; without its data when told so. */
    readonly restart: (options?: { readonly withoutData?: boolean }) => Effect.Effect<void>
    /** Stops it from doing anything while its connections stay open (SIGSTOP). */
    readonly pause: Effect.Effect<void>
    /** Lets it go on (SIGCONT). */
    readonly resume: Effect.Effect<void>
  }
>()("@agion/testing/RedisServer") {}

const startOn = Effect.fnUntraced(function* (port: number, directory: string, options: RedisServerOptions) {
  const { appendonly = "no", args = [] } = options
  const fixed = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
  const kept = ["--appendonly", appendonly === "no" ? "no" : "yes"]
  const fsync = appendonly === "no" ? [] : ["--appendfsync", appendonly]
  const running = start(program ?? "redis-server", [...fixed, ...kept, ...fsync, ...args])
  yield* waitUntil(
    "redis-server",
    Effect.suspend(() => (running.hasEnded() ? Effect.succeed(true) : listens(port)))
  )
  return running
})

/** Another process may take the port first: then another port is tried. */
const startAnywhere = Effect.fnUntraced(function* (directory: string, options: RedisServerOptions) {
  for (let attempt = 0; attempt < 5; attempt++) {
    const port = yield* freePort
    const running = yield* startOn(port, directory, options)
    if (!running.hasEnded()) return { port, running }
  }
  return yield* Effect.die(new Error("redis-server did not start on five free ports"))
})

const end = (running: Running) => Effect.andThen(running.signal("SIGKILL"), running.ended)

/** Starts a server; it ends with the scope. */
export const make = Effect.fnUntraced(function* (
  options: RedisServerOptions = {}
): Effect.fn.Return<RedisServer["Service"], never, Scope.Scope> {
  const directory = yield* temporaryDirectory("redis")
  const first = yield* startAnywhere(directory, options)
  const { port } = first
  let running = first.running
  yield* Effect.addFinalizer(() => Effect.suspend(() => end(running)))
  return RedisServer.of({
    port,
    url: `redis://127.0.0.1:${port}`,
    kill: Effect.suspend(() => end(running)),
    restart: Effect.fnUntraced(function* (how) {
      yield* end(running)
      if (how?.withoutData === true) {
        for (const name of Fs.readdirSync(directory))
          Fs.rmSync(Path.join(directory, name), { recursive: true })
      }
      running = yield* startOn(port, directory, options)
    }),
    pause: Effect.suspend(() => running.signal("SIGSTOP")),
    resume: Effect.suspend(() => running.signal("SIGCONT"))
  })
})

/** A server for all tests of a layer. */
export const layer = (options?: RedisServerOptions): Layer.Layer<RedisServer> =>
  Layer.effect(RedisServer, make(options))
