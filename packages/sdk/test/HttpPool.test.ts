import { createServer, type Server, type ServerResponse } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Stream } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { GovernanceHttp, HttpPool, Settings } from "../src/index.ts"

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

  /** Writes until it is told to stop; answers how many bytes it got rid of. */
  const endless = (response: ServerResponse, written: (bytes: number) => void) => {
    const chunk = Buffer.alloc(65_536, " ")
    const more = () => {
      while (!response.destroyed) {
        written(chunk.length)
        if (!response.write(chunk)) return void response.once("drain", more)
      }
    }
    more()
  }

  const roomy = Effect.provide(HttpPool.layer({ timeout: "15 seconds", breaker: { consecutiveFailures: 2 } }))

  for (const [path, limit] of [
    ["api/v1/policies/bundle", 16],
    ["api/v1/permissions/check/batch", 16],
    ["api/v1/permissions/check", 1],
    ["api/v1/permissions/reserve", 1],
    ["api/v1/events", 1]
  ] as const)
    it.live(`OUTAGE-1 an answer of ${path} that does not end is none after ${limit} MiB`, () =>
      Effect.gen(function* () {
        let bytes = 0
        const gone = yield* Deferred.make<void>()
        const url = yield* serving((response) => {
          response.once("close", () => Deferred.doneUnsafe(gone, Effect.void))
          response.writeHead(200, { "content-type": "application/json" })
          endless(response, (more) => {
            bytes += more
          })
        })
        const client = yield* HttpClient.HttpClient
        const { reason } = yield* Effect.flip(client.post(url + path))
        assert.strictEqual(reason._tag, "TransportError")
        assert.strictEqual(String(reason.cause), `AnswerTooLarge: an answer of more than ${limit} MiB`)
        // The connection is not kept, and nothing more of it is read.
        yield* Deferred.await(gone)
        assert.isAtLeast(bytes, limit * 1_048_576)
        assert.isAtMost(bytes, (limit + 16) * 1_048_576)
      }).pipe(Effect.scoped, roomy)
    )

  it.live(
    "OUTAGE-1 OUTAGE-7 an answer that says that it is too large is not read, and opens no breaker",
    () =>
      Effect.gen(function* () {
        let isLarge = true
        const url = yield* serving((response) => {
          if (!isLarge) return response.end("{}")
          return response.writeHead(200, { "content-length": String(2 ** 40) }).flushHeaders()
        })
        const client = yield* HttpClient.HttpClient
        const breaker = yield* HttpPool.PlatformCircuit
        for (let n = 0; n < 4; n++) {
          const { reason } = yield* Effect.flip(client.get(url))
          assert.include(String(reason.cause), "AnswerTooLarge")
        }
        assert.strictEqual(breaker.stateUnsafe().phase, "closed")
        isLarge = false
        assert.strictEqual(yield* Effect.flatMap(client.get(url), ({ text }) => text), "{}")
      }).pipe(Effect.scoped, roomy)
  )

  it.live("OUTAGE-1 the platform is away for who was answered too much, and is not asked again", () =>
    Effect.gen(function* () {
      let asked = 0
      const gatewayUrl = yield* serving((response) => {
        asked++
        response.writeHead(200, { "content-type": "application/json" })
        endless(response, () => {})
      })
      const error = yield* Effect.flip(
        Effect.flatMap(GovernanceHttp, (http) =>
          http.ask((api) => api.policies.bundle({ query: {}, headers: {} }))
        ).pipe(
          Effect.provide(
            GovernanceHttp.layer({ timeout: "15 seconds", deadline: "15 seconds" }).pipe(
              Layer.provide(Settings.layer({ agentId: "agent-1", gatewayUrl }))
            )
          )
        )
      )
      assert.deepInclude(error, { _tag: "PlatformUnavailable", kind: "garbled" })
      assert.include(error.message, "an answer of more than 16 MiB")
      assert.strictEqual(asked, 1)
    }).pipe(Effect.scoped, roomy)
  )

  it.live("a stream of events has no end", () =>
    Effect.gen(function* () {
      const url = yield* serving((response) => {
        response.writeHead(200, { "content-type": "text/event-stream" })
        endless(response, () => {})
      })
      const client = yield* HttpClient.HttpClient
      const request = HttpClientRequest.get(url, { headers: { accept: "text/event-stream" } })
      const { stream } = yield* client.execute(request)
      let bytes = 0
      yield* Stream.runForEachWhile(stream, (chunk) =>
        Effect.sync(() => {
          bytes += chunk.length
          return bytes < 20 * 1_048_576
        })
      )
      assert.isAtLeast(bytes, 20 * 1_048_576)
    }).pipe(Effect.scoped, roomy)
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
