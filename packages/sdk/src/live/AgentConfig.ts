/** The work of `AgentConfig`: answers kept for a minute, and dropped as pushes say. */
import { Cause, Deferred, Effect, Exit, Redacted } from "effect"
import {
  AgentConfig,
  type ConfigError,
  ConfigMissing,
  type ModelConfig,
  type ResourceAccess
} from "../AgentConfig.ts"
import { asRefusal, GovernanceHttp, PlatformUnavailable } from "../GovernanceHttp.ts"
import { monotonic } from "../internal/Monotonic.ts"
import { Pushes } from "../Pushes.ts"
import { Settings } from "../Settings.ts"

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

/** How a question ended; null: whoever asked it went away. */
type Flight<A> = Deferred.Deferred<Exit.Exit<A, ConfigError> | null>

/** Remembers answers for a minute, and beyond when the platform is away; asks once for all who want the same. */
const kept = <A>(now: () => number, fetch: (name: string) => Effect.Effect<A, ConfigError>): Kept<A> => {
  const answers = new Map<string, { readonly value: A; readonly until: number }>()
  /** Questions whose answers nothing has overtaken. */
  const flights = new Map<string, Flight<A>>()
  let changes = 0
  const get = (name: string): Effect.Effect<A, ConfigError> =>
    Effect.suspend(() => {
      const known = answers.get(name)
      if (known !== undefined && now() < known.until) return Effect.succeed(known.value)
      const flight = flights.get(name)
      if (flight === undefined) return ask(name)
      return Effect.flatMap(Deferred.await(flight), (exit) => exit ?? get(name))
    })
  /** A question that has begun lands, however early whoever asks goes away. */
  const ask = (name: string): Effect.Effect<A, ConfigError> =>
    Effect.uninterruptibleMask((restore) => {
      const before = changes
      const flight: Flight<A> = Deferred.makeUnsafe()
      flights.set(name, flight)
      const asked = Effect.tap(fetch(name), (value) =>
        Effect.sync(() => {
          if (before === changes) answers.set(name, { value, until: now() + keptFor })
        })
      )
      const orHeld = Effect.catch(asked, (error) => {
        // Not what was held before: that may have been dropped, and fetched anew by another.
        const held = error instanceof PlatformUnavailable ? answers.get(name) : undefined
        return held === undefined ? Effect.fail(error) : Effect.succeed(held.value)
      })
      return Effect.onExit(restore(orHeld), (exit) => Effect.sync(() => landed(name, flight, exit)))
    })
  const landed = (name: string, flight: Flight<A>, exit: Exit.Exit<A, ConfigError>): void => {
    if (flights.get(name) === flight) flights.delete(name)
    const isLeft = Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause)
    Deferred.doneUnsafe(flight, Effect.succeed(isLeft ? null : exit))
  }
  return {
    get,
    clear: () => {
      changes++
      flights.clear()
      answers.clear()
    },
    drop: (name) => {
      changes++
      flights.delete(name)
      answers.delete(name)
    },
    expire: () => {
      changes++
      flights.clear()
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
    // Before the first push nothing was heard: what was asked for until then may have changed.
    const follows = previous === epoch || push.message.epoch === epoch
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

/** Asks the platform, and forgets what pushes name. */
export const make = Effect.gen(function* () {
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
