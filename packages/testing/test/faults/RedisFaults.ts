import { Effect } from "effect"
import { type Fault, none } from "./Fault.ts"
import { until } from "./Wait.ts"
import { World } from "./World.ts"

/** What happens to Redis. */
export const redisFaults: ReadonlyArray<Fault> = [
  {
    name: "Redis dead at start",
    what: "Redis is killed before the agent starts, and comes 200 events later; the platform goes on without it",
    shows: "EVENT-3 FRESH-4",
    body: (scene) =>
      Effect.gen(function* () {
        const { redis } = yield* World
        const agent = yield* scene.agent({ after: redis.kill })
        yield* agent.sees("granted", 0, ({ allowed, source }) => allowed && source === "platform")
        yield* agent.tells(200)
        yield* redis.restart()
        yield* scene.healed
      })
  },
  {
    name: "Redis dead for 20 s",
    what: "Redis is killed for 20,000 events at 1,000 a second, and started again on its data",
    shows: "EVENT-3 EVENT-5",
    body: (scene) =>
      Effect.gen(function* () {
        const { redis } = yield* World
        const agent = yield* scene.agent({ eventsPerSecond: 1000 })
        yield* redis.kill
        yield* agent.tells(20_000)
        yield* redis.restart()
        yield* scene.healed
      })
  },
  {
    name: "Redis hangs",
    what: "Redis is stopped (SIGSTOP) with its connections open, and goes on",
    shows: "EVENT-3 FRESH-2",
    body: (scene) =>
      Effect.gen(function* () {
        const { redis } = yield* World
        const agent = yield* scene.agent()
        yield* redis.pause
        yield* agent.tells(400)
        yield* redis.resume
        yield* scene.healed
      })
  },
  {
    name: "Redis slow",
    what: "every answer of Redis takes 2 s, every push 1 s",
    shows: "EVENT-3 FRESH-2",
    body: (scene) =>
      Effect.gen(function* () {
        const agent = yield* scene.agent()
        yield* scene.wire.apply({ _tag: "Latency", millis: 1000 })
        yield* agent.tells(400)
        yield* scene.wire.apply(none)
        // What is still on its way would come after what is no longer delayed.
        yield* scene.wire.cut
        yield* scene.healed
      })
  },
  {
    name: "Redis without its data",
    what: "Redis is killed and comes back empty; what it had taken in was read before",
    shows: "EVENT-3 EVENT-5 FRESH-4",
    body: (scene) =>
      Effect.gen(function* () {
        const { redis } = yield* World
        const agent = yield* scene.agent()
        yield* agent.tells(100)
        yield* agent.order({ _tag: "Rate", eventsPerSecond: 0 })
        yield* until("the events to be sent", agent.report, ({ pending }) => pending === 0)
        yield* scene.arrived
        yield* redis.kill
        yield* agent.order({ _tag: "Rate", eventsPerSecond: 100 })
        yield* agent.tells(100)
        yield* redis.restart({ withoutData: true })
        yield* agent.tells(100)
        yield* scene.healed
      })
  }
]
