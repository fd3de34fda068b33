/** A socket that says exactly what a test wants, and hears every byte of the answer. */
import { connect } from "node:net"
import { Effect, type Scope } from "effect"
import { waitUntil } from "../internal/Process.ts"

/** One connection. */
export interface RawSocket {
  /** Writes bytes as they are, one character each. */
  readonly write: (text: string) => Effect.Effect<void>
  /** Waits until what was heard since the last `hear` matches, and answers that. */
  readonly hear: (expected: RegExp) => Effect.Effect<string>
  readonly closed: Effect.Effect<void>
}

/** A call as clients encode it. */
export const encodeCall = (...args: ReadonlyArray<string>): string =>
  `*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join("")}`

/** Connects to a loopback port until the scope closes. */
export const open = Effect.fnUntraced(function* (
  port: number
): Effect.fn.Return<RawSocket, never, Scope.Scope> {
  let heard = ""
  let isClosed = false
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => connect(port, "127.0.0.1")),
    (socket) => Effect.sync(() => socket.destroy())
  )
  socket.setEncoding("latin1")
  socket.on("data", (chunk) => {
    heard += chunk
  })
  socket.on("error", () => {})
  socket.on("close", () => {
    isClosed = true
  })
  return {
    write: (text) => Effect.sync(() => void socket.write(text, "latin1")),
    hear: (expected) =>
      waitUntil(
        `${expected}, heard ${JSON.stringify(heard)}`,
        Effect.sync(() => expected.test(heard)),
        5
      ).pipe(
        Effect.map(() => {
          const all = heard
          heard = ""
          return all
        })
      ),
    closed: waitUntil(
      "the end of a connection",
      Effect.sync(() => isClosed),
      5
    )
  }
})
