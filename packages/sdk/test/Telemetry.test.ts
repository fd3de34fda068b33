import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Layer, Logger, Metric, Stream, Tracer } from "effect"
import { TestClock } from "effect/testing"
import {
  AgentHost,
  AgionSdk,
  CircuitBreaker,
  EventBuffer,
  Governance,
  governed,
  type HostOptions,
  HttpPool,
  PermissionCache,
  PolicyEngine,
  PolicySync,
  Telemetry,
  TelemetryNames
} from "../src/index.ts"
import { governedStream } from "../src/stream.ts"
import { AgionTest, TestPlatform, testUuid } from "../src/testing/index.ts"

const model = testUuid(1)

/** A tracer that keeps its spans, for books of the test's own. */
const collecting = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const named = (name: string) => spans.filter((span) => span.name === name)
  return { spans, named, layer: Layer.succeed(Tracer.Tracer, tracer) }
}

/** An agent that may use the model, its tracer outside. */
const agent = (
  traced: { readonly layer: Layer.Layer<never> },
  options: Parameters<typeof AgionTest.layer>[0] = {}
) =>
  Layer.effectDiscard(
    Effect.map(TestPlatform, (platform) => {
      platform.resource({ id: model })
      platform.grant("agent-1", model)
    })
  ).pipe(Layer.provideMerge(AgionTest.layer(options)), Layer.provideMerge(traced.layer))

const ownRegistry = Effect.provideService(Metric.MetricRegistry, new Map())

/** Value of a series: a counter's count or a gauge's value. */
const valueOf = (snapshots: ReadonlyArray<Metric.Metric.Snapshot>, name: string, own: object = {}) => {
  const found = snapshots.find(
    ({ attributes, id }) =>
      id === name && Object.entries(own).every(([key, value]) => attributes?.[key] === value)
  )
  const state: object | undefined = found?.state
  if (state === undefined) return undefined
  return "count" in state ? state.count : "value" in state ? state.value : undefined
}

describe("spans", () => {
  it.effect("of a governed call tell its model, its decision and what it used", () => {
    const traced = collecting()
    return Effect.gen(function* () {
      yield* governed("chat", model, { model: "large-model", content: "a private question" })((call) =>
        Effect.sync(() => {
          call.report({ inputTokens: 30, outputTokens: 12 })
          return "a private answer"
        })
      )
      const [span] = traced.named("Governance.run")
      assert.deepInclude(Object.fromEntries(span?.attributes ?? []), {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "large-model",
        "gen_ai.agent.id": "agent-1",
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 12,
        "agion.call.tokens": 42,
        "agion.call.outcome": "succeeded",
        "agion.decision.outcome": "allow",
        "agion.decision.source": "platform",
        "agion.resource.id": model
      })
      for (const name of ["PolicyEngine.judge", "PermissionCache.check"])
        assert.strictEqual(traced.named(name)[0]?.traceId, span?.traceId, name)
      assert.strictEqual(span?.status._tag, "Ended")
    }).pipe(Effect.provide(agent(traced)))
  })

  it.effect("of a tool call are named by the tool", () => {
    const traced = collecting()
    return Effect.gen(function* () {
      yield* Effect.succeed(1).pipe(governed("refund", model, { tool: "orders" }))
      const [span] = traced.named("Governance.run")
      assert.deepInclude(Object.fromEntries(span?.attributes ?? []), {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "orders",
        "agion.call.action": "refund"
      })
    }).pipe(Effect.provide(agent(traced)))
  })

  it.effect("never hold content, arguments or the message of an error", () => {
    const traced = collecting()
    return Effect.gen(function* () {
      const secret = "the secret of the house"
      const options = { content: secret, arguments: { note: secret }, context: { note: secret } }
      yield* Effect.fail(new Error(secret)).pipe(governed("chat", model, options), Effect.ignore)
      yield* Effect.ignore(Effect.succeed(1).pipe(governed("chat", testUuid(2), options)))
      yield* (yield* PolicyEngine).check({ action: "chat", content: secret })
      yield* (yield* EventBuffer).flush()
      assert.isAtLeast(traced.spans.length, 5)
      for (const span of traced.spans) {
        const { status } = span
        const told = JSON.stringify([
          span.name,
          [...span.attributes],
          span.events,
          status._tag === "Ended" && status.exit._tag === "Failure" ? String(status.exit.cause) : ""
        ])
        assert.notInclude(told, secret, span.name)
      }
      assert.strictEqual(traced.named("Governance.run")[0]?.attributes.get("error.type"), "Error")
    }).pipe(Effect.provide(agent(traced)))
  })

  it.effect("are made only beneath a sampled parent when nothing is sampled", () => {
    const traced = collecting()
    return Effect.gen(function* () {
      const call = Effect.succeed(1).pipe(governed("chat", model))
      yield* call
      yield* (yield* EventBuffer).flush()
      assert.deepEqual(
        traced.spans.map(({ name }) => name),
        []
      )
      yield* Effect.withSpan(call, "unseen", { sampled: false })
      assert.deepEqual(
        traced.spans.map(({ name }) => name),
        ["unseen"]
      )
      yield* Effect.withSpan(call, "seen")
      const [parent] = traced.named("seen")
      const [span] = traced.named("Governance.run")
      assert.strictEqual(span?.traceId, parent?.traceId)
    }).pipe(Effect.provide(agent(traced, { telemetry: { sample: 0 } })))
  })

  it.effect("name the call's trace in its events", () => {
    const traced = collecting()
    return Effect.gen(function* () {
      const platform = yield* TestPlatform
      yield* Effect.succeed(1).pipe(governed("chat", model))
      yield* (yield* EventBuffer).flush()
      const [span] = traced.named("Governance.run")
      const wanted = `00-${span?.traceId}-${span?.spanId}-01`
      assert.deepEqual(
        platform.events.map((event) => event["traceparent"]),
        [wanted, wanted]
      )
    }).pipe(Effect.provide(agent(traced)))
  })

  it.effect("have the names of the catalogue and no attribute beside it", () => {
    const traced = collecting()
    return Effect.gen(function* () {
      yield* Effect.succeed(1).pipe(governed("chat", model, { model: "m", tool: "t" }))
      yield* Effect.ignore(Effect.succeed(1).pipe(governed("chat", testUuid(2))))
      yield* (yield* PermissionCache).check({ resourceId: model })
      yield* (yield* PolicyEngine).check({ action: "chat" })
      yield* (yield* PolicySync).sync
      yield* (yield* EventBuffer).flush()
      yield* Stream.runDrain(Stream.make(1).pipe(governedStream("chat", model)))
      const known: ReadonlyArray<string> = TelemetryNames.spans
      // Calls of the platform are the HTTP client's.
      for (const span of traced.spans.filter(({ kind }) => kind !== "client")) {
        assert.include(known, span.name)
        for (const name of span.attributes.keys()) assert.property(TelemetryNames.attributes, name)
      }
      const seen = new Set(traced.spans.map(({ name }) => name))
      assert.deepEqual(
        TelemetryNames.spans.filter((name) => !seen.has(name)),
        []
      )
    }).pipe(Effect.provide(agent(traced)))
  })
})

describe("metrics", () => {
  it.effect("count decisions, ends, the cache and events, traced or not", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      const call = Effect.succeed(1).pipe(governed("chat", model))
      yield* call
      yield* call
      yield* Effect.ignore(Effect.succeed(1).pipe(governed("chat", testUuid(2))))
      platform.fault = { _tag: "Refuse" }
      const snapshots = yield* Metric.snapshot
      const allowed = { "agion.decision.outcome": "allow", "agion.decision.mode": "normal" }
      assert.strictEqual(valueOf(snapshots, "agion.decisions", allowed), 2)
      const denied = { "agion.decision.outcome": "deny", "agion.decision.step": "resource" }
      assert.strictEqual(valueOf(snapshots, "agion.decisions", denied), 1)
      assert.strictEqual(valueOf(snapshots, "agion.calls", { "agion.call.outcome": "succeeded" }), 2)
      assert.strictEqual(valueOf(snapshots, "agion.permit.duration"), 3)
      assert.strictEqual(valueOf(snapshots, "agion.check.duration"), 2)
      assert.strictEqual(valueOf(snapshots, "agion.cache.hits"), 1)
      assert.strictEqual(valueOf(snapshots, "agion.cache.misses", { "agion.cache.reason": "absent" }), 2)
      assert.isAtLeast(Number(valueOf(snapshots, "agion.events.pending")), 3)
      const sent = { "agion.events.result": "sent" }
      assert.strictEqual(valueOf(snapshots, "agion.events", sent), 0)
      platform.fault = { _tag: "None" }
      yield* (yield* EventBuffer).flush()
      assert.isAtLeast(Number(valueOf(yield* Metric.snapshot, "agion.events", sent)), 3)
    }).pipe(Effect.provide(agent(collecting(), { telemetry: { sample: 0 } })), ownRegistry)
  )

  it.effect("have the names, units and attributes of the catalogue", () =>
    Effect.gen(function* () {
      yield* Effect.succeed(1).pipe(governed("chat", model))
      const snapshots = yield* Metric.snapshot
      const common = ["unit", "agion.agent.id", "agion.organization.id"]
      for (const { attributes, id, type } of snapshots) {
        const kind = Object.entries(TelemetryNames.metrics).find(([name]) => name === id)?.[1]
        assert.isDefined(kind, id)
        assert.strictEqual(type.toLowerCase(), kind?.type)
        assert.strictEqual(attributes?.["unit"], kind?.unit)
        const own = Object.keys(attributes ?? {}).filter((name) => !common.includes(name))
        assert.sameMembers(own, [...(kind?.attributes ?? [])], id)
      }
      const missing = Object.keys(TelemetryNames.metrics).filter(
        (name) => !name.startsWith("agion.breaker") && !snapshots.some(({ id }) => id === name)
      )
      assert.deepEqual(missing, [])
    }).pipe(Effect.provide(agent(collecting())), ownRegistry)
  )

  it.effect("go away with the SDK, and are not there when they are switched off", () =>
    Effect.gen(function* () {
      yield* Effect.void.pipe(Effect.provide(agent(collecting())))
      assert.deepEqual(yield* Metric.snapshot, [])
      const off = agent(collecting(), { telemetry: { metrics: false } })
      const inside = yield* Metric.snapshot.pipe(Effect.provide(off))
      assert.deepEqual(inside, [])
    }).pipe(ownRegistry)
  )
})

describe("metrics of agents of one host", () => {
  const host = (options: Partial<HostOptions> = {}) =>
    AgentHost.layerOver({
      gatewayUrl: "http://platform.test",
      directory: false,
      hostId: "host-1",
      events: { shutdownDeadline: 0 },
      ...options
    }).pipe(Layer.provideMerge(AgionTest.connections()))
  const chat = (agentId: string) =>
    Effect.gen(function* () {
      const connected = yield* (yield* AgentHost).connect({ agentId })
      yield* Effect.exit(Context.get(connected, Governance).run("chat", model)(Effect.void))
      yield* Effect.exit(Context.get(connected, Governance).run("chat", model)(Effect.void))
    }).pipe(Effect.scoped)

  it.effect("count what all of them do, those that have closed too, and go away with the host", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const platform = yield* TestPlatform
        platform.resource({ id: model })
        platform.grant("agent-1", model)
        const agents = yield* AgentHost
        const open = yield* agents.connect({ agentId: "agent-3" })
        for (const agentId of ["agent-1", "agent-2"]) yield* chat(agentId)
        yield* Context.get(open, PermissionCache).check({ resourceId: model })
        const snapshots = yield* Metric.snapshot
        const outcome = (name: string) =>
          valueOf(snapshots, "agion.decisions", { "agion.decision.outcome": name })
        assert.deepStrictEqual([outcome("allow"), outcome("deny")], [2, 2])
        assert.strictEqual(valueOf(snapshots, "agion.calls", { "agion.call.outcome": "succeeded" }), 2)
        assert.strictEqual(valueOf(snapshots, "agion.permit.duration"), 4)
        const asked = platform.arrived.filter(({ path }) => path === "/permissions/check").length
        assert.strictEqual(valueOf(snapshots, "agion.check.duration"), asked)
        assert.strictEqual(valueOf(snapshots, "agion.cache.hits"), 2)
        assert.strictEqual(valueOf(snapshots, "agion.cache.misses", { "agion.cache.reason": "absent" }), 3)
        assert.strictEqual(valueOf(snapshots, "agion.cache.entries"), 1)
        assert.isAtLeast(
          Number(valueOf(snapshots, "agion.events", { "agion.events.result": "published" })),
          6
        )
        for (const { attributes } of snapshots) assert.strictEqual(attributes?.["agion.agent.id"], "host-1")
        const missing = Object.keys(TelemetryNames.metrics).filter(
          (name) => !name.startsWith("agion.breaker") && !snapshots.some(({ id }) => id === name)
        )
        assert.deepEqual(missing, [])
        yield* Effect.yieldNow
        yield* Context.get(open, PermissionCache).check({ resourceId: model })
        assert.strictEqual(valueOf(yield* Metric.snapshot, "agion.cache.hits"), 3)
      }).pipe(Effect.scoped, Effect.provide(host()))
      assert.deepEqual(yield* Metric.snapshot, [])
    }).pipe(ownRegistry)
  )

  it.effect("are sent once more when the host closes, and are not there when they are switched off", () =>
    Effect.gen(function* () {
      let last: unknown
      const flush = Effect.map(Metric.snapshot, (snapshots) => {
        last = valueOf(snapshots, "agion.calls", { "agion.call.outcome": "succeeded" })
      })
      const flushing = Layer.succeed(Telemetry.Flush, flush)
      yield* Effect.gen(function* () {
        const platform = yield* TestPlatform
        platform.resource({ id: model })
        platform.grant("agent-1", model)
        yield* chat("agent-1")
      }).pipe(Effect.provide(host().pipe(Layer.provide(flushing))))
      assert.strictEqual(last, 2)
      const off = host({ telemetry: { metrics: false } })
      assert.deepEqual(yield* Metric.snapshot.pipe(Effect.provide(off)), [])
    }).pipe(ownRegistry)
  )
})

describe("the breaker around the platform", () => {
  const rules = { consecutiveFailures: 3, openMs: 100, maxOpenMs: 400, probes: 1, successes: 2 }
  const own = { "agion.breaker.name": "platform" }

  /** What the registry says of the breaker: its level, its changes by where they led, and calls not tried. */
  const told = Effect.map(Metric.snapshot, (snapshots) => ({
    state: valueOf(snapshots, "agion.breaker.state", own),
    open: valueOf(snapshots, "agion.breaker.transitions", { ...own, "agion.breaker.to": "open" }),
    half: valueOf(snapshots, "agion.breaker.transitions", { ...own, "agion.breaker.to": "half" }),
    closed: valueOf(snapshots, "agion.breaker.transitions", { ...own, "agion.breaker.to": "closed" }),
    rejections: valueOf(snapshots, "agion.breaker.rejections", own)
  }))

  it.effect("OUTAGE-7 is counted and logged when it opens, half opens and closes", () => {
    const logged: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (String(message).includes("`platform`")) logged.push(`${logLevel} ${String(message)}`)
    })
    return Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make({ name: "platform", ...rules })
      const fails = Effect.flip(breaker.run(Effect.fail("down")))
      const away = () => `no calls for ${Math.ceil(breaker.stateUnsafe().retryAfterMs)} ms`
      yield* Effect.gen(function* () {
        const none = { state: 0, open: undefined, half: undefined, closed: undefined, rejections: 0 }
        yield* fails
        yield* fails
        assert.deepEqual([yield* told, logged], [none, []], "failures alone are no change")

        yield* fails
        const first = away()
        assert.instanceOf(yield* fails, CircuitBreaker.CircuitOpen)
        assert.deepEqual(yield* told, { ...none, state: 2, open: 1, rejections: 1 })

        yield* TestClock.adjust("100 millis")
        yield* breaker.run(Effect.void)
        assert.deepEqual(yield* told, { ...none, state: 1, open: 1, half: 1, rejections: 1 })

        yield* fails
        const second = away()
        assert.deepEqual(yield* told, { ...none, state: 2, open: 2, half: 1, rejections: 1 })

        yield* TestClock.adjust("200 millis")
        yield* breaker.run(Effect.void)
        yield* breaker.run(Effect.void)
        assert.deepEqual(yield* told, { state: 0, open: 2, half: 2, closed: 1, rejections: 1 })

        assert.deepEqual(logged, [
          `Warn \`platform\` is away: ${first}`,
          "Info circuit of `platform`: open to half",
          `Warn \`platform\` is away: ${second}`,
          "Info circuit of `platform`: open to half",
          "Info circuit of `platform`: half to closed"
        ])
        for (const { attributes, id } of yield* Metric.snapshot) {
          if (!id.startsWith("agion.breaker.")) continue
          const kind = Object.entries(TelemetryNames.metrics).find(([name]) => name === id)?.[1]
          assert.strictEqual(attributes?.["unit"], kind?.unit, id)
          assert.containsAllKeys(attributes, [...(kind?.attributes ?? ["a metric of the catalogue"])], id)
        }
      }).pipe(
        Effect.provide(
          agent(collecting()).pipe(Layer.provide(Layer.succeed(HttpPool.PlatformCircuit, breaker)))
        )
      )
      assert.deepEqual(yield* Metric.snapshot, [])
    }).pipe(Effect.provide(Logger.layer([logger])), ownRegistry)
  })
})

describe("the environment", () => {
  const built = (env: Record<string, string>) =>
    Layer.build(
      AgionSdk.layerConfig.pipe(
        Layer.provide(
          ConfigProvider.layer(
            ConfigProvider.fromUnknown({
              AGION_AGENT_ID: "agent-7",
              AGION_GATEWAY_URL: "http://127.0.0.1:1",
              AGION_DIRECTORY: "/nowhere/agion",
              ...env
            })
          )
        )
      )
    ).pipe(Effect.scoped)

  const bad: ReadonlyArray<readonly [string, string, string]> = [
    ["METRICS_ENABLED", "maybe", "must be `true` or `false`, not `maybe`"],
    ["LOG_LEVEL", "loud", "must be one of"],
    ["AGION_TRACE_SAMPLE", "2", "must be a number from 0 to 1, not `2`"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317x", "must be the collector's http or https address"]
  ]
  for (const [name, value, problem] of bad)
    it.effect(`says what ${name} could be`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(built({ [name]: value }))
        assert.include(error.message, `\`${name}\` ${problem}`)
      })
    )

  it.effect("does not show headers that cannot be read: they may hold a key", () =>
    Effect.gen(function* () {
      const secret = "hush"
      const error = yield* Effect.flip(
        built({
          OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318",
          OTEL_EXPORTER_OTLP_HEADERS: secret
        })
      )
      assert.include(error.message, "must be `name=value`")
      assert.notInclude(error.message, secret)
    })
  )

  it.effect("sets the share that is traced", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(
        AgionSdk.layerConfig.pipe(
          Layer.provide(
            ConfigProvider.layer(
              ConfigProvider.fromUnknown({
                AGION_AGENT_ID: "agent-7",
                AGION_GATEWAY_URL: "http://127.0.0.1:1",
                AGION_DIRECTORY: "/nowhere/agion",
                AGION_TRACE_SAMPLE: "0.25",
                LOG_LEVEL: "warning",
                METRICS_ENABLED: "off"
              })
            )
          )
        )
      )
      const telemetry = yield* Effect.provideContext(Telemetry, context)
      assert.strictEqual(telemetry.sampling.ratio, 0.25)
    })
  )
})
