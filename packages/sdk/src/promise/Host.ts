/**
 * Many agents of one organization in one process, for programs made of promises.
 *
 * ```ts
 * await using host = await Agion.host({ gatewayUrl: "http://127.0.0.1:8080" })
 * await using agent = await host.connect({ agentId: "agent-1" })
 * ```
 *
 * Closing an agent waits for its own events and leaves the host; closing the host closes its agents, whose
 * calls then reject with `AgentClosed`, and flushes for all of them.
 */
import { Context, Layer, ManagedRuntime } from "effect"
import { AgentHost, type HostedAgentOptions } from "../AgentHost.ts"
import type { Services } from "../AgionSdk.ts"
import type { SettingsInvalid } from "../Settings.ts"
import type { Agion } from "./index.ts"

/** What agents of one process share. */
export interface Host extends AsyncDisposable {
  /**
   * An agent of the host. A platform that is away does not make it fail. Rejects with `SettingsInvalid` when the
   * options cannot be, when an agent of that id is connected already, and when the host is closed.
   */
  readonly connect: (options: HostedAgentOptions) => Promise<Agion>
  /** How many agents are connected. */
  readonly connected: () => number
  /** Closes the agents, flushes, and lets go of everything. */
  readonly close: () => Promise<void>
}

/** A host over the layer; `over` makes an agent of its parts, which says when it closes. */
export const openHost = async (
  layer: Layer.Layer<AgentHost, unknown>,
  over: (parts: Layer.Layer<Services, SettingsInvalid>, closes: () => void) => Promise<Agion>
): Promise<Host> => {
  const runtime = ManagedRuntime.make(layer)
  try {
    const host = Context.get(await runtime.context(), AgentHost)
    const shared = Layer.succeed(AgentHost, host)
    const agents = new Set<Agion>()
    let closed = false
    const connect = async (options: HostedAgentOptions): Promise<Agion> => {
      const parts = AgentHost.layerAgent(options).pipe(Layer.provide(shared))
      const agent: Agion = await over(parts, () => agents.delete(agent))
      agents.add(agent)
      if (closed) await agent.close()
      return agent
    }
    const close = async () => {
      closed = true
      host.closingUnsafe()
      // What an agent's end tells of is still taken in: the agents close before what they share.
      const ends = await Promise.allSettled([...agents].map((agent) => agent.close()))
      await runtime.dispose()
      for (const end of ends) if (end.status === "rejected") throw end.reason
    }
    return { connect, connected: host.connectedUnsafe, close, [Symbol.asyncDispose]: close }
  } catch (error) {
    await runtime.dispose()
    throw error
  }
}
