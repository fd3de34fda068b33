import { ApiError } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { AgionTest, testUuid } from "../src/testing/index.ts"

const text = (body: string) => (path: string) =>
  HttpClientRequest.post(`http://platform.test/api/v1${path}`).pipe(
    HttpClientRequest.bodyText(body, "application/json")
  )

const reservation = `/permissions/reservations/${testUuid(1)}`

/** What no route takes, and where it is sent. */
const unfit: ReadonlyArray<readonly [path: string, body: string]> = [
  ["/permissions/check", "{"],
  ["/permissions/check", "{}"],
  ["/permissions/check", ""],
  ["/permissions/check/batch", '{"checks":[{"resource_id":5}]}'],
  ["/permissions/reserve", '{"amounts":{"tokens":-1}}'],
  [`${reservation}/settle`, '{"tokens":"many"}'],
  [`/permissions/${testUuid(1)}/usage`, '{"token_count":"many"}'],
  ["/events", "[]"],
  ["/events", '{"events":5}'],
  ["/agents/register", '{"agent_id":5}']
]

describe("the platform in memory", () => {
  it.effect.each(unfit)("answers 400 at %s to %s, and says why", ([path, body]) =>
    Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      const answer = yield* client.execute(text(body)(path))
      assert.strictEqual(answer.status, 400)
      const { error, message } = Schema.decodeUnknownSync(ApiError.BadRequest)(yield* answer.json)
      assert.strictEqual(error, "Bad Request")
      assert.match(message, /^the body is not valid/)
    }).pipe(Effect.provide(Layer.fresh(AgionTest.connections())))
  )

  it.effect.each(["/resources/%", "/resources/%zz", "/trust/score/%E0%A4"])(
    "answers 400 at %s, whose path cannot be decoded",
    (path) =>
      Effect.gen(function* () {
        const client = yield* HttpClient.HttpClient
        const answer = yield* client.get(`http://platform.test/api/v1${path}`)
        assert.strictEqual(answer.status, 400)
        const { message } = Schema.decodeUnknownSync(ApiError.BadRequest)(yield* answer.json)
        assert.include(message, `the path is not valid: \`${path.split("/").at(-1)}\``)
      }).pipe(Effect.provide(Layer.fresh(AgionTest.connections())))
  )

  it.effect("refuses of a batch of events what is no event", () =>
    Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      const answer = yield* client.execute(text('{"events":[null]}')("/events"))
      assert.deepStrictEqual(yield* answer.json, {
        results: [{ event_id: null, status: "refused", reason: "an event must be an object" }]
      })
    }).pipe(Effect.provide(Layer.fresh(AgionTest.connections())))
  )
})
