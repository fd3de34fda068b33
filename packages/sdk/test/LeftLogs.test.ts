/** Logs of earlier starts, many of them, or such as cannot be read. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { agents, directory, killed, start, trust } from "./Buffers.ts"
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

/** Bytes of the segments of logs, as the disk has them. */
const bytesOf = (files: MemoryFiles, logs: ReadonlyArray<string>) =>
  [...files.entries]
    .filter(([path]) => path.endsWith(".wal") && logs.some((log) => path.startsWith(`${directory}/${log}/`)))
    .reduce((sum, [, { bytes }]) => sum + bytes.length, 0)

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

  it.effect("EVENT-4 those that wait for a key take room on the disk, half of it at most", () =>
    Effect.gen(function* () {
      for (const count of [2, 40]) {
        const files = yield* leftBy(count, true)
        const left = bytesOf(files, logsIn(files))
        const platform = new FakePlatform()
        platform.mode = "down"
        const keys = new Map<string, Redacted.Redacted<string>>()
        const { events } = yield* start(platform, {
          files,
          diskBytes: 12_000,
          eventKey: (agentId) => keys.get(agentId)
        })
        assert.deepInclude(yield* events.statistics, { keylessBytes: left, fileBytes: 0 })
        const bound = 12_000 - Math.min(left, 6_000)
        let kept = 0
        while (kept < 200 && events.publishUnsafe("trust", trust(kept)) === "durable") kept++
        const { fileBytes, keylessBytes } = yield* events.statistics
        assert.strictEqual(keylessBytes, left)
        assert.isAtMost(fileBytes, bound)
        assert.isAbove(fileBytes, bound - 500)
        const { reason } = (yield* events.health).storage
        assert.include(reason, `beside ${left} that wait for the key of another agent`)
        // What is taken over is this process's.
        for (const n of [1, 2]) keys.set(`agent-${n}`, Redacted.make("key"))
        yield* TestClock.adjust("61 seconds")
        const after = yield* events.statistics
        assert.strictEqual((yield* events.health).keyless, count - 2)
        assert.isBelow(after.keylessBytes, left)
        assert.strictEqual(after.keylessBytes + after.fileBytes, left + fileBytes)
      }
    })
  )

  it.effect("EVENT-4 one that another machine takes away leaves the agent's own log as it is", () =>
    Effect.gen(function* () {
      const files = yield* leftBy(1, false)
      const [of = ""] = logsIn(files).map((name) => name.split(".")[0])
      const platform = new FakePlatform()
      platform.mode = "down"
      const { events } = yield* start(platform, { files, memoryBytes: 2_000 })
      for (let n = 11; n <= 60; n++) assert.strictEqual(events.publishUnsafe("trust", trust(n)), "durable")
      const left = logsIn(files).find((name) => name.startsWith(of)) ?? ""
      const own = logsIn(files).filter((name) => name !== left)
      assert.lengthOf(own, 1)
      files.rename(`${directory}/${left}`, "/elsewhere")
      files.clock += 11_000
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(logsIn(files), own)
      assert.strictEqual((yield* events.health).storage.mode, "file")
      assert.strictEqual(events.publishUnsafe("trust", trust(61)), "durable")
      platform.mode = "up"
      yield* TestClock.adjust("1 minute")
      yield* events.flush()
      assert.deepStrictEqual(platform.field("agent_id").slice(-51), agents(11, 61))
      assert.deepInclude(yield* events.statistics, { published: 51, pending: 0 })
    })
  )

  it.effect(
    "EVENT-4 the agent's own log is given up where it is gone, and not where it cannot be touched",
    () =>
      Effect.gen(function* () {
        const files = new MemoryFiles()
        const platform = new FakePlatform()
        platform.mode = "down"
        const { events } = yield* start(platform, { files, memoryBytes: 2_000 })
        for (let n = 1; n <= 50; n++) events.publishUnsafe("trust", trust(n))
        const { touch } = files
        files.touch = () => {
          throw Object.assign(new Error("EROFS: injected"), { code: "EROFS" })
        }
        files.clock += 11_000
        yield* TestClock.adjust("1 second")
        platform.mode = "up"
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(platform.field("agent_id"), agents(1, 50))
        files.touch = touch
        const [own = ""] = logsIn(files)
        files.rename(`${directory}/${own}`, "/elsewhere")
        files.clock += 11_000
        yield* TestClock.adjust("1 second")
        assert.strictEqual(events.publishUnsafe("trust", trust(51)), "durable")
        assert.deepStrictEqual(logsIn(files), [own])
        yield* TestClock.adjust("5 seconds")
        assert.deepInclude(yield* events.statistics, { sent: 51, pending: 0 })
      })
  )
})
