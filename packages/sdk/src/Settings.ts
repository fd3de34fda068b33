/**
 * Who this agent is, where its platform is, and how strictly it is governed: what every part of the SDK reads.
 *
 * `AgionSdk.layer` makes it from its options and `AgionSdk.layerConfig` from `AGION_*` variables; a program
 * that composes the parts itself provides it with `Settings.layer`.
 */
import { ActorId, type ActorType, OrganizationId, Streams } from "@agion/domain"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { settingsOptions } from "./internal/KnownOptions.ts"
import type { Rule } from "./internal/OptionRules.ts"

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
  /** A folder of this agent for what survives a restart; absent: nothing does but the events. */
  readonly directory?: string
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

const invalid = (setting: string, problem: string) => Effect.fail(new SettingsInvalid({ setting, problem }))

/** Options that a program without types, or an environment, may have got wrong; the first that is says so. */
export const checkedBy = <O>(rule: Rule, options: O): Effect.Effect<O, SettingsInvalid> => {
  const fault = rule(options, "")
  return fault === undefined ? Effect.succeed(options) : Effect.fail(new SettingsInvalid(fault))
}

/** A misspelt `production` is no development. */
const isProduction = (environment: string | undefined): boolean =>
  ["production", "prod"].includes((environment ?? "").trim().toLowerCase())

/** Checks options and fills in what was left out. */
const makeSettings = (given: SettingsOptions): Effect.Effect<SettingsShape, SettingsInvalid> =>
  Effect.flatMap(checkedBy(settingsOptions, given), shapeOf)

/** The options in full; what weakens governance is refused in production. */
const shapeOf = (options: SettingsOptions): Effect.Effect<SettingsShape, SettingsInvalid> => {
  const production = isProduction(options.environment)
  if (production && options.governance === false)
    return invalid("governance", "cannot be switched off in production; remove `ENABLE_GOVERNANCE=false`")
  if (production && options.signingKey == null)
    return invalid("signingKey", "is required in production; take it from `GET /api/v1/signing-keys`")
  const { apiKey } = options
  return Effect.succeed({
    agentId: ActorId.make(options.agentId),
    actorType: options.actorType ?? "agent",
    organizationId: OrganizationId.make(options.organizationId ?? "default"),
    gatewayUrl: new URL(options.gatewayUrl).href.replace(/\/+$/, "").replace(/\/api\/v1$/, ""),
    apiKey: apiKey == null ? null : typeof apiKey === "string" ? Redacted.make(apiKey) : apiKey,
    production,
    enforcement: options.enforcement ?? "enforce",
    governance: options.governance ?? true,
    registration: options.registration ?? {},
    signingKey: options.signingKey ?? null,
    directory: options.directory ?? null,
    names: Streams.streamNames(options.streamPrefix ?? "")
  })
}

/** What every part of the SDK reads. */
export class Settings extends Context.Service<Settings, SettingsShape>()("@agion/sdk/Settings") {
  /** Checks the options; `SettingsInvalid` names the one that cannot be. */
  static readonly layer = (options: SettingsOptions): Layer.Layer<Settings, SettingsInvalid> =>
    Layer.effect(Settings, makeSettings(options))

  /** What the layer holds, for parts that are put together without layers. */
  static readonly make = makeSettings
}
