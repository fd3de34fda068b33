/**
 * Who this agent is, where its platform is, and how strictly it is governed: what every part of the SDK reads.
 *
 * `AgionSdk.layer` makes it from its options and `AgionSdk.layerConfig` from `AGION_*` variables; a program
 * that composes the parts itself provides it with `Settings.layer`.
 */
import { ActorId, type ActorType, actorTypes, fromBase64Url, OrganizationId, Streams } from "@agion/domain"
import { Context, Effect, Layer, Redacted, Schema } from "effect"

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
  readonly agentId: string
  /** The platform's address, such as `http://127.0.0.1:8080`; the prefix `/api/v1` is added. */
  readonly gatewayUrl: string | URL
  /** Default: `default`. */
  readonly organizationId?: string
  /** Default: `agent`. */
  readonly actorType?: ActorType
  readonly apiKey?: string | Redacted.Redacted<string>
  /** `production` (`prod`, in any case) demands a pinned key and governance switched on. Default: `development`. */
  readonly environment?: string
  /** `observe`: everything is decided and reported, nothing is blocked (POLICY-8). Default: `enforce`. */
  readonly enforcement?: "enforce" | "observe"
  /** False: the permission layer allows and marks `ungoverned` (GOVERN-5). Default: true. */
  readonly governance?: boolean
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
  readonly agentId: ActorId
  readonly actorType: ActorType
  readonly organizationId: OrganizationId
  readonly gatewayUrl: string
  readonly apiKey: Redacted.Redacted<string> | null
  readonly production: boolean
  readonly enforcement: "enforce" | "observe"
  readonly governance: boolean
  readonly registration: Registration
  readonly signingKey: PinnedKey | null
  readonly directory: string | null
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

const isName = Schema.is(ActorId)

const urlOf = (value: string | URL): URL | undefined => {
  try {
    const url = new URL(value)
    return url.protocol === "http:" || url.protocol === "https:" ? url : undefined
  } catch {
    return undefined
  }
}

/** A misspelt `production` is no development. */
const isProduction = (environment: string | undefined): boolean =>
  ["production", "prod"].includes((environment ?? "").trim().toLowerCase())

/** True for a key id and base64url of 32 bytes. */
const isPinnedKey = ({ keyId, publicKey }: PinnedKey): boolean =>
  isName(keyId) && typeof publicKey === "string" && fromBase64Url(publicKey)?.length === 32

/** What a header can carry. */
const isKeyText = (apiKey: string | Redacted.Redacted<string>): boolean => {
  const text: unknown = Redacted.isRedacted(apiKey) ? Redacted.value(apiKey) : apiKey
  return typeof text === "string" && /^[\x21-\x7e]+$/.test(text)
}

const isOneOf = (values: ReadonlyArray<unknown>, value: unknown): boolean =>
  value === undefined || values.includes(value)

/** What a program without types, or an environment, gets wrong: the setting and what to do. */
const faultOf = (options: SettingsOptions): [setting: string, problem: string] | undefined => {
  const { apiKey, signingKey } = options
  if (signingKey != null && !isPinnedKey(signingKey))
    return [
      "signingKey",
      "must have a `keyId` and a `publicKey` of 32 bytes in base64url; take it from `GET /api/v1/signing-keys`"
    ]
  if (apiKey != null && !isKeyText(apiKey))
    return ["apiKey", "must be text of visible ASCII characters, as `agion keys create` printed it"]
  if (!isOneOf(["enforce", "observe"], options.enforcement))
    return ["enforcement", "must be `enforce` or `observe`"]
  if (!isOneOf([true, false], options.governance)) return ["governance", "must be true or false"]
  if (!isOneOf(actorTypes, options.actorType))
    return ["actorType", `must be one of ${actorTypes.map((one) => `\`${one}\``).join(", ")}`]
  return undefined
}

/** Checks options and fills in what was left out. */
const makeSettings = (options: SettingsOptions): Effect.Effect<SettingsShape, SettingsInvalid> => {
  if (!isName(options.agentId)) return invalid("agentId", "must be text of 1 to 1,000 characters")
  const organizationId = options.organizationId ?? "default"
  if (!isName(organizationId)) return invalid("organizationId", "must be text of 1 to 1,000 characters")
  const url = urlOf(options.gatewayUrl)
  if (url === undefined)
    return invalid("gatewayUrl", "must be an http or https address, such as `http://127.0.0.1:8080`")
  const fault = faultOf(options)
  if (fault !== undefined) return invalid(...fault)
  const production = isProduction(options.environment)
  if (production && options.governance === false)
    return invalid("governance", "cannot be switched off in production; remove `ENABLE_GOVERNANCE=false`")
  if (production && options.signingKey == null)
    return invalid("signingKey", "is required in production; take it from `GET /api/v1/signing-keys`")
  const { apiKey } = options
  return Effect.succeed({
    agentId: ActorId.make(options.agentId),
    actorType: options.actorType ?? "agent",
    organizationId: OrganizationId.make(organizationId),
    gatewayUrl: url.href.replace(/\/+$/, "").replace(/\/api\/v1$/, ""),
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
  static readonly layer = (options: SettingsOptions): Layer.Layer<Settings, SettingsInvalid> =>
    Layer.effect(Settings, makeSettings(options))

  /** What the layer holds, for parts that are put together without layers. */
  static readonly make = makeSettings
}
