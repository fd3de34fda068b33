/**
 * Registers the agent when its layer is built, and again every minute, so that `last_seen_at` stays fresh
 * (GOVERN-6). In the background: an unreachable platform does not keep the agent from starting.
 */
import { Clock, Context, Effect, Layer, Redacted, Schedule, Schema, type Scope, type Semaphore } from "effect"
import { GovernanceHttp } from "./GovernanceHttp.ts"
import * as AgentFolder from "./internal/AgentFolder.ts"
import { PlatformKeys } from "./PlatformKeys.ts"
import { Settings, type SettingsShape } from "./Settings.ts"

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
    /** How registering goes, as it is called. */
    readonly stateUnsafe: () => RegistrarState
    /** The key that signs this agent's events; undefined: none was answered to this process, and none was kept. */
    readonly eventKeyUnsafe: () => Redacted.Redacted<string> | undefined
  }
>()("@agion/sdk/Registrar") {
  /** Registers in the background and again while the scope is open (GOVERN-6). */
  static readonly layer: Layer.Layer<Registrar, never, Settings | GovernanceHttp | PlatformKeys> =
    Layer.suspend(() => Layer.effect(Registrar, make))

  /** What the layer holds, for parts that are put together without layers. */
  static readonly make: Effect.Effect<
    Registrar["Service"],
    never,
    Settings | GovernanceHttp | PlatformKeys | Scope.Scope
  > = Effect.suspend(() => make)

  /** Where an agent's event key is kept; null: nowhere. */
  static readonly fileOf = (settings: SettingsShape, agentId: string): string | null =>
    AgentFolder.fileOf(settings, "event-key", settings.organizationId, agentId)
}

/** How many agents of a host register at once; null: an agent asks nobody. */
export const RegistrationTurns = Context.Reference<Semaphore.Semaphore | null>(
  "@agion/sdk/RegistrationTurns",
  { defaultValue: () => null }
)

/** The platform answers the key once: with a folder the next start has it, too. */
const KeptKey = Schema.Struct({ eventKey: Schema.NonEmptyString })

const again = Schedule.min([Schedule.exponential("500 millis"), Schedule.spaced("30 seconds")])

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const http = yield* GovernanceHttp
  const keys = yield* PlatformKeys
  const { registration } = settings
  let state: RegistrarState = { registered: false, lastSeenAt: null, problem: null }
  const file = Registrar.fileOf(settings, settings.agentId)
  const kept = yield* AgentFolder.load(file, KeptKey)
  let eventKey = kept === undefined ? undefined : Redacted.make(kept.eventKey)

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
    if (agent.eventKey !== undefined) {
      eventKey = Redacted.make(agent.eventKey)
      yield* AgentFolder.keep(file, KeptKey, { eventKey: agent.eventKey })
    }
    state = { registered: true, lastSeenAt: now, problem: null }
  })
  const turns = yield* RegistrationTurns
  const noted = Effect.tapError(turns === null ? attempt : turns.withPermit(attempt), (error) =>
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
