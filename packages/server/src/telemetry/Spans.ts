/** Traces that go on here: of callers over HTTP, and of the events that agents tell. */
import { Effect, Layer, Option, Random, Tracer } from "effect"
import { Headers, HttpTraceContext } from "effect/http"
import type { AttributeName, SpanName } from "./Names.ts"

type Attributes = { readonly [name in AttributeName]?: string | number }

/** A span where the caller's trace is looked at; else the effect as it is. */
export const beneath = <A, E, R>(
  name: SpanName,
  attributes: Attributes,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) =>
    fiber.cache.tracer === undefined || fiber.cache.span?.sampled !== true
      ? effect
      : Effect.withSpan(effect, name, { attributes: { ...attributes } })
  )

/** At most so many traces of a batch are named by its span. */
const maxLinks = 64

/** The sampled spans that events name, each once. */
const contextsOf = (traceparents: Iterable<string | undefined>): ReadonlyArray<Tracer.ExternalSpan> => {
  const found = new Map<string, Tracer.ExternalSpan>()
  for (const traceparent of traceparents) {
    if (traceparent === undefined || found.has(traceparent)) continue
    const span = Option.getOrUndefined(HttpTraceContext.w3c(Headers.fromInput({ traceparent })))
    if (span?.sampled === true) found.set(traceparent, span)
    if (found.size === maxLinks) break
  }
  return [...found.values()]
}

/**
 * What applies events, in a span of the trace that they are of; a batch of several traces links to each of them.
 * Without a trace that is looked at there is no span.
 */
export const continued = <A, E, R>(
  name: SpanName,
  attributes: () => Attributes,
  traceparents: () => Iterable<string | undefined>,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const { span: outer, tracer } = fiber.cache
    if (tracer === undefined || tracer === Tracer.nativeTracer) return effect
    const contexts = contextsOf(traceparents())
    const [first] = contexts
    if (first === undefined) return beneath(name, attributes(), effect)
    const isOneTrace = contexts.every(({ traceId }) => traceId === first.traceId)
    const linked = [
      ...(isOneTrace ? contexts.slice(1) : contexts),
      ...(outer?.sampled === true ? [outer] : [])
    ]
    return Effect.withSpan(effect, name, {
      kind: "consumer",
      attributes: { ...attributes() },
      links: linked.map((span) => ({ span, attributes: {} })),
      ...(isOneTrace ? { parent: first } : { root: true })
    })
  })

/**
 * Keeps what the platform does by itself (polls, leases, heartbeats) out of traces: without a caller's trace only
 * requests and batches of events begin one, and of these a share. Around the `Tracer` of the layer below.
 */
export const layerSampled = (ratio: number): Layer.Layer<never> =>
  Layer.effect(
    Tracer.Tracer,
    Effect.gen(function* () {
      const inner = yield* Effect.tracer
      const random = yield* Random.Random
      return Tracer.make({
        span: (options) => {
          const begins = options.kind === "server" || options.kind === "consumer"
          const sampled =
            options.sampled &&
            (Option.isSome(options.parent) || (begins && (ratio >= 1 || random.nextDoubleUnsafe() < ratio)))
          return inner.span({ ...options, sampled })
        },
        ...(inner.context === undefined ? {} : { context: inner.context })
      })
    })
  )
