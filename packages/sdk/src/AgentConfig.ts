/**
 * What an agent looks up by purpose: prompts, models, and how to reach resources. Kept for a minute, or until a push
 * says that it has changed; while the platform is away the last answer is given, unless it is known to be changed.
 *
 * **Gotchas**: credentials are `Redacted`; they never stand in a log by themselves.
 */
import type { Model, Prompt, ResourceConfig, Wire } from "@agion/domain"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { asRefusal, GovernanceHttp, type PlatformRefused, PlatformUnavailable } from "./GovernanceHttp.ts"
import { monotonic } from "./internal/Monotonic.ts"
import { Pushes } from "./Pushes.ts"
import { Settings } from "./Settings.ts"

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

type ConfigError = ConfigMissing | PlatformUnavailable | PlatformRefused

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
    () => Layer.effect(AgentConfig, make)
  )
}

/** How long an answer is used without asking again, milliseconds. */
const keptFor = 60_000

const refusal = (kind: ConfigMissing["kind"], key: string) => (error: RouteError) =>
  error._tag === "NotFound" ? new ConfigMissing({ kind, key }) : asRefusal(error)

type RouteError = Parameters<typeof asRefusal>[0]

interface Kept<A> {
  readonly get: (name: string) => Effect.Effect<A, ConfigError>
  readonly clear: () => void
  /** It has changed: neither what is held nor what is being fetched is used again. */
  readonly drop: (name: string) => void
  /** Something may have changed: all is asked for again, and held for an outage. */
  readonly expire: () => void
}

/** Remembers answers for a minute, and beyond when the platform is away. */
const kept = <A>(now: () => number, fetch: (name: string) => Effect.Effect<A, ConfigError>): Kept<A> => {
  const answers = new Map<string, { readonly value: A; readonly until: number }>()
  let changes = 0
  return {
    get: (name) =>
      Effect.suspend(() => {
        const known = answers.get(name)
        if (known !== undefined && now() < known.until) return Effect.succeed(known.value)
        const before = changes
        const asked = Effect.tap(fetch(name), (value) =>
          Effect.sync(() => {
            if (before === changes) answers.set(name, { value, until: now() + keptFor })
          })
        )
        return Effect.catch(asked, (error) =>
          known !== undefined && answers.has(name) && error instanceof PlatformUnavailable
            ? Effect.succeed(known.value)
            : Effect.fail(error)
        )
      }),
    clear: () => {
      changes++
      answers.clear()
    },
    drop: (name) => {
      changes++
      answers.delete(name)
    },
    expire: () => {
      changes++
      for (const [name, { value }] of answers) answers.set(name, { value, until: Number.NEGATIVE_INFINITY })
    }
  }
}

const redacted = <A>(value: A | null | undefined): Redacted.Redacted<A> | null =>
  value === null || value === undefined ? null : Redacted.make(value)

/** Drops what pushes name, and doubts everything where one may have been missed (FRESH-4). */
const follow = Effect.fnUntraced(function* (
  organizationId: string,
  answers: Readonly<Record<ConfigMissing["kind"], Kept<unknown>>>
) {
  const pushes = yield* Pushes
  const all = Object.values(answers)
  let epoch: number | undefined
  yield* pushes.listen((push) => {
    if (push._tag === "Lost") for (const one of all) one.expire()
    if (push._tag !== "Epoch" || push.organizationId !== organizationId) return
    const { ids, kind, previous } = push.message
    const follows = epoch === undefined || previous === epoch || push.message.epoch === epoch
    epoch = push.message.epoch
    if (!follows || (ids.length === 0 && kind !== "heartbeat")) for (const one of all) one.expire()
    if (kind !== "config") return
    for (let at = 0; at + 1 < ids.length; at += 2) {
      const named = ids[at]
      if (named === "prompt" || named === "model" || named === "resource")
        answers[named].drop(ids[at + 1] ?? "")
    }
  })
})

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
  yield* follow(organizationId, { prompt: prompts, model: models, resource: resources })
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
