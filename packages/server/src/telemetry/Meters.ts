/** The platform's metrics: one series for each set of attributes, made once. */
import { Clock, Context, Effect, Metric } from "effect"
import { type AttributeName, type MetricName, metrics } from "./Names.ts"

type Own = { readonly [name in AttributeName]?: string }

const bounds = [
  0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
  0.5, 1, 2.5, 5
]

/** Updates metrics from plain functions. */
export interface Meters {
  /** Adds to a counter. */
  readonly count: (name: MetricName, own: Own, by?: number) => void
  /** What adds one to a counter, for who counts often. */
  readonly counter: (name: MetricName, own: Own) => () => void
  readonly gauge: (name: MetricName, own: Own, value: number) => void
  /** Adds a duration, milliseconds. */
  readonly duration: (name: MetricName, own: Own, millis: number) => void
  /** Milliseconds since an unspecified moment. */
  readonly now: () => number
}

/** Series by name and attributes; a look-up of an attribute's value is all that an update makes. */
const remembered = <M>(make: (name: MetricName, options: ReturnType<typeof about>) => M) => {
  const known = new Map<string, M>()
  return (name: MetricName, own: Own): M => {
    const key = `${name}\0${Object.values(own).join("\0")}`
    const series = known.get(key) ?? make(name, about(name, own))
    known.set(key, series)
    return series
  }
}

const about = (name: MetricName, own: Own) => ({
  description: metrics[name].description,
  attributes: { unit: metrics[name].unit, ...own }
})

/** Meters into the registry of the context. */
export const meters: Effect.Effect<Meters> = Effect.gen(function* () {
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const counter = remembered((name, options) => Metric.counter(name, { ...options, incremental: true }))
  const gauge = remembered((name, options) => Metric.gauge(name, options))
  const histogram = remembered((name, options) => Metric.histogram(name, { ...options, boundaries: bounds }))
  return {
    count: (name, own, by = 1) => counter(name, own).updateUnsafe(by, context),
    counter: (name, own) => {
      const series = counter(name, own)
      return () => series.updateUnsafe(1, context)
    },
    gauge: (name, own, value) => gauge(name, own).updateUnsafe(value, context),
    duration: (name, own, millis) => histogram(name, own).updateUnsafe(Math.max(0, millis) / 1000, context),
    now:
      clock === Context.get(Context.empty(), Clock.Clock)
        ? () => performance.now()
        : () => Number(clock.monotonicTimeNanosUnsafe() / 1000n) / 1000
  }
})
