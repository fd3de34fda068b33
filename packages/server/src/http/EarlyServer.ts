/**
 * A `node:http` server on which one route may be answered before the router is asked: what is decided in
 * microseconds is not worth a fiber, a stream and a response object for each request.
 *
 * The route's body is read here when it arrived whole. Whatever is not answered early goes on to the other
 * listeners with its body still to be read, as if nobody had looked.
 *
 * **Gotchas**: requests that carry a trace's context are left to the router, which makes spans.
 */
import { type IncomingMessage, Server, type ServerResponse } from "node:http"

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
  /** Answers at once; undefined: let the router. */
  readonly answer: (headers: IncomingMessage["headers"], body: string) => EarlyAnswer | undefined
}

export class EarlyServer extends Server {
  /** Undefined until the platform can decide. */
  early: EarlyRoute | undefined

  override emit(event: string | symbol, ...args: ReadonlyArray<unknown>): boolean {
    const next = () => Reflect.apply(super.emit, this, [event, ...args])
    const { early } = this
    if (event !== "request" || early === undefined) return next()
    const [request, response] = args as [IncomingMessage, ServerResponse]
    if (!concerns(early, request)) return next()
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
    chunk.length === lengthOf(request.headers)
      ? tried(route, request.headers, chunk.toString("utf8"))
      : undefined
  if (answer === undefined) request.unshift(chunk)
  return answer
}

/** A route that throws would end the process here; the router answers and logs what is wrong. */
const tried = (route: EarlyRoute, headers: IncomingMessage["headers"], body: string) => {
  try {
    return route.answer(headers, body)
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
