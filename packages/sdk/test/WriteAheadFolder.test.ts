import * as Fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { EventBuffer } from "../src/EventBuffer.ts"
import { node } from "../src/WriteAheadFiles.ts"
import * as Folder from "../src/WriteAheadFolder.ts"
import { agent, end, folder, next, numbers, reads } from "./Agents.ts"
import { FakePlatform } from "./FakePlatform.ts"

describe("the folder of write-ahead logs", () => {
  it.live(
    "EVENT-4 an agent killed with a full buffer loses nothing: the next start sends all of it, once, in order",
    () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const child = yield* agent(directory, 1, 20_000)
        const told = yield* reads(child, (_, durable) => durable >= 500)
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

  it.live("EVENT-2 its files are for their owner alone", () =>
    Effect.gen(function* () {
      const directory = join(yield* folder, "deep", "events")
      const platform = new FakePlatform()
      platform.mode = "down"
      const layer = EventBuffer.layer({ directory, shutdownDeadline: "10 millis" }).pipe(
        Layer.provide(platform.layer)
      )
      yield* Effect.gen(function* () {
        const events = yield* EventBuffer
        events.publishUnsafe("trust", { agentId: "a", eventType: "task_completed" })
      }).pipe(Effect.provide(layer), Effect.scoped)
      const names = Fs.readdirSync(directory, { recursive: true, encoding: "utf8" })
      assert.isTrue(names.some((name) => name.endsWith(".wal")))
      for (const name of names) {
        const stat = Fs.statSync(join(directory, name))
        assert.strictEqual(stat.mode & 0o777, stat.isDirectory() ? 0o700 : 0o600, name)
      }
    })
  )

  it("a log of a process whose id is another's by now counts as left", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const me = Folder.thisProcess()
      const epoch = "0198c0de-0000-7000-8000-000000000001"
      const names = [
        Folder.logName(epoch, { ...me, start: "1" }),
        Folder.logName(epoch.replace(/1$/, "2"), me),
        Folder.logName(epoch.replace(/1$/, "3"), { ...me, pid: 4_194_305 })
      ]
      for (const name of names) Fs.mkdirSync(join(directory, name))
      const adopted = Folder.adopt(node, directory).map((log) => log.epoch.at(-1))
      assert.deepStrictEqual(adopted, ["1", "3"])
    }).pipe(Effect.scoped, Effect.runPromise))

  it("a log of another machine is left alone for a minute after its last sign of life", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const owner = { host: "abcdef012345", pid: 7, start: "7" }
      const name = Folder.logName("0198c0de-0000-7000-8000-000000000001", owner)
      const path = join(directory, name)
      Fs.mkdirSync(path)
      assert.strictEqual(Folder.adopt(node, directory).length, 0)
      const old = Date.now() / 1000 - 61
      Fs.utimesSync(path, old, old)
      assert.strictEqual(Folder.adopt(node, directory).length, 1)
    }).pipe(Effect.scoped, Effect.runPromise))

  it("EVENT-2 lies in the user's state folder unless told otherwise", () => {
    assert.strictEqual(
      Folder.defaultDirectory({ XDG_STATE_HOME: "/state" }),
      join("/state", "agion", "events")
    )
    assert.notInclude(Folder.defaultDirectory({ XDG_STATE_HOME: "relative" }), "relative")
  })
})
