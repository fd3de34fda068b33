/**
 * Redis' protocol on a loopback port: one session for each connection, replies
 * in the order of requests. A mistake of one client closes that connection and
 * no other.
 */
import { createServer, type Server, type Socket } from "node:net"
import { type Clock, Duration, Effect, Fiber, Schema, type Scope } from "effect"
import { Blocked, type Machine, type Session } from "./Machine.ts"
import { Failure, type Reply } from "./Reply.ts"
import { encode, encodePush, httpLine, ProtocolError, RequestReader } from "./Resp.ts"

/** The port cannot be listened on. */
export class RedisMemoryListenError extends Schema.TaggedError<RedisMemoryListenError>()(
  "RedisMemoryListenError",
  {
    host: Schema.String,
    port: Schema.Int,
    cause: Schema.Defect()
  }
) {
  override get message() {
    return `cannot listen on \`${this.host}:${this.port}\`; take another port, or 0 for a free one`
  }
}

/** The largest request, in bytes. */
const largestRequest = 32 * 1024 * 1024

/** A client that does not read its messages is cut off when so many bytes wait for it. */
const largestBacklog = 64 * 1024 * 1024

const speaksHttp = new Failure(
  "ERR this port speaks Redis' protocol and not HTTP; nothing on this connection is executed"
)

interface Options {
  readonly port?: number
  readonly host?: string
}

const loopback = new Set(["127.0.0.1", "::1", "localhost"])

/** Listens until the scope closes. */
export const serve = Effect.fnUntraced(function* (
  machine: Machine,
  clock: Clock.Clock,
  options: Options
): Effect.fn.Return<
  { readonly port: number; readonly url: string; readonly disconnect: () => void },
  RedisMemoryListenError,
  Scope.Scope
> {
  const host = options.host ?? "127.0.0.1"
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    new Connection(machine, clock, socket)
  })
  const disconnect = () => {
    for (const socket of sockets) socket.destroy()
  }
  yield* Effect.acquireRelease(listen(server, host, options.port ?? 0), () =>
    Effect.callback<void>((resume) => {
      disconnect()
      server.close(() => resume(Effect.void))
    })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return { port, url: `redis://${host.includes(":") ? `[${host}]` : host}:${port}`, disconnect }
})

const listen = (server: Server, host: string, port: number) =>
  Effect.callback<void, RedisMemoryListenError>((resume) => {
    if (!loopback.has(host)) {
      const cause = new Error("redis-memory has no passwords and listens on loopback addresses only")
      return resume(Effect.fail(new RedisMemoryListenError({ host, port, cause })))
    }
    server.once("error", (cause) => resume(Effect.fail(new RedisMemoryListenError({ host, port, cause }))))
    server.listen(port, host, () => resume(Effect.void))
  })

class Connection {
  readonly #machine: Machine
  readonly #clock: Clock.Clock
  readonly #socket: Socket
  readonly #session: Session
  readonly #reader = new RequestReader(largestRequest)
  #requests: Array<ReadonlyArray<string>> = []
  #output = ""
  /** Gives up the call that waits, if one does. */
  #waiting: (() => void) | undefined

  constructor(machine: Machine, clock: Clock.Clock, socket: Socket) {
    this.#machine = machine
    this.#clock = clock
    this.#socket = socket
    this.#session = machine.open((message) => this.#push(message))
    socket.on("data", (chunk) => this.#receive(chunk))
    socket.on("error", () => socket.destroy())
    socket.on("close", () => this.#close())
  }

  #receive(chunk: Buffer) {
    try {
      this.#requests.push(...this.#reader.read(chunk))
      this.#work()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#work()
      this.#socket.end(`-${error.message}\r\n`, "latin1")
    }
  }

  /** Runs what has arrived until a call has to wait; then writes all replies at once. */
  #work() {
    let done = 0
    while (done < this.#requests.length && this.#waiting === undefined && !this.#session.quitting) {
      const call = this.#requests[done++]
      if (call !== undefined) this.#run(call)
    }
    this.#requests = this.#requests.slice(done)
    this.#flush()
    if (this.#session.quitting) this.#socket.end()
  }

  #run(call: ReadonlyArray<string>) {
    if (call === httpLine) return this.#answer(speaksHttp)
    const reply = this.#machine.execute(this.#session, call, true)
    if (reply instanceof Blocked) this.#wait(call, reply)
    else this.#answer(reply)
  }

  #wait(call: ReadonlyArray<string>, blocked: Blocked) {
    const settle = (reply: Reply) => {
      this.#waiting?.()
      this.#waiting = undefined
      this.#answer(reply)
      this.#work()
    }
    const release = this.#machine.wait(this.#session, call, blocked, settle)
    const millis = blocked.until - this.#clock.currentTimeMillisUnsafe()
    const timer =
      millis === Number.POSITIVE_INFINITY
        ? undefined
        : Effect.runFork(
            Effect.andThen(
              this.#clock.sleep(Duration.millis(Math.max(0, millis))),
              Effect.sync(() => settle(blocked.otherwise))
            )
          )
    this.#waiting = () => {
      release()
      if (timer !== undefined) Effect.runFork(Fiber.interrupt(timer))
    }
  }

  #answer(reply: Reply) {
    this.#output += encode(reply, this.#session.protocol)
  }

  #push(message: ReadonlyArray<Reply>) {
    const idle = this.#output === ""
    this.#output += encodePush(message, this.#session.protocol)
    // Within a request of this connection the replies go out together.
    if (idle) queueMicrotask(() => this.#flush())
  }

  #flush() {
    if (this.#output === "" || this.#socket.destroyed) return
    this.#socket.write(this.#output, "latin1")
    this.#output = ""
    if (this.#socket.writableLength > largestBacklog) this.#socket.destroy()
  }

  #close() {
    this.#waiting?.()
    this.#waiting = undefined
    this.#machine.close(this.#session)
  }
}
