/** What the SDK tells, under OpenTelemetry's own SDK, as docs/telemetry.md offers it. */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { assert, it } from "@effect/vitest"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Effect, Layer, Metric } from "effect"
import { EventBuffer, governed, Telemetry } from "../src/index.ts"
import { AgionTest, TestPlatform, testUuid } from "../src/testing/index.ts"

const model = testUuid(1)

it.effect("a governed call's span reaches an exporter of OpenTelemetry's, and its trace the platform", () => {
  const exporter = new InMemorySpanExporter()
  const collector = NodeSdk.layer(() => ({
    resource: { serviceName: "billing-agent" },
    spanProcessor: new SimpleSpanProcessor(exporter)
  }))
  return Effect.gen(function* () {
    const platform = yield* TestPlatform
    platform.resource({ id: model })
    platform.grant("agent-1", model)
    const call = Effect.sync(() => "answer").pipe(governed("chat", model, { model: "large-model" }))
    yield* Effect.withSpan(call, "the program's own")
    yield* (yield* EventBuffer).flush()
    const spans = exporter.getFinishedSpans()
    const named = (name: string) => spans.filter((span) => span.name === name)
    const [span, ...more] = named("Governance.run")
    const [outer] = named("the program's own")
    assert.deepEqual(more, [])
    assert.deepInclude(span?.attributes, {
      "gen_ai.operation.name": "chat",
      "gen_ai.request.model": "large-model",
      "agion.call.outcome": "succeeded",
      "agion.decision.outcome": "allow",
      "agion.resource.id": model
    })
    assert.strictEqual(span?.resource.attributes["service.name"], "billing-agent")
    const context = span?.spanContext()
    assert.isDefined(outer)
    assert.strictEqual(span?.parentSpanContext?.spanId, outer?.spanContext().spanId)
    assert.strictEqual(named("PermissionCache.check")[0]?.parentSpanContext?.spanId, context?.spanId)
    const wanted = `00-${context?.traceId}-${context?.spanId}-01`
    assert.deepEqual(
      platform.events.map((event) => event["traceparent"]),
      [wanted, wanted]
    )
  }).pipe(Effect.provide(AgionTest.layer().pipe(Layer.provideMerge(collector))))
})

it.effect("the SDK's metrics reach a reader of OpenTelemetry's, the last ones as the SDK closes", () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
  const collector = Layer.merge(
    NodeSdk.layer(() => ({ resource: { serviceName: "billing-agent" }, metricReader: reader })),
    Layer.succeed(
      Telemetry.Flush,
      Effect.promise(() => reader.forceFlush())
    )
  )
  const work = Effect.gen(function* () {
    const platform = yield* TestPlatform
    platform.resource({ id: model })
    platform.grant("agent-1", model)
    const call = Effect.void.pipe(governed("chat", model))
    yield* call
    yield* call
    assert.deepEqual(exporter.getMetrics(), [])
  })
  return Effect.gen(function* () {
    yield* Effect.provide(work, AgionTest.layer().pipe(Layer.provideMerge(collector)))
    const metrics = exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics)
      .flatMap((scope) => scope.metrics)
    const [decisions, ...more] = metrics.filter(({ descriptor }) => descriptor.name === "agion.decisions")
    assert.deepEqual(more, [])
    assert.strictEqual(decisions?.descriptor.unit, "{decision}")
    assert.lengthOf(decisions?.dataPoints ?? [], 1)
    assert.strictEqual(decisions?.dataPoints[0]?.value, 2)
    assert.deepInclude(decisions?.dataPoints[0]?.attributes, {
      "agion.agent.id": "agent-1",
      "agion.decision.outcome": "allow",
      "agion.decision.mode": "normal"
    })
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
})
