/**
 * Registers the agent when its layer is built, and again every minute, so that `last_seen_at` stays fresh
 * (GOVERN-6). In the background: an unreachable platform does not keep the agent from starting.
 */
import { Clock, Context, Effect, Layer, Redacted, Schedule } from "effect"
import { GovernanceHttp } from "./GovernanceHttp.ts"
import { PlatformKeys } from "./PlatformKeys.ts"
import { Settings } from "./Settings.ts"

/** How registering goes. */
export interface RegistrarState {
  readonly registered: boolean
  /** Epoch milliseconds of the last registration; null: none yet. */
  readonly lastSeenAt: number | null
  /** Why the last attempt failed; null: it did not. */
  readonly problem: string | null
}

/** The registry's view of this agent. */
export class Registrar extends Context.Service<
  Registrar,
  {
    /** Registers now. Never fails: see `state`. */
    readonly register: Effect.Effect<RegistrarState>
    readonly stateUnsafe: () => RegistrarState
    /** The key that signs this agent's events; undefined: none was answered to this process. */
    readonly eventKeyUnsafe: () => Redacted.Redacted<string> | undefined
  }
>()("@agion/sdk/Registrar") {
  static readonly layer: Layer.Layer<Registrar, never, Settings | GovernanceHttp | PlatformKeys> =
    Layer.suspend(() => Layer.effect(Registrar, make))
}

const again = Schedule.min([Schedule.exponential("500 millis"), Schedule.spaced("30 seconds")])

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const http = yield* GovernanceHttp
  const keys = yield* PlatformKeys
  const { registration } = settings
  let state: RegistrarState = { registered: false, lastSeenAt: null, problem: null }
  let eventKey: Redacted.Redacted<string> | undefined

  const attempt = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const agent = yield* http.ask((api) =>
      api.agents.register({
        payload: {
          agentId: settings.agentId,
          organizationId: settings.organizationId,
          status: "active",
          registeredAt: new Date(now).toISOString(),
          version: registration.version ?? "0.0.0",
          name: registration.name ?? settings.agentId,
          type: registration.type,
          capabilities: registration.capabilities,
          framework: registration.framework,
          model: registration.model,
          metadata: registration.metadata
        }
      })
    )
    if (agent.eventKey !== undefined) eventKey = Redacted.make(agent.eventKey)
    state = { registered: true, lastSeenAt: now, problem: null }
  })
  const noted = Effect.tapError(attempt, (error) =>
    Effect.sync(() => {
      state = { ...state, problem: error.message }
    })
  )
  yield* keys.pin.pipe(
    Effect.andThen(Effect.retry(noted, again)),
    Effect.andThen(Effect.sleep("1 minute")),
    Effect.ignore,
    Effect.forever,
    Effect.forkScoped
  )
  return Registrar.of({
    register: noted.pipe(
      Effect.ignore,
      Effect.map(() => state)
    ),
    stateUnsafe: () => state,
    eventKeyUnsafe: () => eventKey
  })
})
