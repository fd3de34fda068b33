import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { EarlyServer } from "../../src/http/EarlyServer.ts"

/** A server whose route `/early` answers bodies that say `now`; all others reach a listener that echoes. */
const served = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = new EarlyServer()
    const routed: Array<string> = []
    server.early = {
      method: "POST",
      url: "/early",
      maxLength: 65_536,
      answer: (_, body) => {
        if (body === "fault") throw new Error("a route that fails")
        return body.includes("now") ? { body: `{"early":true}`, headers: { "x-n": "1" } } : undefined
      }
    }
    server.on("request", (request, response) => {
      let text = ""
      request.setEncoding("utf8")
      request.on("data", (chunk: string) => {
        text += chunk
      })
      request.on("end", () => {
        routed.push(text)
        response.end(text)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return { server, routed, url: `http://127.0.0.1:${port}` }
  }),
  ({ server }) =>
    Effect.promise(
      () =>
        new Promise<void>((resolve) => {
          server.close(() => resolve())
          server.closeAllConnections()
        })
    )
)

const post = (url: string, body: string, headers: Record<string, string> = {}) =>
  Effect.promise(async () => {
    const answer = await fetch(url, { method: "POST", body, headers })
    return { status: answer.status, text: await answer.text(), n: answer.headers.get("x-n") }
  })

it.live("a route answers before the listeners, which see nothing of it", () =>
  Effect.gen(function* () {
    const { routed, url } = yield* served
    assert.deepStrictEqual(yield* post(`${url}/early`, "now"), {
      status: 200,
      text: `{"early":true}`,
      n: "1"
    })
    assert.deepStrictEqual(routed, [])
  })
)

it.live("what it does not answer reaches the listeners with its whole body", () =>
  Effect.gen(function* () {
    const { routed, url } = yield* served
    const large = `now${"ü".repeat(100_000)}`
    const bodies = ["later", "", "fault", large]
    for (const body of bodies) assert.strictEqual((yield* post(`${url}/early`, body)).text, body)
    assert.strictEqual((yield* post(`${url}/other`, "now")).text, "now")
    const traced = yield* post(`${url}/early`, "now", { traceparent: "00-1-1-01" })
    assert.strictEqual(traced.text, "now")
    assert.deepStrictEqual(routed, [...bodies, "now", "now"])
  })
)
