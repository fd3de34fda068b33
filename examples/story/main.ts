/**
 * A platform in one process, agents in this one, and nothing mocked between them.
 *
 * Run it with `npm run demo`. `REDIS_URL` and `DATABASE_URL` make it use real servers.
 */
import { randomBytes } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Chapters from "./Chapters.ts"
import { bold, dim, green, red, say } from "./Paper.ts"
import { policies } from "./Policies.ts"
import { freePort, startPlatform } from "./Process.ts"
import { agentsOf, type Story } from "./Story.ts"

const start = performance.now()
const folder = await mkdtemp(join(tmpdir(), "agion-story-"))
const platformOptions = {
  port: await freePort(),
  redisPort: await freePort(),
  data: join(folder, "platform")
}
const run = randomBytes(3).toString("hex")

say(bold("Agion: the story of an agent that is governed"))
const platform = await startPlatform(platformOptions)
say(
  dim(
    `platform ${platform.url}, process ${platform.pid}, ready after ${Math.round(performance.now() - start)} ms`
  )
)

const base = {
  platform,
  platformOptions,
  organizationId: `story-${run}`,
  name: (role: string) => `${role}-${run}`,
  agents: [],
  resources: new Map<string, string>(),
  permissions: new Map<string, string>()
}
const story: Story = { ...base, agent: agentsOf(base, join(folder, "agents")) }

const tell = async (): Promise<void> => {
  const scout = await story.agent("scout")
  await Chapters.resources(story, scout)
  await Chapters.firstCheck(story, scout)
  await Chapters.content(story, scout, await story.agent("messenger"))
  await Chapters.trust(story, scout)
  await Chapters.limitsAndPolicies(story, await story.agent("reader"), scout)
  await policies(story, scout, await story.agent("observer", { enforcement: "observe" }), Chapters.key)
  await Chapters.revocation(story, scout)
  await Chapters.outage(story, await story.agent("steady"), await story.agent("young"))
  await Chapters.summary(story, scout)
}

try {
  await tell()
  say()
  say(green(`The story was told in ${((performance.now() - start) / 1000).toFixed(1)} s.`))
} catch (error) {
  say()
  say(red(error instanceof Error ? (error.stack ?? error.message) : String(error)))
  process.exitCode = 1
} finally {
  await Promise.allSettled(story.agents.map(({ sdk }) => sdk.close()))
  await story.platform.kill()
  await rm(folder, { recursive: true, force: true })
}
