/** Asking the platform: one question under way for each key, and what becomes of its answer or of none. */
import { ActorId, OrganizationId, ResourceId, type Wire } from "@agion/domain"
import { Deferred, Effect, Exit } from "effect"
import type { Decision } from "../Decision.ts"
import { type PlatformRefused, PlatformUnavailable } from "../GovernanceHttp.ts"
import type { CheckInput } from "../PermissionCache.ts"
import type { CacheEntry } from "./CacheEntry.ts"
import { isContradicted, redecide, takeAnswer, unsettled, unusable } from "./CacheJudgement.ts"
import { outage, unjudgeable } from "./CacheOutage.ts"
import { type Flying, find, keyOf, nameOf, observed, type Parts } from "./CacheParts.ts"
import { fromShared, mayBeShared } from "./CacheShared.ts"
import { type Flight, type MissReason, organizationOf } from "./CacheState.ts"
import type { EntryKey } from "./EntryTable.ts"

/**
 * Asks the platform once for a key, in the cache's scope: a caller that goes away takes nobody with it. Where
 * `shared` says so, an entry of the shared cache will do.
 */
export const fly = (...about: Parameters<typeof takeOff>): Effect.Effect<Flying> =>
  // What stands there as under way is: others join it.
  Effect.uninterruptible(takeOff(...about))

const takeOff = (
  parts: Parts,
  key: EntryKey,
  context: Wire.JsonObject | undefined,
  shared = false
): Effect.Effect<Flying> =>
  Effect.suspend(() => {
    const name = nameOf(key)
    const flight: Flight = { ...key, tainted: null }
    const answer = Deferred.makeUnsafe<Decision, PlatformUnavailable | PlatformRefused>()
    const flying: Flying = { flight, withContext: context !== undefined, answer }
    if (parts.scope.state._tag === "Closed") {
      Deferred.doneUnsafe(answer, Exit.fail(closed))
      return Effect.succeed(flying)
    }
    parts.flying.set(name, flying)
    parts.state.flights.add(flight)
    const land = (exit: Exit.Exit<Decision, PlatformUnavailable | PlatformRefused>) => {
      parts.state.flights.delete(flight)
      if (parts.flying.get(name) === flying) parts.flying.delete(name)
      Deferred.doneUnsafe(answer, exit)
    }
    const asked = ask(parts, key, context, flight, 1)
    const answered =
      shared && context === undefined
        ? Effect.flatMap(fromShared(parts, key, flight), (known) =>
            known === undefined ? asked : Effect.succeed(known)
          )
        : asked
    return answered.pipe(
      Effect.onExit((exit) => Effect.sync(() => land(exit))),
      Effect.ignoreCause,
      Effect.forkIn(parts.scope),
      Effect.map((fiber) => {
        // One that the scope ended before its first step lands, too.
        fiber.addObserver(() => land(Exit.interrupt()))
        return flying
      })
    )
  })

const closed = new PlatformUnavailable({
  kind: "connection",
  detail: "this agent is closed",
  retryAfterMs: null
})

/** A request is checked whole before it is sent, and its fault is an answer. */
const unchecked = { disableChecks: true } as const

/** How long a replica that is behind is given before it is asked again, and how often: within a second it follows. */
export const behindFor = "250 millis"
export const behindAtMost = 4

/**
 * One question and its answer; a push that named the key meanwhile makes it ask once more, and an allow that a push
 * speaks against, a little later. However often pushes come: one that they still speak against lets nothing through.
 */
const ask = (
  parts: Parts,
  key: EntryKey,
  context: Wire.JsonObject | undefined,
  flight: Flight,
  again: number,
  waits = behindAtMost
): Effect.Effect<Decision, PlatformUnavailable | PlatformRefused> =>
  Effect.suspend(() => {
    // What is told of the key before it is asked is no news to who is asked.
    flight.tainted = null
    parts.state.flights.add(flight)
    const askedAt = parts.now()
    const heldEpoch = organizationOf(parts.state, key.organizationId).epoch
    return Effect.flatMap(
      parts.http.check({
        organizationId: OrganizationId.make(key.organizationId, unchecked),
        actorId: ActorId.make(key.actorId, unchecked),
        actorType: key.actorType,
        resourceId: ResourceId.make(key.resourceId, unchecked),
        permissionType: key.permissionType,
        ...(context === undefined ? {} : { context })
      }),
      (answer) => {
        parts.tally.checks.record(parts.now() - askedAt)
        // TRUST-9: a score that fell meanwhile makes it worthless; one that rose leaves it as it is.
        const contradicted = isContradicted(parts, key, answer, { askedAt, flight })
        const tainted = flight.tainted !== null
        const about = { askedAt, heldEpoch, tainted, withContext: context !== undefined, confirms: true }
        const decision = takeAnswer(parts, key, answer, about)
        if (tainted && again > 0) return ask(parts, key, context, flight, again - 1, waits)
        if (!contradicted) return Effect.succeed(decision)
        if (waits === 0) return Effect.succeed(unsettled(decision))
        // Whoever asks meanwhile waits for the same answer.
        flight.tainted = null
        parts.state.flights.delete(flight)
        return Effect.delay(ask(parts, key, context, flight, again, waits - 1), behindFor)
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

/** A ready answer from memory, or why there is none. */
const remembered = (parts: Parts, question: Question, entry: CacheEntry): Decision | MissReason => {
  const reason = unusable(entry, parts.now())
  if (reason !== null) return reason
  // GOVERN-8: what was answered for another call says nothing of a fact that is not held.
  if (question.platformOnly) return "context"
  const { input, judged } = question
  // Nor does it of one that policies unknown here may look into (FRESH-3).
  if ((judged || input.context !== undefined) && !parts.engine.isCurrentUnsafe()) return "context"
  const ready = judged
    ? entry.plainJudged
    : entry.plain && input.context === undefined && entry.generation === parts.engine.generationUnsafe()
  if (ready && (!entry.decision.allowed || entry.actor.score >= entry.trustFloor)) return entry.decision
  if (entry.facts === null) return "context"
  return redecide(parts, entry, entry.facts, input, judged)
}

/** What memory allows of a call that was judged here; undefined: `decide` knows. */
export const hitJudged = (parts: Parts, input: CheckInput): Decision | undefined => {
  const entry = find(parts, input)
  if (entry === undefined) return undefined
  const known = remembered(parts, { input, judged: true, sends: undefined, platformOnly: false }, entry)
  if (typeof known === "string" || !known.allowed) return undefined
  parts.state.counters.hits++
  parts.state.table.touch(entry)
  return observed(parts, known)
}

export const decide = (
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
    if (flying !== undefined && flying.flight.tainted === null && !waited && !question.platformOnly)
      return join(parts, question, flying)
    counters.misses++
    counters.reasons[known]++
    const shared = !question.platformOnly && mayBeShared(known)
    return Effect.flatMap(fly(parts, key, question.sends, shared), (mine) =>
      landing(parts, question, Deferred.await(mine.answer))
    )
  })

/** Waits for a question that is under way; its answer is ours when neither depends on a context. */
const join = (parts: Parts, question: Question, flying: Flying): Effect.Effect<Decision, PlatformRefused> => {
  if (!flying.withContext && question.sends === undefined) {
    parts.state.counters.hits++
    return landing(parts, question, Deferred.await(flying.answer))
  }
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
        ? unjudgeable(parts, question.input)
        : outage(parts, question.input, question.judged)
    )
  )
