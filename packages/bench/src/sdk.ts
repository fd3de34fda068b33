/**
 * The SDK's decisions: a cached check beside a nested Map with expiry, and governed calls beside bare ones.
 *
 * The platform is the one in memory of `@agion/sdk/testing`; no network takes part. Events go to a write-ahead
 * file where one is named, and are thrown away by the platform.
 */
import { mkdtempSync, rmSync, statfsSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Policy } from "@agion/domain"
import {
  AgionSdk,
  type CheckInput,
  EventTransport,
  Governance,
  PermissionCache,
  PolicySync,
  ReportTransport
} from "@agion/sdk"
import { Agion } from "@agion/sdk/promise"
import { AgionTest, type Platform, TestPlatform, testUuid } from "@agion/sdk/testing"
import { Effect, Layer, ManagedRuntime } from "effect"
import { type Bench, fiber, floor, ours, promise, type Suite, sync } from "./Bench.ts"

const actors = 100
const resources = 100

interface Key extends CheckInput {
  readonly actorId: string
}

/** 10,000 keys in an order of their own, with strings of their own as they come out of JSON. */
const makeKeys = (): ReadonlyArray<Key> => {
  const keys: Array<Key> = []
  for (let actor = 0; actor < actors; actor++)
    for (let resource = 0; resource < resources; resource++)
      keys.push(
        JSON.parse(JSON.stringify({ actorId: `agent-${actor}`, resourceId: testUuid(5000 + resource) }))
      )
  // A fixed permutation: 7919 is prime to 10,000.
  return keys.map((_, i) => keys[(i * 7919) % keys.length] ?? { actorId: "", resourceId: "" })
}

interface Kept {
  readonly decision: { readonly allowed: boolean }
  readonly expiresAt: number
}

/** What one would write by hand: actor, resource, permission type, and an expiry. */
const nested = (keys: ReadonlyArray<Key>) => {
  const maps = new Map<string, Map<string, Map<string, Kept>>>()
  for (const { actorId, resourceId } of keys) {
    const ofActor = maps.get(actorId) ?? new Map<string, Map<string, Kept>>()
    maps.set(actorId, ofActor)
    ofActor.set(
      resourceId,
      new Map([["use", { decision: { allowed: true }, expiresAt: Date.now() + 3_600_000 }]])
    )
  }
  return (key: Key) => {
    const kept = maps.get(key.actorId)?.get(key.resourceId)?.get("use")
    return kept !== undefined && Date.now() < kept.expiresAt ? kept.decision : undefined
  }
}

const policyOf = (id: number): Policy => ({
  id,
  name: `Rule ${id}`,
  description: "",
  type: "access",
  category: "bench",
  priority: id,
  enabled: true,
  policyLanguage: "cel",
  policyExpr: `request.content.size() < 100000 && actor.trust_score >= ${id % 30}.0`,
  rules: null,
  actions: null,
  tags: [],
  isSystemPolicy: false,
  createdBy: null,
  updatedBy: null,
  createdAt: "2026-01-01T00:00:00.000Z",
  updatedAt: "2026-01-01T00:00:00.000Z",
  enforcement: null,
  enforcementLevel: "hard",
  scope: {},
  status: "active",
  version: 1,
  organizationId: null
})

interface Started {
  readonly agion: Agion
  readonly platform: Platform
  readonly runtime: ManagedRuntime.ManagedRuntime<AgionServices, unknown>
}
type AgionServices = Layer.Success<ReturnType<typeof AgionTest.layer>>

/** Takes everything at once: what is measured is the agent's side. */
const swallowed = Layer.mergeAll(
  Layer.succeed(
    EventTransport,
    EventTransport.of({
      to: "nowhere",
      send: (events) => Effect.succeed(events.map(() => ({ _tag: "Accepted" as const })))
    })
  ),
  Layer.succeed(
    ReportTransport,
    ReportTransport.of({
      to: "nowhere",
      send: (reports) =>
        Effect.succeed({ deliveries: reports.map(() => ({ _tag: "Accepted" as const })), failed: undefined })
    })
  )
)

const start = async (directory: string | false): Promise<Started> => {
  const runtime = ManagedRuntime.make(
    AgionSdk.layerOver({ agentId: "agent-0", gatewayUrl: "http://platform.test", directory }).pipe(
      Layer.provideMerge(Layer.provideMerge(swallowed, AgionTest.connections()))
    )
  )
  const services = await runtime.context()
  const agion = await Agion.over(Layer.succeedContext(services))
  const platform = await runtime.runPromise(TestPlatform)
  await agion.policies.sync()
  for (let actor = 0; actor < actors; actor++)
    for (let resource = 0; resource < resources; resource++) {
      const id = testUuid(5000 + resource)
      if (actor === 0) platform.resource({ id })
      platform.grant(`agent-${actor}`, id)
    }
  return { agion, platform, runtime }
}

/** Keeps entries fresh: the platform's heartbeat, and answers that do not expire within a run. */
const keepFresh = async ({ agion, platform }: Started, keys: ReadonlyArray<Key>): Promise<void> => {
  for (let i = 0; i < keys.length; i += 1000) await agion.preload(keys.slice(i, i + 1000))
  platform.heartbeat()
}

const cached = async (bench: Bench, started: Started): Promise<void> => {
  const keys = makeKeys()
  const cache = await started.runtime.runPromise(PermissionCache)
  const lookup = nested(keys)
  await keepFresh(started, keys)
  const at = (i: number): Key => keys[i % keys.length] ?? keys[0] ?? { actorId: "", resourceId: "" }
  for (const key of keys)
    if (!(await started.agion.check(key)).allowed) throw new Error("the cache and the Map disagree")
  const prepare = () => keepFresh(started, keys)
  await bench.compare(
    "cached check, 10,000 keys uniformly",
    [
      floor(
        "nested Map with expiry",
        sync((i) => lookup(at(i)))
      ),
      ours(
        "check in a fiber",
        fiber((i) => cache.check(at(i)))
      ),
      ours(
        "checkUnsafe in a fiber",
        fiber((i) => cache.checkUnsafe(at(i)))
      ),
      ours(
        "promise front",
        promise((i) => started.agion.check(at(i)))
      )
    ],
    { batch: 1000, prepare }
  )
  const hot = (i: number): Key => at(i % 100)
  await bench.compare(
    "cached check, a hot set of 100",
    [
      floor(
        "nested Map with expiry",
        sync((i) => lookup(hot(i)))
      ),
      ours(
        "check in a fiber",
        fiber((i) => cache.check(hot(i)))
      ),
      ours(
        "promise front",
        promise((i) => started.agion.check(hot(i)))
      )
    ],
    { batch: 1000, prepare }
  )
}

/** Two kilobytes of prose in which nothing is to be found. */
const prose = "The quarterly report is due on Friday, and nobody has read the appendix yet. "
  .repeat(27)
  .slice(0, 2048)

const calls = async (bench: Bench, started: Started): Promise<void> => {
  const id = testUuid(5000)
  const run = <A, E>(effect: Effect.Effect<A, E, AgionServices>) => started.runtime.runPromise(effect)
  const bare = Effect.succeed(1)
  const prepare = async () => {
    started.platform.events.length = 0
    started.platform.arrived.length = 0
    await keepFresh(started, [{ actorId: "agent-0", resourceId: id }])
  }
  const governance = await run(Governance)
  const plain = governance.run<number>("chat", id)(bare)
  await bench.compare(
    "governed no-op",
    [
      floor(
        "the effect alone",
        fiber(() => bare)
      ),
      ours(
        "without content",
        fiber(() => plain)
      )
    ],
    { prepare }
  )
  started.platform.setPolicies(Array.from({ length: 100 }, (_, i) => policyOf(i + 1)))
  await run(Effect.flatMap(PolicySync, (policies) => policies.sync))
  const full = governance.run<number>("chat", id, { content: prose })(bare)
  await bench.compare(
    "governed no-op, 100 policies and DLP over 2 KB",
    [
      floor(
        "the effect alone",
        fiber(() => bare)
      ),
      ours(
        "with content",
        fiber(() => full)
      )
    ],
    { prepare }
  )
}

const memoryFileSystem = "/dev/shm"

/** A folder on a memory file system, where there is one. */
const folder = (): { readonly path: string; readonly memory: boolean } => {
  try {
    statfsSync(memoryFileSystem)
    return { path: mkdtempSync(join(memoryFileSystem, "agion-bench-")), memory: true }
  } catch {
    return { path: mkdtempSync(join(tmpdir(), "agion-bench-")), memory: false }
  }
}

export const suite: Suite = {
  name: "sdk",
  run: async (bench) => {
    const { path, memory } = folder()
    const started = await start(path)
    // The platform's sign of life of every second.
    const beat = setInterval(() => started.platform.heartbeat(), 500)
    try {
      await cached(bench, started)
      await calls(bench, started)
      bench.note(`write-ahead file on ${memory ? "a memory file system" : "a disk"}; unsampled: no spans`)
    } finally {
      clearInterval(beat)
      await started.agion.close()
      await started.runtime.dispose()
      rmSync(path, { recursive: true, force: true })
    }
  }
}
