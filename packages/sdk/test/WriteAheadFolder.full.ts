import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { agent, end, folder, next, numbers, reads } from "./Agents.ts"

describe("the folder of write-ahead logs, with real processes", () => {
  it.live(
    "EVENT-4 an agent killed with a full buffer loses nothing: the next start sends all of it, once, in order",
    () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const child = yield* agent(directory, 1, 1_000_000)
        const told = yield* reads(child, (_, durable) => durable >= 20_000)
        yield* Effect.promise(() => end(child))
        const platform = yield* next(directory)
        const got = numbers(platform)
        // It may have written more than it lived to say, and after a slow write what it had called `memory` too.
        const sent = new Set(got)
        assert.deepStrictEqual(
          told.filter((n) => !sent.has(n)),
          []
        )
        assert.deepStrictEqual(
          got,
          Array.from({ length: got.length }, (_, i) => i + 1)
        )
        assert.strictEqual(new Set(platform.events.map((event) => event.eventId)).size, got.length)
        assert.deepStrictEqual(Fs.readdirSync(directory), ["producer"])
      })
  )

  it.live(
    "EVENT-4 two agents share a folder: the one that lives keeps its log, that of the dead one is taken over",
    () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const living = yield* agent(directory, 1, 50)
        yield* reads(living, (line) => line === "done")
        const dead = yield* agent(directory, 1001, 50)
        yield* reads(dead, (line) => line === "done")
        yield* Effect.promise(() => end(dead))
        const platform = yield* next(directory)
        assert.deepStrictEqual(
          numbers(platform),
          Array.from({ length: 50 }, (_, i) => 1001 + i)
        )
        yield* Effect.promise(() => end(living))
        assert.deepStrictEqual(
          numbers(yield* next(directory)),
          Array.from({ length: 50 }, (_, i) => 1 + i)
        )
        const producers = new Set(platform.field("producer"))
        assert.strictEqual(producers.size, 1, "both are the same installation")
      })
  )

  it.live("EVENT-4 of many that start at once each log is taken over by one", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      for (const first of [1, 101, 201]) {
        const child = yield* agent(directory, first, 100, "exit")
        yield* reads(child, () => false)
      }
      const platforms = yield* Effect.forEach([1, 2, 3, 4], () => next(directory), {
        concurrency: "unbounded"
      })
      const got = platforms.flatMap(numbers).sort((a, b) => a - b)
      assert.deepStrictEqual(
        got,
        Array.from({ length: 300 }, (_, i) => i + 1)
      )
    })
  )
})
