/** The platform in memory behind a port of the loopback, in a process of its own: prints the port, ends with its input. */
import { createServer, type IncomingMessage } from "node:http"
import { EpochText } from "@agion/domain"
import { AgionTest, TestPlatform, testUuid } from "@agion/sdk/testing"
import { Context, Effect, Layer, ManagedRuntime, Schema } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"

const agents = Number(process.argv[2])
const runtime = ManagedRuntime.make(Layer.fresh(AgionTest.connections()))
const context = await runtime.context()
const platform = Context.get(context, TestPlatform)
const client = Context.get(context, HttpClient.HttpClient)
const resource = testUuid(1)
platform.resource({ id: resource })
for (let n = 0; n < agents; n++) platform.grant(`agent-${n}`, resource)

const bodyOf = async (request: IncomingMessage): Promise<Uint8Array> => {
  const parts: Array<Uint8Array> = []
  for await (const part of request) parts.push(part)
  return Buffer.concat(parts)
}

const encodeEpoch = Schema.encodeSync(EpochText)

/** What the push line says each second. */
const heartbeat = (): string => {
  const { epoch } = platform
  return encodeEpoch({ previous: epoch, epoch, kind: "heartbeat", ids: [], timestamp: platform.iso() })
}

const server = createServer((request, response) => {
  if (request.url?.startsWith("/api/v1/stream") === true) {
    response.writeHead(200, { "content-type": "text/event-stream" })
    const beat = () => response.write(`event: heartbeat\ndata: ${heartbeat()}\n\n`)
    beat()
    const timer = setInterval(beat, 1000)
    request.on("close", () => clearInterval(timer))
    return
  }
  void (async () => {
    const body = await bodyOf(request)
    platform.arrived.length = 0
    const asked = HttpClientRequest.make(request.method === "POST" ? "POST" : "GET")(
      `http://platform.test${request.url}`
    ).pipe(
      HttpClientRequest.setHeaders({ "if-none-match": String(request.headers["if-none-match"] ?? "") }),
      HttpClientRequest.bodyUint8Array(body)
    )
    const [answer, text] = await runtime.runPromise(
      Effect.flatMap(client.execute(asked), (given) =>
        Effect.map(given.text, (text) => [given, text] as const)
      )
    )
    response.writeHead(answer.status, { ...answer.headers })
    response.end(text)
  })()
})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (address !== null && typeof address !== "string") process.stdout.write(`${address.port}\n`)
})
process.stdin.on("end", () => process.exit(0)).resume()
