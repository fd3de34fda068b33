/**
 * What an agent looks up by purpose: prompts, models, and how to reach resources. Kept for a minute; while the
 * platform is away the last answer is given.
 *
 * **Gotchas**: credentials are `Redacted`; they never stand in a log by themselves.
 */
import type { Model, Prompt, ResourceConfig, Wire } from "@agion/domain"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { asRefusal, GovernanceHttp, type PlatformRefused, PlatformUnavailable } from "./GovernanceHttp.ts"
import { monotonic } from "./internal/Monotonic.ts"
import { Settings } from "./Settings.ts"

/** The platform has nothing under that name. */
export class ConfigMissing extends Schema.TaggedError<ConfigMissing>()("ConfigMissing", {
  kind: Schema.Literals(["prompt", "model", "resource"]),
  name: Schema.String
}) {
  override get message() {
    return `there is no ${this.kind} \`${this.name}\`; create it at the platform`
  }
}

/** A model and what it takes to call it. */
export interface ModelConfig extends Omit<Model, "credentials"> {
  readonly credentials: Redacted.Redacted<Wire.JsonObject> | null
}

/** A resource and what it takes to reach it. */
export interface ResourceAccess extends Omit<ResourceConfig, "credentials" | "connectionString"> {
  readonly credentials: Redacted.Redacted<Wire.JsonObject> | null
  readonly connectionString: Redacted.Redacted<string> | null
}

type ConfigError = ConfigMissing | PlatformUnavailable | PlatformRefused

/** Prompts, models and resources by purpose. */
export class AgentConfig extends Context.Service<
  AgentConfig,
  {
    readonly prompt: (location: string) => Effect.Effect<Prompt, ConfigError>
    readonly model: (purpose: string) => Effect.Effect<ModelConfig, ConfigError>
    readonly resource: (name: string) => Effect.Effect<ResourceAccess, ConfigError>
    /** Forgets every answer. */
    readonly refresh: Effect.Effect<void>
  }
>()("@agion/sdk/AgentConfig") {
  static readonly layer: Layer.Layer<AgentConfig, never, Settings | GovernanceHttp> = Layer.suspend(() =>
    Layer.effect(AgentConfig, make)
  )
}

/** How long an answer is used without asking again, milliseconds. */
const keptFor = 60_000

const refusal = (kind: ConfigMissing["kind"], name: string) => (error: RouteError) =>
  error._tag === "NotFound" ? new ConfigMissing({ kind, name }) : asRefusal(error)

type RouteError = Parameters<typeof asRefusal>[0]

/** Remembers answers for a minute, and beyond when the platform is away. */
const kept = <A>(
  now: () => number,
  fetch: (name: string) => Effect.Effect<A, ConfigError>
): { readonly get: (name: string) => Effect.Effect<A, ConfigError>; readonly clear: () => void } => {
  const answers = new Map<string, { readonly value: A; readonly until: number }>()
  return {
    get: (name) =>
      Effect.suspend(() => {
        const known = answers.get(name)
        if (known !== undefined && now() < known.until) return Effect.succeed(known.value)
        const asked = Effect.tap(fetch(name), (value) =>
          Effect.sync(() => answers.set(name, { value, until: now() + keptFor }))
        )
        return Effect.catch(asked, (error) =>
          known !== undefined && error instanceof PlatformUnavailable
            ? Effect.succeed(known.value)
            : Effect.fail(error)
        )
      }),
    clear: () => answers.clear()
  }
}

const redacted = <A>(value: A | null | undefined): Redacted.Redacted<A> | null =>
  value === null || value === undefined ? null : Redacted.make(value)

const make = Effect.gen(function* () {
  const { organizationId } = yield* Settings
  const http = yield* GovernanceHttp
  const now = monotonic(yield* Effect.clockWith(Effect.succeed))
  const query = { organizationId }
  const prompts = kept(now, (location) =>
    http
      .ask((api) => api.registry.promptByLocation({ params: { location }, query }))
      .pipe(Effect.mapError(refusal("prompt", location)))
  )
  const models = kept(now, (purpose) =>
    http
      .ask((api) => api.registry.modelByPurpose({ params: { purpose }, query }))
      .pipe(
        Effect.map((model): ModelConfig => ({ ...model, credentials: redacted(model.credentials) })),
        Effect.mapError(refusal("model", purpose))
      )
  )
  const resources = kept(now, (name) =>
    http
      .ask((api) => api.registry.resourceByName({ params: { name }, query }))
      .pipe(
        Effect.map(
          (config): ResourceAccess => ({
            ...config,
            credentials: redacted(config.credentials),
            connectionString: redacted(config.connectionString)
          })
        ),
        Effect.mapError(refusal("resource", name))
      )
  )
  return AgentConfig.of({
    prompt: prompts.get,
    model: models.get,
    resource: resources.get,
    refresh: Effect.sync(() => {
      prompts.clear()
      models.clear()
      resources.clear()
    })
  })
})
