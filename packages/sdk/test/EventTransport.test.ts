import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { EventTransport } from "../src/events/EventTransport.ts"
import { ReportTransport } from "../src/events/ReportTransport.ts"

interface Seen {
  readonly url: string
  readonly body: string
  readonly authorization: string | undefined
}

/** A gateway that answers what `answer` says, with books of what it was asked. */
const gateway = (answer: (seen: Seen) => Response) => {
  const seen: Array<Seen> = []
  const client = HttpClient.make((request) =>
    Effect.sync(() => {
      const { body } = request
      const text = body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : ""
      const one = { url: request.url, body: text, authorization: request.headers["authorization"] }
      seen.push(one)
      return HttpClientResponse.fromWeb(request, answer(one))
    })
  )
  return { seen, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

const options = { url: "https://agion.test/", apiKey: Redacted.make("a key") }

const refusal = (status: number, message = "no") =>
  Response.json({ error: "Refused", message, details: "", timestamp: "2026-11-26T10:00:00Z" }, { status })

const events = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    kind: "trust" as const,
    eventId: `event-${n}`,
    fields: { event_id: `event-${n}`, agent_id: n === 2 ? "poison" : "agent-1" }
  }))

const sentTo = (body: string): ReadonlyArray<Record<string, string>> => JSON.parse(body).events

const sends = (answer: (seen: Seen) => Response, count = 1) =>
  Effect.gen(function* () {
    const { layer, seen } = gateway(answer)
    const context = yield* Layer.build(Layer.provide(EventTransport.layerHttp(options), layer))
    const result = yield* Effect.result(Context.get(context, EventTransport).send(events(count), undefined))
    return { result, seen }
  })

const accepting = (seen: Seen) =>
  Response.json({ results: sentTo(seen.body).map(() => ({ status: "accepted" })) })

describe("EventTransport.layerHttp", () => {
  it.effect("EVENT-7 posts to the gateway with the key, the stream by its default name", () =>
    Effect.gen(function* () {
      const { result, seen } = yield* sends(accepting)
      assert.strictEqual(result._tag, "Success")
      assert.deepInclude(seen[0], { url: "https://agion.test/api/v1/events", authorization: "Bearer a key" })
      assert.deepStrictEqual(sentTo(seen[0]?.body ?? ""), [
        { stream: "agion:events:trust", event_id: "event-0", agent_id: "agent-1" }
      ])
    })
  )

  it.effect("EVENT-3 tells what is refused for its signature from what is refused for good", () =>
    Effect.gen(function* () {
      const refusals = [
        { status: "refused", reason: "no", code: "signature" },
        { status: "refused", reason: "no", code: "of a later version" },
        { status: "refused" }
      ]
      const { result } = yield* sends(() => Response.json({ results: refusals }), 3)
      assert(result._tag === "Success")
      assert.deepStrictEqual(
        result.success.map(({ _tag }) => _tag),
        ["Unsigned", "Refused", "Refused"]
      )
    })
  )

  it.effect("EVENT-6 finds the one event for which a batch is refused, and gets the others through", () =>
    Effect.gen(function* () {
      const poisoned = (seen: Seen) =>
        sentTo(seen.body).some((event) => event["agent_id"] === "poison")
          ? refusal(400, "bad agent")
          : accepting(seen)
      const { result } = yield* sends(poisoned, 9)
      assert(result._tag === "Success")
      const refused = result.success.flatMap((delivery, n) => (delivery._tag === "Refused" ? [n] : []))
      assert.deepStrictEqual(refused, [2])
      assert.strictEqual(result.success.length, 9)
    })
  )

  for (const status of [401, 403, 404, 408, 429, 500, 502, 503]) {
    it.effect(`keeps the batch when the gateway answers ${status}`, () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* sends(() => refusal(status))).result._tag, "Failure")
      })
    )
  }

  it.effect(
    "keeps the batch when a proxy on the way answers a page of its own, or another program answers",
    () =>
      Effect.gen(function* () {
        const pages = [
          new Response("<html>not found</html>", { status: 404 }),
          new Response("bad request", { status: 400 }),
          new Response("<html>welcome</html>", { status: 200 }),
          Response.json({ results: [] }),
          Response.json({ hello: "world" })
        ]
        for (const page of pages) assert.strictEqual((yield* sends(() => page)).result._tag, "Failure")
      })
  )

  it.effect("hands on when the platform wants to be asked again", () =>
    Effect.gen(function* () {
      const later = new Response("", { status: 429, headers: { "retry-after": "7" } })
      const { result } = yield* sends(() => later)
      assert(result._tag === "Failure")
      assert.strictEqual(result.failure.retryAfterMs, 7000)
      assert.notInclude(result.failure.message, "a key")
    })
  )
})

describe("ReportTransport.layerHttp", () => {
  const reports = (count: number) =>
    Array.from({ length: count }, (_, n) => ({
      kind: "usage",
      eventId: `event-${n}`,
      path: `/permissions/${n}/usage`,
      body: "{}"
    }))
  const send = (answer: (seen: Seen) => Response, count: number) =>
    Effect.gen(function* () {
      const { layer, seen } = gateway(answer)
      const context = yield* Layer.build(Layer.provide(ReportTransport.layerHttp(options), layer))
      return { reported: yield* Context.get(context, ReportTransport).send(reports(count)), seen }
    })

  it.effect("answers for each report, and a permission that is gone holds nothing up", () =>
    Effect.gen(function* () {
      const { reported } = yield* send(
        (seen) =>
          seen.url.includes("/1/") ? refusal(404, "no such permission") : new Response(null, { status: 204 }),
        3
      )
      assert.strictEqual(reported.failed, undefined)
      assert.deepStrictEqual(
        reported.deliveries.map((delivery) => delivery._tag),
        ["Accepted", "Refused", "Accepted"]
      )
    })
  )

  it.effect("a platform that is away is asked once, not for each report", () =>
    Effect.gen(function* () {
      const { reported, seen } = yield* send(() => new Response("", { status: 503 }), 50)
      assert.deepStrictEqual([reported.deliveries.length, seen.length], [0, 1])
      assert.match(reported.failed?.message ?? "", /503/)
    })
  )

  it.effect("what was taken before the first failure is done, the rest is sent again", () =>
    Effect.gen(function* () {
      const { reported } = yield* send(
        (seen) => new Response(null, { status: seen.url.includes("/5/") ? 500 : 204 }),
        9
      )
      assert.strictEqual(reported.deliveries.length, 5)
    })
  )
})
