/** One fault: a fresh agent with its permissions, proxies before the platform and Redis, and the books. */
import { FaultProxy } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as EventTargets from "../EventTargets.ts"
import * as Agents from "./Agent.ts"
import { type Asked, bookPrefix, eventIdOf, milliseconds, type Question } from "./Lines.ts"
import { type Stretch, type Truth, wrong } from "./Oracle.ts"
import { until } from "./Wait.ts"
import { World } from "./World.ts"

/** What a run of a fault came to. */
export interface Outcome {
  readonly decisions: number
  /** From the end of the fault to the first decision that the platform vouches for, milliseconds; null: none was waited for. */
  readonly recoveredMs: number | null
  readonly events: number
  readonly lost: number
  readonly twice: number
  /** From the end of the fault until all events were in effect, milliseconds. */
  readonly arrivedMs: number
  /** From a revocation to the first denial, milliseconds; null: nothing was revoked. */
  readonly deniedMs: number | null
}

/** How an agent of a scene differs. */
export interface AgentOptions {
  /** Default: 72. */
  readonly trust?: number
  /** Default: true; false: everything over HTTP. */
  readonly redis?: boolean
  /** Default: 100. */
  readonly eventsPerSecond?: number
  /** What happens once the platform knows it and before it starts; then nobody waits until it holds anything. */
  readonly after?: Effect.Effect<void>
}

/** A scene to break. */
export interface Scene {
  readonly http: FaultProxy.FaultProxy
  readonly wire: FaultProxy.FaultProxy
  readonly directory: string
  readonly agent: (options?: AgentOptions) => Effect.Effect<Agents.Agent, never, Scope.Scope | World>
  /** Starts another process of an agent, on the same folder unless told otherwise. */
  readonly again: (agent: Agents.Agent, directory?: string) => Effect.Effect<Agents.Agent, never, Scope.Scope>
  /** From now on the platform cannot be relied on; ends with `healed`. */
  readonly breaks: Effect.Effect<number>
  /** The fault is over: waits until every agent is answered by the platform again. */
  readonly healed: Effect.Effect<void>
  /** Waits until what the agents have told of is in effect. */
  readonly arrived: Effect.Effect<void, never, World>
  /** Revokes the permission of `granted` at the platform. */
  readonly revoke: (agent: Agents.Agent) => Effect.Effect<void, never, World>
  /** Waits until the agent denies what was revoked. */
  readonly denies: (agent: Agents.Agent) => Effect.Effect<void>
  /** The slowest way to the platform and back. Default: half a second, which a busy machine needs. */
  readonly slow: (roundTripMs: number) => Effect.Effect<void>
}

let books = 0

interface Held {
  readonly agent: Agents.Agent
  readonly trust: number
  readonly permissions: ReadonlyMap<string, string>
}

const forever = (from: number): Stretch => ({ from, to: Number.POSITIVE_INFINITY })

const resource = (name: string, more: object = {}) =>
  Effect.flatMap(World, ({ post }) =>
    post("/resources", {
      organization_id: "default",
      resource_type: "database",
      name,
      resource_data: {},
      created_by: "tester",
      ...more
    })
  ).pipe(Effect.map(({ id }) => String(id)))

const approve = Effect.fnUntraced(function* (agentId: string, resourceId: string, permissionType: string) {
  const { post } = yield* World
  const { id } = yield* post("/permissions", {
    actor_id: agentId,
    actor_type: "agent",
    resource_id: resourceId,
    permission_type: permissionType,
    purpose: "test"
  })
  yield* post(`/permissions/${id}/approve`, { approved_by: "boss" })
  return String(id)
})

/** An actor of the platform with a score, and what it may do. */
const introduce = Effect.fnUntraced(function* (agentId: string, trust: number) {
  const { post } = yield* World
  // Its first registration tells everyone that it has changed; later ones do not.
  yield* post("/agents/register", { agent_id: agentId, organization_id: "default", status: "active" })
  const granted = yield* resource(`granted-${agentId}`)
  const critical = yield* resource(`critical-${agentId}`, { risk_level: "critical" })
  const stranger = yield* resource(`stranger-${agentId}`)
  const unasked = yield* resource(`unasked-${agentId}`)
  const permissions = new Map([
    ["granted", yield* approve(agentId, granted, "use")],
    ["critical", yield* approve(agentId, critical, "use")],
    ["write", yield* approve(agentId, granted, "write")]
  ])
  yield* post("/trust/evaluate", {
    entity_id: agentId,
    entity_type: "agent",
    event_type: "positive",
    impact: trust - 40,
    description: "for the test"
  })
  const questions: ReadonlyArray<Question> = [
    { name: "granted", resourceId: granted },
    { name: "critical", resourceId: critical },
    { name: "write", resourceId: granted, permissionType: "write" },
    { name: "stranger", resourceId: stranger },
    { name: "unasked", resourceId: unasked, later: true },
    { name: "forbidden", resourceId: granted, context: { action: "refund" }, later: true },
    { name: "afterwards", resourceId: unasked, permissionType: "write", later: true }
  ]
  return { permissions, questions }
})

const isVouched = (asked: Asked) => asked.source !== "outage"

/** Makes a scene, plays it, and judges what came of it. */
export const play = Effect.fnUntraced(function* <E, R>(
  body: (scene: Scene) => Effect.Effect<void, E, R>
): Effect.fn.Return<Outcome, E, R | Scope.Scope | World> {
  const world = yield* World
  const book = ++books
  const http = yield* FaultProxy.make({ port: world.platform.port })
  const wire = yield* FaultProxy.make({ port: world.redis.port })
  const directory = yield* EventTargets.folder
  const held: Array<Held> = []
  const approved = new Map<string, Array<Stretch>>()
  const outages: Array<Stretch> = []
  let roundTripMs = 500
  let brokenAt: number | undefined
  let healedAt = milliseconds()
  let recoveredMs: number | null = null
  let revokedAt = 0
  let deniedMs: number | null = null

  const hold = (agent: Agents.Agent, trust: number, permissions: Held["permissions"]) => {
    held.push({ agent, trust, permissions })
    return agent
  }
  const scene: Scene = {
    http,
    wire,
    directory,
    agent: Effect.fnUntraced(function* ({ after, eventsPerSecond, redis, trust = 72 }: AgentOptions = {}) {
      const agentId = `agent-${book}-${held.length}`
      const { permissions, questions } = yield* introduce(agentId, trust)
      for (const name of permissions.keys()) {
        const stretches = approved.get(name) ?? [forever(milliseconds())]
        approved.set(name, stretches)
      }
      if (after !== undefined) yield* after
      const agent = yield* Agents.start({
        agentId,
        gatewayUrl: `http://127.0.0.1:${http.port}`,
        ...(redis === false ? {} : { redisUrl: `redis://127.0.0.1:${wire.port}` }),
        directory,
        questions,
        book,
        first: 1 + held.length * 1_000_000,
        eventsPerSecond: eventsPerSecond ?? 100
      })
      hold(agent, trust, permissions)
      if (after !== undefined) return agent
      yield* agent.holds
      for (const name of permissions.keys())
        yield* agent.sees(name, 0, (asked) => asked.allowed && asked.source === "cache")
      yield* agent.sees("stranger", 0, (asked) => !asked.allowed)
      return agent
    }),
    again: Effect.fnUntraced(function* (agent, other) {
      const before = held.find((one) => one.agent === agent)
      const plan = { ...agent.plan, first: 1 + held.length * 1_000_000, directory: other ?? directory }
      return hold(yield* Agents.start(plan), before?.trust ?? 72, before?.permissions ?? new Map())
    }),
    breaks: Effect.sync(() => {
      brokenAt = milliseconds()
      return brokenAt
    }),
    healed: Effect.gen(function* () {
      healedAt = milliseconds()
      const living = held.filter(({ agent }) => agent.isAlive())
      const firsts = yield* Effect.forEach(living, ({ agent }) => agent.sees("granted", healedAt, isVouched))
      for (const { agent } of living) {
        // Nothing is held of this one: only the platform can answer it.
        yield* agent.order({ _tag: "Ask", name: "afterwards" })
        yield* agent.sees("afterwards", healedAt, ({ source }) => source === "platform")
        const since = milliseconds()
        for (const name of ["granted", "critical", "write", "stranger"])
          yield* agent.sees(name, since, isVouched)
      }
      recoveredMs = Math.max(...firsts.map(({ to }) => to)) - healedAt
      outages.push({ from: brokenAt ?? healedAt, to: milliseconds() })
      brokenAt = undefined
    }),
    arrived: Effect.suspend(() => Effect.asVoid(arrival(book, held))),
    revoke: Effect.fnUntraced(function* (agent) {
      const { post } = yield* World
      const id = held.find((one) => one.agent === agent)?.permissions.get("granted")
      yield* post(`/permissions/${id}/revoke`, { revoked_by: "boss", reason: "test" })
      const at = milliseconds()
      const [stretch] = approved.get("granted") ?? []
      approved.set("granted", [{ from: stretch?.from ?? 0, to: at }])
      revokedAt = at
    }),
    denies: (agent) =>
      Effect.map(
        agent.sees("granted", revokedAt, ({ allowed }) => !allowed),
        ({ to }) => {
          deniedMs = to - revokedAt
        }
      ),
    slow: (millis) =>
      Effect.sync(() => {
        roundTripMs = millis
      })
  }
  yield* Effect.onError(body(scene), () => world.repair)
  for (const { agent } of held) yield* agent.order({ _tag: "Rate", eventsPerSecond: 0 })
  const { expected, found, told } = yield* arrival(book, held)
  const arrivedMs = milliseconds() - healedAt
  const faults = held.flatMap(({ agent, trust }) =>
    wrong(agent.asked, {
      approved,
      excluded: new Set(["critical", "write", "afterwards"]),
      outages,
      roundTripMs,
      trust
    } satisfies Truth).map(({ asked, why }) => `${agent.plan.agentId} ${why}: ${JSON.stringify(asked)}`)
  )
  const refused = held.flatMap(({ agent }) => agent.refused)
  assert.deepStrictEqual([...faults, ...refused].slice(0, 5), [], `${faults.length} wrong decisions`)
  const lost = [...expected].filter((id) => !found.ids.has(id)).length + Math.max(0, told - found.decisions)
  const twice = found.raised - found.ids.size
  assert.deepStrictEqual({ lost, twice }, { lost: 0, twice: 0 })
  return {
    decisions: held.reduce((sum, { agent }) => sum + agent.asked.length, 0),
    recoveredMs,
    events: expected.size + told,
    lost,
    twice,
    arrivedMs,
    deniedMs
  }
})

/** Waits, with a bound, until everything that was told of is in effect; answers what was and what is. */
const arrival = Effect.fnUntraced(function* (book: number, held: ReadonlyArray<Held>) {
  const told = expectedDecisions(held)
  const expected = new Set<string>()
  for (const { agent } of held)
    for (let n = agent.plan.first; n <= agent.last(); n++) expected.add(eventIdOf(book, n))
  const found = yield* until(
    "all events to be in effect",
    inEffect(book, held),
    ({ ids, decisions }) => [...expected].every((id) => ids.has(id)) && decisions >= told,
    { seconds: 60, every: "200 millis" }
  ).pipe(Effect.catchDefect(() => inEffect(book, held)))
  return { expected, found, told }
})

/** Decisions that were taken without the platform and allowed: each is told (OUTAGE-6). */
const expectedDecisions = (held: ReadonlyArray<Held>): number =>
  held.reduce(
    (sum, { agent }) =>
      sum + agent.asked.filter((asked) => asked.allowed && asked.source === "outage").length,
    0
  )

/** What has come to be at the platform, read from its database at one moment. */
const inEffect = Effect.fnUntraced(function* (book: number, held: ReadonlyArray<Held>) {
  const { sql } = yield* World
  const agents = [...new Set(held.map(({ agent }) => agent.plan.agentId))]
  const [row] = yield* Effect.orDie(
    sql<{ ids: string; raised: number; decisions: number }>`
      SELECT
        (SELECT coalesce(string_agg(event_id, ' '), '') FROM trust_history
          WHERE event_id LIKE ${`${bookPrefix(book)}%`}) AS ids,
        (SELECT coalesce(sum(score - 400), 0)::int / 20 FROM trust_scores
          WHERE entity_id LIKE ${`book-${book}-%`}) AS raised,
        (SELECT count(*)::int FROM audit_events
          WHERE event_type = 'decision' AND entity_id IN ${sql.in(agents)}
            AND data->>'mode' IN ('stale', 'degraded')) AS decisions`
  )
  const ids = new Set((row?.ids ?? "").split(" ").filter((id) => id !== ""))
  return { ids, raised: row?.raised ?? 0, decisions: row?.decisions ?? 0 }
})
