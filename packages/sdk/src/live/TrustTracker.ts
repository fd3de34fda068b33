/** The work of `TrustTracker`: scores as pushes, answers and signatures tell them. */
import { ActorId, type PushedTrust, type Signed, SignedTrust, Trust, tierOf } from "@agion/domain"
import { Effect, Option, PubSub, Queue, Schema, Stream } from "effect"
import { asRefusal, GovernanceHttp } from "../GovernanceHttp.ts"
import { Actors } from "../internal/Actors.ts"
import { onPush, unknownEpoch } from "../internal/Epochs.ts"
import { type Monotonic, monotonic } from "../internal/Monotonic.ts"
import { outliving } from "../internal/Outliving.ts"
import { PlatformKeys, SignatureRefused } from "../PlatformKeys.ts"
import { Pushes } from "../Pushes.ts"
import { Settings, type SettingsShape } from "../Settings.ts"
import { SharedCache } from "../SharedCache.ts"

import {
  type ActorTrust,
  type SignedScore,
  type TrustChange,
  TrustTracker,
  type TrustView
} from "../TrustTracker.ts"

const decodeTrust = Schema.decodeUnknownOption(SignedTrust)

const noTrust: ReadonlyArray<PushedTrust> = []

/** From now on any epoch may name scores. */
const forgetEpochs = (actors: Actors): void => {
  for (const actor of actors) actor.epoch = Number.NEGATIVE_INFINITY
}

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

/** Scores for all agents of an organization. */
export const make = Effect.gen(function* () {
  const settings = yield* Settings
  const http = yield* GovernanceHttp
  const keys = yield* PlatformKeys
  const pushes = yield* Pushes
  const shared = yield* SharedCache
  const now = monotonic(yield* Effect.clockWith(Effect.succeed))
  const changes = yield* PubSub.sliding<TrustChange>(1024)
  const unopened = yield* Queue.sliding<readonly [ActorTrust, Signed]>(64)
  const actors = new Actors()
  const actorUnsafe = (actorId: string, actorType: string) => actors.of(actorId, actorType)

  const takeIn = takeSigned(keys, now, (actor, signed) => Queue.offerUnsafe(unopened, [actor, signed]))
  const sawUnsafe: TrustTracker["Service"]["sawUnsafe"] = (actor, score, signed, epoch) => {
    actors.heard(actor)
    if (epoch !== null && epoch < actor.epoch) return
    actor.epoch = epoch ?? actor.epoch
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
  const organization = unknownEpoch()
  yield* pushes.listen((push) => {
    if (push._tag !== "Epoch") return
    const { message } = push
    // The platform's data went back, and so did its epochs.
    const held = organization.epoch ?? message.epoch
    onPush(organization, message, now())
    if ((organization.epoch ?? held) < held) forgetEpochs(actors)
    for (const { actorId, actorType, score, signed } of message.trust ?? noTrust)
      sawUnsafe(actorUnsafe(actorId, actorType), score, signed, message.epoch)
  })
  yield* Queue.take(unopened).pipe(
    Effect.flatMap(([actor, signed]) =>
      Effect.andThen(
        outliving("fetching the key of a score")(Effect.ignore(keys.open(signed))),
        Effect.sync(() => openLate(keys, actor, signed, now()))
      )
    ),
    Effect.forever,
    Effect.forkScoped
  )

  const asked = (agent: SettingsShape, self: ActorTrust, { epoch } = self) =>
    http
      .ask((api) =>
        api.trust.score({
          params: { entityId: agent.agentId },
          query: { entityType: agent.actorType, organizationId: agent.organizationId }
        })
      )
      .pipe(
        Effect.map(({ data }) => {
          // What was said of the score meanwhile may be newer than this.
          if (self.epoch === epoch) sawUnsafe(self, data.score, data.signed ?? undefined, null)
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
      // It is of the epoch that is confirmed now. A signature that is held already lives longer.
      sawUnsafe(self, found.score, self.signed?.score === found.score ? undefined : found.signed, null)
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
