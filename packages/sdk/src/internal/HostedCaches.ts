/** The permission caches of a host's agents, counted as one: what those that have closed counted stays. */
import { Effect, type Scope } from "effect"
import type { CacheStatistics, PermissionCache } from "../PermissionCache.ts"
import { type MissReason, noCounts } from "./CacheState.ts"

/** What caches have counted, and what they hold now. */
export type CacheTotals = Omit<CacheStatistics, "hitRate">

/** The caches of agents that are connected. */
export interface HostedCaches {
  /** Counts a cache in for as long as the scope is open. */
  readonly join: (cache: PermissionCache["Service"]) => Effect.Effect<void, never, Scope.Scope>
  /** Of all, those of closed agents too; what is read in one turn of the event loop is added up once. */
  readonly totalsUnsafe: () => CacheTotals
}

export const makeCaches = (): HostedCaches => {
  const open = new Set<PermissionCache["Service"]>()
  let closed = none
  let totals: CacheTotals | undefined
  return {
    join: (cache) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          open.add(cache)
        }),
        () =>
          Effect.map(cache.statistics, (last) => {
            open.delete(cache)
            closed = sum(closed, { ...last, size: 0 })
          })
      ),
    totalsUnsafe: () => {
      if (totals !== undefined) return totals
      totals = closed
      for (const { statistics } of open) totals = sum(totals, Effect.runSync(statistics))
      queueMicrotask(() => {
        totals = undefined
      })
      return totals
    }
  }
}

const none: CacheTotals = { size: 0, ...noCounts() }

const sum = (a: CacheTotals, b: CacheTotals): CacheTotals => ({
  size: a.size + b.size,
  hits: a.hits + b.hits,
  misses: a.misses + b.misses,
  stale: a.stale + b.stale,
  degraded: a.degraded + b.degraded,
  evicted: a.evicted + b.evicted,
  invalidated: a.invalidated + b.invalidated,
  refreshed: a.refreshed + b.refreshed,
  reasons: sumOf(a.reasons, b.reasons)
})

const sumOf = (a: CacheTotals["reasons"], b: CacheTotals["reasons"]): CacheTotals["reasons"] => {
  const reasons: Record<MissReason, number> = { ...a }
  for (const reason of Object.keys(reasons) as ReadonlyArray<MissReason>) reasons[reason] += b[reason]
  return reasons
}
