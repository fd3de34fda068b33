/** Where an agent's events go, three ways, each behind a proxy that makes faults, with books of what arrived. */
import * as Fs from "node:fs"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Streams } from "@agion/domain"
import { Redis, RedisClient, RedisStream } from "@agion/redis"
import { RedisMemory } from "@agion/redis-memory"
import { EventTransport, ReportTransport } from "@agion/sdk"
import { FaultProxy, RedisServer } from "@agion/testing"
import { NodeHttpClient } from "@effect/platform-node"
import { Context, Effect, Layer, Result, type Scope } from "effect"

/** A way out with what is behind it. */
export interface Target {
  readonly transport: Layer.Layer<EventTransport>
  readonly reports: Layer.Layer<ReportTransport>
  readonly proxy: FaultProxy.FaultProxy
  /** Entries of a stream, in order. */
  readonly entries: (stream: string) => Effect.Effect<ReadonlyArray<Streams.Fields>>
}

/** A folder that goes with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(join(tmpdir(), "agion-events-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** Reports that nobody reads. */
export const noReports = Layer.succeed(ReportTransport, {
  to: "nobody",
  send: (reports) =>
    Effect.succeed({ deliveries: reports.map(() => ({ _tag: "Accepted" })), failed: undefined })
})

const isList = (value: unknown): value is ReadonlyArray<unknown> => Array.isArray(value)

/** What stands in a stream, read on a connection of its own. */
export const readStream = (client: RedisClient["Service"]) => (stream: string) =>
  Effect.map(client.pipeline([["XRANGE", stream, "-", "+"]]), ([reply]) => {
    const rows = reply !== undefined && Result.isSuccess(reply) ? reply.success : []
    if (!isList(rows)) return []
    return rows.map((row) =>
      RedisStream.decodeFields(isList(row) && isList(row[1]) ? row[1].map(String) : [])
    )
  })

const overRedis = Effect.fnUntraced(function* (port: number) {
  const proxy = yield* FaultProxy.make({ port })
  const direct = yield* Layer.build(Redis.layer({ url: `redis://127.0.0.1:${port}` }))
  const through = Redis.layer({ url: `redis://127.0.0.1:${proxy.port}`, commandTimeout: "500 millis" })
  return {
    transport: Layer.provide(EventTransport.layerRedis(), through),
    reports: noReports,
    proxy,
    entries: readStream(Context.get(direct, RedisClient))
  } satisfies Target
})

/** A real Redis. */
export const redisServer: Effect.Effect<Target, never, Scope.Scope> = Effect.flatMap(
  RedisServer.make(),
  ({ port }) => overRedis(port)
)

/** The one without a server, over its port. */
export const redisMemory: Effect.Effect<Target, never, Scope.Scope> = Effect.gen(function* () {
  const memory = yield* Effect.orDie(Layer.build(RedisMemory.layerServer()))
  return yield* overRedis(Context.get(memory, RedisMemory).port ?? 0)
})

const read = async (request: IncomingMessage): Promise<string> => {
  let text = ""
  for await (const chunk of request) text += String(chunk)
  return text
}

/** `POST /events` as the contract describes it, and nothing else: each event id counts once. */
const gateway = (streams: Map<string, Array<Streams.Fields>>) => {
  const known = new Set<string>()
  const take = (event: Record<string, unknown>) => {
    const { stream, ...rest } = event
    const eventId = String(rest["event_id"])
    if (known.has(eventId)) return { event_id: eventId, status: "duplicate" }
    known.add(eventId)
    const entries = streams.get(String(stream)) ?? []
    streams.set(String(stream), entries)
    entries.push(Streams.toFields(rest))
    return { event_id: eventId, status: "accepted" }
  }
  return async (request: IncomingMessage, response: ServerResponse) => {
    const text = await read(request)
    if (request.method !== "POST" || request.url !== "/api/v1/events")
      return void response.writeHead(404).end()
    const body: { readonly events: ReadonlyArray<Record<string, unknown>> } = JSON.parse(text)
    response.writeHead(200, { "content-type": "application/json" })
    response.end(JSON.stringify({ results: body.events.map(take) }))
  }
}

/** HTTP alone. */
export const http: Effect.Effect<Target, never, Scope.Scope> = Effect.gen(function* () {
  const streams = new Map<string, Array<Streams.Fields>>()
  const server = createServer(gateway(streams))
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const proxy = yield* FaultProxy.make({ port })
  const options = { url: `http://127.0.0.1:${proxy.port}`, timeout: "500 millis" } as const
  return {
    transport: Layer.provide(EventTransport.layerHttp(options), NodeHttpClient.layerUndici),
    reports: noReports,
    proxy,
    entries: (stream) => Effect.sync(() => streams.get(stream) ?? [])
  }
})
