/**
 * Who this agent is, where its platform is, and how strictly it is governed: what every part of the SDK reads.
 *
 * `AgionSdk.layer` makes it from its options and `AgionSdk.layerConfig` from `AGION_*` variables; a program
 * that composes the parts itself provides it with `Settings.layer`.
 */
import type { ActorId, ActorType, OrganizationId, Streams } from "@agion/domain"
import { Context, Effect, Layer, type Redacted, Schema } from "effect"
import { live } from "./internal/Later.ts"

/** A key of the platform that the agent pins instead of trusting its first contact (OUTAGE-5). */
export interface PinnedKey {
  readonly keyId: string
  /** base64url of the 32 raw bytes of an Ed25519 public key. */
  readonly publicKey: string
}

/** How an agent introduces itself to the registry (GOVERN-6). */
export interface Registration {
  /** Default: `0.0.0`. */
  readonly version?: string
  /** Default: the agent's id. */
  readonly name?: string
  readonly type?: string
  readonly capabilities?: ReadonlyArray<string>
  readonly framework?: string
  readonly model?: string
  readonly metadata?: { readonly [key: string]: Schema.Json }
}

/** What an agent says of itself and of its platform. */
export interface SettingsOptions {
  /** Who the agent is: 1 to 1,000 characters, the same after every restart. */
  readonly agentId: string
  /**
   * The platform's address, such as `http://127.0.0.1:8080`, to which `/api/v1` is added. It may have the path of a
   * proxy before that; a query, a fragment, a user or a password is refused.
   */
  readonly gatewayUrl: string | URL
  /** Default: `default`. */
  readonly organizationId?: string
  /** Default: `agent`. */
  readonly actorType?: ActorType
  /** A key of the API, as `agion keys create` printed it. Default: none, which only a platform without authentication takes. */
  readonly apiKey?: string | Redacted.Redacted<string>
  /** `production` (`prod`, in any case) demands a pinned key and governance switched on. Default: `development`. */
  readonly environment?: string
  /** `observe`: everything is decided and reported, nothing is blocked (POLICY-8). Default: `enforce`. */
  readonly enforcement?: "enforce" | "observe"
  /** False: the permission layer allows and marks `ungoverned` (GOVERN-5). Default: true. */
  readonly governance?: boolean
  /** How the agent introduces itself to the registry. */
  readonly registration?: Registration
  /** The platform's key; required in production, else that of the first contact is pinned. */
  readonly signingKey?: PinnedKey
  /** A folder of this agent for what survives a restart; absent: nothing does but the events; `false`: nothing. */
  readonly directory?: string | false
  /** Put before the names of all streams and channels. Default: none. */
  readonly streamPrefix?: string
}

/** The options in full, checked. */
export interface SettingsShape {
  /** Who the agent is. */
  readonly agentId: ActorId
  /** What kind of actor it is. */
  readonly actorType: ActorType
  /** Whose agent it is. */
  readonly organizationId: OrganizationId
  /** Without a slash at its end and without `/api/v1`. */
  readonly gatewayUrl: string
  /** Null: calls are made without one. */
  readonly apiKey: Redacted.Redacted<string> | null
  /** A pinned key and governance are demanded. */
  readonly production: boolean
  /** `observe`: decided and reported, not blocked (POLICY-8). */
  readonly enforcement: "enforce" | "observe"
  /** False: the permission layer allows and marks `ungoverned` (GOVERN-5). */
  readonly governance: boolean
  /** How the agent introduces itself. */
  readonly registration: Registration
  /** The key that is pinned from the start; null: that of the first contact. */
  readonly signingKey: PinnedKey | null
  /** The folder for what survives a restart; null: none. */
  readonly directory: string | null
  /**
   * The folder for the events of this platform and organization and for the keys that sign them; null: none. Agents of
   * others on the same machine have other ones.
   */
  readonly eventDirectory: string | null
  /** Names of all streams and channels. */
  readonly names: Streams.StreamNames
}

/** The SDK was given something that it cannot work with. */
export class SettingsInvalid extends Schema.TaggedError<SettingsInvalid>()("SettingsInvalid", {
  setting: Schema.String,
  /** What is wrong and what to do. */
  problem: Schema.String
}) {
  readonly code = "settings_invalid"
  override get message() {
    return `\`${this.setting}\` ${this.problem}`
  }
}

/** What every part of the SDK reads. */
export class Settings extends Context.Service<Settings, SettingsShape>()("@agion/sdk/Settings") {
  /** Checks the options; `SettingsInvalid` names the one that cannot be. */
  static readonly layer = (options: SettingsOptions): Layer.Layer<Settings, SettingsInvalid> =>
    Layer.effect(Settings, Settings.make(options))

  /** What the layer holds, for parts that are put together without layers. */
  static readonly make = (options: SettingsOptions): Effect.Effect<SettingsShape, SettingsInvalid> =>
    Effect.flatMap(live, ({ Settings }) => Settings.make(options))
}
