/** One trace from a governed call over the platform to what reads its events, and what an exporter gets. */
import { createServer } from "node:http"
import { RedisStream } from "@agion/redis"
import { AgionSdk, EventBuffer, governed } from "@agion/sdk"
import { layerSampled, TelemetryNames } from "@agion/server"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Metric, Redacted, References, Schedule, Tracer } from "effect"
import { Platform } from "../src/index.ts"

const collecting = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      if (options.sampled) spans.push(span)
      return span
    }
  })
  return { spans, layer: Layer.succeed(Tracer.Tracer, tracer) }
}

/** A model that the agent may use. */
const model = Effect.gen(function* () {
  const platform = yield* Platform.Platform
  const made = yield* platform.post("/resources", {
    organization_id: "default",
    resource_type: "ai_model",
    name: "model",
    resource_data: {},
    created_by: "tester"
  })
  const asked = yield* platform.post("/permissions", {
    actor_id: "agent-1",
    actor_type: "agent",
    resource_id: made.body.id,
    permission_type: "use",
    purpose: "test"
  })
  yield* platform.post(`/permissions/${asked.body.id}/approve`, { approved_by: "boss" })
  return String(made.body.id)
})

const sdk = (redis: boolean) =>
  Layer.unwrap(
    Effect.map(Platform.Platform, (platform) =>
      AgionSdk.layer({
        agentId: "agent-1",
        gatewayUrl: platform.url,
        directory: false,
        telemetry: { metrics: false },
        ...(redis ? { redisUrl: platform.redisUrl } : {})
      })
    )
  )

const until = (holds: () => boolean) =>
  Effect.sync(holds).pipe(
    Effect.repeat({ until: (held) => held, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("15 seconds")
  )

describe("a trace", () => {
  for (const redis of [true, false])
    it.live(
      `goes from the agent over the platform to its consumers, ${redis ? "Redis" : "HTTP alone"}`,
      () => {
        const traced = collecting()
        const platform = Platform.layer().pipe(Layer.provide(layerSampled(0)), Layer.provide(traced.layer))
        return Effect.gen(function* () {
          const resource = yield* model
          yield* Effect.succeed(1).pipe(governed("chat", resource), Effect.provide(traced.layer))
          yield* (yield* EventBuffer).flush()
          const [run] = traced.spans.filter(({ name }) => name === "Governance.run")
          const ofTrace = (name: string, kind: Tracer.SpanKind) =>
            traced.spans.filter(
              (span) => span.name.includes(name) && span.kind === kind && span.traceId === run?.traceId
            )
          yield* until(() => ofTrace("Ingest.apply", "consumer").length > 0)
          const [server] = ofTrace("", "server")
          const [client] = ofTrace("", "client")
          const [consumer] = ofTrace("Ingest.apply", "consumer")
          assert.strictEqual(server?.parent._tag === "Some" && server.parent.value.spanId, client?.spanId)
          assert.strictEqual(consumer?.parent._tag === "Some" && consumer.parent.value.spanId, run?.spanId)
          const known: ReadonlyArray<string> = TelemetryNames.spans
          assert.include(known, "Ingest.apply")
          for (const name of consumer?.attributes.keys() ?? [])
            assert.property(TelemetryNames.attributes, name)
        }).pipe(Effect.provide(sdk(redis).pipe(Layer.provideMerge(platform))), Effect.scoped)
      }
    )

  it.live("is not begun by what the platform does by itself", () => {
    const traced = collecting()
    return Effect.gen(function* () {
      const platform = yield* Platform.make()
      yield* platform.get("/permissions")
      const roots = traced.spans.filter(({ parent }) => parent._tag === "None").map(({ kind }) => kind)
      assert.deepEqual([...new Set(roots)], ["server"])
    }).pipe(Effect.provide(Layer.provide(layerSampled(1), traced.layer)), Effect.scoped)
  })
})

/** Where OTLP arrives: bodies by path. */
const sink = Effect.acquireRelease(
  Effect.callback<{ readonly url: string; readonly got: ReadonlyMap<string, string>; close: () => void }>(
    (resume) => {
      const got = new Map<string, string>()
      const server = createServer((request, response) => {
        let text = JSON.stringify(request.headers)
        request.on("data", (chunk) => {
          text += chunk
        })
        request.on("end", () => {
          got.set(request.url ?? "", (got.get(request.url ?? "") ?? "") + text)
          response.end("{}")
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, got, close: () => server.close() }))
      })
    }
  ),
  ({ close }) => Effect.sync(close)
)

describe("an exporter", () => {
  it.live("gets spans and metrics, and neither content nor keys", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.make()
      const resource = yield* Effect.provideService(model, Platform.Platform, platform)
      const { got, url } = yield* sink
      const secret = "hush-hush"
      const agent = AgionSdk.layer({
        agentId: "agent-1",
        gatewayUrl: platform.url,
        directory: false,
        apiKey: Redacted.make(secret),
        otlp: { url, headers: { "x-collector-key": "for the collector" } }
      })
      yield* Effect.succeed(1).pipe(
        governed("chat", resource, { content: `a question ${secret}` }),
        Effect.provide(agent),
        Effect.provideService(Metric.MetricRegistry, new Map())
      )
      const traces = got.get("/v1/traces") ?? ""
      assert.include(traces, "Governance.run")
      assert.include(traces, "for the collector")
      assert.include(traces, "agent-1")
      assert.include(got.get("/v1/metrics") ?? "", "agion.decisions")
      for (const [path, text] of got) assert.notInclude(text, secret, path)
    }).pipe(Effect.scoped)
  )
})

describe("the platform's metrics", () => {
  it.live("count decisions, events, dead letters and alerts", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.make()
      const resource = yield* Effect.provideService(model, Platform.Platform, platform)
      const check = { actor_id: "agent-1", actor_type: "agent", permission_type: "use" }
      yield* platform.post("/permissions/check", { ...check, resource_id: resource })
      yield* platform.post("/permissions/check", { ...check, actor_id: "agent-2", resource_id: resource })
      yield* platform.post("/permissions/check", { ...check, resource_id: resource, fields: "entry" })
      const events = [{ stream: "agion:events:trust", agent_id: "agent-1", event_type: "task_completed" }]
      yield* platform.post("/events", { events })
      // An entry without an agent is set aside, and that is an alert.
      const streams = Context.get(platform.services, RedisStream)
      yield* streams.append("agion:events:trust", { event_type: "task_completed" })
      const counted = (id: string) => Effect.map(Metric.snapshot, (all) => all.some((one) => one.id === id))
      yield* counted("agion.server.alerts").pipe(
        Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("20 millis") }),
        Effect.timeout("15 seconds")
      )
      const snapshots = yield* Metric.snapshot
      for (const { attributes, id, type } of snapshots) {
        const kind = Object.entries(TelemetryNames.metrics).find(([name]) => name === id)?.[1]
        assert.isDefined(kind, id)
        assert.strictEqual(type.toLowerCase(), kind?.type)
        const own = Object.keys(attributes ?? {}).filter((name) => name !== "unit")
        assert.sameMembers(own, [...(kind?.attributes ?? [])], id)
      }
      const ids = snapshots.map(({ id }) => id)
      // How far a stream is behind is told every ten seconds.
      const missing = Object.keys(TelemetryNames.metrics).filter((name) => !ids.includes(name))
      assert.deepEqual(missing, ["agion.server.events.lag"])
      const denied = snapshots.find(
        ({ attributes, id }) =>
          id === "agion.server.decisions" && attributes?.["agion.decision.outcome"] === "deny"
      )
      assert.deepInclude(denied?.state, { count: 1 })
    }).pipe(
      Effect.scoped,
      Effect.provideService(Metric.MetricRegistry, new Map()),
      // The alert is a line at ERROR.
      Effect.provideService(References.MinimumLogLevel, "None")
    )
  )
})
