/**
 * A whole platform for a test: the server on a free loopback port, its database and Redis's protocol, ended with
 * the scope. PGlite in memory and redis-memory unless addresses of real servers are given.
 *
 * ```ts
 * const platform = yield* Platform.make()
 * const answer = yield* platform.post("/resources", { … })
 * ```
 */
import { Redis } from "@agion/redis"
import { RedisMemory } from "@agion/redis-memory"
import { type DatabaseOptions, Server, type ServerOptions } from "@agion/server"
import { Context, Effect, Layer, type Scope } from "effect"
import * as Template from "./Template.ts"

export interface PlatformOptions {
  /** Default: memory. */
  readonly database?: DatabaseOptions
  /** The address of a real Redis. Default: redis-memory with its protocol on a free port. */
  readonly redisUrl?: string
  /** Default: off. */
  readonly authentication?: "off" | "keys"
  /** 0 (a free one) unless told otherwise. */
  readonly port?: number
  /** More options of the server. */
  readonly server?: Omit<Partial<ServerOptions>, "port" | "database" | "authentication">
}

/** An answer as a test reads it. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body as JSON; undefined when it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever stands there.
  readonly body: any
}

/** A running platform. */
export class Platform extends Context.Service<
  Platform,
  {
    /** `http://127.0.0.1:PORT`. */
    readonly url: string
    readonly redisUrl: string
    /** One request under `/api/v1`; a body that is a string goes out as it is. */
    readonly request: (
      method: string,
      path: string,
      body?: unknown,
      headers?: Readonly<Record<string, string>>
    ) => Effect.Effect<Answer>
    readonly get: (path: string) => Effect.Effect<Answer>
    readonly post: (path: string, body: unknown) => Effect.Effect<Answer>
    readonly put: (path: string, body: unknown) => Effect.Effect<Answer>
    readonly delete: (path: string) => Effect.Effect<Answer>
    /** The services of the server and of its Redis, for what HTTP does not show. */
    readonly services: Context.Context<Services>
  }
>()("@agion/testing/Platform") {}

type Services = Layer.Success<ReturnType<typeof Server.layer>> | Redis.Services | RedisMemory

/** Starts a platform. */
export const make = (options: PlatformOptions = {}): Effect.Effect<Platform["Service"], never, Scope.Scope> =>
  Effect.orDie(
    Effect.gen(function* () {
      const redis =
        options.redisUrl === undefined
          ? RedisMemory.layerServer()
          : Layer.merge(Redis.layer({ url: options.redisUrl }), noMemory(options.redisUrl))
      const server = Server.layer({
        ...options.server,
        port: options.port ?? 0,
        database: options.database ?? (yield* Template.memory),
        authentication: options.authentication ?? "off"
      })
      const services = yield* Layer.build(Layer.provideMerge(server, redis))
      const url = Context.get(services, Server).url
      const request = requestOf(url)
      return Platform.of({
        url,
        redisUrl: Context.get(services, RedisMemory).url ?? "",
        request,
        get: (path) => request("GET", path),
        post: (path, body) => request("POST", path, body),
        put: (path, body) => request("PUT", path, body),
        delete: (path) => request("DELETE", path),
        services
      })
    })
  )

/** A platform as a layer. */
export const layer = (options: PlatformOptions = {}): Layer.Layer<Platform> =>
  Layer.effect(Platform, make(options))

const noMemory = (url: string) =>
  Layer.succeed(RedisMemory, { disconnect: Effect.void, port: undefined, url })

const requestOf =
  (url: string): Platform["Service"]["request"] =>
  (method, path, body, headers = {}) =>
    Effect.promise(async (signal) => {
      const response = await fetch(`${url}/api/v1${path}`, {
        method,
        signal,
        headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) })
      })
      const text = await response.text()
      return { status: response.status, headers: response.headers, text, body: parsed(text) }
    })

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
