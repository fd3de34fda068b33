/**
 * The governance server: everything over one database and one Redis, behind one port.
 *
 * ```ts
 * const platform = Server.layer({ port: 8080, database: { _tag: "Memory" }, authentication: "off" })
 * Layer.launch(Layer.provide(platform, RedisMemory.layer))
 * ```
 *
 * **Gotchas**: with authentication off any request may speak for any organization: for loopback only.
 */
import { Streams } from "@agion/domain"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { ByteSize, Context, type Duration, Effect, Layer } from "effect"
import { HttpIncomingMessage, HttpMiddleware, HttpRouter, HttpServer } from "effect/http"
import { Changes } from "./changes/Changes.ts"
import { Feed } from "./changes/Feed.ts"
import * as Governance from "./changes/Governance.ts"
import { Relay } from "./changes/Relay.ts"
import { Consumers } from "./events/Consumers.ts"
import { Ingest } from "./events/Ingest.ts"
import { Feedback } from "./feedback/Feedback.ts"
import * as Authentication from "./http/Authentication.ts"
import { EarlyServer } from "./http/EarlyServer.ts"
import * as Http from "./http/Http.ts"
import { ApiKeys } from "./keys/ApiKeys.ts"
import { Secrets, type SecretsOptions } from "./keys/Secrets.ts"
import { Signing } from "./keys/Signing.ts"
import { Missions } from "./missions/Missions.ts"
import { Organizations } from "./organizations/Organizations.ts"
import { Tenancy } from "./organizations/Tenancy.ts"
import { Checks } from "./permissions/Checks.ts"
import { DecisionLog } from "./permissions/DecisionLog.ts"
import * as HotChecks from "./permissions/HotChecks.ts"
import { Permissions } from "./permissions/Permissions.ts"
import { Snapshot } from "./permissions/Snapshot.ts"
import { Bundle } from "./policies/Bundle.ts"
import { Policies } from "./policies/Policies.ts"
import { Agents } from "./registry/Agents.ts"
import { Registry } from "./registry/Registry.ts"
import { Resources } from "./resources/Resources.ts"
import { Retention, type RetentionOptions } from "./retention/Retention.ts"
import { SharedCache } from "./shared/SharedCache.ts"
import { Database, type DatabaseOptions } from "./sql/Database.ts"
import { migrate } from "./sql/Migrations.ts"
import { Subscribers } from "./stream/Subscribers.ts"
import { TrustScores } from "./trust/TrustScores.ts"

/** Where the platform serves, over which database, and for whom. */
export interface ServerOptions {
  /** 0: a free one. */
  readonly port: number
  /** Default: 127.0.0.1. */
  readonly host?: string
  /** Where everything is kept. */
  readonly database: DatabaseOptions
  /** `keys`: every request needs a key of the API. `off` is for one machine alone. */
  readonly authentication: "off" | "keys"
  /** The key that encrypts credentials at rest. Default: made at the first start and kept with the data. */
  readonly secrets?: SecretsOptions
  /** Names of streams and channels. Default: the contract's. */
  readonly names?: Streams.StreamNames
  /** How long what was applied is remembered. */
  readonly retention?: RetentionOptions
  /**
   * Answers to checks are signed and written to Redis, for agents to read before they ask (CACHE-3); worth it where
   * agents reach the same Redis. Default: false.
   */
  readonly sharedCache?: boolean
  /** What policies read as `context.environment`, such as `prod`. Default: it is absent. */
  readonly environment?: string
  /** More routes on the same router. */
  readonly routes?: Layer.Layer<never, never, HttpRouter.HttpRouter>
  /** The largest body that is read, in bytes. Default: 8 MiB. */
  readonly maxBodySize?: number
  /** How long a stop waits for requests that are under way. Default: 2 seconds. */
  readonly grace?: Duration.Input
}

/** The running server. */
export class Server extends Context.Service<
  Server,
  {
    /** `http://127.0.0.1:8080`. */
    readonly url: string
    /** The port it listens on, also where 0 was asked for. */
    readonly port: number
  }
>()("@agion/server/Server") {
  /** Opens the database, brings it to the present schema, and serves until the scope closes. */
  static readonly layer = (options: ServerOptions) => {
    const database = migrated.pipe(Layer.provideMerge(Database.layer(options.database)))
    const names = options.names
    return served(options).pipe(
      Layer.provideMerge(services(options)),
      Layer.provideMerge(database),
      names === undefined ? (layer) => layer : Layer.provide(Layer.succeed(Governance.Names, names))
    )
  }
}

/** Only what its operator can mend is told as an error. */
const migrated = Layer.effectDiscard(
  Effect.catch(migrate, (error) => (error._tag === "DatabaseTooNew" ? Effect.fail(error) : Effect.die(error)))
)

/** What the handlers need, each built once. Each line needs what stands below it. */
const services = (options: ServerOptions) =>
  Layer.mergeAll(
    Consumers.layer(),
    checksOf(options),
    Bundle.layer(),
    Retention.layer(options.retention)
  ).pipe(
    Layer.provideMerge(Layer.mergeAll(Ingest.layer, Snapshot.layer())),
    Layer.provideMerge(Layer.mergeAll(Feedback.layer, Agents.layer, Subscribers.layer())),
    Layer.provideMerge(Layer.mergeAll(TrustScores.layer, Missions.layer(), Registry.layer)),
    Layer.provideMerge(Layer.mergeAll(Permissions.layer(), Resources.layer(), Organizations.layer())),
    Layer.provideMerge(
      Layer.mergeAll(Policies.layer(), DecisionLog.layer(), Relay.layer(relayOptions(options)))
    ),
    Layer.provideMerge(Layer.mergeAll(Tenancy.layer(), Feed.layer(), ApiKeys.layer)),
    Layer.provideMerge(Layer.mergeAll(Changes.layer(), Signing.layer)),
    Layer.provideMerge(Secrets.layer(options.secrets))
  )

/** Checks, and their answers in Redis where agents read them. */
const checksOf = (options: ServerOptions) => {
  const checks = Checks.layer({ environment: options.environment })
  return options.sharedCache === true ? Layer.provide(SharedCache.layer, checks) : checks
}

/** Who asks, as the server is told to find out; and the check that is answered before the router. */
const front = (options: ServerOptions, server: EarlyServer) =>
  Layer.unwrap(
    Effect.map(ApiKeys, (keys) => {
      const [identify, identifyNow] =
        options.authentication === "off"
          ? [Authentication.identifyNobody, Authentication.identifyNobodyNow]
          : [
              Authentication.identifyByKey((key) => Effect.orDie(keys.verify(key))),
              Authentication.identifyByKeyNow(keys.peek)
            ]
      return Layer.mergeAll(
        Layer.provide(Http.routes, Authentication.layer(identify)),
        HotChecks.layer(identify),
        HotChecks.early(server, identifyNow, Number(maxBodyOf(options)))
      )
    })
  )

const maxBodyOf = (options: ServerOptions) => ByteSize.fromInputUnsafe(options.maxBodySize ?? 8_388_608)

const relayOptions = (options: ServerOptions) => ({ names: options.names ?? Streams.streamNames() })

const served = (options: ServerOptions) => {
  const host = options.host ?? "127.0.0.1"
  const nodeServer = new EarlyServer()
  const http = HttpRouter.serve(Layer.mergeAll(front(options, nodeServer), options.routes ?? Layer.empty), {
    disableListenLog: true,
    disableLogger: true,
    routerConfig: { maxParamLength: 4096 }
  }).pipe(
    Layer.provide(HttpMiddleware.layerTracerDisabledForUrls(["/health", "/ready"])),
    Layer.provide(Layer.succeed(HttpIncomingMessage.MaxBodySize, maxBodyOf(options)))
  )
  const listening = NodeHttpServer.layer(() => nodeServer, {
    port: options.port,
    host,
    gracefulShutdownTimeout: options.grace ?? "2 seconds"
  })
  return Layer.effect(
    Server,
    Effect.map(HttpServer.HttpServer, (server) => addressOf(server, host))
  ).pipe(Layer.provideMerge(http), Layer.provideMerge(listening))
}

const addressOf = (server: HttpServer.HttpServer["Service"], host: string) => {
  const { address } = server
  const port = "port" in address ? address.port : 0
  return { url: `http://${host.includes(":") ? `[${host}]` : host}:${port}`, port }
}
