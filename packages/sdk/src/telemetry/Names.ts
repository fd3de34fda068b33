/** Every name under which the SDK tells of itself, with type and unit; docs/telemetry.md says what they mean. */

/** Spans, by the method that they time. */
export const spans = [
  "Governance.run",
  "Governance.open",
  "PolicyEngine.judge",
  "PolicyEngine.check",
  "PermissionCache.check",
  "PolicySync.sync",
  "EventBuffer.flush",
  "EventBuffer.sendEvents",
  "EventBuffer.sendReports"
] as const
/** A span of the SDK. */
export type SpanName = (typeof spans)[number]

/** Attributes of spans and of metrics, with their types. `gen_ai.*` and `error.*` are OpenTelemetry's. */
export const attributes = {
  "gen_ai.operation.name": "string",
  "gen_ai.agent.id": "string",
  "gen_ai.request.model": "string",
  "gen_ai.tool.name": "string",
  "gen_ai.usage.input_tokens": "int",
  "gen_ai.usage.output_tokens": "int",
  "error.type": "string",
  "agion.agent.id": "string",
  "agion.organization.id": "string",
  "agion.call.action": "string",
  "agion.call.cost": "double",
  "agion.call.execution_id": "string",
  "agion.call.outcome": "string",
  "agion.call.tokens": "int",
  "agion.cache.reason": "string",
  "agion.breaker.name": "string",
  "agion.breaker.to": "string",
  "agion.decision.id": "string",
  "agion.decision.mode": "string",
  "agion.decision.outcome": "string",
  "agion.decision.rule": "string",
  "agion.decision.source": "string",
  "agion.decision.step": "string",
  "agion.events.count": "int",
  "agion.events.pending": "int",
  "agion.events.result": "string",
  "agion.permission.type": "string",
  "agion.policy.deferred": "int",
  "agion.policy.evaluated": "int",
  "agion.policy.reasons": "int",
  "agion.policy.version": "int",
  "agion.resource.id": "string"
} as const
/** An attribute of the SDK's spans and metrics. */
export type AttributeName = keyof typeof attributes
/** Attributes with their values; undefined: not known, and not told. */
export type Attributes = { readonly [name in AttributeName]?: string | number | undefined }

/** What a metric is: its kind, its unit by UCUM, and the attributes that its series differ in. */
export interface MetricKind {
  readonly type: "counter" | "gauge" | "histogram"
  readonly unit: string
  readonly attributes: ReadonlyArray<AttributeName>
  readonly description: string
}

/** Metrics. Each series has `agion.agent.id` and `agion.organization.id`, too. */
export const metrics = {
  "agion.decisions": {
    type: "counter",
    unit: "{decision}",
    attributes: ["agion.decision.outcome", "agion.decision.mode", "agion.decision.step"],
    description: "Decisions on governed calls"
  },
  "agion.calls": {
    type: "counter",
    unit: "{call}",
    attributes: ["agion.call.outcome"],
    description: "Governed calls that ran, by how they ended"
  },
  "agion.permit.duration": {
    type: "histogram",
    unit: "s",
    attributes: [],
    description: "From a governed call to its decision"
  },
  "agion.check.duration": {
    type: "histogram",
    unit: "s",
    attributes: [],
    description: "Checks that the platform answered"
  },
  "agion.cache.hits": {
    type: "counter",
    unit: "{check}",
    attributes: [],
    description: "Checks answered from memory"
  },
  "agion.cache.misses": {
    type: "counter",
    unit: "{check}",
    attributes: ["agion.cache.reason"],
    description: "Checks for which the platform was asked, by why"
  },
  "agion.cache.stale": {
    type: "counter",
    unit: "{decision}",
    attributes: [],
    description: "Decisions on warm approvals while the platform was away"
  },
  "agion.cache.degraded": {
    type: "counter",
    unit: "{decision}",
    attributes: [],
    description: "Decisions on trust alone while the platform was away"
  },
  "agion.cache.evictions": {
    type: "counter",
    unit: "{entry}",
    attributes: ["agion.cache.reason"],
    description: "Entries that went before their time, by why"
  },
  "agion.cache.refreshes": {
    type: "counter",
    unit: "{entry}",
    attributes: [],
    description: "Entries that were asked for again ahead of a call"
  },
  "agion.cache.entries": {
    type: "gauge",
    unit: "{entry}",
    attributes: [],
    description: "Entries that are held"
  },
  "agion.breaker.state": {
    type: "gauge",
    unit: "1",
    attributes: ["agion.breaker.name"],
    description: "0 closed, 1 half open, 2 open"
  },
  "agion.breaker.transitions": {
    type: "counter",
    unit: "{transition}",
    attributes: ["agion.breaker.name", "agion.breaker.to"],
    description: "Changes of the breaker's state"
  },
  "agion.breaker.rejections": {
    type: "counter",
    unit: "{call}",
    attributes: ["agion.breaker.name"],
    description: "Calls that an open breaker did not try"
  },
  "agion.events": {
    type: "counter",
    unit: "{event}",
    attributes: ["agion.events.result"],
    description: "Events by what became of them"
  },
  "agion.events.pending": {
    type: "gauge",
    unit: "{event}",
    attributes: [],
    description: "Events that wait to be sent"
  },
  "agion.events.kept": {
    type: "gauge",
    unit: "{event}",
    attributes: [],
    description: "Events that were refused for their signature and wait for another key"
  },
  "agion.events.memory": {
    type: "gauge",
    unit: "By",
    attributes: [],
    description: "Memory of events that wait"
  },
  "agion.events.file": {
    type: "gauge",
    unit: "By",
    attributes: [],
    description: "The write-ahead files"
  },
  "agion.events.keyless": {
    type: "gauge",
    unit: "By",
    attributes: [],
    description: "Logs of earlier starts that wait for the key of their agent"
  },
  "agion.events.failures": {
    type: "counter",
    unit: "{batch}",
    attributes: [],
    description: "Batches that could not be sent and are tried again"
  },
  "agion.policy.version": {
    type: "gauge",
    unit: "1",
    attributes: [],
    description: "The version of the policies in force"
  },
  "agion.policy.age": {
    type: "gauge",
    unit: "s",
    attributes: [],
    description: "Since the platform confirmed the policies in force"
  },
  "agion.policy.refusals": {
    type: "counter",
    unit: "{bundle}",
    attributes: [],
    description: "Policy bundles that were refused"
  }
} as const satisfies { readonly [name: string]: MetricKind }
/** A metric of the SDK. */
export type MetricName = keyof typeof metrics
