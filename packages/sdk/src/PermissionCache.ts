/**
 * May this agent do this now? Answered from memory where that is right, else by the platform, and while the
 * platform is away by what is held (CACHE, FRESH, OUTAGE).
 *
 * ```ts
 * const permissions = yield* PermissionCache
 * const decision = yield* permissions.check({ resourceId, permissionType: "read" })
 * ```
 *
 * Approved answers live for 30 seconds, denied ones for 5, at most 10,000 of them; however many fibers ask, one
 * question is under way for each key. An allow is used within three seconds of the last confirmed epoch; pushes
 * drop what has changed. What depends on the call is decided anew on every hit, by the same `PermissionCheck`
 * that the platform asks, from the facts that came with the entry and what was used since.
 *
 * **Gotchas**: a check changes nothing and reserves nothing; a plain check of a permission with limits is advice
 * as of its entry. `governed` reserves.
 */
import {
  ActorId,
  type ActorType,
  OrganizationId,
  type PermissionType,
  ResourceId,
  type Wire
} from "@agion/domain"
import { type Outage, PermissionCheck, PolicyFacts } from "@agion/policy"
import { Context, Deferred, Effect, Exit, Layer, Queue, Schedule, Schema, type Scope } from "effect"
import { type Decision, ofCheck, ofResult, without } from "./Decision.ts"
import { EventBuffer } from "./EventBuffer.ts"
import { FailurePolicy } from "./FailurePolicy.ts"
import {
  type CheckAnswer,
  GovernanceHttp,
  type PlatformRefused,
  type PlatformUnavailable
} from "./GovernanceHttp.ts"
import {
  addSpend,
  type CacheEntry,
  callOf,
  checkFacts,
  type HeldFacts,
  makeEntry
} from "./internal/CacheEntry.ts"
import {
  type CacheState,
  type Counters,
  degradedOf,
  type Flight,
  forgetAll,
  type MissReason,
  makeState,
  organizationOf,
  takeLost,
  takePush
} from "./internal/CacheState.ts"
import type { EntryKey } from "./internal/EntryTable.ts"
import { onAnswer } from "./internal/Epochs.ts"
import { type Monotonic, monotonic } from "./internal/Monotonic.ts"
import { allHeld, PolicyEngine } from "./PolicyEngine.ts"
import { Pushes } from "./Pushes.ts"
import { Settings, type SettingsShape } from "./Settings.ts"
import { TrustTracker } from "./TrustTracker.ts"

/** What is asked. */
export interface CheckInput {
  readonly resourceId: string
  /** Default: `use`. */
  readonly permissionType?: PermissionType
  /** Default: this agent. */
  readonly actorId?: string
  readonly actorType?: ActorType
  /** Default: this agent's. */
  readonly organizationId?: string
  /** What matters for this call, in the words of the wire: request_tokens, estimated_cost, content, action, … */
  readonly context?: Wire.JsonObject
}

/** How well the cache does. */
export interface CacheStatistics extends Readonly<Omit<Counters, "reasons">> {
  readonly size: number
  readonly reasons: Readonly<Record<MissReason, number>>
  /** Hits of all checks, 0 to 1; 0 before the first. */
  readonly hitRate: number
}

/** What a call has used. */
export interface SpentAmounts {
  readonly requests: number
  readonly tokens: number
  readonly costMicroUsd: number
}

/** How a call that was judged here is asked about. */
export interface JudgedCheck {
  /** What a miss tells the platform of the call; undefined: nothing depends on it. */
  readonly sends: Wire.JsonObject | undefined
  /** Only the platform can judge it: memory is not asked, and an outage denies (GOVERN-8). */
  readonly platformOnly: boolean
}

/** How large the cache is. */
export interface PermissionCacheOptions {
  /** Default: 10,000 entries. */
  readonly capacity?: number
}

/** Permissions, decided near the call. */
export class PermissionCache extends Context.Service<
  PermissionCache,
  {
    /** Decides. A denial and an outage are answers; the error is a platform that refuses the question itself. */
    readonly check: (input: CheckInput) => Effect.Effect<Decision, PlatformRefused>
    /** The same, looked up as it is called and not as it is run: use the effect at once, never twice. */
    readonly checkUnsafe: (input: CheckInput) => Effect.Effect<Decision, PlatformRefused>
    /** The same for a call that local policies and DLP have judged. */
    readonly checkJudged: (input: CheckInput, how: JudgedCheck) => Effect.Effect<Decision, PlatformRefused>
    /** Takes in what the platform answered to a reservation: it is a check as well (LIMIT-6). */
    readonly tookUnsafe: (input: CheckInput, answer: CheckAnswer, askedAt: number) => Decision
    /** The clock of `askedAt`: milliseconds that only move forward. */
    readonly nowUnsafe: () => number
    /** Asks ahead for what a workflow will need; what cannot be asked is left out. */
    readonly preload: (inputs: ReadonlyArray<CheckInput>) => Effect.Effect<void>
    /** Holds the records of resources, so that degraded mode can judge calls on them (OUTAGE-3). */
    readonly holdResources: (resourceIds: ReadonlyArray<string>) => Effect.Effect<void>
    readonly statistics: Effect.Effect<CacheStatistics>
    /** Forgets everything that was allowed. */
    readonly invalidate: Effect.Effect<void>
    /** What is held of a key, whether or not it may still be used. */
    readonly heldUnsafe: (input: CheckInput) => CacheEntry | undefined
    /** Adds what a call has used to what the entry knows. */
    readonly spentUnsafe: (input: CheckInput, amounts: SpentAmounts) => void
    /** What is decided while the platform is away. */
    readonly outageUnsafe: (input: CheckInput, judged: boolean) => Decision
  }
>()("@agion/sdk/PermissionCache") {
  static readonly layer = (
    options: PermissionCacheOptions = {}
  ): Layer.Layer<
    PermissionCache,
    never,
    Settings | GovernanceHttp | PolicyEngine | TrustTracker | Pushes | EventBuffer
  > => Layer.effect(PermissionCache, make(options))
}

/** Everything that deciding needs, taken once. */
interface Parts {
  readonly state: CacheState
  readonly settings: SettingsShape
  readonly http: GovernanceHttp["Service"]
  readonly engine: PolicyEngine["Service"]
  readonly trust: TrustTracker["Service"]
  readonly events: EventBuffer["Service"]
  readonly failure: typeof FailurePolicy.Service
  readonly now: Monotonic
  readonly wallNow: () => number
  readonly scope: Scope.Scope
  /** Questions under way, by key. */
  readonly flying: Map<string, Flying>
}

/** What a question under way will end in. */
interface Flying {
  readonly flight: Flight
  readonly withContext: boolean
  readonly answer: Deferred.Deferred<Decision, PlatformUnavailable | PlatformRefused>
}

const keyOf = (parts: Parts, input: CheckInput): EntryKey => ({
  organizationId: input.organizationId ?? parts.settings.organizationId,
  actorId: input.actorId ?? parts.settings.agentId,
  actorType: input.actorType ?? parts.settings.actorType,
  resourceId: input.resourceId,
  permissionType: input.permissionType ?? "use"
})

const find = (parts: Parts, input: CheckInput): CacheEntry | undefined =>
  parts.state.table.find(
    input.organizationId ?? parts.settings.organizationId,
    input.actorId ?? parts.settings.agentId,
    input.actorType ?? parts.settings.actorType,
    input.resourceId,
    input.permissionType ?? "use"
  )

const ungoverned = Effect.succeed(
  without({
    allowed: true,
    reason: "Governance is switched off",
    mode: "ungoverned",
    source: "settings",
    rule: "governance_off"
  })
)

/** What an agent that only observes is told: everything but its own suspension goes on (POLICY-8). */
const observed = (parts: Parts, decision: Decision): Decision => {
  if (parts.settings.enforcement !== "observe" || decision.observed !== null) return decision
  const { allowed, reason, denial } = decision
  if (denial?.step === "agent") return decision
  return {
    ...decision,
    allowed: true,
    mode: "observed",
    reason: allowed ? reason : `Observed: ${reason}`,
    denial: null,
    observed: { allowed, reason, denial }
  }
}

/** Why an entry may not be used as it stands; null when it may. */
const unusable = (entry: CacheEntry, now: number): MissReason | null => {
  if (entry.standing !== "held") return "dropped"
  if (now >= entry.expiresAt) return "expired"
  if (entry.decision.allowed && now >= entry.organization.freshUntil) return "unconfirmed"
  return null
}

/** Steps about which the agent's own count is not the last word. */
const limitSteps = new Set(["rate", "tokens", "cost"])

/** Decides a call on held facts; a reason when only the platform can. */
const redecide = (
  parts: Parts,
  entry: CacheEntry,
  facts: HeldFacts,
  input: CheckInput,
  judged: boolean
): Decision | MissReason => {
  const { engine } = parts
  // Without a policy set nothing is known about what a context brings.
  if (!judged && engine.generationUnsafe() === 0) return "context"
  const held = checkFacts(
    entry,
    facts,
    callOf(entry.permissionType, input.context),
    { now: parts.now(), wallNow: parts.wallNow() },
    parts.settings.enforcement
  )
  let deferred = 0
  const made = PermissionCheck.decide(
    held,
    judged ? noJudges : judgesOf(parts, entry, (count) => (deferred += count))
  )
  if (deferred > 0) return "context"
  const step = (made.observed ?? made).denial?.step
  if (step !== undefined && limitSteps.has(step)) return "limits"
  if (step === "trust") return "trust"
  if (made.allowed && entry.decision.denial?.step === "policy") return "context"
  return ofCheck(made, { decisionId: entry.decision.decisionId, permissionId: facts.permission?.id ?? null })
}

const noJudges: PermissionCheck.Judges = { policies: null, content: null }
const noMetadata: PermissionCheck.View = {}

/** The local policies and DLP over facts that came with an entry. */
const judgesOf = (
  parts: Parts,
  entry: CacheEntry,
  onDeferred: (count: number) => void
): PermissionCheck.Judges => ({
  policies: (facts) => {
    const local = parts.engine.judgeUnsafe(facts, {
      resourceId: entry.resourceId,
      metadata: noMetadata,
      unheld: facts.resource === null ? { ...allHeld, resource: true } : allHeld
    })
    onDeferred(local.deferred.length)
    return local.verdict
  },
  content: (facts) => {
    const { content, arguments: args } = facts.call.context
    const text = typeof content === "string" ? parts.engine.dlp.scan(content) : undefined
    const values = args === undefined ? undefined : parts.engine.dlp.scanValue(args)
    const findings = [...(text?.findings ?? []), ...(values?.findings ?? [])]
    const decisions = [text?.decision, values?.decision]
    return {
      decision: decisions.includes("block") ? "block" : decisions.includes("redact") ? "redact" : "allow",
      findings
    }
  }
})

/** The live trust record of an actor: pushes reach those of our organization only. */
const actorOf = (parts: Parts, key: EntryKey) => {
  if (key.organizationId === parts.settings.organizationId)
    return parts.trust.actorUnsafe(key.actorId, key.actorType)
  const name = JSON.stringify([key.organizationId, key.actorType, key.actorId])
  let actor = parts.state.strangers.get(name)
  if (actor === undefined) {
    actor = { actorId: key.actorId, actorType: key.actorType, score: 40, known: false, signed: null }
    parts.state.strangers.set(name, actor)
  }
  return actor
}

/** Whether any local policy looks at plain calls on an entry. */
const inScope = (parts: Parts, key: EntryKey, actor: CacheEntry["actor"]) => (facts: HeldFacts) => {
  if (parts.engine.generationUnsafe() === 0) return false
  const probe = checkFacts(
    { ...key, actor, spend: { requests: 0, tokens: 0, costMicroUsd: 0, times: [] }, askedAt: 0 },
    facts,
    callOf(key.permissionType, undefined),
    { now: 0, wallNow: parts.wallNow() },
    "enforce"
  )
  const local = parts.engine.judgeUnsafe(probe, {
    resourceId: key.resourceId,
    metadata: noMetadata,
    unheld: allHeld
  })
  return local.verdict.evaluated + local.deferred.length > 0
}

/** Takes in an answer: what it says of the epoch, of trust and of the key; answers the decision. */
const takeAnswer = (
  parts: Parts,
  key: EntryKey,
  answer: CheckAnswer,
  about: {
    readonly askedAt: number
    readonly heldEpoch: number | undefined
    readonly tainted: boolean
    readonly withContext: boolean
  }
): Decision => {
  const { state } = parts
  const { result } = answer
  const organization = organizationOf(state, key.organizationId)
  const epoch = answer.epoch ?? result.metadata.epoch ?? null
  const decision = observed(parts, ofResult(result, "platform"))
  const older = epoch !== null && about.heldEpoch !== undefined && epoch < about.heldEpoch
  if (about.tainted || older) return decision
  if (epoch !== null && onAnswer(organization, epoch, about.askedAt) === "drop all")
    forgetAll(state, key.organizationId)
  const actor = actorOf(parts, key)
  if (key.organizationId === parts.settings.organizationId)
    parts.trust.sawUnsafe(actor, result.metadata.trustScore, result.metadata.signed)
  else actor.score = result.metadata.trustScore
  const degraded = state.degraded.get(actor)
  if (degraded !== undefined) degraded.open = false
  const made = makeEntry({
    key,
    result,
    withContext: about.withContext,
    organization,
    actor,
    askedAt: about.askedAt,
    generation: parts.engine.generationUnsafe(),
    inScope: inScope(parts, key, actor)
  })
  const entry = parts.settings.enforcement === "observe" ? asObserved(parts, made) : made
  if (entry.facts?.resource != null) state.resources.set(key.resourceId, entry.facts.resource)
  state.table.put(entry)
  entry.refreshedStamp = entry.stamp
  return decision
}

const asObserved = (parts: Parts, entry: CacheEntry): CacheEntry => {
  const decision = observed(parts, entry.decision)
  return { ...entry, decision, hit: Effect.succeed(decision) }
}

/** Asks the platform once for a key, in the cache's scope: a caller that goes away takes nobody with it. */
const fly = (parts: Parts, key: EntryKey, context: Wire.JsonObject | undefined): Effect.Effect<Flying> =>
  Effect.suspend(() => {
    const name = nameOf(key)
    const flight: Flight = { ...key, tainted: false }
    const answer = Deferred.makeUnsafe<Decision, PlatformUnavailable | PlatformRefused>()
    const flying: Flying = { flight, withContext: context !== undefined, answer }
    parts.flying.set(name, flying)
    parts.state.flights.add(flight)
    const land = () => {
      parts.state.flights.delete(flight)
      if (parts.flying.get(name) === flying) parts.flying.delete(name)
    }
    return ask(parts, key, context, flight, 1).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          land()
          Deferred.doneUnsafe(answer, exit)
        })
      ),
      Effect.ignoreCause,
      Effect.forkIn(parts.scope),
      Effect.as(flying)
    )
  })

const nameOf = (key: EntryKey): string =>
  JSON.stringify([key.organizationId, key.actorId, key.actorType, key.resourceId, key.permissionType])

/** One question and its answer; a push that named the key meanwhile makes it ask once more. */
const ask = (
  parts: Parts,
  key: EntryKey,
  context: Wire.JsonObject | undefined,
  flight: Flight,
  again: number
): Effect.Effect<Decision, PlatformUnavailable | PlatformRefused> =>
  Effect.suspend(() => {
    const askedAt = parts.now()
    const heldEpoch = organizationOf(parts.state, key.organizationId).epoch
    return Effect.flatMap(
      parts.http.check({
        organizationId: OrganizationId.make(key.organizationId),
        actorId: ActorId.make(key.actorId),
        actorType: key.actorType,
        resourceId: ResourceId.make(key.resourceId),
        permissionType: key.permissionType,
        ...(context === undefined ? {} : { context })
      }),
      (answer) => {
        const { tainted } = flight
        const about = { askedAt, heldEpoch, tainted, withContext: context !== undefined }
        const decision = takeAnswer(parts, key, answer, about)
        if (!tainted || again === 0) return Effect.succeed(decision)
        flight.tainted = false
        return ask(parts, key, context, flight, again - 1)
      }
    )
  })

/** How a call wants to be decided. */
interface Question {
  readonly input: CheckInput
  /** Local policies and DLP have judged it. */
  readonly judged: boolean
  /** What the platform is told of the call. */
  readonly sends: Wire.JsonObject | undefined
  /** Only the platform can judge it. */
  readonly platformOnly: boolean
}

/** A ready answer from memory; undefined when there is none. */
const remembered = (parts: Parts, question: Question, entry: CacheEntry): Decision | MissReason => {
  const reason = unusable(entry, parts.now())
  if (reason !== null) return reason
  const { input, judged } = question
  const ready = judged
    ? entry.plainJudged
    : entry.plain && input.context === undefined && entry.generation === parts.engine.generationUnsafe()
  if (ready && (!entry.decision.allowed || entry.actor.score >= entry.trustFloor)) return entry.decision
  if (entry.facts === null) return "context"
  return redecide(parts, entry, entry.facts, input, judged)
}

const decide = (
  parts: Parts,
  question: Question,
  waited: boolean
): Effect.Effect<Decision, PlatformRefused> =>
  Effect.suspend(() => {
    const { counters, table } = parts.state
    const entry = find(parts, question.input)
    const known = entry === undefined ? "absent" : remembered(parts, question, entry)
    if (typeof known !== "string") {
      counters.hits++
      if (entry !== undefined) table.touch(entry)
      return Effect.succeed(observed(parts, known))
    }
    const key = keyOf(parts, question.input)
    const flying = parts.flying.get(nameOf(key))
    if (flying !== undefined && !flying.flight.tainted && !waited && !question.platformOnly)
      return join(parts, question, flying)
    counters.misses++
    counters.reasons[known]++
    return Effect.flatMap(fly(parts, key, question.sends), (mine) =>
      landing(parts, question, Deferred.await(mine.answer))
    )
  })

/** Waits for a question that is under way; its answer is ours when neither depends on a context. */
const join = (parts: Parts, question: Question, flying: Flying): Effect.Effect<Decision, PlatformRefused> => {
  parts.state.counters.hits++
  if (!flying.withContext && question.sends === undefined)
    return landing(parts, question, Deferred.await(flying.answer))
  parts.state.counters.hits--
  return Effect.flatMap(Effect.exit(Deferred.await(flying.answer)), (exit) =>
    Exit.isFailure(exit)
      ? landing(parts, question, Effect.failCause(exit.cause))
      : decide(parts, question, true)
  )
}

/** What becomes of an answer, or of none. */
const landing = (
  parts: Parts,
  question: Question,
  answer: Effect.Effect<Decision, PlatformUnavailable | PlatformRefused>
): Effect.Effect<Decision, PlatformRefused> =>
  Effect.catchTag(answer, "PlatformUnavailable", () =>
    Effect.sync(() =>
      question.platformOnly
        ? observed(parts, denied("platform_facts", onlyPlatform, find(parts, question.input)?.decision ?? {}))
        : outage(parts, question.input, question.judged)
    )
  )

const onlyPlatform = "Platform unavailable: only it can judge this call"

/** A denial during an outage. */
const denied = (rule: string, reason: string, held: Partial<Decision>): Decision =>
  without({ allowed: false, reason, mode: "normal", source: "outage", rule }, held)

/** What the agent holds about a call while the platform is away. */
const outageFacts = (
  parts: Parts,
  input: CheckInput,
  entry: CacheEntry | undefined,
  now: number
): Outage.OutageFacts => {
  const key = keyOf(parts, input)
  const actor = actorOf(parts, key)
  const resource = entry?.facts?.resource ?? parts.state.resources.get(key.resourceId) ?? null
  const confirmed = organizationOf(parts.state, key.organizationId).confirmedAt
  const degraded = degradedOf(parts.state, actor, now)
  const { signed } = actor
  const stands = signed !== null && signed.score === actor.score && parts.wallNow() < signed.expiresAt
  // What was forgotten allows nothing, what was denied stays denied.
  const remembers = entry !== undefined && (entry.standing === "held" || !entry.decision.allowed)
  return {
    now,
    permissionType: key.permissionType,
    resource: resource === null ? null : { riskLevel: resource.riskLevel, tags: resource.tags },
    last: remembers
      ? {
          allowed: (entry.decision.observed ?? entry.decision).allowed,
          reason: (entry.decision.observed ?? entry.decision).reason,
          confirmedAt: Math.max(entry.askedAt, confirmed),
          deniedUntil: entry.deniedUntil
        }
      : null,
    trust: stands ? { score: signed.score, signedAt: Math.max(signed.seenAt, confirmed) } : null,
    open: degraded.open,
    budget: (signed?.degradedCalls ?? 20) - degraded.calls.length
  }
}

/** Local facts first, then the failure policy; what goes on is recorded before it does (OUTAGE-6). */
const outage = (parts: Parts, input: CheckInput, judged: boolean): Decision => {
  const now = parts.now()
  const entry = find(parts, input)
  const held: Partial<Decision> = entry?.decision ?? {}
  if (entry?.standing === "suspect")
    return observed(parts, denied("changed", "Platform unavailable: the permission has changed since", held))
  if (entry !== undefined && entry.facts !== null && entry.decision.allowed) {
    const local = redecide(parts, entry, entry.facts, input, judged)
    if (local === "context") return observed(parts, denied("platform_facts", onlyPlatform, held))
    if (local === "limits")
      return observed(
        parts,
        denied("known_limit", "Platform unavailable: a limit known from before is reached", held)
      )
    if (typeof local !== "string" && !local.allowed) return local
  }
  const facts = outageFacts(parts, input, entry, now)
  const outcome = parts.failure.decide(facts)
  const degraded = degradedOf(parts.state, actorOf(parts, keyOf(parts, input)), now)
  if (outcome._tag === "Denied") {
    if (outcome.rule === "low_trust") degraded.open = false
    return observed(parts, denied(outcome.rule, outcome.reason, held))
  }
  const mode = outcome._tag === "Stale" ? "stale" : "degraded"
  const decision = without(
    { allowed: true, reason: outcome.reason, mode, source: "outage", rule: outcome.rule },
    held
  )
  if (!judged && !recorded(parts, input, decision))
    return denied("unrecorded", "Platform unavailable: the decision could not be recorded", held)
  if (mode === "stale") parts.state.counters.stale++
  else {
    parts.state.counters.degraded++
    degraded.open = true
    degraded.calls.push(now)
  }
  return decision
}

/** False when the decision could not be kept anywhere: then nothing runs on it. */
const recorded = (parts: Parts, input: CheckInput, decision: Decision): boolean => {
  const key = keyOf(parts, input)
  const published = parts.events.publishUnsafe("decision", {
    agentId: key.actorId,
    action: key.permissionType,
    actorType: key.actorType,
    resourceId: key.resourceId,
    permissionType: key.permissionType,
    decision: "allow",
    mode: decision.mode,
    reason: decision.reason,
    ...(decision.decisionId === "" ? {} : { decisionId: decision.decisionId }),
    ...(decision.permissionId === null ? {} : { permissionId: decision.permissionId }),
    organizationId: key.organizationId
  })
  return published !== "dropped"
}

/** Asks again for what was dropped or is about to expire; an outage leaves things as they are. */
const renew = (parts: Parts, entries: ReadonlyArray<CacheEntry>): Effect.Effect<void> =>
  Effect.forEach(
    entries,
    (entry) => {
      const flying = parts.flying.get(nameOf(entry))
      if (flying !== undefined && !flying.flight.tainted) return Effect.void
      parts.state.counters.refreshed++
      return Effect.asVoid(fly(parts, entry, undefined))
    },
    { discard: true }
  )

/** The most that is renewed at once. */
const renewAtOnce = 256
/** An allow in use is renewed so long before it expires. */
const ahead = 3000

/** Entries in use that are about to expire. */
const expiring = (parts: Parts): ReadonlyArray<CacheEntry> => {
  const now = parts.now()
  const soon: Array<CacheEntry> = []
  for (const entry of parts.state.table.of(parts.settings.organizationId)) {
    if (entry.standing !== "held" || !entry.decision.allowed || entry.stamp === entry.refreshedStamp) continue
    if (now < entry.expiresAt && entry.expiresAt - now < ahead) soon.push(entry)
    if (soon.length === renewAtOnce) break
  }
  return soon
}

/** The records of resources, for degraded mode; those that cannot be had are left out. */
const holdResources = (parts: Parts, ids: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.forEach(
    ids.filter((id) => isResourceId(id)),
    (id) =>
      parts.http
        .ask((api) => api.resources.get({ params: { id: ResourceId.make(id) } }))
        .pipe(
          Effect.tap((resource) =>
            Effect.sync(() => {
              parts.state.wanted.add(id)
              parts.state.resources.set(id, PolicyFacts.resourceFacts(resource, null))
            })
          ),
          Effect.ignore
        ),
    { concurrency: 8, discard: true }
  )

const isResourceId = Schema.is(ResourceId)

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

/** Hands what pushes dropped to the fiber that asks again. */
const follow = (parts: Parts, renewals: Queue.Enqueue<ReadonlyArray<CacheEntry>>) =>
  Effect.gen(function* () {
    const pushes = yield* Pushes
    const own = parts.settings.organizationId
    yield* pushes.listen((push) => {
      if (push._tag === "Lost") takeLost(parts.state, own)
      if (push._tag !== "Epoch") return
      const dropped = takePush(parts.state, push.organizationId, push.message, parts.now())
      const used = dropped.filter((entry) => entry.live).slice(0, renewAtOnce)
      if (used.length > 0) Queue.offerUnsafe(renewals, used)
    })
  })

const makeParts = Effect.fnUntraced(function* (options: PermissionCacheOptions) {
  const clock = yield* Effect.clockWith(Effect.succeed)
  const parts: Parts = {
    state: makeState(options.capacity ?? 10_000),
    settings: yield* Settings,
    http: yield* GovernanceHttp,
    engine: yield* PolicyEngine,
    trust: yield* TrustTracker,
    events: yield* EventBuffer,
    failure: yield* FailurePolicy,
    now: monotonic(clock),
    wallNow: () => clock.currentTimeMillisUnsafe(),
    scope: yield* Effect.scope,
    flying: new Map()
  }
  return parts
})

const make = Effect.fnUntraced(function* (options: PermissionCacheOptions) {
  const parts = yield* makeParts(options)
  const { engine, now, settings, state } = parts
  const renewals = yield* Queue.sliding<ReadonlyArray<CacheEntry>>(64)
  yield* follow(parts, renewals)
  yield* Queue.take(renewals).pipe(
    Effect.flatMap((entries) => renew(parts, entries)),
    Effect.andThen(Effect.suspend(() => refetch(parts))),
    Effect.forever,
    Effect.forkScoped
  )
  yield* Effect.suspend(() => renew(parts, expiring(parts))).pipe(
    Effect.repeat(Schedule.spaced("1 second")),
    Effect.forkScoped
  )
  const { counters, table } = state

  const checkUnsafe = (input: CheckInput): Effect.Effect<Decision, PlatformRefused> => {
    const entry = find(parts, input)
    if (entry?.plain === true && input.context === undefined) {
      const at = now()
      const { decision } = entry
      if (
        at < entry.expiresAt &&
        entry.generation === engine.generationUnsafe() &&
        (!decision.allowed || (at < entry.organization.freshUntil && entry.actor.score >= entry.trustFloor))
      ) {
        counters.hits++
        table.touch(entry)
        return entry.hit
      }
    }
    if (!settings.governance) return ungoverned
    return decide(parts, { input, judged: false, sends: input.context, platformOnly: false }, false)
  }
  const check = (input: CheckInput) => Effect.suspend(() => checkUnsafe(input))
  return PermissionCache.of({
    check,
    checkUnsafe,
    checkJudged: (input, how) =>
      settings.governance ? decide(parts, { input, judged: true, ...how }, false) : ungoverned,
    nowUnsafe: now,
    tookUnsafe: (input, answer, askedAt) => {
      const key = keyOf(parts, input)
      // A push that came meanwhile is newer than an answer of an earlier epoch.
      const heldEpoch = organizationOf(state, key.organizationId).epoch
      return takeAnswer(parts, key, answer, { askedAt, heldEpoch, tainted: false, withContext: true })
    },
    preload: (inputs) => Effect.forEach(inputs, (input) => Effect.ignore(check(input)), preloading),
    holdResources: (ids) => holdResources(parts, ids),
    statistics: Effect.sync(() => statisticsOf(state)),
    invalidate: Effect.sync(() => {
      for (const organizationId of state.organizations.keys()) forgetAll(state, organizationId)
    }),
    heldUnsafe: (input) => find(parts, input),
    spentUnsafe: (input, amounts) => {
      const entry = find(parts, input)
      if (entry !== undefined) addSpend(entry, amounts, now())
    },
    outageUnsafe: (input, judged) => outage(parts, input, judged)
  })
})

const preloading = { concurrency: "unbounded", discard: true } as const

/** Records that were to be held and were dropped are fetched again. */
const refetch = (parts: Parts): Effect.Effect<void> => {
  const missing = [...parts.state.wanted].filter((id) => !parts.state.resources.has(id))
  return missing.length === 0 ? Effect.void : holdResources(parts, missing)
}
