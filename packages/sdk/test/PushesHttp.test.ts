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

  for (const [of, event] of [
    ["in one line", (size: number) => `id: 8\ndata: ${"x".repeat(size)}`],
    ["in many lines", (size: number) => `id: 8\n${"data: xxxxxxxxxxxxxxx\n".repeat(size / 16)}`]
  ] as const)
    it.effect(
      `FRESH-4 an event that does not end, ${of}, is a lost line after 1 MiB, and is not asked for again`,
      () => {
        const ids: Array<string | undefined> = []
        const heard: Array<string> = []
        /** Of the larger one. */
        let read = 0
        const bodies = [
          // What is smaller is read.
          `id: 7\ndata: {}\n\n${event(1_000_000)}\n\n`,
          `id: 7\ndata: {}\n\n${event(4_000_000)}`
        ]
        const client = HttpClient.make((request) => {
          ids.push(request.headers["last-event-id"])
          const body = bodies[ids.length - 1]
          if (body === undefined) return Effect.never
          const chunks = body.match(/[\s\S]{1,65536}/g) ?? []
          const stream = new ReadableStream({
            pull: (controller) => {
              const chunk = chunks.shift()
              // Neither does the line.
              if (chunk === undefined) return ids.length === 1 ? controller.close() : undefined
              if (ids.length === 2) read += chunk.length
              controller.enqueue(new TextEncoder().encode(chunk))
            }
          })
          return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(stream)))
        })
        const layer = Pushes.layerHttp.pipe(
          Layer.provide(Settings.layer({ agentId: "agent-1", gatewayUrl: "http://platform.test" })),
          Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
        )
        return Effect.gen(function* () {
          const pushes = yield* Pushes
          yield* pushes.listen(({ _tag }) => heard.push(_tag))
          for (let tries = 0; tries < 1000 && ids.length < 3; tries++) {
            yield* TestClock.adjust("20 millis")
            // A body arrives in turns of the event loop.
            yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
          }
          assert.deepStrictEqual(ids, [undefined, "8", undefined])
          assert.deepStrictEqual(heard, ["Lost", "Up", "Lost", "Up", "Lost"])
          // With what stands around the lines.
          assert.isBelow(read, 2_000_000)
        }).pipe(Effect.provide(layer))
      }
    )
})
