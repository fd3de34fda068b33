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
 * **Gotchas**: remembers the actors that decisions are held of, and the last 10,000 others that it has heard of. Only a
 * score that the platform signed counts while the platform is away (OUTAGE-2).
 */
import type { ActorType, Signed, Tier, Trust } from "@agion/domain"
import { Context, Effect, Layer, type Stream } from "effect"
import type { GovernanceHttp, PlatformRefused, PlatformUnavailable } from "./GovernanceHttp.ts"
import { live } from "./internal/Later.ts"
import type { PlatformKeys } from "./PlatformKeys.ts"
import type { Pushes } from "./Pushes.ts"
import type { Settings, SettingsShape } from "./Settings.ts"
import type { SharedCache } from "./SharedCache.ts"

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
  /** The organization's epoch that named the score: what was said before it is refused. */
  epoch: number
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
  /**
   * An answer of the platform has named a score as of an epoch; null: none was said. One that is older than the
   * score that is known is passed over.
   */
  readonly sawUnsafe: (
    actor: ActorTrust,
    score: number,
    signed: Signed | undefined,
    epoch: number | null
  ) => void
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
  > = Layer.suspend(() =>
    Layer.effect(
      TrustTracker,
      Effect.flatMap(live, ({ TrustTracker }) => TrustTracker.make)
    )
  )
}
