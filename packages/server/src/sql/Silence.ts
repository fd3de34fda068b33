/**
 * Connections to PostgreSQL whose other side went without a word: a host that lost its power, a firewall that forgot
 * the connection. The kernel sends again what nobody confirms for a quarter of an hour before it says so, and as long
 * the pool would hand the connection out, to any number of statements at once.
 *
 * A connection on which nothing is heard for a while is given up; its statements fail as those of a database that is
 * away, and the pool opens another. One that is only idle goes the same way, since what has been answered cannot be
 * told from outside, under TLS least of all: nobody waits for it, and nothing is sent on it meanwhile.
 */
import { connect, type Socket } from "node:net"
import { Duration, Effect, type Scope } from "effect"

/** Where a server listens. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** The address in a URL as the driver reads it; undefined: there is none, or it is a socket of this host. */
export const addressOf = (text: string): Address | undefined => {
  if (!URL.canParse(text)) return undefined
  const url = new URL(text)
  const host = url.searchParams.get("host") ?? url.hostname.replace(/^\[(.*)\]$/, "$1")
  const port = Number(url.searchParams.get("port") ?? (url.port === "" ? 5432 : url.port))
  if (host.startsWith("/") || host.includes("%") || !Number.isInteger(port) || port < 1 || port > 65_535)
    return undefined
  return { host: host === "" ? "localhost" : host, port }
}

/** Opens connections, and gives up those that are silent. */
export interface Silence {
  readonly open: () => Socket
  /** While this runs no silence is too long: a migration may rebuild a table. */
  readonly allowed: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** A connection as it was seen last. */
interface Seen {
  bytesRead: number
  bytesWritten: number
  /** Something was sent in the silence that lasts. */
  asked: boolean
  /** When the silence began, or what was sent in it first. */
  since: number
}

const keepAliveMillis = 10_000

/** Watches connections to an address for as long as the scope is open. */
export const make = Effect.fnUntraced(function* (
  address: Address,
  longest: Duration.Input
): Effect.fn.Return<Silence, never, Scope.Scope> {
  const longestMillis = Duration.toMillis(longest)
  // Infinity is a bound too: then nobody is given up.
  const everyMillis = Math.min(60_000, Math.max(10, longestMillis / 10))
  const sockets = new Map<Socket, Seen>()
  let allowing = 0
  let lookedAt = performance.now()

  // A socket counts what it reads and writes also where TLS lies over it.
  const look = (socket: Socket, seen: Seen, now: number) => {
    const isHeard = socket.bytesRead !== seen.bytesRead
    const isAsked = socket.bytesWritten !== seen.bytesWritten
    if (isHeard || (isAsked && !seen.asked) || allowing > 0) seen.since = now
    seen.asked = !isHeard && (isAsked || seen.asked)
    seen.bytesRead = socket.bytesRead
    seen.bytesWritten = socket.bytesWritten
    if (now - seen.since < longestMillis) return
    sockets.delete(socket)
    const seconds = Math.round((now - seen.since) / 1000)
    socket.destroy(new Error(`the database has answered nothing for ${seconds} s on this connection`))
  }

  yield* Effect.forkScoped(
    Effect.forever(
      Effect.andThen(
        Effect.sleep(everyMillis),
        Effect.sync(() => {
          const now = performance.now()
          // While this process is stopped it hears nothing: that is nobody's silence.
          const stopped = Math.max(0, now - lookedAt - 2 * everyMillis)
          lookedAt = now
          for (const [socket, seen] of sockets) {
            seen.since += stopped
            look(socket, seen, now)
          }
        })
      )
    )
  )

  return {
    open: () => {
      const socket = connect({
        ...address,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: keepAliveMillis
      })
      sockets.set(socket, { bytesRead: 0, bytesWritten: 0, asked: false, since: performance.now() })
      socket.once("close", () => sockets.delete(socket))
      return socket
    },
    allowed: (effect) =>
      Effect.acquireUseRelease(
        Effect.sync(() => void allowing++),
        () => effect,
        () => Effect.sync(() => void allowing--)
      )
  }
})
