import { createServer } from "node:net"
import { FaultProxy } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { open } from "../src/contract/RawSocket.ts"

/** A server that says what it hears, and remembers all of it. */
const echo = Effect.acquireRelease(
  Effect.callback<{ readonly port: number; readonly heard: () => string; readonly close: () => void }>(
    (resume) => {
      let heard = ""
      const server = createServer((socket) => {
        socket.on("error", () => {})
        socket.on("data", (chunk) => {
          heard += chunk
          socket.write(chunk)
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ port, heard: () => heard, close: () => server.close() }))
      })
    }
  ),
  (server) => Effect.sync(server.close)
)

const start = Effect.gen(function* () {
  const server = yield* echo
  const proxy = yield* FaultProxy.make({ port: server.port })
  const socket = yield* open(proxy.port)
  yield* socket.write("before.")
  yield* socket.hear(/^before\.$/)
  return { server, proxy, socket }
})

describe("a proxy that makes faults", () => {
  it.live("passes everything, then heals after any fault", () =>
    Effect.gen(function* () {
      const { proxy, socket } = yield* start
      yield* proxy.apply({ _tag: "Latency", millis: 20 })
      yield* socket.write("slow.")
      yield* socket.hear(/^slow\.$/)
      yield* proxy.apply({ _tag: "None" })
      yield* socket.write("after.")
      yield* socket.hear(/^after\.$/)
    })
  )

  it.live("loses a reply after the server has done its work", () =>
    Effect.gen(function* () {
      const { server, proxy, socket } = yield* start
      yield* proxy.apply({ _tag: "DropReplies", every: 1 })
      yield* socket.write("work.")
      yield* socket.closed
      assert.strictEqual(server.heard(), "before.work.")
    })
  )

  it.live("keeps a half-open link open and silent, for old connections and new", () =>
    Effect.gen(function* () {
      const { server, proxy, socket } = yield* start
      yield* proxy.apply({ _tag: "BlackHole" })
      const late = yield* open(proxy.port)
      yield* socket.write("lost.")
      yield* late.write("lost too.")
      yield* Effect.sleep(50)
      assert.strictEqual(server.heard(), "before.")
      assert.isAtLeast(proxy.connections(), 1)
      yield* proxy.cut
      yield* socket.closed
    })
  )

  it.live("strands the connections that are open, and passes new ones", () =>
    Effect.gen(function* () {
      const { server, proxy, socket } = yield* start
      yield* proxy.strand
      const late = yield* open(proxy.port)
      yield* socket.write("lost.")
      yield* late.write("heard.")
      yield* late.hear(/^heard\.$/)
      assert.strictEqual(server.heard(), "before.heard.")
      assert.strictEqual(proxy.connections(), 2)
    })
  )

  it.live("resets, cuts short and garbles", () =>
    Effect.gen(function* () {
      const { proxy, socket } = yield* start
      yield* proxy.apply({ _tag: "Garbage" })
      yield* socket.write("abc")
      assert.notInclude(yield* socket.hear(/^[\s\S]{3}$/), "abc")
      yield* proxy.apply({ _tag: "Truncate" })
      yield* socket.write("12345678")
      yield* socket.hear(/^1234$/)
      yield* socket.closed
      yield* proxy.apply({ _tag: "Reset" })
      yield* (yield* open(proxy.port)).closed
    })
  )

  it.live("answers in the server's place, and rewrites what it says", () =>
    Effect.gen(function* () {
      const { server, proxy, socket } = yield* start
      yield* proxy.apply({ _tag: "Rewrite", from: "abc", to: "xyz" })
      yield* socket.write("0abc1")
      yield* socket.hear(/^0xyz1$/)
      yield* proxy.apply({ _tag: "Status", status: 503 })
      yield* socket.write("GET / HTTP/1.1\r\n\r\n")
      yield* socket.hear(/^HTTP\/1\.1 503 .*\r\ncontent-length: 0\r\n\r\n$/)
      assert.strictEqual(server.heard(), "before.0abc1")
    })
  )
})
