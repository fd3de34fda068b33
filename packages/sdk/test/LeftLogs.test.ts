/** Logs of earlier starts, many of them, or such as cannot be read. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { directory, killed, start, trust } from "./Buffers.ts"
import { FakePlatform } from "./FakePlatform.ts"
import { MemoryFiles } from "./MemoryFiles.ts"

/** What starts leave that publish one event each, of an agent each, and are killed. */
const leftBy = Effect.fnUntraced(function* (count: number, isSigned: boolean) {
  const platform = new FakePlatform()
  platform.mode = "down"
  let files = new MemoryFiles()
  for (let n = 1; n <= count; n++) {
    const eventKey = isSigned ? { eventKey: () => Redacted.make("key") } : {}
    const { events } = yield* start(platform, { files, ...eventKey })
    events.publishUnsafe("trust", trust(n))
    files = killed(files)
  }
  return files
})

const logsIn = (files: MemoryFiles) => files.list(directory).filter((name) => /^[0-9a-f-]{36}\./.test(name))

describe("logs of earlier starts", () => {
  it.effect("EVENT-4 one that cannot be read keeps no other from being sent", () =>
    Effect.gen(function* () {
      // One killed start after the other would send what the last has left.
      const files = new MemoryFiles()
      for (const n of [1, 2, 3]) {
        const one = yield* leftBy(1, false)
        for (const folder of one.folders) files.folders.add(folder)
        for (const [path, file] of one.entries)
          files.entries.set(path, { bytes: Buffer.from(file.bytes), synced: file.synced })
        assert.lengthOf(logsIn(files), n)
      }
      // From when it has been taken over.
      const [broken = ""] = logsIn(files).sort()
      const { list } = files
      files.list = (path) => {
        const isBroken = path.startsWith(`${directory}/${broken.split(".")[0]}`) && !path.endsWith(broken)
        if (isBroken) throw new Error("EIO: injected")
        return list(path)
      }
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files })
      yield* events.flush()
      assert.lengthOf(platform.events, 2)
    })
  )

  it.effect("EVENT-4 those that wait for a key are looked at once, however many, until it is there", () =>
    Effect.gen(function* () {
      const files = yield* leftBy(5, true)
      const platform = new FakePlatform()
      const keys = new Map<string, Redacted.Redacted<string>>()
      const { events } = yield* start(platform, { files, eventKey: (agentId) => keys.get(agentId) })
      assert.strictEqual((yield* events.health).keyless, 5)
      let looked = 0
      const { list } = files
      files.list = (path) => {
        if (path !== directory) looked += 1
        return list(path)
      }
      yield* TestClock.adjust("3 minutes")
      assert.strictEqual(looked, 0)
      assert.strictEqual((yield* events.health).keyless, 5)
      keys.set("agent-3", Redacted.make("key"))
      yield* TestClock.adjust("11 seconds")
      yield* events.flush()
      assert.lengthOf(platform.events, 1)
      assert.strictEqual((yield* events.health).keyless, 4)
    })
  )
})
