/**
 * Spans where somebody looks: beneath a sampled parent, or for a share of the calls that have none. Where nobody
 * does, an effect stays what it is and nothing is made.
 *
 * A span tells the kind of an error and never its message: a message may quote what was sent.
 */
import { Cause, Clock, Context, Effect, Exit, type Fiber, Option, Tracer } from "effect"
import type { Attributes, SpanName } from "./Names.ts"

/** What decides on spans without a parent. */
export interface Sampling {
  /** The share of them that is traced, 0 to 1. */
  readonly ratio: number
  /** 0 to 1, without 1. */
  readonly random: () => number
}

/** Only beneath a sampled parent. */
export const beneath: Sampling = { ratio: 0, random: () => 1 }

/** The tracer, where a span is wanted; undefined where none is. */
export const wanted = (
  sampling: Sampling,
  fiber: Fiber.Fiber<unknown, unknown>
): Tracer.Tracer | undefined => {
  const { span, tracer, tracerEnabled } = fiber.cache
  if (tracer === undefined || !tracerEnabled || tracer === Tracer.nativeTracer) return undefined
  if (span !== undefined) return span.sampled ? tracer : undefined
  return sampling.ratio >= 1 || sampling.random() < sampling.ratio ? tracer : undefined
}

/** A span that has begun, and its clock. */
interface Begun {
  readonly span: Tracer.Span
  readonly end: (exit: Exit.Exit<unknown, unknown>) => void
}

const begin = (
  tracer: Tracer.Tracer,
  fiber: Fiber.Fiber<unknown, unknown>,
  name: SpanName,
  kind: Tracer.SpanKind
): Begun => {
  const clock = fiber.getRef(Clock.Clock)
  const parent = Option.fromUndefinedOr(fiber.cache.span)
  const span = tracer.span({
    name,
    parent,
    annotations: Context.empty(),
    links: [],
    startTime: clock.currentTimeNanosUnsafe(),
    kind,
    root: Option.isNone(parent),
    sampled: true
  })
  return { span, end: (exit) => span.end(clock.currentTimeNanosUnsafe(), withoutMessage(span, exit)) }
}

/** Sets what is known. */
export const describe = (span: Tracer.Span, attributes: Attributes): void => {
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) span.attribute(name, value)
}

/** The kind of an error: its tag, else its name. */
const kindOf = (error: unknown): string => {
  if (typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string")
    return error._tag
  return error instanceof Error ? error.name : "error"
}

/** The same end with the kind of the error instead of the error. */
const withoutMessage = (
  span: Tracer.Span,
  exit: Exit.Exit<unknown, unknown>
): Exit.Exit<unknown, unknown> => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return exit
  const kind = kindOf(Cause.squash(exit.cause))
  span.attribute("error.type", kind)
  const error = new Error(kind)
  error.name = kind
  error.stack = kind
  return Exit.fail(error)
}

/** Runs an effect in a span of its own where one is wanted; `told` sees it at its end. */
export const within = <A, E, R>(
  sampling: Sampling,
  name: SpanName,
  effect: Effect.Effect<A, E, R>,
  about: {
    readonly kind?: Tracer.SpanKind
    readonly attributes?: () => Attributes
    readonly told?: (exit: Exit.Exit<A, E>) => Attributes
  } = {}
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const tracer = wanted(sampling, fiber)
    if (tracer === undefined) return effect
    const { end, span } = begin(tracer, fiber, name, about.kind ?? "internal")
    if (about.attributes !== undefined) describe(span, about.attributes())
    return Effect.onExit(Effect.withParentSpan(effect, span), (exit) =>
      Effect.sync(() => {
        if (about.told !== undefined) describe(span, about.told(exit))
        end(exit)
      })
    )
  })

/** Runs a plain function in a span where its fiber is traced. */
export const around = <A>(
  fiber: Fiber.Fiber<unknown, unknown>,
  name: SpanName,
  work: () => A,
  told: (value: A) => Attributes
): A => {
  const tracer = wanted(beneath, fiber)
  if (tracer === undefined) return work()
  const { end, span } = begin(tracer, fiber, name, "internal")
  const value = work()
  describe(span, told(value))
  end(Exit.void)
  return value
}

/** The span of one of these names in which a fiber runs; null: it runs in none that is looked at. */
export const current = (
  fiber: Fiber.Fiber<unknown, unknown>,
  names: ReadonlyArray<string>
): Tracer.Span | null => {
  const { span } = fiber.cache
  return span?._tag === "Span" && span.sampled && names.includes(span.name) ? span : null
}

/** W3C trace context of a span. */
export const traceparent = (span: Tracer.AnySpan): string =>
  `00-${span.traceId.padStart(32, "0")}-${span.spanId}-${span.sampled ? "01" : "00"}`
