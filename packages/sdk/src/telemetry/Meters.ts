/** The SDK's numbers as metrics: each series is read when somebody looks, and costs nothing until then. */
import { Clock, type Context, Effect, Metric, type Scope, Stream } from "effect"
import type { CircuitBreaker } from "../CircuitBreaker.ts"
import { EventBuffer } from "../EventBuffer.ts"
import { PlatformCircuit } from "../HttpPool.ts"
import type { CacheTotals } from "../internal/HostedCaches.ts"
import { PermissionCache } from "../PermissionCache.ts"
import { PolicySync } from "../PolicySync.ts"
import { Settings } from "../Settings.ts"
import { type AttributeName, type MetricName, metrics } from "./Names.ts"
import type { Durations, Tally } from "./Tally.ts"

type Own = { readonly [name in AttributeName]?: string }

/** Registers series of one SDK. */
interface Registry {
  readonly count: (name: MetricName, read: () => number, own?: Own) => void
  readonly gauge: (name: MetricName, read: () => number, own?: Own) => void
  readonly durations: (name: MetricName, durations: Durations) => void
}

const nothing = () => {}

const registryOf = (
  context: Context.Context<never>,
  common: Own,
  registrations: Array<Metric.Registration>
): Registry => {
  const about = (name: MetricName, own: Own = {}) => ({
    description: metrics[name].description,
    attributes: { unit: metrics[name].unit, ...common, ...own }
  })
  const add = <Input, State>(metric: Metric.Metric<Input, State>, get: () => State) => {
    const hooks = { get, update: nothing, modify: nothing }
    registrations.push(Metric.registerUnsafe(metric, context, hooks))
  }
  return {
    count: (name, read, own) =>
      add(Metric.counter(name, { ...about(name, own), incremental: true }), () => ({
        count: read(),
        incremental: true
      })),
    gauge: (name, read, own) => add(Metric.gauge(name, about(name, own)), () => ({ value: read() })),
    durations: (name, durations) =>
      add(Metric.histogram(name, { ...about(name), boundaries: [] }), () => durations.state)
  }
}

const registerTally = (registry: Registry, tally: Tally): void => {
  const decision: Tally["onDecision"] = (count) =>
    registry.count("agion.decisions", () => count.count, {
      "agion.decision.outcome": count.outcome,
      "agion.decision.mode": count.mode,
      "agion.decision.step": count.step
    })
  const end: Tally["onEnd"] = (outcome, count) =>
    registry.count("agion.calls", () => count.count, { "agion.call.outcome": outcome })
  for (const count of tally.decisions) decision(count)
  for (const [outcome, count] of tally.ends) end(outcome, count)
  tally.onDecision = decision
  tally.onEnd = end
  registry.durations("agion.permit.duration", tally.permits)
  registry.durations("agion.check.duration", tally.checks)
}

const missReasons = ["absent", "expired", "unconfirmed", "dropped", "limits", "context", "trust"] as const

const registerCache = (registry: Registry, now: () => CacheTotals): void => {
  registry.count("agion.cache.hits", () => now().hits)
  for (const reason of missReasons)
    registry.count("agion.cache.misses", () => now().reasons[reason], { "agion.cache.reason": reason })
  registry.count("agion.cache.stale", () => now().stale)
  registry.count("agion.cache.degraded", () => now().degraded)
  registry.count("agion.cache.evictions", () => now().evicted, { "agion.cache.reason": "capacity" })
  registry.count("agion.cache.evictions", () => now().invalidated, { "agion.cache.reason": "push" })
  registry.count("agion.cache.refreshes", () => now().refreshed)
  registry.gauge("agion.cache.entries", () => now().size)
}

const results = ["published", "sent", "duplicates", "refused", "dropped", "unreadable"] as const

const registerEvents = (registry: Registry, events: EventBuffer["Service"]): void => {
  const now = () => Effect.runSync(events.statistics)
  for (const result of results)
    registry.count("agion.events", () => now()[result], { "agion.events.result": result })
  registry.gauge("agion.events.pending", () => now().pending)
  registry.gauge("agion.events.kept", () => now().kept)
  registry.gauge("agion.events.memory", () => now().pendingBytes)
  registry.gauge("agion.events.file", () => now().fileBytes)
  registry.gauge("agion.events.keyless", () => now().keylessBytes)
  registry.count("agion.events.failures", () => now().failures)
}

const registerPolicies = (registry: Registry, sync: PolicySync["Service"], now: () => number): void => {
  registry.gauge("agion.policy.version", () => sync.stateUnsafe().version ?? 0)
  registry.gauge("agion.policy.age", () => {
    const { syncedAt } = sync.stateUnsafe()
    return syncedAt === null ? Number.POSITIVE_INFINITY : Math.max(0, now() - syncedAt) / 1000
  })
  registry.count("agion.policy.refusals", () => sync.stateUnsafe().refused)
}

const levels = { closed: 0, forcedClosed: 0, half: 1, open: 2, forcedOpen: 2 } as const

const registerBreaker = Effect.fnUntraced(function* (registry: Registry, breaker: CircuitBreaker) {
  const own = { "agion.breaker.name": breaker.name }
  const counts = new Map<string, { count: number }>()
  registry.gauge("agion.breaker.state", () => levels[breaker.stateUnsafe().phase], own)
  registry.count("agion.breaker.rejections", () => Effect.runSync(breaker.counters).rejected, own)
  yield* breaker.transitions.pipe(
    Stream.runForEach(({ to }) =>
      Effect.sync(() => {
        const known = counts.get(to)
        if (known !== undefined) known.count++
        else {
          const made = { count: 1 }
          counts.set(to, made)
          registry.count("agion.breaker.transitions", () => made.count, { ...own, "agion.breaker.to": to })
        }
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )
})

/** The numbers of an agent's permission cache. */
export const ownCache = Effect.map(
  PermissionCache,
  ({ statistics }) =>
    (): CacheTotals =>
      Effect.runSync(statistics)
)

/** Registers everything for as long as the scope is open; `caches` tells what was asked of memory. */
export const register = (
  tally: Tally,
  caches: () => CacheTotals
): Effect.Effect<void, never, Settings | EventBuffer | PolicySync | Scope.Scope> =>
  Effect.gen(function* () {
    const { agentId, organizationId } = yield* Settings
    const clock = yield* Clock.Clock
    const context = yield* Effect.context<never>()
    const registrations: Array<Metric.Registration> = []
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const { remove } of registrations) remove()
      })
    )
    const common = { "agion.agent.id": agentId, "agion.organization.id": organizationId }
    const registry = registryOf(context, common, registrations)
    registerTally(registry, tally)
    registerCache(registry, caches)
    registerEvents(registry, yield* EventBuffer)
    registerPolicies(registry, yield* PolicySync, () => clock.currentTimeMillisUnsafe())
    const circuit = yield* Effect.serviceOption(PlatformCircuit)
    if (circuit._tag === "Some") yield* registerBreaker(registry, circuit.value)
  })
