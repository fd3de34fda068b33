/** What the chapters of the story share: the platform, the agents, and how to wait for what must happen. */
import { setTimeout as pause } from "node:timers/promises"
import { ActorId, OrganizationId } from "@agion/domain"
import { Agion } from "@agion/sdk/promise"
import type { Platform, PlatformOptions } from "./Process.ts"

type ConnectOptions = Parameters<typeof Agion.connect>[0]

export interface Story {
  platform: Platform
  readonly platformOptions: PlatformOptions
  readonly organizationId: string
  /** Makes names that no other run has used. */
  readonly name: (role: string) => string
  /** Connects an agent of the story; all of them are closed at the end. */
  readonly agent: (role: string, options?: Partial<ConnectOptions>) => Promise<Agent>
  readonly agents: Array<Agent>
  readonly resources: Map<string, string>
  /** Which permission an agent holds on a resource. */
  readonly permissions: Map<string, string>
}

export interface Agent {
  readonly id: string
  readonly sdk: Agion
}

/** Who approves; never the one who asks. */
export const approver = "olivia"

/** Connects agents to the platform of the story. */
export const agentsOf = (
  story: Pick<Story, "platform" | "organizationId" | "name" | "agents">,
  directory: string
): Story["agent"] => {
  return async (role, options) => {
    const id = story.name(role)
    const sdk = await Agion.connect({
      agentId: id,
      organizationId: story.organizationId,
      gatewayUrl: story.platform.url,
      redisUrl: process.env["REDIS_URL"] ?? story.platform.redisUrl,
      directory: `${directory}/${role}`,
      registration: { version: "1.0.0", name: role, type: "story" },
      ...options
    })
    const agent = { id, sdk }
    story.agents.push(agent)
    return agent
  }
}

/** Asks until the answer is there; fails with what was waited for. */
export const eventually = async <A>(
  what: string,
  ask: () => Promise<A | undefined> | A | undefined,
  withinMs = 8000
): Promise<{ readonly value: A; readonly ms: number }> => {
  const start = performance.now()
  for (;;) {
    const value = await ask()
    const ms = performance.now() - start
    if (value !== undefined) return { value, ms }
    if (ms > withinMs) throw new Error(`waited ${withinMs} ms for ${what}`)
    await pause(1)
  }
}

/** How long something took, in milliseconds. */
export const timed = async <A>(
  run: () => Promise<A>
): Promise<{ readonly value: A; readonly ms: number }> => {
  const start = performance.now()
  const value = await run()
  return { value, ms: performance.now() - start }
}

/** The id of a resource of the story. */
export const resource = (story: Story, name: string): string => {
  const id = story.resources.get(name)
  if (id === undefined) throw new Error(`the story has no resource \`${name}\``)
  return id
}

/** The score that the platform holds. */
export const platformScore = async (story: Story, agent: Agent): Promise<number> => {
  const answer = await agent.sdk.http((api) =>
    api.trust.score({
      params: { entityId: ActorId.make(agent.id) },
      query: { entityType: "agent", organizationId: OrganizationId.make(story.organizationId) }
    })
  )
  return answer.data.score
}

/** Sends what happened and waits until the agent has heard of its new score. */
export const scoreBecomes = async (agent: Agent, expected: number): Promise<number> => {
  const start = performance.now()
  await agent.sdk.flush()
  await eventually(`a score of ${expected}`, async () => {
    const view = await agent.sdk.trust.score()
    return view.score === expected ? view : undefined
  })
  return performance.now() - start
}
