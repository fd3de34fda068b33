/** All chapters but the sixth. Every line that is printed comes from what an agent or the platform answered. */
import { ActorId, OrganizationId, PermissionId, type PermissionType, ResourceId } from "@agion/domain"
import { allowed, chart, denied, dim, fact, millis, step } from "./Paper.ts"
import { startPlatform } from "./Process.ts"
import {
  type Agent,
  approver,
  eventually,
  platformScore,
  resource,
  type Story,
  scoreBecomes,
  timed
} from "./Story.ts"

type Answer = Awaited<ReturnType<Agent["sdk"]["check"]>>

const verdict = (answer: Answer): string => (answer.allowed ? allowed(answer.reason) : denied(answer.reason))

/** Insists on what the story says. */
const expect = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(`the story went another way: ${what}`)
}

/** 1: what there is to use. */
export const resources = async (story: Story, operator: Agent): Promise<void> => {
  step(1, "Resources")
  const create = async (
    name: string,
    fields: {
      resourceType: "model_provider" | "ai_model" | "database"
      trust: number
      parent?: string
      critical?: boolean
    }
  ) => {
    const made = await operator.sdk.http((api) =>
      api.resources.create({
        payload: {
          organizationId: OrganizationId.make(story.organizationId),
          resourceType: fields.resourceType,
          name,
          resourceData: { cost_per_1k_tokens: 0.01 },
          createdBy: approver,
          trustTierRequired: fields.trust,
          riskLevel: fields.critical === true ? "critical" : "low",
          ...(fields.parent === undefined
            ? {}
            : { parentResourceId: ResourceId.make(resource(story, fields.parent)) })
        }
      })
    )
    story.resources.set(name, made.id)
    fact(`${made.resourceType} ${made.name}`, `trust ${made.trustTierRequired}, risk ${made.riskLevel}`)
  }
  await create("acme", { resourceType: "model_provider", trust: 0 })
  await create("acme-small", { resourceType: "ai_model", trust: 40, parent: "acme" })
  await create("acme-medium", { resourceType: "ai_model", trust: 60, parent: "acme" })
  await create("acme-large", { resourceType: "ai_model", trust: 70, parent: "acme" })
  await create("staging", { resourceType: "database", trust: 40 })
  await create("production", { resourceType: "database", trust: 80, critical: true })
}

/** Asks for a permission and has it approved. */
const grant = async (
  story: Story,
  agent: Agent,
  name: string,
  permissionType: PermissionType = "use",
  constraints = {}
): Promise<string> => {
  const requested = await agent.sdk.http((api) =>
    api.permissions.request({
      payload: {
        actorId: ActorId.make(agent.id),
        actorType: "agent",
        resourceId: ResourceId.make(resource(story, name)),
        permissionType,
        purpose: "telling a story",
        constraints
      }
    })
  )
  const approved = await agent.sdk.http((api) =>
    api.permissions.approve({ params: { id: requested.id }, payload: { approvedBy: approver } })
  )
  expect(
    requested.status === "pending" && approved.status === "approved",
    "a request waits until it is approved"
  )
  story.permissions.set(`${agent.id} ${permissionType} ${name}`, approved.id)
  return approved.id
}

/** An answer from the cache, and how long it took: news of an approval may come after the first answer, and drops it. */
const fromCache = async (agent: Agent, question: Parameters<Agent["sdk"]["check"]>[0]) => {
  const { value } = await eventually("a cache hit", async () => {
    const answer = await timed(() => agent.sdk.check(question))
    return answer.value.source === "cache" ? answer : undefined
  })
  return value
}

/** 2: an agent registers, asks, is approved; a check is answered, then from the cache. */
export const firstCheck = async (story: Story, agent: Agent): Promise<void> => {
  step(2, "An agent registers and asks")
  const score = await agent.sdk.trust.score()
  fact(`${agent.id} registered`, `trust ${score.score} (${score.tier})`)
  expect(score.score === 40 && score.tier === "verified", "every agent starts at 40, verified")
  for (const name of ["acme-small", "acme-medium", "acme-large"]) await grant(story, agent, name)
  await grant(story, agent, "staging", "read")
  fact("asked for three models and staging", `approved by ${approver}`)
  const question = { resourceId: resource(story, "acme-small") }
  const first = await timed(() => agent.sdk.check(question))
  fact(
    "may it use acme-small?",
    `${verdict(first.value)} ${dim(`${first.value.source}, ${millis(first.ms)}`)}`
  )
  expect(first.value.source === "platform", "the first check is the platform's")
  const second = await fromCache(agent, question)
  fact("and again?", `${verdict(second.value)} ${dim(`${second.value.source}, ${millis(second.ms)}`)}`)
}

/** In the shape of a provider's key. */
export const key = ["sk", "proj", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4"].join("-")

/** 3: what a prompt must not hold. */
export const content = async (story: Story, agent: Agent, messenger: Agent): Promise<void> => {
  step(3, "Content is checked before it leaves")
  const ran = { count: 0 }
  const blocked = await agent.sdk
    .governed(
      {
        action: "chat",
        resource: resource(story, "acme-small"),
        content: `Use my key ${key}`,
        origin: "user"
      },
      async () => {
        ran.count++
      }
    )
    .then(
      () => "went through",
      (error: { code: string; reason: string }) => `${error.code}: ${error.reason}`
    )
  fact("a user's prompt with an API key", denied(blocked))
  expect(ran.count === 0 && blocked.startsWith("policy_violation"), "a key never leaves")
  await agent.sdk.flush()
  const score = await platformScore(story, agent)
  fact("what it cost the agent", `nothing: trust ${score}`)
  expect(score === 40, "a user's prompt costs the agent no trust")
  await grant(story, messenger, "acme-small")
  const sent = await messenger.sdk.governed(
    {
      action: "chat",
      resource: resource(story, "acme-small"),
      content: "Write to ada@example.com about the meeting",
      origin: "user"
    },
    async (call) => call.content
  )
  fact("a prompt with an e-mail address goes on as", `"${sent}"`)
  expect(!sent.includes("ada@example.com"), "an address is redacted")
}

const succeed = async (story: Story, agent: Agent, times: number): Promise<void> => {
  for (let i = 0; i < times; i++)
    await agent.sdk.governed({ action: "chat", resource: resource(story, "acme-small") }, async (call) => {
      call.report({ tokens: 120 })
    })
}

/** 4: trust is earned, lost and earned again. */
export const trust = async (story: Story, agent: Agent): Promise<void> => {
  step(4, "Trust is earned")
  const graduations: Array<string> = []
  void (async () => {
    for await (const change of agent.sdk.trust.changes())
      if (change.tierChanged)
        graduations.push(`${change.previousTier ?? "?"} -> ${change.tier} at ${change.score}`)
  })().catch(() => undefined)
  const medium = { resourceId: resource(story, "acme-medium") }
  fact("acme-medium asks for 60", verdict(await agent.sdk.check(medium)))
  await succeed(story, agent, 5)
  fact("five successes", `trust 50 ${dim(`sent and known in ${millis(await scoreBecomes(agent, 50))}`)}`)
  await succeed(story, agent, 5)
  fact("five more", `trust 60 ${dim(`sent and known in ${millis(await scoreBecomes(agent, 60))}`)}`)
  const { value } = await eventually("the change of tier", () =>
    graduations.find((line) => line.includes("trusted at"))
  )
  fact("graduated, as the event stream tells", value)
  const open = await agent.sdk.check(medium)
  fact("acme-medium now", verdict(open))
  await agent.sdk
    .governed({ action: "chat", resource: resource(story, "acme-small") }, async () => {
      throw new Error("the model gave up")
    })
    .catch(() => undefined)
  await scoreBecomes(agent, 58)
  const closed = await agent.sdk.check(medium)
  fact("a failure", `trust 58: ${verdict(closed)}`)
  await succeed(story, agent, 2)
  await scoreBecomes(agent, 62)
  const again = await agent.sdk.check(medium)
  fact("two successes", `trust 62: ${verdict(again)}`)
  expect(open.allowed && !closed.allowed && again.allowed, "the second model follows the score")
  await agent.sdk.http((api) =>
    api.feedback.submit({
      payload: {
        responseId: story.name("answer"),
        agentId: ActorId.make(agent.id),
        userId: "ada",
        organizationId: story.organizationId,
        starRating: 5
      }
    })
  )
  await scoreBecomes(agent, 64)
  fact("a five-star rating", "trust 64")
}

/** 5: limits hold, and a new policy arrives by push. */
export const limitsAndPolicies = async (story: Story, reader: Agent, agent: Agent): Promise<void> => {
  step(5, "Limits and policies")
  await grant(story, reader, "acme-small", "use", { tokenLimitPerDay: 5000 })
  const call = () =>
    reader.sdk.governed(
      { action: "chat", resource: resource(story, "acme-small"), estimate: { tokens: 2000 } },
      async (governed) => {
        governed.report({ tokens: 2000 })
        return "2,000 tokens used"
      }
    )
  let refusal: string | undefined
  for (let i = 1; i <= 4 && refusal === undefined; i++) {
    const said = await call().catch((error: { reason: string }) => {
      refusal = error.reason
      return denied(error.reason)
    })
    fact(`call ${i}, limit 5,000 tokens a day`, said)
    await reader.sdk.flush()
  }
  expect(refusal === "Token limit would be exceeded", "the daily token limit denies")
  const input = { action: "query", content: "DROP TABLE customers" }
  const before = await agent.sdk.policies.check(input)
  expect(before.decision === "allow", "nothing speaks against it yet")
  await agent.sdk.http((api) =>
    api.policies.create({
      payload: {
        name: "No drops",
        description: "Tables are not dropped by agents.",
        type: "access",
        category: "safety",
        priority: 10,
        enabled: true,
        policyLanguage: "cel",
        policyExpr: '!request.content.contains("DROP TABLE")',
        organizationId: story.organizationId
      }
    })
  )
  const pushed = await eventually("the new policy", async () => {
    const judged = await agent.sdk.policies.check(input)
    return judged.decision === "deny" ? judged : undefined
  })
  fact("a policy created meanwhile reached the agent in", millis(pushed.ms))
  fact("`DROP TABLE customers`", denied(pushed.value.reasons.join("; ")))
}

/** 7: what was granted can be taken back, in spite of the cache. */
export const revocation = async (story: Story, agent: Agent): Promise<void> => {
  step(7, "Revocation")
  const question = { resourceId: resource(story, "staging"), permissionType: "read" as const }
  const { value: warm } = await fromCache(agent, question)
  fact("reading staging, from the cache", verdict(warm))
  expect(warm.allowed, "the approval is cached")
  const id = story.permissions.get(`${agent.id} read staging`) ?? ""
  await agent.sdk.http((api) =>
    api.permissions.revoke({
      params: { id: PermissionId.make(id) },
      payload: { revokedBy: approver, reason: "no longer needed" }
    })
  )
  const gone = await eventually("the revocation", async () => {
    const answer = await agent.sdk.check(question)
    return answer.allowed ? undefined : answer
  })
  fact(`${approver} revokes; the next check`, `${verdict(gone.value)} ${dim(`after ${millis(gone.ms)}`)}`)
}

const evaluated = async (story: Story, agent: Agent, impact: number): Promise<void> => {
  await agent.sdk.http((api) =>
    api.trust.evaluate({
      payload: {
        entityId: ActorId.make(agent.id),
        entityType: "agent",
        eventType: "positive",
        impact,
        description: "put there by an operator",
        organizationId: story.organizationId
      }
    })
  )
  await eventually(`${agent.id} at ${40 + impact}`, async () => {
    const view = await agent.sdk.trust.score()
    return view.score === 40 + impact ? view : undefined
  })
}

/** What a governed call came to: how it was let through, or why not. */
const attempt = async (
  story: Story,
  agent: Agent,
  name: string,
  permission: PermissionType
): Promise<{ readonly mode: string; readonly line: string }> => {
  try {
    const decision = await agent.sdk.governed(
      { action: "query", resource: resource(story, name), permission },
      async (call) => call.decision
    )
    return { mode: decision.mode, line: allowed(`${decision.mode}: ${decision.reason}`) }
  } catch (error) {
    const refusal = error as { readonly code: string; readonly reason: string }
    return { mode: refusal.code, line: denied(`${refusal.code}: ${refusal.reason}`) }
  }
}

/** 8: the platform dies, agents go on as far as they may, nothing is lost. */
export const outage = async (story: Story, steady: Agent, young: Agent): Promise<void> => {
  step(8, "The platform is killed")
  for (const [agent, impact] of [
    [steady, 32],
    [young, 24]
  ] as const) {
    await eventually(`${agent.id} registered`, async () => (await agent.sdk.health()).ready || undefined)
    await grant(story, agent, "staging", "read")
    // Who has heard of the score has heard of what was before it: no news of it may drop what the checks bring.
    await evaluated(story, agent, impact)
    await agent.sdk.check({ resourceId: resource(story, "staging"), permissionType: "read" })
    await agent.sdk.check({ resourceId: resource(story, "production"), permissionType: "read" })
  }
  await story.platform.kill()
  fact("killed with -9", `process ${story.platform.pid}`)
  const degraded = await attempt(story, steady, "staging", "execute")
  fact("trust 72, staging without a warm approval", degraded.line)
  const refused = await attempt(story, young, "staging", "execute")
  fact("trust 64, the same", refused.line)
  // For three seconds a cached approval is as good as new; from then on it is only warm.
  await eventually("the approval to be merely warm", async () => {
    const { mode } = await young.sdk.check({ resourceId: resource(story, "staging"), permissionType: "read" })
    return mode === "stale" ? mode : undefined
  })
  const stale = await attempt(story, young, "staging", "read")
  fact("trust 64, staging with a warm approval", stale.line)
  const critical = [
    await attempt(story, steady, "production", "use"),
    await attempt(story, young, "production", "use")
  ]
  for (const { line } of critical) fact("the critical database", line)
  expect(degraded.mode === "degraded", "72 goes on degraded")
  expect(refused.mode === "governance_unavailable", "64 is refused")
  expect(stale.mode === "stale", "a warm approval is used as stale")
  // Its record asks for more trust than both have, which is known here.
  expect(
    critical.every(({ mode }) => mode === "permission_denied"),
    "nobody gets at the critical database"
  )
  let kept = 0
  for (const agent of [steady, young]) kept += (await agent.sdk.statistics()).events.pending
  fact("events kept meanwhile", String(kept))
  story.platform = await startPlatform(story.platformOptions)
  fact("the platform is back on the same data", story.platform.url)
  await settled(story, steady, 74)
  await settled(story, young, 66)
}

const settled = async (story: Story, agent: Agent, expected: number): Promise<void> => {
  const { ms } = await eventually(`${agent.id} at ${expected} on the platform`, async () => {
    await agent.sdk.flush()
    const score = await platformScore(story, agent).catch(() => undefined)
    const { pending } = (await agent.sdk.statistics()).events
    return score === expected && pending === 0 ? score : undefined
  })
  fact(`${agent.id}: everything arrived, trust ${expected}`, dim(`after ${millis(ms)}`))
}

const percentile = (sorted: ReadonlyArray<number>, p: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? 0

/** 9: what it came to. */
export const summary = async (story: Story, agent: Agent): Promise<void> => {
  step(9, "Summary")
  const question = { resourceId: resource(story, "acme-small") }
  await agent.sdk.check(question)
  const times: Array<number> = []
  for (let i = 0; i < 5000; i++) {
    const start = performance.now()
    await agent.sdk.check(question)
    times.push(performance.now() - start)
  }
  times.sort((a, b) => a - b)
  for (const one of story.agents)
    await eventually(`the last events of ${one.id}`, async () => {
      await one.sdk.flush()
      return (await one.sdk.statistics()).events.pending === 0 ? true : undefined
    })
  const { permissions: cache } = await agent.sdk.statistics()
  const events = (await Promise.all(story.agents.map(({ sdk }) => sdk.statistics()))).map((all) => all.events)
  const sum = (of: (one: (typeof events)[number]) => number) =>
    events.reduce((total, one) => total + of(one), 0)
  fact(
    "decisions of the main agent",
    `${cache.hits + cache.misses}, ${(cache.hitRate * 100).toFixed(1)} % from the cache`
  )
  fact("a local check", `p50 ${millis(percentile(times, 0.5))}, p99 ${millis(percentile(times, 0.99))}`)
  fact("events sent, lost", `${sum((e) => e.sent)}, ${sum((e) => e.dropped)}`)
  expect(sum((e) => e.dropped) === 0 && sum((e) => e.pending) === 0, "nothing is lost")
  for (const one of story.agents) {
    const history = await one.sdk.http((api) =>
      api.trust.history({
        params: { entityId: ActorId.make(one.id) },
        query: { entityType: "agent", organizationId: OrganizationId.make(story.organizationId), limit: 1000 }
      })
    )
    const scores = [40]
    for (const event of [...history.data.events].reverse()) scores.push((scores.at(-1) ?? 40) + event.impact)
    fact(`trust of ${one.id}`, `${scores[0]} ${chart(scores)} ${scores.at(-1)}`)
  }
}
