import { connect } from "node:net"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { EarlyServer } from "../../src/http/EarlyServer.ts"

/** A server whose route `/early` answers bodies that say `now`; all others reach a listener that echoes. */
const served = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = new EarlyServer({ connectionsCheckingInterval: 50 })
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

/** Writes text to a server and answers all that it said until it hung up. */
const said = (url: string, text: string) =>
  Effect.promise(
    () =>
      new Promise<string>((resolve, reject) => {
        const socket = connect({ host: "127.0.0.1", port: Number(new URL(url).port) })
        let answer = ""
        socket.setEncoding("utf8")
        socket.on("data", (chunk: string) => {
          answer += chunk
        })
        socket.on("error", reject)
        socket.on("close", () => resolve(answer))
        socket.on("connect", () => socket.write(text))
      })
  )

/** The status of a refusal in the contract's form. */
const refusal = (answer: string) => {
  const [head = "", body = ""] = answer.split("\r\n\r\n")
  assert.match(head, /\r\ncontent-type: application\/json\r\n/i)
  assert.match(head, /\r\nconnection: close/i)
  assert.match(head, new RegExp(`content-length: ${Buffer.byteLength(body)}`, "i"))
  const { error, message, details, timestamp } = JSON.parse(body)
  assert.isNotEmpty(message)
  assert.isString(details)
  assert.isFalse(Number.isNaN(Date.parse(timestamp)))
  assert.include(head, error)
  return Number(head.slice(9, 12))
}

it.live("what is no valid request gets the contract's error body", () =>
  Effect.gen(function* () {
    const { routed, url } = yield* served
    const post = "POST /early HTTP/1.1\r\nhost: x\r\n"
    const requests: ReadonlyArray<readonly [number, string]> = [
      [400, "garbage\r\n\r\n"],
      [400, `${post}transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n`],
      [400, `${post}content-length: 3\r\ncontent-length: 4\r\n\r\nnow`],
      [400, "GET /other HTTP/1.1\r\n\r\n"],
      [417, `${post}content-length: 3\r\nexpect: miracles\r\nconnection: close\r\n\r\nnow`],
      [431, `GET /other HTTP/1.1\r\nhost: x\r\nx: ${"a".repeat(20_000)}\r\n\r\n`]
    ]
    for (const [status, request] of requests)
      assert.strictEqual(refusal(yield* said(url, request)), status, request.slice(0, 100))
    assert.deepStrictEqual(routed, [])
  })
)

it.live("a request that does not arrive in time is refused with 408 and the contract's body", () =>
  Effect.gen(function* () {
    const { server, url } = yield* served
    server.headersTimeout = 100
    assert.strictEqual(refusal(yield* said(url, "GET /other HTTP/1.1\r\nhost: x\r\n")), 408)
  })
)

it.live("nothing is written into an answer that is on its way", () =>
  Effect.gen(function* () {
    const { server, url } = yield* served
    server.removeAllListeners("request")
    server.on("request", (_, response) => response.write("begun"))
    const answer = yield* said(
      url,
      "POST /other HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nnow\r\n".concat(
        "no chunk\r\n"
      )
    )
    assert.strictEqual(answer.split("HTTP/1.1 ").length, answer.includes("begun") ? 2 : 1, answer)
    assert.notInclude(answer, "no valid HTTP")
  })
)
