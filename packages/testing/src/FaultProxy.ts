/**
 * A TCP proxy that breaks what goes through it: for showing what a client makes
 * of a bad network.
 *
 * ```ts
 * const proxy = yield* FaultProxy.make({ port: server.port })
 * yield* proxy.apply({ _tag: "BlackHole" })
 * ```
 */
import { connect, createServer, type Server, type Socket } from "node:net"
import { Effect, type Scope } from "effect"

/** What happens to the connections from now on, old and new. */
export type Fault =
  /** Everything passes. */
  | { readonly _tag: "None" }
  /** Everything passes later, in both directions. */
  | { readonly _tag: "Latency"; readonly millis: number }
  /** Of each `every` pieces of replies one is swallowed after the server has done its work, and that connection is reset. */
  | { readonly _tag: "DropReplies"; readonly every: number }
  /** Connections stay open, and nothing passes in either direction: a half-open link. */
  | { readonly _tag: "BlackHole" }
  /** Requests pass and replies do not; connections stay open. */
  | { readonly _tag: "SwallowReplies" }
  /** Connections are reset, new ones too. */
  | { readonly _tag: "Reset" }
  /** Replies are overwritten with bytes that mean nothing. */
  | { readonly _tag: "Garbage" }
  /** Of the next piece of a reply half passes, then the connection ends. */
  | { readonly _tag: "Truncate" }
  /** Requests of HTTP do not pass: each is answered with an empty body and this status. */
  | { readonly _tag: "Status"; readonly status: number }
  /** In replies one text stands for another of the same length, where a piece has all of it. */
  | { readonly _tag: "Rewrite"; readonly from: string; readonly to: string }

/** A proxy in front of one server. */
export interface FaultProxy {
  readonly port: number
  /** Sets the fault; `None` heals. */
  readonly apply: (fault: Fault) => Effect.Effect<void>
  /** Resets every connection once; new ones pass. */
  readonly cut: Effect.Effect<void>
  /** Connections that are open stay so and carry nothing any more, as if the other host were gone; new ones pass. */
  readonly strand: Effect.Effect<void>
  /** How many connections are open. */
  readonly connections: () => number
}

interface State {
  fault: Fault
  replies: number
  readonly pairs: Set<Pair>
}

interface Pair {
  readonly client: Socket
  readonly server: Socket
  stranded: boolean
}

const reset = (state: State, pair: Pair) => {
  state.pairs.delete(pair)
  pair.client.resetAndDestroy()
  pair.server.destroy()
}

const later = (state: State, to: Socket, chunk: Buffer) => {
  const millis = state.fault._tag === "Latency" ? state.fault.millis : 0
  if (millis === 0) return void to.write(chunk)
  setTimeout(() => to.writable && to.write(chunk), millis)
}

const requestLine = /^(?:GET|HEAD|POST|PUT|PATCH|DELETE) /

const forward = (state: State, pair: Pair, chunk: Buffer) => {
  const { fault } = state
  if (pair.stranded || fault._tag === "BlackHole") return
  if (fault._tag !== "Status") return later(state, pair.server, chunk)
  // The rest of a body is part of a request that has its answer.
  if (requestLine.test(chunk.toString("latin1", 0, 8)))
    pair.client.write(`HTTP/1.1 ${fault.status} Fault\r\ncontent-length: 0\r\n\r\n`)
}

/** Bytes stay bytes: latin1 maps each to a character and back. */
const rewritten = (chunk: Buffer, from: string, to: string): Buffer =>
  Buffer.from(chunk.toString("latin1").replaceAll(from, to), "latin1")

const garbage = (size: number) => Buffer.from(Array.from({ length: size }, (_, i) => (i * 73 + 41) % 256))

const back = (state: State, pair: Pair, chunk: Buffer) => {
  const { fault } = state
  if (pair.stranded) return
  switch (fault._tag) {
    case "BlackHole":
    case "SwallowReplies":
      return
    case "DropReplies":
      state.replies += 1
      if (state.replies % fault.every === 0) return reset(state, pair)
      return later(state, pair.client, chunk)
    case "Garbage":
      return later(state, pair.client, garbage(chunk.length))
    case "Rewrite":
      return later(state, pair.client, rewritten(chunk, fault.from, fault.to))
    case "Truncate":
      state.fault = { _tag: "None" }
      pair.client.end(chunk.subarray(0, Math.ceil(chunk.length / 2)))
      return
    default:
      return later(state, pair.client, chunk)
  }
}

const accept = (state: State, target: Target, client: Socket) => {
  if (state.fault._tag === "Reset") return void client.resetAndDestroy()
  const server = connect(target.port, target.host ?? "127.0.0.1")
  const pair: Pair = { client, server, stranded: false }
  state.pairs.add(pair)
  for (const socket of [client, server]) {
    socket.setNoDelay(true)
    socket.on("error", () => {})
  }
  client.on("data", (chunk) => forward(state, pair, chunk))
  server.on("data", (chunk) => back(state, pair, chunk))
  const close = () => {
    // A half-open link is silent about the other side's end too.
    if (pair.stranded || state.fault._tag === "BlackHole") return
    state.pairs.delete(pair)
    client.destroy()
    server.destroy()
  }
  client.on("close", close)
  server.on("close", close)
}

/** Where the proxy leads. */
export interface Target {
  readonly port: number
  /** Default: `127.0.0.1`. */
  readonly host?: string
}

const listen = (server: Server) =>
  Effect.callback<number>((resume) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/** Opens a proxy on a free port; it ends with the scope. */
export const make = Effect.fnUntraced(function* (
  target: Target
): Effect.fn.Return<FaultProxy, never, Scope.Scope> {
  const state: State = { fault: { _tag: "None" }, replies: 0, pairs: new Set() }
  const cutAll = () => {
    for (const pair of [...state.pairs]) reset(state, pair)
  }
  const server = createServer((client) => accept(state, target, client))
  const port = yield* Effect.acquireRelease(listen(server), () =>
    Effect.callback<void>((resume) => {
      cutAll()
      server.close(() => resume(Effect.void))
    })
  )
  return {
    port,
    apply: (fault) =>
      Effect.sync(() => {
        state.fault = fault
        if (fault._tag === "Reset") cutAll()
      }),
    cut: Effect.sync(cutAll),
    strand: Effect.sync(() => {
      for (const pair of state.pairs) pair.stranded = true
    }),
    connections: () => state.pairs.size
  }
})
