/** Every name under which the platform tells of itself, with type and unit; docs/telemetry.md says what they mean. */

/** Spans, beside those of effect's HTTP server and SQL client. */
export const spans = ["Checks.check", "Checks.batch", "Checks.reserve", "Ingest.apply"] as const
/** A span of the platform. */
export type SpanName = (typeof spans)[number]

/** Attributes of spans and of metrics, with their types. */
export const attributes = {
  "agion.alert.kind": "string",
  "agion.check.count": "int",
  "agion.check.operation": "string",
  "agion.decision.outcome": "string",
  "agion.decision.step": "string",
  "agion.events.count": "int",
  "agion.events.result": "string",
  "agion.stream.name": "string"
} as const
/** An attribute of the platform's spans and metrics. */
export type AttributeName = keyof typeof attributes

/** What a metric is: its kind, its unit by UCUM, and the attributes that its series differ in. */
interface MetricKind {
  readonly type: "counter" | "gauge" | "histogram"
  readonly unit: string
  readonly attributes: ReadonlyArray<AttributeName>
  readonly description: string
}

/** Metrics. */
export const metrics = {
  "agion.server.decisions": {
    type: "counter",
    unit: "{decision}",
    attributes: ["agion.decision.outcome", "agion.decision.step"],
    description: "Checks and reservations by what was decided"
  },
  "agion.server.check.duration": {
    type: "histogram",
    unit: "s",
    attributes: ["agion.check.operation"],
    description: "From a question to its answer, without HTTP"
  },
  "agion.server.events": {
    type: "counter",
    unit: "{event}",
    attributes: ["agion.stream.name", "agion.events.result"],
    description: "Events by what became of them"
  },
  "agion.server.events.lag": {
    type: "gauge",
    unit: "{entry}",
    attributes: ["agion.stream.name"],
    description: "Entries of a stream that this replica reads and has not applied"
  },
  "agion.server.dead_letters": {
    type: "counter",
    unit: "{entry}",
    attributes: ["agion.stream.name"],
    description: "Entries that were set aside"
  },
  "agion.server.alerts": {
    type: "counter",
    unit: "{alert}",
    attributes: ["agion.alert.kind"],
    description: "Alerts that were raised"
  }
} as const satisfies { readonly [name: string]: MetricKind }
/** A metric of the platform. */
export type MetricName = keyof typeof metrics
