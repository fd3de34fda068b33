/**
 * Brings the organization's policies to `PolicyEngine`: fetched, verified, compiled beside, swapped at once.
 *
 * A push asks for the bundle, and so do a line that is back, a gap in the epochs and, while no push is heard, an answer
 * of a later epoch (once a second at most); every 30 seconds it is asked for anyway, with its ETag. A bundle counts only when the platform's pinned key signed it; one that is older than
 * the set in force, or does not compile, is refused whole and the old set stays (POLICY-7). With a directory the
 * last good bundle is kept there and loaded at the start, so that an agent that starts during an outage has
 * policies; a kept bundle whose signature has run out is better than none, one that is older than what was in force
 * before is not. A version has one content: another one is refused. A set that has not been confirmed for
 * `maxAge` is reported and stays.
 *
 * **Gotchas**: only the signed payload is read; what stands beside it in the answer is for other readers.
 */
import { Context, type Duration, Effect, Layer, Schema } from "effect"
import type { GovernanceHttp } from "./GovernanceHttp.ts"
import { live } from "./internal/Later.ts"
import type { PlatformKeys } from "./PlatformKeys.ts"
import type { PolicyEngine } from "./PolicyEngine.ts"
import type { Pushes } from "./Pushes.ts"
import type { Settings } from "./Settings.ts"

/** A bundle that did not become the set in force. */
export class BundleRefused extends Schema.TaggedError<BundleRefused>()("BundleRefused", {
  reason: Schema.Literals(["signature", "unreadable", "older", "other content", "does not compile"]),
  detail: Schema.String
}) {
  override get message() {
    return `a policy bundle is refused (${this.reason}): ${this.detail}; the set in force stays`
  }
}

/** How the last synchronisation went. */
export interface PolicySyncState {
  /** The version in force; null: none. */
  readonly version: number | null
  /** Epoch milliseconds of the last answer that confirmed the set in force; null: never. */
  readonly syncedAt: number | null
  /** Why the last attempt failed; null: it did not. */
  readonly problem: string | null
  /** Bundles refused since the start. */
  readonly refused: number
  /** The set in force came from the directory and has not been confirmed. */
  readonly fromDisk: boolean
  /** Milliseconds since the platform confirmed the set in force, or signed it when it is `fromDisk`; null: there is none. */
  readonly ageMs: number | null
  /** The set in force is older than `maxAge`. */
  readonly isOld: boolean
}

/** How policies are kept up to date. */
export interface PolicySyncOptions {
  /** How often to ask without a push. Default: 30 seconds. */
  readonly poll?: Duration.Input
  /** Reports a set that was not confirmed for so long, in the state, the log and the health. Default: never. */
  readonly maxAge?: Duration.Input
}

/** Keeps the policy set up to date. */
export class PolicySync extends Context.Service<
  PolicySync,
  {
    /** Asks now; answers the version in force. Never fails: see `state`. */
    readonly sync: Effect.Effect<number | null>
    /** How it fares, now. */
    readonly state: Effect.Effect<PolicySyncState>
    /** The same, as it is called. */
    readonly stateUnsafe: () => PolicySyncState
  }
>()("@agion/sdk/PolicySync") {
  /** Begins with the set of the agent's folder, where there is one, and follows the platform until the scope closes. */
  static readonly layer = (
    options: PolicySyncOptions = {}
  ): Layer.Layer<PolicySync, never, Settings | GovernanceHttp | PlatformKeys | PolicyEngine | Pushes> =>
    Layer.effect(
      PolicySync,
      Effect.flatMap(live, ({ PolicySync }) => PolicySync.make(options))
    )
}
