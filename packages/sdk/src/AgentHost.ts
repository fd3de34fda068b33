/**
 * Many agents in one process: what they share is built once.
 *
 * ```ts
 * const host = AgentHost.layer({ gatewayUrl: "http://127.0.0.1:8080" })
 * program.pipe(Effect.provide(AgentHost.layerAgent({ agentId: "agent-1" }).pipe(Layer.provide(host))))
 * ```
 *
 * A host belongs to one organization. It holds the connections, the push line, the platform's keys, the compiled
 * policies, the scores that were told of, and one event buffer with one write-ahead file, which is the producer of
 * its agents' events. An agent has its settings, its registration and event key, its permission cache, its spend and
 * its place in the buffer. Closing an agent waits for its own events and leaves the host; closing the host closes
 * its agents.
 *
 * **Gotchas**: one agent id is connected once at a time. The host's API key speaks for all of its agents.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import type { HttpClient } from "effect/http"
import type { AgionOptions, Services } from "./AgionSdk.ts"
import type { EventTransport } from "./events/EventTransport.ts"
import type { ReportTransport } from "./events/ReportTransport.ts"
import { live } from "./internal/Later.ts"
import type { PermissionCacheOptions } from "./PermissionCache.ts"
import type { Pushes } from "./Pushes.ts"
import type { SettingsInvalid, SettingsOptions } from "./Settings.ts"

/** What a host may set: what `AgionSdk.layer` takes but what is an agent's own. */
export interface HostOptions
  extends Omit<AgionOptions, "agentId" | "actorType" | "registration" | "cache" | "otlp"> {
  /** How the host names itself to the push line and in logs. Default: `host`. */
  readonly hostId?: string
  /** Agents that register at once. Default: 16. */
  readonly registrations?: number
}

/** What is an agent's own. What is left out of the last three is the host's. */
export interface HostedAgentOptions
  extends Pick<SettingsOptions, "agentId" | "actorType" | "registration" | "enforcement" | "governance"> {
  /** How large the agent's own permission cache is. */
  readonly cache?: PermissionCacheOptions
}

/** What an agent or a host is connected through. */
export type Connections = HttpClient.HttpClient | Pushes | EventTransport | ReportTransport

/** The process's end of its agents. */
export class AgentHost extends Context.Service<
  AgentHost,
  {
    /** The parts of an agent, until the scope or the host is closed. */
    readonly connect: (
      options: HostedAgentOptions
    ) => Effect.Effect<Context.Context<Services>, SettingsInvalid, Scope.Scope>
    /** How many agents are connected. */
    readonly connectedUnsafe: () => number
    /** Takes no more agents in; those that close from now on leave their events to the host's own flush. */
    readonly closingUnsafe: () => void
  }
>()("@agion/sdk/AgentHost") {
  /** Over the connections that the options name. */
  static readonly layer = (options: HostOptions): Layer.Layer<AgentHost, SettingsInvalid> =>
    Layer.unwrap(Effect.map(live, ({ AgentHost }) => AgentHost.layer(options)))

  /** Over whatever connections there are. */
  static readonly layerOver = (options: HostOptions): Layer.Layer<AgentHost, SettingsInvalid, Connections> =>
    Layer.unwrap(Effect.map(live, ({ AgentHost }) => AgentHost.layerOver(options)))

  /** An agent of the host. */
  static readonly layerAgent = (
    options: HostedAgentOptions
  ): Layer.Layer<Services, SettingsInvalid, AgentHost> =>
    Layer.effectContext(Effect.flatMap(AgentHost, (host) => host.connect(options)))
}
