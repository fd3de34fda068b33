import { createServer, type Server, type ServerResponse } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { HttpPool } from "../src/index.ts"

/** A server that answers so, and its address. */
const serving = (answer: (response: ServerResponse) => void) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Server>((resume) => {
        const server = createServer((_request, response) => answer(response))
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.callback<void>((resume) => {
          server.closeAllConnections()
          server.close(() => resume(Effect.void))
        })
    ),
    (server) => {
      const address = server.address()
      return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/`
    }
  )

const pool = Effect.provide(HttpPool.layer({ timeout: "100 millis", breaker: { consecutiveFailures: 3 } }))

describe("connections to the platform", () => {
  for (const [what, end] of [
    ["stalls", () => {}],
    ["breaks off", (response: ServerResponse) => response.destroy()]
  ] as const)
    it.live(`OUTAGE-1 OUTAGE-7 an answer that ${what} after its head is none, and opens the breaker`, () =>
      Effect.gen(function* () {
        const url = yield* serving((response) => {
          response.writeHead(200, { "content-length": "100" })
          response.write("{", () => end(response))
        })
        const client = yield* HttpClient.HttpClient
        const breaker = yield* HttpPool.PlatformCircuit
        for (let n = 0; n < 3; n++) {
          const error = yield* Effect.flip(Effect.flatMap(client.get(url), ({ text }) => text))
          assert.strictEqual(error.reason._tag, "TransportError")
        }
        assert.strictEqual(breaker.stateUnsafe().phase, "open")
      }).pipe(Effect.scoped, pool)
    )

  it.live("an answer that stalls does not keep its connection", () =>
    Effect.gen(function* () {
      let isWell = false
      const url = yield* serving((response) => {
        if (isWell) return response.end("{}")
        response.writeHead(200, { "content-length": "100" })
        return response.write("{")
      })
      const client = yield* HttpClient.HttpClient
      for (let n = 0; n < 4; n++) yield* Effect.exit(client.get(url))
      isWell = true
      assert.strictEqual(yield* Effect.flatMap(client.get(url), ({ text }) => text), "{}")
    }).pipe(
      Effect.scoped,
      Effect.provide(
        HttpPool.layer({ timeout: "100 millis", connections: 2, breaker: { consecutiveFailures: 100 } })
      )
    )
  )

  it.live("a stream is there with its head, however long it goes on", () =>
    Effect.gen(function* () {
      let sent: ServerResponse | undefined
      const url = yield* serving((response) => {
        sent = response
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.write("one")
      })
      const client = yield* HttpClient.HttpClient
      const request = HttpClientRequest.get(url, { headers: { accept: "text/event-stream" } })
      const response = yield* client.execute(request)
      yield* Effect.sleep("150 millis")
      sent?.end(" two")
      const text = yield* response.stream.pipe(Stream.decodeText(), Stream.mkString)
      assert.strictEqual(text, "one two")
    }).pipe(Effect.scoped, pool)
  )
})
