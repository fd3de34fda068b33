/**
 * What the platform says of trust: this agent's score and those of others it acts for, as they change.
 *
 * ```ts
 * const trust = yield* TrustTracker
 * yield* trust.changes.pipe(Stream.filter((change) => change.graduated), Stream.runHead)
 * ```
 *
 * The truth is the platform's: it comes with answers and with pushes. `expected` is what the score will be once
 * the platform has seen what this agent has reported, by the default model.
 *
 * **Gotchas**: remembers every actor that it has heard of. Only a score that the platform signed counts while
 * the platform is away (OUTAGE-2).
 */
import {
  ActorId,
  type ActorType,
  type PushedTrust,
  type Signed,
  SignedTrust,
  type Tier,
  Trust,
  tierOf
} from "@agion/domain"
import { Context, Effect, Layer, Option, PubSub, Queue, Schema, Stream } from "effect"
import {
  asRefusal,
  GovernanceHttp,
  type PlatformRefused,
  type PlatformUnavailable
} from "./GovernanceHttp.ts"
import { type Monotonic, monotonic } from "./internal/Monotonic.ts"
import { PlatformKeys, SignatureRefused } from "./PlatformKeys.ts"
import { Pushes } from "./Pushes.ts"
import { Settings, type SettingsShape } from "./Settings.ts"
import { SharedCache } from "./SharedCache.ts"

/** A score as this agent knows it. */
export interface TrustView {
  readonly actorId: string
  /** 0 to 100 in steps of 0.1. */
  readonly score: number
  readonly tier: Tier
  /** False: the platform has not said yet, and the score is where every actor starts. */
  readonly known: boolean
}

/** A score has changed. */
export interface TrustChange {
  readonly actorId: string
  readonly actorType: string
  readonly score: number
  readonly previous: number
  readonly tier: Tier
  readonly previousTier: Tier
  readonly tierChanged: boolean
  /** It rose to the tier `trusted` from below (TRUST-2). */
  readonly graduated: boolean
}

/** A score that the platform signed. */
export interface SignedScore {
  readonly score: number
  /** When the platform last said so, milliseconds of the monotonic clock. */
  seenAt: number
  /** When the signature ends, epoch milliseconds. */
  readonly expiresAt: number
  /** Calls that may go on degraded in five minutes; null: not said. */
  readonly degradedCalls: number | null
  readonly payload: string
}

/** What is known of an actor's trust; one object an actor, which decisions hold on to. */
export interface ActorTrust {
  readonly actorId: string
  readonly actorType: string
  score: number
  known: boolean
  signed: SignedScore | null
  /** What the score will be once the platform has seen what this process reported. */
  expected: number
}

/** What `TrustTracker` does. */
export interface TrustTrackerShape {
  /** This agent's score. */
  readonly score: Effect.Effect<TrustView>
  /** Another actor's score, as far as it is known here. */
  readonly of: (actorId: string, actorType?: ActorType) => Effect.Effect<TrustView>
  /**
   * Asks the platform for this agent's score, or takes the one in the shared cache, which pushes have confirmed.
   * An actor that the platform does not know is at the start.
   */
  readonly refresh: Effect.Effect<TrustView, PlatformUnavailable | PlatformRefused>
  /** What this agent's score will be once the platform has seen what was reported. */
  readonly expected: Effect.Effect<number>
  /** Every change from now on, of every actor that this agent is told about. */
  readonly changes: Stream.Stream<TrustChange>
  /** The live record of an actor of this organization. */
  readonly actorUnsafe: (actorId: string, actorType: string) => ActorTrust
  /** An answer of the platform has named a score. */
  readonly sawUnsafe: (actor: ActorTrust, score: number, signed: Signed | undefined) => void
  /** This agent has reported an event of the trust stream. */
  readonly reportedUnsafe: (type: Trust.TrustEventType, context: { readonly [key: string]: unknown }) => void
  /** The same scores, as another agent of the organization has its own. */
  readonly forAgent: (agent: SettingsShape) => TrustTrackerShape
}

/** Scores and their changes. */
export class TrustTracker extends Context.Service<TrustTracker, TrustTrackerShape>()(
  "@agion/sdk/TrustTracker"
) {
  /** Learns from pushes and from answers until the scope closes. */
  static readonly layer: Layer.Layer<
    TrustTracker,
    never,
    Settings | GovernanceHttp | PlatformKeys | Pushes | SharedCache
  > = Layer.suspend(() => Layer.effect(TrustTracker, make))
}

const decodeTrust = Schema.decodeUnknownOption(SignedTrust)

const viewOf = (actor: ActorTrust): TrustView => ({
  actorId: actor.actorId,
  score: actor.score,
  tier: tierOf(actor.score),
  known: actor.known
})

/** The signed score in an envelope, or why there is none. */
const openScore = (
  keys: PlatformKeys["Service"],
  actor: ActorTrust,
  signed: Signed,
  now: number
): SignedScore | SignatureRefused | null => {
  const payload = keys.openUnsafe(signed)
  if (payload instanceof SignatureRefused) return payload
  const value = payload.kind === "trust" ? Option.getOrUndefined(decodeTrust(payload.value)) : undefined
  if (value === undefined || value.entityId !== actor.actorId || value.entityType !== actor.actorType)
    return null
  return {
    score: value.score,
    seenAt: now,
    expiresAt: Date.parse(payload.expiresAt),
    degradedCalls: value.degradedCalls ?? null,
    payload: signed.payload
  }
}

const changeOf = (actor: ActorTrust, score: number): TrustChange => {
  const previousTier = tierOf(actor.score)
  const tier = tierOf(score)
  return {
    actorId: actor.actorId,
    actorType: actor.actorType,
    score,
    previous: actor.score,
    tier,
    previousTier,
    tierChanged: tier !== previousTier,
    graduated: actor.score < Trust.graduation && score >= Trust.graduation
  }
}

/** An actor of whom nothing is known. */
export const newActor = (actorId: string, actorType: string): ActorTrust => ({
  actorId,
  actorType,
  score: Trust.initialScore,
  known: false,
  signed: null,
  expected: Trust.initialScore
})

/** Actors by type and id. */
const registryOf = () => {
  const actors = new Map<string, Map<string, ActorTrust>>()
  return (actorId: string, actorType: string): ActorTrust => {
    let ofType = actors.get(actorType)
    if (ofType === undefined) {
      ofType = new Map()
      actors.set(actorType, ofType)
    }
    let actor = ofType.get(actorId)
    if (actor === undefined) {
      actor = newActor(actorId, actorType)
      ofType.set(actorId, actor)
    }
    return actor
  }
}

/** Takes in a signed score; one whose key is not known yet is left to `later`. */
const takeSigned = (
  keys: PlatformKeys["Service"],
  now: Monotonic,
  later: (actor: ActorTrust, signed: Signed) => void
) => {
  return (actor: ActorTrust, signed: Signed | undefined): void => {
    if (signed === undefined) {
      if (actor.signed !== null && actor.signed.score !== actor.score) actor.signed = null
      return
    }
    if (actor.signed?.payload === signed.payload) {
      actor.signed.seenAt = now()
      return
    }
    const opened = openScore(keys, actor, signed, now())
    if (opened instanceof SignatureRefused) {
      if (opened.reason === "no key" || opened.reason === "unknown key") later(actor, signed)
    } else if (opened !== null) actor.signed = opened
  }
}

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const http = yield* GovernanceHttp
  const keys = yield* PlatformKeys
  const pushes = yield* Pushes
  const shared = yield* SharedCache
  const now = monotonic(yield* Effect.clockWith(Effect.succeed))
  const changes = yield* PubSub.sliding<TrustChange>(1024)
  const unopened = yield* Queue.sliding<readonly [ActorTrust, Signed]>(64)
  const actorUnsafe = registryOf()

  const takeIn = takeSigned(keys, now, (actor, signed) => Queue.offerUnsafe(unopened, [actor, signed]))
  const sawUnsafe = (actor: ActorTrust, score: number, signed: Signed | undefined): void => {
    actor.expected = score
    if (!actor.known || actor.score !== score) {
      const change = changeOf(actor, score)
      const first = !actor.known
      actor.score = score
      actor.known = true
      if (!first || change.previous !== score) PubSub.publishUnsafe(changes, change)
    }
    takeIn(actor, signed)
  }
  yield* pushes.listen((push) => {
    if (push._tag !== "Epoch" || push.message.trust === undefined) return
    for (const { actorId, actorType, score, signed } of push.message
      .trust satisfies ReadonlyArray<PushedTrust>)
      sawUnsafe(actorUnsafe(actorId, actorType), score, signed)
  })
  yield* Queue.take(unopened).pipe(
    Effect.flatMap(([actor, signed]) =>
      Effect.andThen(
        Effect.ignore(keys.open(signed)),
        Effect.sync(() => openLate(keys, actor, signed, now()))
      )
    ),
    Effect.forever,
    Effect.forkScoped
  )

  const asked = (agent: SettingsShape, self: ActorTrust) =>
    http
      .ask((api) =>
        api.trust.score({
          params: { entityId: agent.agentId },
          query: { entityType: agent.actorType, organizationId: agent.organizationId }
        })
      )
      .pipe(
        Effect.map(({ data }) => {
          sawUnsafe(self, data.score, data.signed ?? undefined)
          return viewOf(self)
        }),
        Effect.catchTag("NotFound", () => Effect.succeed(viewOf(self))),
        Effect.catchTag(
          ["BadRequest", "Unauthorized", "Forbidden", "PayloadTooLarge", "InternalError"],
          (error) => Effect.fail(asRefusal(error))
        )
      )
  const refresh = (agent: SettingsShape, self: ActorTrust) =>
    Effect.flatMap(shared.trust(agent.agentId, agent.actorType), (found) => {
      if (found === undefined) return asked(agent, self)
      // A signature that is held already lives longer.
      sawUnsafe(self, found.score, self.signed?.score === found.score ? undefined : found.signed)
      return Effect.succeed(viewOf(self))
    })
  const forAgent: TrustTracker["Service"]["forAgent"] = (agent) => {
    const self = actorUnsafe(agent.agentId, agent.actorType)
    return TrustTracker.of({
      score: Effect.sync(() => viewOf(self)),
      of: (actorId, actorType = "agent") =>
        Effect.sync(() => viewOf(actorUnsafe(ActorId.make(actorId), actorType))),
      refresh: refresh(agent, self),
      expected: Effect.sync(() => self.expected),
      changes: Stream.fromPubSub(changes),
      actorUnsafe,
      sawUnsafe,
      reportedUnsafe: (type, context) => {
        self.expected = Trust.apply(self.expected, Trust.worth(Trust.defaultModel, type, context))
      },
      forAgent
    })
  }
  return forAgent(settings)
})

/** A signature whose key has been fetched meanwhile; a score that has changed since is left alone. */
const openLate = (keys: PlatformKeys["Service"], actor: ActorTrust, signed: Signed, now: number): void => {
  const opened = openScore(keys, actor, signed, now)
  if (opened !== null && !(opened instanceof SignatureRefused) && opened.score === actor.score)
    actor.signed = opened
}
