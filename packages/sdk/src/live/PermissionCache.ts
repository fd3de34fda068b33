/** The work of `PermissionCache`: a hit ends here; everything else is decided in its parts. */
import { Effect, type Scope } from "effect"
import { type Decision, without } from "../Decision.ts"
import { EventBuffer } from "../EventBuffer.ts"
import { FailurePolicy } from "../FailurePolicy.ts"
import { GovernanceHttp, type PlatformRefused } from "../GovernanceHttp.ts"
import { decide, hitJudged } from "../internal/CacheAsking.ts"
import { addSpend } from "../internal/CacheEntry.ts"
import { watched } from "../internal/CacheFlights.ts"
import { isContradicted, takeAnswer } from "../internal/CacheJudgement.ts"
import { outage } from "../internal/CacheOutage.ts"
import { canonicalId, find, keyOf, ownUse, type Parts } from "../internal/CacheParts.ts"
import { holdResources, isMissing, renewAtOnce } from "../internal/CacheRenewal.ts"
import {
  type CacheState,
  forgetAll,
  makeState,
  organizationOf,
  takeLost,
  takePush,
  unaskedOf
} from "../internal/CacheState.ts"
import { keepCurrent } from "../internal/CacheTurns.ts"
import type { EntryKey } from "../internal/EntryTable.ts"
import { monotonic } from "../internal/Monotonic.ts"
import { onHeard } from "../internal/PlatformClock.ts"
import { machine } from "../internal/Sleep.ts"
import {
  type CacheStatistics,
  type CheckInput,
  PermissionCache,
  type PermissionCacheOptions
} from "../PermissionCache.ts"
import { PolicyEngine } from "../PolicyEngine.ts"
import { Pushes } from "../Pushes.ts"
import { Settings } from "../Settings.ts"
import { SharedCache } from "../SharedCache.ts"
import { Telemetry } from "../Telemetry.ts"
import { TrustTracker } from "../TrustTracker.ts"
import { spannedChecks } from "../telemetry/Checks.ts"

const ungoverned = Effect.succeed(
  without({
    allowed: true,
    reason: "Governance is switched off",
    mode: "ungoverned",
    source: "settings",
    rule: "governance_off"
  })
)

const statisticsOf = (state: CacheState): CacheStatistics => {
  const { reasons, ...counters } = state.counters
  const asked = counters.hits + counters.misses
  return {
    size: state.table.size,
    ...counters,
    reasons: { ...reasons },
    hitRate: asked === 0 ? 0 : counters.hits / asked
  }
}

/** Hands what pushes dropped to what asks again. */
const follow = (parts: Parts, askAgain: (keys: ReadonlyArray<EntryKey>) => void) =>
  Effect.gen(function* () {
    const pushes = yield* Pushes
    const own = parts.settings.organizationId
    parts.state.onRecordsDue = () => askAgain([])
    yield* pushes.listen((push) => {
      if (push._tag === "Lost") takeLost(parts.state, own)
      if (push._tag !== "Epoch") return
      machine.look()
      const now = parts.now()
      const saidAt = now - onHeard(parts.clock, push.message.timestamp, now)
      const dropped = takePush(parts.state, push.organizationId, push.message, saidAt, now)
      const used: Array<EntryKey> = dropped.filter((entry) => entry.live).slice(0, renewAtOnce)
      const unasked =
        used.length > 0 ? undefined : unaskedOf(parts.state, ownUse(parts.settings), push.message)
      if (unasked !== undefined) used.push(unasked)
      if (used.length > 0 || isMissing(parts.state)) askAgain(used)
    })
  })

const makeParts = Effect.fnUntraced(function* (options: PermissionCacheOptions) {
  const clock = yield* Effect.clockWith(Effect.succeed)
  const settings = yield* Settings
  const parts: Parts = {
    state: makeState(options.capacity ?? 10_000, settings),
    settings,
    http: yield* GovernanceHttp,
    engine: yield* PolicyEngine,
    trust: yield* TrustTracker,
    events: yield* EventBuffer,
    shared: yield* SharedCache,
    failure: yield* FailurePolicy,
    now: monotonic(clock),
    clock: (yield* Pushes).clock,
    wallNow: () => clock.currentTimeMillisUnsafe(),
    scope: yield* Effect.scope,
    tally: (yield* Telemetry.orSilent).tally,
    flying: new Map()
  }
  return parts
})

type Needs =
  | Settings
  | GovernanceHttp
  | PolicyEngine
  | TrustTracker
  | Pushes
  | EventBuffer
  | SharedCache
  | Scope.Scope

/** A cache and what keeps it current. */
export const make: (
  options: PermissionCacheOptions
) => Effect.Effect<PermissionCache["Service"], never, Needs> = Effect.fnUntraced(function* (options) {
  const parts = yield* makeParts(options)
  const { engine, now, settings, state } = parts
  yield* follow(parts, yield* keepCurrent(parts))
  const { counters, table } = state

  const checkUnsafe = (input: CheckInput): Effect.Effect<Decision, PlatformRefused> => {
    const entry = find(parts, input)
    if (entry?.plain === true && input.context === undefined) {
      const at = now()
      if (
        at < entry.expiresAt &&
        entry.generation === engine.generationUnsafe() &&
        (!entry.allowed || (at < entry.organization.freshUntil && entry.actor.score >= entry.trustFloor))
      ) {
        counters.hits++
        table.touch(entry)
        return entry.hit
      }
    }
    if (!settings.governance) return ungoverned
    return decide(parts, { input, judged: false, sends: input.context, platformOnly: false }, false)
  }
  const { sampling } = yield* Telemetry.orSilent
  const check = spannedChecks(sampling, checkUnsafe)
  return PermissionCache.of({
    check,
    checkUnsafe,
    checkJudged: (input, how) =>
      settings.governance
        ? spannedChecks(sampling, () => decide(parts, { input, judged: true, ...how }, false))(input)
        : ungoverned,
    hitJudgedUnsafe: (input) => (settings.governance ? hitJudged(parts, input) : undefined),
    nowUnsafe: now,
    watching: (input, question) =>
      watched(state, keyOf(parts, input), (flight) => question({ askedAt: now(), flight })),
    tookUnsafe: (input, answer, asked) => {
      const { askedAt, flight } = asked
      const key = keyOf(parts, input)
      flight.contradicted = isContradicted(parts, key, answer, asked)
      // A push that came meanwhile is newer than an answer of an earlier epoch.
      const heldEpoch = organizationOf(state, key.organizationId).epoch
      return takeAnswer(parts, key, answer, {
        askedAt,
        heldEpoch,
        tainted: flight.tainted !== null,
        withContext: true,
        confirms: true
      })
    },
    preload: (inputs) => Effect.forEach(inputs, (input) => Effect.ignore(check(input)), preloading),
    holdResources: (ids) => holdResources(parts, ids),
    statistics: Effect.sync(() => statisticsOf(state)),
    invalidate: Effect.sync(() => {
      for (const organizationId of state.organizations.keys()) forgetAll(state, organizationId, now())
    }),
    heldUnsafe: (input) => find(parts, input),
    recordUnsafe: (resourceId) => state.resources.get(canonicalId(resourceId)) ?? null,
    spentUnsafe: (input, amounts) => {
      const entry = find(parts, input)
      if (entry !== undefined) addSpend(entry, amounts, now)
    },
    outageUnsafe: (input, judged) => outage(parts, input, judged)
  })
})

const preloading = { concurrency: "unbounded", discard: true } as const
