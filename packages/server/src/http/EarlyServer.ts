/**
 * A `node:http` server on which one route may be answered before the router is asked: what is decided in
 * microseconds is not worth a fiber, a stream and a response object for each request.
 *
 * The route's body is read here when it arrived whole. Whatever is not answered early goes on to the other
 * listeners with its body still to be read, as if nobody had looked.
 *
 * What is no valid request gets the contract's error body, where `node:http` would answer without one.
 *
 * **Gotchas**: requests that carry a trace's context are left to the router, which makes spans.
 */
import { type IncomingMessage, Server, type ServerOptions, ServerResponse } from "node:http"
import type { Duplex } from "node:stream"
import { errorText, statusWord } from "./ErrorText.ts"

/** An answer of JSON with status 200. */
export interface EarlyAnswer {
  readonly body: string
  readonly headers: { readonly [name: string]: string }
}

/** A route that may be answered early. */
export interface EarlyRoute {
  readonly method: string
  /** Without a query. */
  readonly url: string
  /** The largest body that is read early, in bytes. */
  readonly maxLength: number
  /** Answers at once; undefined: let the router. `peer` is the address of whoever asks. */
  readonly answer: (
    headers: IncomingMessage["headers"],
    body: string,
    peer: string | undefined
  ) => EarlyAnswer | undefined
}

export class EarlyServer extends Server {
  /** Undefined until the platform can decide. */
  early: EarlyRoute | undefined

  constructor(options: ServerOptions = {}) {
    super({ ...options, requireHostHeader: false })
    this.on("clientError", refuseBroken)
    this.on("checkExpectation", (_, response) =>
      refuse(response, 417, "the server meets no expectation but `100-continue`; leave `expect` out")
    )
  }

  override emit(event: string | symbol, ...args: ReadonlyArray<unknown>): boolean {
    const next = () => Reflect.apply(super.emit, this, [event, ...args])
    if (event !== "request") return next()
    const { early } = this
    const [request, response] = args as [IncomingMessage, ServerResponse]
    if (isHostless(request)) {
      refuse(response, 400, "a request of HTTP/1.1 names its host; send the header `host`")
      return true
    }
    if (early === undefined || !concerns(early, request)) return next()
    request.once("readable", () => {
      const answer = readEarly(early, request)
      if (answer === undefined) next()
      else send(response, answer)
    })
    return true
  }
}

const concerns = (route: EarlyRoute, { headers, method, url }: IncomingMessage): boolean =>
  url === route.url &&
  method === route.method &&
  headers["transfer-encoding"] === undefined &&
  headers["traceparent"] === undefined &&
  headers["b3"] === undefined &&
  headers["x-b3-traceid"] === undefined &&
  lengthOf(headers) > 0 &&
  lengthOf(headers) <= route.maxLength

const lengthOf = (headers: IncomingMessage["headers"]): number => Number(headers["content-length"] ?? 0)

/** What was read goes back unless it is answered: the stream has not told its end yet. */
const readEarly = (route: EarlyRoute, request: IncomingMessage): EarlyAnswer | undefined => {
  const chunk: unknown = request.read()
  if (!Buffer.isBuffer(chunk)) return undefined
  const answer =
    chunk.length === lengthOf(request.headers) ? tried(route, request, chunk.toString("utf8")) : undefined
  if (answer === undefined) request.unshift(chunk)
  return answer
}

/** A route that throws would end the process here; the router answers and logs what is wrong. */
const tried = (route: EarlyRoute, { headers, socket }: IncomingMessage, body: string) => {
  try {
    return route.answer(headers, body, socket.remoteAddress)
  } catch {
    return undefined
  }
}

const send = (response: ServerResponse, { body, headers }: EarlyAnswer): void => {
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...headers
  })
  response.end(body)
}

const isHostless = ({ headers, httpVersion }: IncomingMessage): boolean =>
  headers.host === undefined && httpVersion === "1.1"

const refuse = (response: ServerResponse, status: number, message: string): void => {
  const body = errorText(status, message, Date.now())
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    connection: "close"
  })
  response.end(body)
}

/** What the parser of requests says, by its codes. */
const faults: { readonly [code: string]: readonly [status: number, message: string] } = {
  HPE_HEADER_OVERFLOW: [431, "the headers are larger than the server reads; send fewer or shorter ones"],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, "the extensions of a chunk are larger than the server reads"],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "the request did not arrive whole in time; send it again"]
}

/** Answers what could not be read as a request, unless its answer is on the way already, and ends the connection. */
const refuseBroken = (error: Error & { readonly code?: string }, socket: Duplex): void => {
  const current: unknown = Reflect.get(socket, "_httpMessage")
  if (!socket.writable || (current instanceof ServerResponse && current.headersSent)) {
    socket.destroy()
    return
  }
  const [status, message] = faults[error.code ?? ""] ?? [400, brokenMessage(error)]
  const body = errorText(status, message, Date.now())
  const head = `HTTP/1.1 ${status} ${statusWord(status)}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`
  socket.end(head + body, () => socket.destroy())
}

const brokenMessage = (error: Error): string => {
  const reason: unknown = Reflect.get(error, "reason")
  return typeof reason === "string" && reason !== ""
    ? `the request is no valid HTTP: ${reason}`
    : "the request is no valid HTTP"
}
