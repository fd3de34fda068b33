import { Streams } from "@agion/domain"
import { Redis, RedisClient } from "@agion/redis"
import { Context, Effect, Layer } from "effect"
import { type Fault, isStale, none, onBoth } from "./Fault.ts"
import { until } from "./Wait.ts"
import { World } from "./World.ts"

/** What nobody on these channels should say. */
const poison = [
  "{",
  "null",
  '{"version":999999}',
  '{"organization_id":"default","previous":0,"epoch":-5,"ids":[]}',
  '{"organization_id":"default","previous":"x","epoch":1e400}'
]

const publishPoison = Effect.gen(function* () {
  const { redis } = yield* World
  const client = Context.get(yield* Layer.build(Redis.layer({ url: redis.url })), RedisClient)
  const names = Streams.streamNames()
  for (const channel of [names.epoch("default"), ...names.policyUpdates])
    yield* client.pipeline(poison.map((text) => ["PUBLISH", channel, text]))
}).pipe(Effect.orDie)

const createPolicy = (name: string, expression: string) =>
  Effect.flatMap(World, ({ post }) =>
    post("/policies", {
      name,
      description: "",
      type: "access",
      category: "test",
      priority: 10,
      enabled: true,
      policy_language: "cel",
      policy_expr: expression
    })
  )

/** What happens to the agent itself, to what it is told, and to its disk. */
export const agentFaults: ReadonlyArray<Fault> = [
  {
    name: "agent killed",
    what: "the agent is killed (SIGKILL) with 5,000 events that nobody took, and started again",
    shows: "EVENT-1 EVENT-4 EVENT-5 OUTAGE-6",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent({ eventsPerSecond: 1000 })
        const at = yield* scene.breaks
        yield* onBoth(scene, { _tag: "Reset" })
        yield* agent.tells(5000)
        yield* agent.sees("granted", at, isStale)
        yield* agent.kill
        yield* onBoth(scene, none)
        yield* scene.again(agent)
        yield* scene.healed
      })
  },
  {
    name: "two agents on one folder",
    what: "two processes share a folder while nothing gets out; one is killed and a third is started",
    shows: "EVENT-4 EVENT-5",
    body: (scene) =>
      Effect.gen(function* () {
        const one = yield* scene.agent()
        const two = yield* scene.again(one)
        yield* two.sees("granted", 0, ({ allowed }) => allowed)
        yield* scene.breaks
        yield* onBoth(scene, { _tag: "Reset" })
        yield* one.tells(300)
        yield* two.tells(300)
        yield* two.kill
        yield* scene.again(one)
        yield* onBoth(scene, none)
        yield* scene.healed
      })
  },
  {
    name: "disk full",
    what: "the file of the events takes nothing (ENOSPC) while nothing gets out, then takes it again",
    shows: "EVENT-1 EVENT-2 OUTAGE-6",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent()
        const at = yield* scene.breaks
        yield* agent.order({ _tag: "Disk", full: true })
        yield* onBoth(scene, { _tag: "Reset" })
        yield* until("the memory to be used", agent.report, ({ storage }) => storage === "memory")
        yield* agent.sees("granted", at, isStale)
        yield* agent.tells(200)
        yield* agent.order({ _tag: "Disk", full: false })
        yield* until("the file to be used", agent.report, ({ storage }) => storage === "file")
        yield* onBoth(scene, none)
        yield* scene.healed
      })
  },
  {
    name: "clock jumps back",
    what: "the agent's wall clock jumps back an hour, then nothing gets out for a while",
    shows: "OUTAGE-2 FRESH-2",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent()
        yield* agent.order({ _tag: "Clock", millis: -3_600_000 })
        yield* agent.tells(100)
        const at = yield* scene.breaks
        yield* onBoth(scene, { _tag: "Reset" })
        yield* agent.sees("granted", at, isStale)
        yield* agent.tells(100)
        yield* onBoth(scene, none)
        yield* scene.healed
      })
  },
  {
    name: "poisoned policies",
    what: "nonsense is said on the channels of epochs and policies, and a bundle is changed on its way",
    shows: "POLICY-7 FRESH-2",
    body: (scene) =>
      Effect.gen(function* () {
        yield* createPolicy("No refunds", 'action != "refund"')
        const agent = yield* scene.agent()
        const { policyVersion } = yield* until(
          "policies",
          agent.report,
          (report) => report.policyVersion !== null
        )
        yield* agent.order({ _tag: "Ask", name: "forbidden" })
        yield* agent.sees("forbidden", 0, ({ allowed }) => !allowed)
        yield* scene.http.apply({ _tag: "Rewrite", from: '"payload":"eyJ', to: '"payload":"eyK' })
        yield* publishPoison
        yield* createPolicy("No payouts", 'action != "payout"')
        yield* until("a refusal", agent.report, ({ refusedBundles }) => refusedBundles > 0)
        yield* agent.tells(100)
        yield* scene.http.apply(none)
        yield* until(
          "the new policies",
          agent.report,
          (report) => report.policyVersion !== null && report.policyVersion !== policyVersion
        )
        yield* scene.healed
      })
  }
]
