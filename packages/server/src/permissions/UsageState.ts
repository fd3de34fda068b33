/**
 * What was used, as the database answers it, and what of it counts as time goes on: requests leave the window and
 * the day ends without anybody asking again. Pure; times are epoch milliseconds of the database's clock.
 */
import type { UsageTracking } from "@agion/domain"

/** What `PermissionCheck` compares with the limits; reserved amounts included. */
export interface Counted {
  readonly windowRequests: number
  readonly dayRequests: number
  readonly dayTokens: number
  readonly dayCostMicroUsd: number
}

/** What an actor used today; costs are micro-dollars. */
export interface Spend {
  readonly requests: number
  readonly tokens: number
  readonly costMicroUsd: number
}

/** A permission's usage as of a version; each change makes the next. */
export interface UsageState {
  readonly version: number
  readonly totalRequests: number
  readonly totalTokens: number
  readonly totalCostMicroUsd: number
  readonly dayRequests: number
  readonly dayTokens: number
  readonly dayCostMicroUsd: number
  readonly reservedTokens: number
  readonly reservedCostMicroUsd: number
  readonly dayStart: number | null
  /** Midnight in the organization's time zone; null: never. */
  readonly dayEnds: number | null
  readonly lastUsedAt: number | null
  /** Requests of the last minute, a number a second: second * 1000000 + count. */
  readonly window: ReadonlyArray<number>
  /** When it was answered. */
  readonly now: number
}

/** Of a permission that is not there. */
export const nothing: UsageState = {
  version: -1,
  totalRequests: 0,
  totalTokens: 0,
  totalCostMicroUsd: 0,
  dayRequests: 0,
  dayTokens: 0,
  dayCostMicroUsd: 0,
  reservedTokens: 0,
  reservedCostMicroUsd: 0,
  dayStart: null,
  dayEnds: null,
  lastUsedAt: null,
  window: [],
  now: 0
}

const perSecond = 1_000_000

/** The seconds of the window before the present one; the oldest counts whole (LIMIT-1). */
const windowSeconds = 60

const isOver = (dayEnds: number | null, at: number): boolean => dayEnds !== null && at >= dayEnds

/** What counts at an instant. */
export const countedAt = (state: UsageState, at: number): Counted => {
  const oldest = Math.floor(at / 1000) - windowSeconds
  let windowRequests = 0
  for (const bucket of state.window)
    if (Math.floor(bucket / perSecond) >= oldest) windowRequests += bucket % perSecond
  if (isOver(state.dayEnds, at)) return { windowRequests, dayRequests: 0, dayTokens: 0, dayCostMicroUsd: 0 }
  return {
    windowRequests,
    dayRequests: state.dayRequests,
    dayTokens: state.dayTokens + state.reservedTokens,
    dayCostMicroUsd: state.dayCostMicroUsd + state.reservedCostMicroUsd
  }
}

/** What a permission shows, on the day that the state is of. */
export const shownOf = (state: UsageState): UsageTracking => ({
  totalRequests: state.totalRequests,
  totalTokens: state.totalTokens,
  totalCostUsd: state.totalCostMicroUsd / 1e6,
  currentDayRequests: state.dayRequests,
  currentDayTokens: state.dayTokens,
  currentDayCostUsd: state.dayCostMicroUsd / 1e6,
  lastUsedAt: toTime(state.lastUsedAt),
  currentDayStart: toTime(state.dayStart)
})

/** The same at an instant, which may lie in the next day. */
export const shownAt = (state: UsageState, shown: UsageTracking, at: number): UsageTracking =>
  isOver(state.dayEnds, at)
    ? {
        ...shown,
        currentDayRequests: 0,
        currentDayTokens: 0,
        currentDayCostUsd: 0,
        currentDayStart: toTime(state.dayEnds)
      }
    : shown

const toTime = (millis: number | null): string | null =>
  millis === null ? null : new Date(Math.round(millis)).toISOString()

/** What an actor used today by one permission, as of a version of the permission's usage. */
export interface SpentBy {
  readonly permissionId: string
  readonly version: number
  readonly dayRequests: number
  readonly dayTokens: number
  readonly dayCostMicroUsd: number
}

/** What an actor used today, permission by permission. */
export interface SpendState {
  readonly by: ReadonlyMap<string, SpentBy>
  readonly sum: Spend
  readonly dayEnds: number
  readonly now: number
}

/** The state of so many permissions. */
export const spendOf = (by: ReadonlyMap<string, SpentBy>, dayEnds: number, now: number): SpendState => {
  const sum = { requests: 0, tokens: 0, costMicroUsd: 0 }
  for (const one of by.values()) {
    sum.requests += one.dayRequests
    sum.tokens += one.dayTokens
    sum.costMicroUsd += one.dayCostMicroUsd
  }
  return { by, sum, dayEnds, now }
}

/**
 * With a permission's usage as it became; the same state where that is known already. Undefined: the usage is of
 * another day, and what others used on it is not known.
 */
export const spendWith = (
  spend: SpendState,
  permissionId: string,
  state: UsageState
): SpendState | undefined => {
  if (state.dayEnds !== spend.dayEnds) return undefined
  if ((spend.by.get(permissionId)?.version ?? -1) >= state.version) return spend
  const { version, dayRequests, dayTokens, dayCostMicroUsd } = state
  const one = { permissionId, version, dayRequests, dayTokens, dayCostMicroUsd }
  return spendOf(new Map(spend.by).set(permissionId, one), spend.dayEnds, spend.now)
}

const noSpend: Spend = { requests: 0, tokens: 0, costMicroUsd: 0 }

/** What an actor used on the day of an instant. */
export const spendAt = (spend: SpendState, at: number): Spend =>
  isOver(spend.dayEnds, at) ? noSpend : spend.sum
