/**
 * What an agent looks up by purpose: prompts, models, and how to reach resources. Kept for a minute, or until a push
 * says that it has changed; while the platform is away the last answer is given, unless it is known to be changed.
 * The platform is asked once for all who want the same at once.
 *
 * **Gotchas**: credentials are `Redacted`; they never stand in a log by themselves.
 */
import type { Model, Prompt, ResourceConfig, Wire } from "@agion/domain"
import { Context, Effect, Layer, type Redacted, Schema } from "effect"
import type { GovernanceHttp, PlatformRefused, PlatformUnavailable } from "./GovernanceHttp.ts"
import { live } from "./internal/Later.ts"
import type { Pushes } from "./Pushes.ts"
import type { Settings } from "./Settings.ts"

/** The platform has nothing under that name. */
export class ConfigMissing extends Schema.TaggedError<ConfigMissing>()("ConfigMissing", {
  kind: Schema.Literals(["prompt", "model", "resource"]),
  /** What it was looked for by: its location, purpose or name. */
  key: Schema.String
}) {
  readonly code = "config_missing"
  override get message() {
    return `there is no ${this.kind} \`${this.key}\`; create it at the platform, or look at the spelling`
  }
}

/** A model and what it takes to call it. */
export interface ModelConfig extends Omit<Model, "credentials"> {
  /** What the provider wants of who calls; null: the platform keeps none. */
  readonly credentials: Redacted.Redacted<Wire.JsonObject> | null
}

/** A resource and what it takes to reach it. */
export interface ResourceAccess extends Omit<ResourceConfig, "credentials" | "connectionString"> {
  readonly credentials: Redacted.Redacted<Wire.JsonObject> | null
  readonly connectionString: Redacted.Redacted<string> | null
}

/** Why a look-up has no answer. */
export type ConfigError = ConfigMissing | PlatformUnavailable | PlatformRefused

/** Prompts, models and resources by purpose. */
export class AgentConfig extends Context.Service<
  AgentConfig,
  {
    /** The prompt for a place in the program, such as `support/greeting`. */
    readonly prompt: (location: string) => Effect.Effect<Prompt, ConfigError>
    /** The model for a purpose, with its credentials. */
    readonly model: (purpose: string) => Effect.Effect<ModelConfig, ConfigError>
    /** How to reach a resource, by its name. */
    readonly resource: (name: string) => Effect.Effect<ResourceAccess, ConfigError>
    /** Forgets every answer. */
    readonly refresh: Effect.Effect<void>
  }
>()("@agion/sdk/AgentConfig") {
  /** Asks the platform, and forgets what pushes name. */
  static readonly layer: Layer.Layer<AgentConfig, never, Settings | GovernanceHttp | Pushes> = Layer.suspend(
    () =>
      Layer.effect(
        AgentConfig,
        Effect.flatMap(live, ({ AgentConfig }) => AgentConfig.make)
      )
  )
}
