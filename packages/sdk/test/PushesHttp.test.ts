import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { Pushes, Settings } from "../src/index.ts"

describe("the push line over HTTP", () => {
  it.effect("FRESH-4 comes back where its last event has an id that cannot be sent", () => {
    const ids: Array<string | undefined> = []
    const client = HttpClient.make((request) => {
      const id = request.headers["last-event-id"]
      ids.push(id)
      // As undici does with a header that HTTP cannot carry.
      if (id !== undefined && !/^[\t\x20-\x7e]*$/.test(id)) {
        const cause = new Error("invalid last-event-id header")
        const reason = new HttpClientError.TransportError({ request, cause })
        return Effect.fail(new HttpClientError.HttpClientError({ reason }))
      }
      return Effect.succeed(HttpClientResponse.fromWeb(request, new Response("id: 7€\ndata: {}\n\n")))
    })
    const layer = Pushes.layerHttp.pipe(
      Layer.provide(Settings.layer({ agentId: "agent-1", gatewayUrl: "http://platform.test" })),
      Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
    )
    return Effect.gen(function* () {
      for (let tries = 0; tries < 100 && ids.length < 3; tries++) {
        yield* TestClock.adjust("100 millis")
        // A body arrives in turns of the event loop.
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      assert.deepStrictEqual(ids.slice(0, 3), [undefined, "7€", undefined])
    }).pipe(Effect.provide(layer))
  })

  it.effect("FRESH-4 comes back where a client of the program's throws", () => {
    let asked = 0
    const client = HttpClient.make((request) => {
      if (++asked < 3) throw new Error("no key at hand")
      return Effect.succeed(HttpClientResponse.fromWeb(request, new Response("data: {}\n\n")))
    })
    const layer = Pushes.layerHttp.pipe(
      Layer.provide(Settings.layer({ agentId: "agent-1", gatewayUrl: "http://platform.test" })),
      Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
    )
    return Effect.gen(function* () {
      for (let tries = 0; tries < 100 && asked < 3; tries++) yield* TestClock.adjust("100 millis")
      assert.strictEqual(asked, 3)
    }).pipe(Effect.provide(layer))
  })
})
