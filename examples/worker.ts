/**
 * A worker that runs until it is told to stop: jobs from a Redis stream, each a governed call, and `GET /health`.
 *
 * SIGTERM lets it finish the job in hand, sends the events that wait, closes, and exits with 0: a supervisor sees no
 * failure. After a crash its next start sends what was left of them, and takes up the jobs that were not done.
 */
import { OrganizationId } from "@agion/domain"
import { Redis, RedisStream } from "@agion/redis"
import { AgionSdk, GovernanceHttp, governed, Health } from "@agion/sdk"
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Runtime, Stream } from "effect"

const askModel = (prompt: string) => Effect.succeed(`an answer to "${prompt}"`)

const worker = Effect.gen(function* () {
  const streams = yield* RedisStream
  const http = yield* GovernanceHttp
  const { resources } = yield* http.ask((api) =>
    api.resources.list({ query: { organizationId: OrganizationId.make("default") } })
  )
  const model = resources.find(({ name }) => name === "acme-small")?.id ?? ""
  const answer = (prompt: string) =>
    governed("chat", model, { content: prompt, origin: "user", timeout: "30 seconds" })((call) =>
      askModel(call.content)
    ).pipe(
      // A refusal is an answer, too. Only a job that could not be judged, or failed, comes again.
      Effect.catchTags({
        PolicyViolation: (denied) => Effect.succeed(denied.message),
        PermissionDenied: (denied) => Effect.succeed(denied.message)
      })
    )
  const consumer = yield* Config.String("AGION_AGENT_ID")
  yield* streams.consume({ streams: ["jobs"], group: "workers", consumer }).pipe(
    Stream.runForEach((entry) =>
      Effect.gen(function* () {
        const { prompt = "" } = RedisStream.decodeFields(entry.fields)
        yield* Console.log(`done: ${yield* answer(prompt)}`)
        yield* streams.ack("workers", [entry])
      }).pipe(
        Effect.catch((error) => Effect.logError(`job ${entry.id} comes again: ${error.message}`)),
        Effect.uninterruptible
      )
    )
  )
})

const redis = Layer.unwrap(Effect.map(Config.Redacted("AGION_REDIS_URL"), (url) => Redis.layer({ url })))
const health = Layer.unwrap(
  Effect.map(Config.Port("PORT").pipe(Config.withDefault(9090)), (port) => Health.layerHttp({ port }))
)

worker.pipe(
  Effect.provide([redis, health.pipe(Layer.provideMerge(AgionSdk.layerConfig))]),
  NodeRuntime.runMain({
    teardown: (exit, end) => Runtime.defaultTeardown(exit, (code) => end(code === 130 ? 0 : code))
  })
)
