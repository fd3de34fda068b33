/**
 * May this actor do this now? Gathers the facts, asks `PermissionCheck`, and answers; a reservation also takes
 * what the call will use (LIMIT-3). A check changes nothing (CHECK-4).
 *
 * Facts come from the snapshot, and what was used from copies that are a second old at most; a reservation is
 * decided by the database.
 */
import {
  type Amounts,
  ApiError,
  type CheckRequest,
  type CheckResult,
  type PermissionId,
  type ReportUsage,
  type ReservationId,
  type ReserveRequest,
  type ReserveResult
} from "@agion/domain"
import type { CallerInfo } from "@agion/domain/api"
import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import { Feed } from "../changes/Feed.ts"
import type { Signing } from "../keys/Signing.ts"
import { type Meters, meters } from "../telemetry/Meters.ts"
import { beneath } from "../telemetry/Spans.ts"
import * as Answer from "./Answer.ts"
import { callOf } from "./Call.ts"
import * as Deciding from "./Deciding.ts"
import type { DecisionLog } from "./DecisionLog.ts"
import * as Limits from "./Limits.ts"
import * as Reservations from "./Reservations.ts"
import { type Known, Snapshot } from "./Snapshot.ts"
import * as Telling from "./Telling.ts"
import * as Usages from "./Usages.ts"
import * as UsedFacts from "./UsedFacts.ts"

/** A check whose organization is settled. */
export type Asked = Omit<CheckRequest, "organizationId"> & {
  readonly organizationId: string
  /** The address of whoever asks, as its socket spells it; absent: nobody asks over a network. */
  readonly peer?: string | undefined
}

export interface ChecksOptions {
  /** What policies read as `context.environment`. Default: it is absent. */
  readonly environment?: string | undefined
}

export class Checks extends Context.Service<
  Checks,
  {
    readonly check: (asked: Asked) => Effect.Effect<CheckResult, ApiError.Unavailable>
    /**
     * The same at once, where memory holds everything and there is nothing to read or raise; undefined where it
     * takes more.
     */
    readonly now: (asked: Asked) => CheckResult | undefined
    /** Many at once, answered in order. */
    readonly batch: (
      asked: ReadonlyArray<Asked>
    ) => Effect.Effect<ReadonlyArray<CheckResult>, ApiError.Unavailable>
    readonly reserve: (
      asked: Asked,
      reservation: Pick<ReserveRequest, "amounts" | "ttlMs" | "idempotencyKey">
    ) => Effect.Effect<ReserveResult, ApiError.Unavailable | ApiError.Conflict>
    /** Replaces the estimate by the truth; what is not said stays as estimated. Again: nothing. */
    readonly settle: (
      caller: CallerInfo,
      id: ReservationId,
      actual: Amounts
    ) => Effect.Effect<void, ApiError.NotFound | ApiError.Conflict>
    readonly release: (
      caller: CallerInfo,
      id: ReservationId
    ) => Effect.Effect<void, ApiError.NotFound | ApiError.Conflict>
    /**
     * Adds what a call used; the same event id counts once. Closes the reservation that was made by its
     * `reservationKey` instead, if one was, and keeps a later request from making it. Answers whose it was.
     */
    readonly use: (
      caller: CallerInfo,
      id: PermissionId,
      usage: ReportUsage
    ) => Effect.Effect<string | undefined, ApiError.NotFound>
  }
>()("@agion/server/Checks") {
  static readonly layer = (
    options?: ChecksOptions
  ): Layer.Layer<Checks, never, SqlClient.SqlClient | Changes | Snapshot | Signing | DecisionLog | Feed> =>
    Layer.effect(Checks, make(options ?? {}))
}

const make = Effect.fnUntraced(function* ({ environment }: ChecksOptions) {
  const snapshot = yield* Snapshot
  const feed = yield* Feed
  const limits = Limits.make(yield* SqlClient.SqlClient)
  const usages = yield* Usages.make(limits)
  yield* (yield* Changes).listen(usages.hear)
  const used = UsedFacts.make(usages, limits)
  const decide = yield* Deciding.make(environment)
  const meter = yield* meters
  const telling = yield* Telling.make(meter)
  const reservations = yield* Reservations.make({ limits, usages, used, decide, telling })
  const timed = timing(meter)

  const fresh = Effect.suspend(() =>
    feed.isFresh()
      ? Effect.void
      : Effect.fail(
          new ApiError.Unavailable({
            message: "this replica may be behind the others and does not decide; ask another or try again"
          })
        )
  )

  const judge = (known: Known, asked: Asked, { usage, shown }: UsedFacts.Used): Answer.Decided =>
    Answer.withShown(decide(known, asked, usage, callOf(asked)), shown)

  const check = Effect.fnUntraced(function* (asked: Asked) {
    yield* fresh
    const known =
      snapshot.peek(asked.organizationId, asked) ?? (yield* snapshot.know(asked.organizationId, [asked]))[0]
    if (known === undefined) return yield* Effect.die(new Error("a question without an answer"))
    const [facts = UsedFacts.nothingUsed] = yield* used.of([known], [asked])
    return yield* telling.answer(judge(known, asked, facts))
  })

  const now = (asked: Asked): CheckResult | undefined => {
    if (!feed.isFresh()) return undefined
    const known = snapshot.peek(asked.organizationId, asked)
    const facts = known === undefined ? undefined : used.now(known, asked)
    return known === undefined || facts === undefined ? undefined : telling.now(judge(known, asked, facts))
  }

  const batch = Effect.fnUntraced(function* (asked: ReadonlyArray<Asked>) {
    const results = asked.map(now)
    const waiting = asked.filter((_, index) => results[index] === undefined)
    if (waiting.length === 0) return results.filter((result) => result !== undefined)
    const slow = yield* readAndCheck(waiting)
    let next = 0
    return results.flatMap((result) => result ?? slow[next++] ?? [])
  })

  /** Answers, in order, what memory alone could not. */
  const readAndCheck = Effect.fnUntraced(function* (asked: ReadonlyArray<Asked>) {
    yield* fresh
    const knowns = yield* knowAll(snapshot, asked)
    const facts = yield* used.of(knowns, asked)
    return yield* Effect.forEach(asked, (one, index) => {
      const known = knowns[index]
      if (known === undefined) return Effect.die(new Error("a question without an answer"))
      return telling.answer(judge(known, one, facts[index] ?? UsedFacts.nothingUsed))
    })
  })

  return Checks.of({
    ...reservations,
    check: (asked) => timed("check", 1, check(asked)),
    now,
    batch: (asked) => timed("batch", asked.length, batch(asked)),
    reserve: (asked, reservation) =>
      timed("reserve", 1, Effect.andThen(fresh, reservations.reserve(asked, reservation)))
  })
})

/** Questions about several organizations, answered in order. */
const knowAll = Effect.fnUntraced(function* (snapshot: Snapshot["Service"], asked: ReadonlyArray<Asked>) {
  const byOrganization = Map.groupBy(asked, (one) => one.organizationId)
  const found = new Map<Asked, Known>()
  for (const [organizationId, questions] of byOrganization) {
    const knowns = yield* snapshot.know(organizationId, questions)
    for (const [index, question] of questions.entries()) {
      const known = knowns[index]
      if (known !== undefined) found.set(question, known)
    }
  }
  return asked.flatMap((one) => found.get(one) ?? [])
})

/** Times an operation, in a span where its caller's trace is looked at. */
const timing =
  (meter: Meters) =>
  <A, E, R>(
    operation: "check" | "batch" | "reserve",
    checks: number,
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      const begun = meter.now()
      const done = () => {
        const own = { "agion.check.operation": operation }
        meter.duration("agion.server.check.duration", own, meter.now() - begun)
      }
      const spanned = beneath(`Checks.${operation}`, { "agion.check.count": checks }, effect)
      return Effect.tap(spanned, () => Effect.sync(done))
    })
