/**
 * A real PostgreSQL for a test: a cluster of its own on a free port, without
 * passwords, on loopback, ended with the scope. Run as root it becomes another
 * user, since PostgreSQL refuses root. The machine's own PostgreSQL is never
 * touched.
 *
 * ```ts
 * const server = yield* PostgresServer.make()
 * const url = yield* server.database
 * ```
 */
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { Context, Effect, Layer, type Scope } from "effect"
import {
  findProgram,
  freePort,
  listens,
  type Owner,
  type Running,
  reportMissing,
  run,
  start,
  temporaryDirectory,
  waitUntil
} from "./internal/Process.ts"

/** Distributions keep the programs apart by version; the newest comes first. */
const directories = (() => {
  const root = "/usr/lib/postgresql"
  const versions = Fs.existsSync(root) ? Fs.readdirSync(root) : []
  const newest = versions
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => Path.join(root, version, "bin"))
  return [...newest, "/opt/homebrew/opt/postgresql/bin", "/usr/local/opt/postgresql/bin", "/usr/pgsql/bin"]
})()

const initdb = findProgram("initdb", directories)

/**
 * Whether tests with a real PostgreSQL can run. When not, says so in one line,
 * or throws where `AGION_REQUIRE_SERVICES=1`.
 */
export const isThere = (): boolean =>
  initdb !== undefined ||
  reportMissing("initdb", "install PostgreSQL (`apt-get install postgresql`, `brew install postgresql`)")

/** How careful the server is. */
export interface PostgresServerOptions {
  /** Writes reach the disk before they are answered. Default: false, which is faster; a killed process loses nothing either way, since a commit is written before it is answered. */
  readonly fsync?: boolean
  /** Further settings, `name=value`. */
  readonly settings?: ReadonlyArray<string>
}

/** A running server. */
export class PostgresServer extends Context.Service<
  PostgresServer,
  {
    readonly port: number
    /** Creates an empty database and answers its address, `postgres://postgres@127.0.0.1:PORT/NAME`; another one each time. */
    readonly database: Effect.Effect<string>
    /** Ends it at once, as a crash would (SIGKILL). */
    readonly kill: Effect.Effect<void>
    /** Starts it again on the same data and port, after `kill` or not. */
    readonly restart: Effect.Effect<void>
  }
>()("@agion/testing/PostgresServer") {}

/** Who runs the server: this user, but for root, which becomes `postgres` or `nobody`. */
const findOwner = (): Owner | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const users = Fs.readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
  const user = users.find(([name]) => name === "postgres") ?? users.find(([name]) => name === "nobody")
  if (user === undefined) return { uid: 65534, gid: 65534 }
  return { uid: Number(user[2]), gid: Number(user[3]) }
}

interface Cluster {
  readonly bin: string
  readonly data: string
  readonly port: number
  readonly as: { readonly owner?: Owner; readonly cwd: string }
  readonly options: PostgresServerOptions
}

const settingsOf = ({ port, options }: Cluster) => [
  `port=${port}`,
  "listen_addresses=127.0.0.1",
  "unix_socket_directories=",
  "max_connections=50",
  ...(options.fsync === true ? [] : ["fsync=off", "full_page_writes=off"]),
  ...(options.settings ?? [])
]

/** Listening comes first and is cheap to ask; then PostgreSQL says whether it takes queries. */
const isReady = (cluster: Cluster) =>
  Effect.flatMap(listens(cluster.port), (isListening) => {
    if (!isListening) return Effect.succeed(false)
    const args = ["-h", "127.0.0.1", "-p", String(cluster.port), "-q"]
    return run(Path.join(cluster.bin, "pg_isready"), args, cluster.as).pipe(
      Effect.as(true),
      Effect.catchDefect(() => Effect.succeed(false))
    )
  })

/** After a kill its children may hold the data for a moment: a start that fails is tried again. */
const startServer = Effect.fnUntraced(function* (cluster: Cluster) {
  const args = ["-D", cluster.data, ...settingsOf(cluster).flatMap((setting) => ["-c", setting])]
  const launch = () => start(Path.join(cluster.bin, "postgres"), args, cluster.as)
  let running = launch()
  yield* waitUntil(
    "PostgreSQL",
    Effect.suspend(() => {
      if (!running.hasEnded()) return isReady(cluster)
      running = launch()
      return Effect.succeed(false)
    }),
    60
  )
  return running
})

const end = (running: Running, signal: "SIGKILL" | "SIGQUIT") =>
  Effect.suspend(() =>
    running.hasEnded() ? Effect.void : Effect.andThen(running.signal(signal), running.ended)
  )

/** A segment of the log is written whole when it is begun: small ones make a start cheaper. */
const clusterArgs = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--wal-segsize=1"]

const cache = fileURLToPath(new URL("../../../node_modules/.cache/agion", import.meta.url))

/**
 * Puts a new cluster at `data`: a copy of one that is kept beside the installed packages, which takes a fraction of
 * the time of `initdb`.
 */
const makeCluster = Effect.fnUntraced(function* (program: string, data: string, as: Cluster["as"]) {
  const { uid, gid } = as.owner ?? { uid: process.getuid?.(), gid: process.getgid?.() }
  const { mtimeMs } = Fs.statSync(program)
  const named = createHash("sha256").update(JSON.stringify([program, mtimeMs, clusterArgs, uid, gid]))
  const kept = Path.join(cache, `postgres-${named.digest("hex").slice(0, 16)}`)
  if (Fs.existsSync(kept)) return yield* run("cp", ["-a", kept, data])
  yield* run(program, ["-D", data, "--no-sync", ...clusterArgs], as)
  const draft = `${kept}.${Path.basename(Path.dirname(data))}`
  yield* Effect.addFinalizer(() => Effect.sync(() => Fs.rmSync(draft, { recursive: true, force: true })))
  Fs.mkdirSync(cache, { recursive: true })
  yield* run("cp", ["-a", data, draft])
  yield* Effect.sync(() => keep(draft, kept))
}, Effect.scoped)

/** Of several processes that make it at once the first one's stays. */
const keep = (draft: string, kept: string) => {
  try {
    Fs.renameSync(draft, kept)
  } catch (error) {
    if (!Fs.existsSync(kept)) throw error
  }
}

/** Starts a server; it ends with the scope. */
export const make = Effect.fnUntraced(function* (
  options: PostgresServerOptions = {}
): Effect.fn.Return<PostgresServer["Service"], never, Scope.Scope> {
  if (initdb === undefined) return yield* Effect.die(new Error("PostgreSQL was not found"))
  const owner = findOwner()
  const directory = yield* temporaryDirectory("postgres", owner)
  const as = { cwd: directory, ...(owner === undefined ? {} : { owner }) }
  const data = Path.join(directory, "data")
  yield* makeCluster(initdb, data, as)
  const cluster: Cluster = { bin: Path.dirname(initdb), data, port: yield* freePort, as, options }
  let running = yield* startServer(cluster)
  yield* Effect.addFinalizer(() => Effect.suspend(() => end(running, "SIGQUIT")))
  let databases = 0
  return PostgresServer.of({
    port: cluster.port,
    database: Effect.suspend(() => {
      databases += 1
      const name = `test_${databases}`
      const where = ["-h", "127.0.0.1", "-p", String(cluster.port), "-U", "postgres"]
      return Effect.as(
        run(Path.join(cluster.bin, "createdb"), [...where, name], as),
        `postgres://postgres@127.0.0.1:${cluster.port}/${name}`
      )
    }),
    kill: Effect.suspend(() => end(running, "SIGKILL")),
    restart: Effect.gen(function* () {
      yield* end(running, "SIGKILL")
      running = yield* startServer(cluster)
    })
  })
})

/** A server for all tests of a layer. */
export const layer = (options?: PostgresServerOptions): Layer.Layer<PostgresServer> =>
  Layer.effect(PostgresServer, make(options))
