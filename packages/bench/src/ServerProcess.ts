/**
 * The servers that the suite `server` measures, in a process of their own: a platform with a constant route on
 * its router, one that asks Redis twice, and a bare `node:http` server that parses and answers JSON. Prints one line with their ports.
 */
import { createServer } from "node:http"
import { Redis, RedisClient } from "@agion/redis"
import { RedisMemory } from "@agion/redis-memory"
import { Server } from "@agion/server"
import { Template } from "@agion/testing"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"

/** What the parent tells: where the data is, and the answer that a constant gives. */
interface Settings {
  readonly postgres?: string
  readonly redis?: string
  readonly constant: string
}

const settings: Settings = JSON.parse(process.argv[2] ?? "{}")

/** Reads the body as the check does, and answers a constant. */
const constantRoute = HttpRouter.add(
  "POST",
  "/constant",
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
    Effect.map(request.text, (text) => {
      JSON.parse(text)
      return HttpServerResponse.text(settings.constant, { contentType: "application/json" })
    })
  ).pipe(Effect.orDie)
)

/** The same with what a rate limit and an event would ask of Redis, in one round trip. */
const redisRoute = Layer.unwrap(
  Effect.map(RedisClient, (client) =>
    HttpRouter.add(
      "POST",
      "/constant-redis",
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        JSON.parse(yield* request.text)
        yield* client.pipeline([
          ["INCR", "bench:rate"],
          ["XADD", "bench:events", "MAXLEN", "~", "10000", "*", "decision", "deny"]
        ])
        return HttpServerResponse.text(settings.constant, { contentType: "application/json" })
      }).pipe(Effect.orDie)
    )
  )
)

const bare = createServer((request, response) => {
  let text = ""
  request.setEncoding("utf8")
  request.on("data", (chunk: string) => {
    text += chunk
  })
  request.on("end", () => {
    JSON.parse(text)
    const body = JSON.stringify(JSON.parse(settings.constant))
    response.writeHead(200, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body)
    })
    response.end(body)
  })
})

const program = Effect.gen(function* () {
  const database =
    settings.postgres === undefined
      ? yield* Template.memory
      : ({ _tag: "Postgres", url: settings.postgres } as const)
  const redis = settings.redis === undefined ? RedisMemory.layer : Redis.layer({ url: settings.redis })
  const routes = Layer.merge(constantRoute, Layer.provide(redisRoute, redis))
  const server = Server.layer({ port: 0, database, authentication: "off", routes })
  return yield* Effect.gen(function* () {
    const { port } = yield* Server
    yield* Effect.promise(() => new Promise<void>((resolve) => bare.listen(0, "127.0.0.1", resolve)))
    const address = bare.address()
    const barePort = typeof address === "object" && address !== null ? address.port : 0
    process.stdout.write(`${JSON.stringify({ port, barePort })}\n`)
    return yield* Effect.never
  }).pipe(Effect.provide(Layer.provide(server, redis)))
})

process.on("disconnect", () => process.exit(0))
Effect.runFork(program)
