import { existsSync, readdirSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Schedule, Scope } from "effect"
import { EventBuffer, type EventBufferOptions } from "../src/EventBuffer.ts"
import { EventTransport } from "../src/events/EventTransport.ts"
import { ReportTransport } from "../src/events/ReportTransport.ts"
import { folder, replay } from "./Agents.ts"
import { counting } from "./Counting.ts"

const away = Layer.merge(
  Layer.succeed(EventTransport, { to: "nobody", send: () => Effect.never }),
  Layer.succeed(ReportTransport, { to: "nobody", send: () => Effect.never })
)

const open = Effect.fnUntraced(function* (
  transports: Layer.Layer<EventTransport | ReportTransport>,
  options: EventBufferOptions
) {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(Layer.provide(EventBuffer.layer(options), transports), scope)
  return { events: Context.get(context, EventBuffer), close: Scope.close(scope, Exit.void) }
})

describe("EventBuffer at length", () => {
  it.live("EVENT-4 a million events of an earlier start are sent in order, and memory stays bounded", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const options = { directory, shutdownDeadline: "10 millis", diskBytes: 1_073_741_824 } as const
      const first = yield* open(away, options)
      for (let n = 1; n <= 1_000_000; n++) {
        first.events.publishUnsafe("trust", { agentId: `agent-${n}`, eventType: "task_completed" })
        // An agent does other things too; among them the disk gets its turn.
        if (n % 1_000 === 0) yield* Effect.yieldNow
      }
      assert.deepInclude(yield* first.events.statistics, { dropped: 0, published: 1_000_000 })
      yield* first.close
      // All of them are more than four times what this start may hold on its heap: it would die of it.
      const { books, bytes } = yield* replay(directory, [
        "--max-old-space-size=48",
        "--max-semi-space-size=4"
      ])
      assert.deepStrictEqual(books, { events: 1_000_000, last: 1_000_000, disorder: 0 })
      assert.isBelow(bytes / 1_048_576, 100, "MiB more than before")
    })
  )

  it.live("closing the scope at any moment leaves no timer, no file and no fiber behind", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const { layer } = counting()
      const resources = () => ({
        timers: process.getActiveResourcesInfo().filter((name) => name === "Timeout").length,
        files: existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : 0
      })
      const once = (transports: typeof layer, turn: number) =>
        Effect.gen(function* () {
          const { events, close } = yield* open(transports, { directory, shutdownDeadline: "5 millis" })
          for (let n = 0; n < turn * 7; n++)
            events.publishUnsafe("trust", { agentId: `agent-${n}`, eventType: "task_completed" })
          if (turn % 3 === 0) yield* Effect.forkChild(events.flush({ deadline: "20 millis" }))
          if (turn % 2 === 0) yield* Effect.sleep(`${turn} millis`)
          yield* close
        })
      yield* once(layer, 1)
      yield* Effect.sleep("300 millis")
      const before = resources()
      for (let turn = 0; turn < 40; turn++) yield* once(turn % 4 === 3 ? away : layer, turn)
      const after = yield* Effect.sync(resources).pipe(
        Effect.repeat({
          until: (now) => now.timers <= before.timers && now.files <= before.files,
          schedule: Schedule.max([Schedule.spaced("20 millis"), Schedule.recurs(250)])
        }),
        Effect.andThen(Effect.sync(resources))
      )
      assert.isAtMost(after.timers, before.timers)
      assert.isAtMost(after.files, before.files)
    })
  )
})
