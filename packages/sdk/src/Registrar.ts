/**
 * Registers the agent when its layer is built, and again every minute, so that `last_seen_at` stays fresh
 * (GOVERN-6). In the background: an unreachable platform does not keep the agent from starting.
 */
import { Context, Effect, Layer, type Redacted, type Scope, type Semaphore } from "effect"
import type { GovernanceHttp } from "./GovernanceHttp.ts"
import { live } from "./internal/Later.ts"
import type { PlatformKeys } from "./PlatformKeys.ts"
import type { Settings } from "./Settings.ts"

/** How registering goes. */
export interface RegistrarState {
  readonly registered: boolean
  /** Epoch milliseconds of the last registration; null: none yet. */
  readonly lastSeenAt: number | null
  /** Why the last attempt failed, or what of this agent's events the platform has set aside; null: neither. */
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
    /** Calls once, when a registration of this process was answered first: at once when that is so. */
    readonly whenAnsweredUnsafe: (call: () => void) => void
  }
>()("@agion/sdk/Registrar") {
  /** Registers in the background and again while the scope is open (GOVERN-6). */
  static readonly layer: Layer.Layer<Registrar, never, Settings | GovernanceHttp | PlatformKeys> =
    Layer.suspend(() => Layer.effect(Registrar, Registrar.make))

  /** What the layer holds, for parts that are put together without layers. */
  static readonly make: Effect.Effect<
    Registrar["Service"],
    never,
    Settings | GovernanceHttp | PlatformKeys | Scope.Scope
  > = Effect.flatMap(live, ({ Registrar }) => Registrar.make)
}

/** How many agents of a host register at once; null: an agent asks nobody. */
export const RegistrationTurns = Context.Reference<Semaphore.Semaphore | null>(
  "@agion/sdk/RegistrationTurns",
  { defaultValue: () => null }
)
