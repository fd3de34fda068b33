/** What becomes of durable events when memory is short and the disk slow. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { killed, start, trust } from "./Buffers.ts"
import { ended } from "./Ends.ts"
import { FakePlatform } from "./FakePlatform.ts"
import { MemoryFiles } from "./MemoryFiles.ts"

const down = () => {
  const platform = new FakePlatform()
  platform.mode = "down"
  return platform
}

describe("durable events where memory is short", () => {
  it.effect(
    "EVENT-1 the end of a call that waited for a slow disk is in the file with all that it tells",
    () =>
      Effect.gen(function* () {
        const files = new MemoryFiles()
        const { events } = yield* start(down(), { files, memoryBytes: 2_000 })
        events.publishUnsafe("trust", trust(1))
        files.writeMillis = 60
        // What is reported of usage fills its memory, what goes to the streams has some left.
        let published = "durable"
        for (let n = 0; n < 40 && published !== "memory"; n++)
          published = events.publishUnsafe("usage", { permissionId: "p", tokenCount: n })
        let reports = 0
        while (published === "memory" && reports < 40) {
          published = events.publishUnsafe("usage", { permissionId: "p", tokenCount: reports })
          reports += 1
        }
        assert.strictEqual(published, "durable", "the memory of reports is full")
        assert.strictEqual(events.publishCallUnsafe(ended()), "durable")
        const next = new FakePlatform()
        const after = yield* start(next, { files: killed(files) })
        yield* after.events.flush()
        assert.deepStrictEqual(
          next.events.map(({ kind }) => kind),
          ["trust", "trust", "decision"]
        )
        assert.strictEqual(next.reports.at(-1)?.path, "/permissions/permission-1/usage")
      })
  )

  for (const trouble of ["slow", "full"] as const)
    it.effect(
      `EVENT-4 what waits in memory at the end goes to the file, though the disk was ${trouble} just now`,
      () =>
        Effect.gen(function* () {
          const files = new MemoryFiles()
          const first = yield* start(down(), { files, shutdownDeadline: 0 })
          if (trouble === "slow") files.writeMillis = 60
          else files.capacity = files.used
          first.events.publishUnsafe("trust", trust(1))
          assert.strictEqual(first.events.publishUnsafe("trust", trust(2)), "memory")
          files.capacity = Number.POSITIVE_INFINITY
          const closing = yield* Effect.forkChild(first.close)
          yield* TestClock.adjust(1)
          yield* Fiber.join(closing)
          const platform = new FakePlatform()
          const next = yield* start(platform, { files })
          yield* next.events.flush()
          assert.deepStrictEqual(platform.field("agent_id"), ["agent-1", "agent-2"])
        })
    )

  it.effect(
    "EVENT-1 what cannot be encoded is counted by its kind, and what its error says is not told",
    () =>
      Effect.gen(function* () {
        const platform = new FakePlatform()
        const { events } = yield* start(platform, { files: new MemoryFiles() })
        for (let n = 0; n < 50; n++)
          events.publishUnsafe(
            "trust",
            Object.defineProperty({ ...trust(n) }, "context", {
              enumerable: true,
              get: () => {
                throw new TypeError(`no such record: ${n}`)
              }
            })
          )
        yield* TestClock.adjust("6 seconds")
        yield* events.flush()
        const [told] = platform.reports.map((report) => JSON.parse(report.body))
        assert.deepStrictEqual(told.data.counts, { "trust: it cannot be encoded: TypeError": 50 })
      })
  )
})
