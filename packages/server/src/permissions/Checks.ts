/**
 * May this actor do this now? Gathers the facts, asks `PermissionCheck`, and answers; a reservation also takes
 * what the call will use (LIMIT-3). A check changes nothing (CHECK-4).
 *
 * Facts come from the snapshot; only what was used is read from the database, and only where a limit or a policy
 * asks for it.
 */
import {
  type Amounts,
  ApiError,
  type CallerInfo,
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
import { Dlp, PermissionCheck, PolicyFacts } from "@agion/policy"
import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Feed } from "../changes/Feed.ts"
import * as Governance from "../changes/Governance.ts"
import { Signing } from "../keys/Signing.ts"
import { dying } from "../sql/Failure.ts"
import * as Answer from "./Answer.ts"
import { DecisionLog, type Told } from "./DecisionLog.ts"
import * as Limits from "./Limits.ts"
import { type Known, Snapshot } from "./Snapshot.ts"

/** A check whose organization is settled. */
export type Asked = Omit<CheckRequest, "organizationId"> & { readonly organizationId: string }

export class Checks extends Context.Service<
  Checks,
  {
    readonly check: (asked: Asked) => Effect.Effect<CheckResult, ApiError.Unavailable>
    /**
     * The same at once, where memory holds everything and there is nothing to count, read or raise; undefined
     * where it takes more.
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
    /** Adds what a call used; the same event id counts once. Answers whose it was. */
    readonly use: (
      caller: CallerInfo,
      id: PermissionId,
      usage: ReportUsage
    ) => Effect.Effect<string | undefined, ApiError.NotFound>
  }
>()("@agion/server/Checks") {
  static readonly layer = (): Layer.Layer<
    Checks,
    never,
    SqlClient.SqlClient | Snapshot | Signing | DecisionLog | Feed
  > => Layer.effect(Checks, make)
}

const defaultTtl = 300_000

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const snapshot = yield* Snapshot
  const signing = yield* Signing
  const log = yield* DecisionLog
  const feed = yield* Feed
  const clock = yield* Clock.Clock
  const limits = Limits.make(sql)
  const content = contentJudge(Dlp.make())

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
    const decision = PermissionCheck.decide(facts, { policies: policyJudge(known, asked), content })
    const decisionId = signing.decisionId(known.organizationId, asked.actorId, decision.allowed, now)
    const signed = signing.trustAt(
      known.organizationId,
      known.epoch,
      { entityId: asked.actorId, entityType: asked.actorType, score: known.trustScore },
      now
    )
    return { known, asked, usage, decision, decisionId, signed, now, permission: known.permission }
  }

  /** Alerts that a decision asks for. Most ask for none. */
  const alerts = ({ known, asked, decision }: Answer.Decided): Effect.Effect<void> => {
    const critical = decision.violations.find(isCritical)
    const organizationId = known.organizationId
    const metadata = { actor_id: asked.actorId, actor_type: asked.actorType, resource_id: asked.resourceId }
    if (critical !== undefined)
      return log.alert({
        organizationId,
        severity: "critical",
        kind: "policy_violation",
        subject: `policy ${critical.subject}, actor ${asked.actorId}, resource ${asked.resourceId}`,
        reason: `Policy violation: ${critical.name}`,
        metadata
      })
    const step = decision.denial?.step
    if (known.permission === null || (step !== "rate" && step !== "tokens" && step !== "cost"))
      return Effect.void
    return log.alert({
      organizationId,
      severity: "warning",
      kind: "limit_reached",
      subject: `permission ${known.permission.id}`,
      reason: decision.reason,
      metadata: { ...metadata, limit: step }
    })
  }

  /** What was used, of several checks in one query; none where nothing depends on it. */
  const usageOf = Effect.fnUntraced(function* (
    knowns: ReadonlyArray<Known>,
    asked: ReadonlyArray<Asked>,
    counted: boolean
  ) {
    const limited = knowns.flatMap(({ permission }) =>
      counted && permission !== null && PermissionCheck.needsReservation(permission.constraints)
        ? [permission.id as string]
        : []
    )
    const read = limited.length === 0 ? noReads : yield* dying(limits.read(limited))
    const spends = new Map<string, Spend>()
    for (const [index, known] of knowns.entries()) {
      if (!known.policies.readsSpend && asked[index]?.fields !== "entry") continue
      const key = spendKey(known)
      if (!spends.has(key)) spends.set(key, yield* dying(limits.spent(known.organizationId, known.actor.id)))
    }
    return knowns.map((known): Used => {
      const usage = known.permission === null ? undefined : read.get(known.permission.id)
      return { usage: usageFacts(usage?.counted, spends.get(spendKey(known))), shown: usage?.shown }
    })
  })

  const answer = (decided: Answer.Decided) => {
    if (isNotable(decided.decision)) log.note(told(decided))
    return Effect.as(alerts(decided), Answer.checkResult(decided, decided.asked.fields ?? "full"))
  }

  const check = Effect.fnUntraced(function* (asked: Asked) {
    yield* fresh
    const known =
      snapshot.peek(asked.organizationId, asked) ?? (yield* snapshot.know(asked.organizationId, [asked]))[0]
    if (known === undefined) return yield* Effect.die(new Error("a question without an answer"))
    const [used = nothingUsed] = dependsOnUsage(known, asked) ? yield* usageOf([known], [asked], true) : []
    return yield* answer(withShown(decide(known, asked, used.usage, callOf(asked)), used.shown))
  })

  const now = (asked: Asked): CheckResult | undefined => {
    if (!feed.isFresh()) return undefined
    const known = snapshot.peek(asked.organizationId, asked)
    if (known === undefined || dependsOnUsage(known, asked)) return undefined
    const decided = decide(known, asked, PermissionCheck.noUsage, callOf(asked))
    if (decided.decision.violations.some(isCritical)) return undefined
    if (isNotable(decided.decision)) log.note(told(decided))
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
    const used = yield* usageOf(knowns, asked, true)
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
    const [before = nothingUsed] = yield* usageOf([known], [asked], false)
    const first = decide(known, asked, before.usage, call)
    if (!first.decision.allowed || known.permission === null) return yield* refused(first)
    const outcome = yield* dying(
      limits.reserve(limitedCall(known, known.permission, call, options, first.now))
    )
    if (outcome._tag === "Missing")
      return yield* refused(decide({ ...known, permission: null }, asked, before.usage, call))
    if (outcome._tag === "KeyClosed")
      return yield* new ApiError.Conflict({
        message: "the idempotency key belongs to a reservation that is settled or released; use a new key"
      })
    if (outcome._tag === "Existing") return yield* reserved(first, outcome.held)
    const usage = { ...before.usage, ...outcome.before }
    const second = decide(known, asked, usage, call)
    if (outcome._tag === "Refused") return yield* refused(second)
    snapshot.used(known.organizationId, known.permission, outcome.shown)
    return yield* reserved(withShown(second, outcome.shown), outcome.held)
  })

  const refused = (decided: Answer.Decided) =>
    Effect.map(answer(decided), (result): ReserveResult => ({ ...result, reservation: null }))

  const reserved = (decided: Answer.Decided, held: Limits.Held) =>
    Effect.map(
      answer(decided),
      (result): ReserveResult => ({ ...result, reservation: Answer.reservation(held) })
    )

  /** Keeps what permissions show up to date, and tells when a limit was crossed. */
  const counted = ({ before, after, shown, who }: Limits.Counting) => {
    if (who === undefined) return Effect.succeed(undefined)
    snapshot.used(who.organizationId, permissionOf(who), shown)
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
    check,
    now,
    batch,
    reserve,
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

interface Spend {
  readonly requests: number
  readonly tokens: number
  readonly costMicroUsd: number
}

interface Used {
  readonly usage: PermissionCheck.Usage
  readonly shown: UsageTracking | undefined
}

const noReads: ReadonlyMap<string, Limits.ReadUsage> = new Map()
const nothingUsed: Used = { usage: PermissionCheck.noUsage, shown: undefined }

const spendKey = (known: Known): string => `${known.organizationId}\0${known.actor.id}`

const dependsOnUsage = (known: Known, asked: Asked): boolean =>
  known.policies.readsSpend ||
  asked.fields === "entry" ||
  (known.permission !== null && PermissionCheck.needsReservation(known.permission.constraints))

const usageFacts = (counted: Limits.Counted | undefined, spend: Spend | undefined): PermissionCheck.Usage =>
  counted === undefined && spend === undefined
    ? PermissionCheck.noUsage
    : {
        ...PermissionCheck.noUsage,
        ...counted,
        actorRequestsToday: spend?.requests ?? 0,
        actorTokensToday: spend?.tokens ?? 0,
        actorCostUsdToday: (spend?.costMicroUsd ?? 0) / 1e6
      }

const withShown = (decided: Answer.Decided, shown: UsageTracking | undefined): Answer.Decided =>
  shown === undefined || decided.permission === null
    ? decided
    : { ...decided, permission: { ...decided.permission, usageTracking: shown } }

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
  costLimitMicroUsd: microOrNull(permission.constraints.costLimitPerDayUsd),
  ttlMs: options.ttlMs ?? defaultTtl,
  enforce: known.settings.enforcement === "enforce"
})

const policyJudge = (known: Known, asked: Asked): PermissionCheck.Judges["policies"] => {
  const { set } = known.policies
  if (set.size === 0) return null
  const attached = asked.context?.["metadata"]
  const metadata = isRecord(attached) ? attached : noContext
  return (facts) =>
    PolicyFacts.verdictOf(set.evaluate(PolicyFacts.policyInput(facts, asked.resourceId, metadata)))
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
  before: Limits.Counted,
  after: Limits.Counted
): "token" | "cost" | undefined => {
  const { tokenLimitPerDay: tokens, costLimitPerDayUsd: usd } = constraints
  if (tokens != null && before.dayTokens < tokens && after.dayTokens >= tokens) return "token"
  const cost = microOrNull(usd)
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
