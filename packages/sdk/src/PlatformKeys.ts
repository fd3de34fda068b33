/**
 * The platform's signing key as this agent pins it, and what that key has signed (OUTAGE-5).
 *
 * The key of the configuration is used, else that of the first contact is pinned. A signature by another key
 * is refused unless the pinned key signed that key (`signed_by` in `GET /signing-keys`). Only what stands
 * inside a verified payload counts; a payload of another organization or past its expiry is refused.
 *
 * With a folder what is pinned is kept there, so that a restart trusts the network no second time.
 *
 * **Gotchas**: pinning at first contact trusts the network once. Production demands a configured key.
 */
import type { Signed, SignedPayload } from "@agion/domain"
import { Context, Effect, Layer, Schema } from "effect"
import type { GovernanceHttp } from "./GovernanceHttp.ts"
import { live } from "./internal/Later.ts"
import type { Settings } from "./Settings.ts"

/** Why a signature was not accepted. */
export class SignatureRefused extends Schema.TaggedError<SignatureRefused>()("SignatureRefused", {
  reason: Schema.Literals([
    "no key",
    "unknown key",
    "bad signature",
    "unreadable",
    "other organization",
    "expired"
  ]),
  keyId: Schema.String,
  /** What to do where the platform is the right one. */
  remedy: Schema.optional(Schema.String)
}) {
  override get message() {
    const refused = `a signature by key \`${this.keyId}\` is refused: ${this.reason}`
    return this.remedy === undefined ? refused : `${refused}; ${this.remedy}`
  }
}

/** How many were accepted and refused, and what is pinned. */
export interface PlatformKeysState {
  readonly pinned: string | null
  readonly configured: boolean
  readonly accepted: number
  readonly refused: number
}

/** The pinned key and what it signed. */
export class PlatformKeys extends Context.Service<
  PlatformKeys,
  {
    /** The payload, when the pinned key signed it for this organization. Fetches keys when it must. */
    readonly open: (signed: Signed) => Effect.Effect<SignedPayload, SignatureRefused>
    /** The same of what this agent has kept, whose signature may have run out; never a call. */
    readonly openKept: (signed: Signed) => Effect.Effect<SignedPayload, SignatureRefused>
    /** `open` without a call: an unknown key is refused. */
    readonly openUnsafe: (signed: Signed) => SignedPayload | SignatureRefused
    /** Fetches and pins, where nothing is pinned yet; never fails. */
    readonly pin: Effect.Effect<void>
    /** What is pinned and what was accepted and refused, as it is called. */
    readonly stateUnsafe: () => PlatformKeysState
  }
>()("@agion/sdk/PlatformKeys") {
  /** Pins the key of the settings, else that of the first contact (OUTAGE-5). */
  static readonly layer: Layer.Layer<PlatformKeys, never, Settings | GovernanceHttp> = Layer.suspend(() =>
    Layer.effect(
      PlatformKeys,
      Effect.flatMap(live, ({ PlatformKeys }) => PlatformKeys.make)
    )
  )
}
