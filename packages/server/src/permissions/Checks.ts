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
  type Permission,
  type PermissionId,
  type ReportUsage,
  type ReservationId,
  type ReserveRequest,
  type ReserveResult,
  type UsageTracking
} from "@agion/domain"
import type { CallerInfo } from "@agion/domain/api"
import { Dlp, PermissionCheck, PolicyFacts } from "@agion/policy"
import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import { Feed } from "../changes/Feed.ts"
import * as Governance from "../changes/Governance.ts"
import type { Alert } from "../events/Alerts.ts"
import { clientIp } from "../http/ClientIp.ts"
import { Signing } from "../keys/Signing.ts"
import { isAway } from "../sql/Database.ts"
import { dying } from "../sql/Failure.ts"
import { type Meters, meters } from "../telemetry/Meters.ts"
import { beneath } from "../telemetry/Spans.ts"
import * as Answer from "./Answer.ts"
import { DecisionLog, type Told } from "./DecisionLog.ts"
import * as Limits from "./Limits.ts"
import { type Grant, type Known, Snapshot } from "./Snapshot.ts"
import * as Together from "./Together.ts"
import { type Counted, type Spend, shownOf, type UsageState } from "./UsageState.ts"
import * as Usages from "./Usages.ts"

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

const defaultTtl = 300_000

const make = Effect.fnUntraced(function* ({ environment }: ChecksOptions) {
  const sql = yield* SqlClient.SqlClient
  const snapshot = yield* Snapshot
  const signing = yield* Signing
  const log = yield* DecisionLog
  const feed = yield* Feed
  const clock = yield* Clock.Clock
  const limits = Limits.make(sql)
  const usages = yield* Usages.make(limits)
  const take = yield* Together.make(limits.reserve, (error) => SqlError.isSqlError(error) && !isAway(error))
  yield* (yield* Changes).listen(usages.hear)
  const content = contentJudge(Dlp.make())
  const meter = yield* meters

  const fresh = Effect.suspend(() =>
    feed.isFresh()
      ? Effect.void
      : Effect.fail(
          new ApiError.Unavailable({
            message: "this replica may be behind the others and does not decide; ask another or try again"
          })
        )
  )

  const decide = (known: Known, asked: Asked, usage: PermissionCheck.Usage, call: PermissionCheck.Call) => {
    const now = clock.currentTimeMillisUnsafe()
    const facts = factsOf(known, asked, usage, call, now)
    const decision = PermissionCheck.decide(facts, {
      policies: policyJudge(known, asked, environment),
      content
    })
    // What observing let through was denied: it earns nothing (TRUST-6, POLICY-8).
    const allowed = decision.allowed && decision.observed?.allowed !== false
    const decisionId = signing.decisionId(known.organizationId, asked.actorId, allowed, now)
    const signed = signing.trustAt(
      known.organizationId,
      known.epoch,
      { entityId: asked.actorId, entityType: asked.actorType, score: known.trustScore },
      now
    )
    return { known, asked, usage, decision, decisionId, signed, now, permission: known.permission }
  }

  /** What was used, of several checks at once; nothing where nothing depends on it. */
  const usageOf = Effect.fnUntraced(function* (knowns: ReadonlyArray<Known>, asked: ReadonlyArray<Asked>) {
    const limited = [...new Set(knowns.flatMap((known) => limitedId(known) ?? []))]
    const spending = new Map<string, Usages.ActorKey>()
    for (const [index, known] of knowns.entries())
      if (dependsOnSpend(known, asked[index])) spending.set(spendKey(known), actorKey(known))
    const [read, spent] = yield* Effect.all([
      limited.length === 0 ? noReads : usages.get(limited),
      spending.size === 0 ? noReads : usages.getSpends([...spending.values()])
    ])
    const byId = new Map(limited.map((id, index) => [id, read[index]]))
    const byActor = new Map([...spending.keys()].map((key, index) => [key, spent[index]]))
    return knowns.map((known): Used => usedOf(byId.get(limitedId(known) ?? ""), byActor.get(spendKey(known))))
  })

  /** The same of one check at once; undefined where something must be read. */
  const usageNow = (known: Known, asked: Asked): Used | undefined => {
    const id = limitedId(known)
    const reads = dependsOnSpend(known, asked)
    if (id === undefined && !reads) return nothingUsed
    const usage = id === undefined ? undefined : usages.peek(id)
    const spend = reads ? usages.peekSpend(actorKey(known)) : undefined
    return (id !== undefined && usage === undefined) || (reads && spend === undefined)
      ? undefined
      : usedOf(usage, spend)
  }

  const tally = tallying(meter)

  /** Times an operation, in a span where its caller's trace is looked at. */
  const timed = <A, E, R>(
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

  const answer = (decided: Answer.Decided) => {
    tally(decided)
    if (isNotable(decided.decision)) log.note(told(decided))
    const alert = alertOf(decided)
    const result = Answer.checkResult(decided, decided.asked.fields ?? "full")
    return alert === undefined ? Effect.succeed(result) : Effect.as(log.alert(alert), result)
  }

  const check = Effect.fnUntraced(function* (asked: Asked) {
    yield* fresh
    const known =
      snapshot.peek(asked.organizationId, asked) ?? (yield* snapshot.know(asked.organizationId, [asked]))[0]
    if (known === undefined) return yield* Effect.die(new Error("a question without an answer"))
    const [used = nothingUsed] = yield* usageOf([known], [asked])
    return yield* answer(withShown(decide(known, asked, used.usage, callOf(asked)), used.shown))
  })

  const now = (asked: Asked): CheckResult | undefined => {
    if (!feed.isFresh()) return undefined
    const known = snapshot.peek(asked.organizationId, asked)
    const used = known === undefined ? undefined : usageNow(known, asked)
    if (known === undefined || used === undefined) return undefined
    const decided = withShown(decide(known, asked, used.usage, callOf(asked)), used.shown)
    if (isNotable(decided.decision)) {
      const alert = alertOf(decided)
      if (alert !== undefined && log.isDue(alert)) return undefined
      log.note(told(decided))
    }
    tally(decided)
    return Answer.checkResult(decided, asked.fields ?? "full")
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
    const used = yield* usageOf(knowns, asked)
    return yield* Effect.forEach(asked, (one, index) => {
      const known = knowns[index]
      if (known === undefined) return Effect.die(new Error("a question without an answer"))
      const { usage, shown } = used[index] ?? nothingUsed
      return answer(withShown(decide(known, one, usage, callOf(one)), shown))
    })
  })

  const reserve: Checks["Service"]["reserve"] = Effect.fnUntraced(function* (asked, { amounts, ...options }) {
    yield* fresh
    const [known] = yield* snapshot.know(asked.organizationId, [asked])
    if (known === undefined) return yield* Effect.die(new Error("a question without an answer"))
    const call = reserveCall(asked, amounts)
    const before = known.policies.readsSpend ? yield* spent(known) : nothingUsed
    const first = decide(known, asked, before.usage, call)
    if (!first.decision.allowed || known.permission === null) return yield* refused(first)
    const outcome = yield* dying(take(limitedCall(known, known.permission, call, options, first.now)))
    if (outcome._tag === "Missing")
      return yield* refused(decide({ ...known, permission: null }, asked, before.usage, call))
    if (outcome._tag === "KeyUsed") return yield* new ApiError.Conflict({ message: keyUsed(outcome) })
    const usage = { ...before.usage, ...outcome.before }
    if (outcome._tag === "Existing")
      return yield* reserved(withRemaining(first, known.permission, usage), outcome.held)
    const second = decide(known, asked, usage, call)
    if (outcome._tag === "Refused") return yield* refused(second)
    const shown = write(known.organizationId, known.permission, outcome.state)
    return yield* reserved(withShown(second, shown), outcome.held)
  })

  /** What the actor has used today, by the database itself. */
  const spent = (known: Known) =>
    Effect.map(dying(limits.spends([actorKey(known)])), ([spend]) => usedOf(undefined, spend?.sum))

  /** Keeps what the database answered to a write where checks and permissions show it. */
  const write = (organizationId: string, permission: Grant, state: UsageState): UsageTracking => {
    const shown = shownOf(state)
    usages.written({ organizationId, actorId: permission.actorId }, permission.id, state)
    snapshot.used(organizationId, permission, shown)
    return shown
  }

  const refused = (decided: Answer.Decided) =>
    Effect.map(answer(decided), (result): ReserveResult => ({ ...result, reservation: null }))

  const reserved = (decided: Answer.Decided, held: Limits.Held) =>
    Effect.map(
      answer(decided),
      (result): ReserveResult => ({ ...result, reservation: Answer.reservation(held) })
    )

  /** Keeps what was written, and tells when a limit was crossed. */
  const counted = ({ before, after, state, who }: Limits.Counting) => {
    if (who === undefined) return Effect.succeed(undefined)
    write(who.organizationId, permissionOf(who), state)
    const limit =
      before === undefined || after === undefined ? undefined : crossed(who.constraints, before, after)
    if (limit === undefined) return Effect.succeed(who.organizationId)
    return Effect.as(
      log.alert({
        organizationId: who.organizationId,
        severity: "warning",
        kind: "limit_crossed",
        subject: `permission ${who.permissionId}`,
        reason: `the ${limit} limit of the permission is used up`,
        metadata: { actor_id: who.actorId, actor_type: who.actorType, resource_id: who.resourceId, limit }
      }),
      who.organizationId
    )
  }

  const closed =
    (id: ReservationId, intended: "settled" | "released") =>
    (outcome: Limits.Closed): Closing => {
      if (outcome._tag === "Missing")
        return Effect.fail(new ApiError.NotFound({ message: `there is no reservation \`${id}\`` }))
      if (outcome._tag === "Closed") return Effect.asVoid(counted(outcome))
      if (outcome.status === intended) return Effect.void
      return Effect.fail(
        new ApiError.Conflict({
          message: `reservation \`${id}\` was ${outcome.status} and cannot be ${intended}`
        })
      )
    }

  return Checks.of({
    check: (asked) => timed("check", 1, check(asked)),
    now,
    batch: (asked) => timed("batch", asked.length, batch(asked)),
    reserve: (asked, reservation) => timed("reserve", 1, reserve(asked, reservation)),
    settle: (caller, id, actual) =>
      dying(
        limits.settle(
          id,
          { tokens: actual.tokens ?? null, costMicroUsd: microOrNull(actual.costUsd) },
          caller
        )
      ).pipe(Effect.flatMap(closed(id, "settled"))),
    release: (caller, id) => Effect.flatMap(dying(limits.release(id, caller)), closed(id, "released")),
    use: Effect.fnUntraced(function* (caller, id, usage) {
      const outcome = yield* dying(
        limits.charge(
          id,
          {
            reservationKey: usage.reservationKey ?? null,
            eventId: usage.eventId ?? null,
            requests: usage.requestCount ?? 1,
            tokens: usage.tokenCount ?? 0,
            costMicroUsd: microOrNull(usage.costUsd) ?? 0,
            occurredAt: usage.occurredAt ?? null
          },
          caller
        )
      )
      if (outcome._tag === "Missing")
        return yield* new ApiError.NotFound({ message: `there is no permission \`${id}\`` })
      return outcome._tag === "Charged" ? yield* counted(outcome) : undefined
    })
  })
})

/** Counts what was decided. */
const tallying = (meter: Meters) => {
  const counters = new Map<string, () => void>()
  const counterOf = (outcome: "allow" | "deny", step: string) => {
    const own = { "agion.decision.outcome": outcome, "agion.decision.step": step }
    return meter.counter("agion.server.decisions", own)
  }
  const allowed = counterOf("allow", "none")
  return ({ decision }: Answer.Decided) => {
    if (decision.allowed) return allowed()
    const step = decision.denial?.step ?? "none"
    const counter = counters.get(step) ?? counterOf("deny", step)
    counters.set(step, counter)
    return counter()
  }
}

const isCritical = (violation: PermissionCheck.Violation): boolean =>
  violation.level === "critical" && violation.blocks

/** True for a decision that somebody may want to hear of. */
const isNotable = (decision: PermissionCheck.Decision): boolean =>
  decision.denial !== null || decision.violations.length > 0 || decision.observed?.allowed === false

const told = ({ known, asked, decision, decisionId }: Answer.Decided): Told => {
  const action = asked.context?.["action"]
  return {
    organizationId: known.organizationId,
    actorId: asked.actorId,
    actorType: asked.actorType,
    resourceId: asked.resourceId,
    resourceType: known.resource?.resource.resourceType ?? "",
    action: typeof action === "string" ? action : asked.permissionType,
    decisionId,
    decision
  }
}

type Closing = Effect.Effect<void, ApiError.NotFound | ApiError.Conflict>

interface Used {
  readonly usage: PermissionCheck.Usage
  readonly shown: UsageTracking | undefined
}

const noReads = Effect.succeed([])
const nothingUsed: Used = { usage: PermissionCheck.noUsage, shown: undefined }

const actorKey = (known: Known): Usages.ActorKey => ({
  organizationId: known.organizationId,
  actorId: known.actor.id
})

const spendKey = (known: Known): string => `${known.organizationId}\0${known.actor.id}`

const dependsOnSpend = (known: Known, asked: Asked | undefined): boolean =>
  known.policies.readsSpend || asked?.fields === "entry"

/** The permission whose use counts, if one does. */
const limitedId = ({ permission }: Known): string | undefined =>
  permission !== null && PermissionCheck.needsReservation(permission.constraints) ? permission.id : undefined

const usedOf = (usage: Usages.Usage | undefined, spend: Spend | undefined): Used =>
  usage === undefined && spend === undefined
    ? nothingUsed
    : { usage: usageFacts(usage?.counted, spend), shown: usage?.shown }

const usageFacts = (counted: Counted | undefined, spend: Spend | undefined): PermissionCheck.Usage => ({
  ...PermissionCheck.noUsage,
  ...counted,
  actorRequestsToday: spend?.requests ?? 0,
  actorTokensToday: spend?.tokens ?? 0,
  actorCostUsdToday: (spend?.costMicroUsd ?? 0) / 1e6
})

/** The alert that a decision asks for. Most ask for none. */
const alertOf = ({ known, asked, decision }: Answer.Decided): Alert | undefined => {
  const critical = decision.violations.find(isCritical)
  const organizationId = known.organizationId
  const metadata = { actor_id: asked.actorId, actor_type: asked.actorType, resource_id: asked.resourceId }
  if (critical !== undefined)
    return {
      organizationId,
      severity: "critical",
      kind: "policy_violation",
      subject: `policy ${critical.subject}, actor ${asked.actorId}, resource ${asked.resourceId}`,
      reason: `Policy violation: ${critical.name}`,
      metadata
    }
  const step = decision.denial?.step
  if (known.permission === null || (step !== "rate" && step !== "tokens" && step !== "cost")) return undefined
  return {
    organizationId,
    severity: "warning",
    kind: "limit_reached",
    subject: `permission ${known.permission.id}`,
    reason: decision.reason,
    metadata: { ...metadata, limit: step }
  }
}

/** Of each permission as it was shown last: while nothing is used the next answer is the same value. */
const lastShown = new WeakMap<Permission, Permission>()

const permissionWith = (permission: Permission, usageTracking: UsageTracking): Permission => {
  const last = lastShown.get(permission)
  if (last?.usageTracking === usageTracking) return last
  const next = { ...permission, usageTracking }
  lastShown.set(permission, next)
  return next
}

const withShown = (decided: Answer.Decided, shown: UsageTracking | undefined): Answer.Decided =>
  shown === undefined || decided.permission === null
    ? decided
    : { ...decided, permission: permissionWith(decided.permission, shown) }

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

const factsOf = (
  known: Known,
  asked: Asked,
  usage: PermissionCheck.Usage,
  call: PermissionCheck.Call,
  now: number
): PermissionCheck.Facts => ({
  now,
  timeZone: known.settings.timeZone,
  enforcement: known.settings.enforcement,
  actor: {
    id: asked.actorId,
    type: asked.actorType,
    suspended: known.actor.status === "suspended",
    trustScore: known.trustScore,
    view: known.actor.view
  },
  resource: known.resource?.facts ?? null,
  permission: known.permission,
  usage,
  call
})

const noContext: PermissionCheck.View = {}

const amount = (value: unknown): number | null =>
  typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null

const whole = (value: number | null): number | null =>
  value === null ? null : Math.min(Math.ceil(value), Number.MAX_SAFE_INTEGER)

const maxMicroUsd = 9_000_000_000_000_000

const microOrNull = (usd: number | null | undefined): number | null =>
  usd == null ? null : Math.min(PermissionCheck.microUsd(usd), maxMicroUsd)

const limitMicroOrNull = (usd: number | null | undefined): number | null =>
  usd == null ? null : Math.min(PermissionCheck.limitMicroUsd(usd), maxMicroUsd)

const callOf = (asked: Asked): PermissionCheck.Call => {
  const context = asked.context ?? noContext
  return {
    permissionType: asked.permissionType,
    requests: 1,
    tokens: whole(amount(context["request_tokens"])),
    costMicroUsd: microOrNull(amount(context["estimated_cost"])),
    context
  }
}

const reserveCall = (asked: Asked, amounts: Amounts): PermissionCheck.Call => {
  const call = callOf(asked)
  return {
    ...call,
    requests: amounts.requests ?? 1,
    tokens: amounts.tokens ?? call.tokens,
    costMicroUsd: microOrNull(amounts.costUsd) ?? call.costMicroUsd
  }
}

/** What was decided, with what is left as of a usage: a reservation that is answered again is in it. */
const withRemaining = (
  decided: Answer.Decided,
  permission: Permission,
  usage: PermissionCheck.Usage
): Answer.Decided => ({
  ...decided,
  decision: { ...decided.decision, remaining: PermissionCheck.remaining(permission.constraints, usage) }
})

const keyUsed = ({ why, held }: Limits.KeyUsed): string => {
  switch (why) {
    case "closed":
      return "the idempotency key belongs to a reservation that is settled or released, or to a call that was reported before its reservation arrived; use a new key"
    case "expired":
      return `the idempotency key belongs to reservation \`${held.id}\`, which has expired and stays charged as estimated; settle or release it, and use a new key for another call`
    case "other":
      return `the idempotency key belongs to reservation \`${held.id}\` of ${held.requests} requests, ${held.tokens} tokens and ${held.costMicroUsd / 1e6} USD; ask for the same amounts again or use a new key`
  }
}

const limitedCall = (
  known: Known,
  permission: Permission,
  call: PermissionCheck.Call,
  options: Pick<ReserveRequest, "ttlMs" | "idempotencyKey">,
  now: number
): Limits.ReserveCall => ({
  permissionId: permission.id,
  reservationId: Governance.uuidv7(now),
  idempotencyKey: options.idempotencyKey ?? null,
  requests: call.requests,
  tokens: call.tokens,
  costMicroUsd: call.costMicroUsd,
  rateLimit: permission.constraints.rateLimitRpm ?? null,
  tokenLimit: permission.constraints.tokenLimitPerDay ?? null,
  costLimitMicroUsd: limitMicroOrNull(permission.constraints.costLimitPerDayUsd),
  ttlMs: options.ttlMs ?? defaultTtl,
  enforce: known.settings.enforcement === "enforce"
})

const policyJudge = (
  known: Known,
  asked: Asked,
  environment: string | undefined
): PermissionCheck.Judges["policies"] => {
  const { set } = known.policies
  if (set.size === 0) return null
  const attached = asked.context?.["metadata"]
  const metadata = isRecord(attached) ? attached : noContext
  return (facts) => {
    const surroundings = { clientIp: clientIp(asked.peer), environment }
    return PolicyFacts.verdictOf(
      set.evaluate(PolicyFacts.policyInput(facts, asked.resourceId, metadata, surroundings))
    )
  }
}

const isRecord = (value: unknown): value is PermissionCheck.View =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const clean: PermissionCheck.ContentVerdict = { decision: "allow", findings: [] }

/** Scans the content and the arguments that a call brings. */
const contentJudge =
  (dlp: Dlp.Dlp): PermissionCheck.Judges["content"] =>
  (facts) => {
    const { content, arguments: given } = facts.call.context
    const said = typeof content === "string" && content !== "" ? dlp.scan(content) : clean
    if (given === undefined || given === null || said.decision === "block") return said
    const passed = dlp.scanValue(given)
    if (passed.decision === "block" || said.decision === "allow") return passed
    return said
  }

const crossed = (
  constraints: Limits.Who["constraints"],
  before: Counted,
  after: Counted
): "token" | "cost" | undefined => {
  const { tokenLimitPerDay: tokens, costLimitPerDayUsd: usd } = constraints
  if (tokens != null && before.dayTokens < tokens && after.dayTokens >= tokens) return "token"
  const cost = limitMicroOrNull(usd)
  if (cost !== null && before.dayCostMicroUsd < cost && after.dayCostMicroUsd >= cost) return "cost"
  return undefined
}

const permissionOf = (who: Limits.Who) => ({
  id: who.permissionId,
  actorId: who.actorId,
  actorType: who.actorType,
  resourceId: who.resourceId,
  permissionType: who.permissionType
})
