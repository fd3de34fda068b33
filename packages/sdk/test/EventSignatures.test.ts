/** Events that are to be signed, and the key is lost, late or another one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Redacted } from "effect"
import { TestClock } from "effect/testing"
import type { EventBufferOptions } from "../src/EventBuffer.ts"
import * as Folder from "../src/WriteAheadFolder.ts"
import { directory, killed, start, trust } from "./Buffers.ts"
import { FakePlatform } from "./FakePlatform.ts"
import { MemoryFiles } from "./MemoryFiles.ts"

/** The keys of agents, as they are now. */
const keysIn =
  (keys: Map<string, string>): NonNullable<EventBufferOptions["eventKey"]> =>
  (agentId) => {
    const key = keys.get(agentId)
    return key === undefined ? undefined : Redacted.make(key)
  }

const keys = (...given: ReadonlyArray<readonly [string, string]>) => new Map(given)

/** A platform that demands signatures with these keys. */
const demanding = (right: Map<string, string>) => {
  const platform = new FakePlatform()
  platform.keys = right
  return platform
}

const down = () => {
  const platform = new FakePlatform()
  platform.mode = "down"
  return platform
}

/** What a start with these keys leaves that publishes of each agent once, and is killed. */
const leftBy = Effect.fnUntraced(function* (agents: ReadonlyArray<number>, own: Map<string, string>) {
  const files = new MemoryFiles()
  const { events } = yield* start(down(), { files, eventKey: keysIn(own) })
  for (const n of agents) events.publishUnsafe("trust", trust(n))
  return killed(files)
})

/** Lines of the log at warning and above. */
const listening = () => {
  const lines: Array<string> = []
  const layer = Logger.layer([
    Logger.make(({ logLevel, message }) => {
      if (logLevel === "Warn" || logLevel === "Error") lines.push(String(message))
    })
  ])
  return { lines, layer }
}

describe("a log of an earlier start whose events are to be signed", () => {
  it.effect("EVENT-4 is left alone by who has no key of its agent, and sent by who has", () => {
    const { layer, lines } = listening()
    return Effect.gen(function* () {
      const files = yield* leftBy([1], keys(["agent-1", "k1"]))
      const platform = demanding(keys(["agent-1", "k1"]))
      const known = keys(["agent-2", "k2"])
      const other = yield* start(platform, { files, eventKey: keysIn(known) })
      yield* other.events.flush()
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual([platform.events.length, platform.signatures.length], [0, 0])
      assert.deepInclude(yield* other.events.health, { keyless: 1, status: "degraded", refused: 0 })
      const [line = "", ...more] = lines
      assert.isEmpty(more)
      for (const word of ["`agent-1`", directory, "start that agent", "deleted at the platform"])
        assert.include(line, word)
      known.set("agent-1", "k1")
      yield* TestClock.adjust("11 seconds")
      assert.deepStrictEqual(platform.field("agent_id"), ["agent-1"])
      assert.deepInclude(yield* other.events.health, { keyless: 0, status: "ok" })
    }).pipe(Effect.provide(layer))
  })

  it.effect("EVENT-4 is sent by anybody where its agent never had a key", () =>
    Effect.gen(function* () {
      const files = yield* leftBy([1], keys())
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files, eventKey: keysIn(keys(["agent-2", "k2"])) })
      yield* events.flush()
      assert.deepStrictEqual(platform.field("agent_id"), ["agent-1"])
      assert.isEmpty(platform.signatures)
    })
  )

  it.effect("EVENT-4 names an agent whose key came after its first event", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const own = keys()
      const first = yield* start(down(), { files, eventKey: keysIn(own) })
      first.events.publishUnsafe("trust", trust(1))
      own.set("agent-1", "k1")
      yield* TestClock.adjust("10 seconds")
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files: killed(files), eventKey: keysIn(keys()) })
      yield* events.flush()
      assert.isEmpty(platform.events)
      assert.strictEqual((yield* events.health).keyless, 1)
    })
  )

  it.effect(
    "EVENT-4 of several agents is sent for those whose key is there, and the rest waits for its own",
    () =>
      Effect.gen(function* () {
        const right = keys(["agent-1", "k1"], ["agent-2", "k2"])
        const files = yield* leftBy([1, 2, 1, 2], right)
        const platform = demanding(right)
        const known = keys(["agent-1", "k1"])
        const { events } = yield* start(platform, { files, eventKey: keysIn(known) })
        yield* events.flush()
        assert.deepStrictEqual(platform.field("agent_id"), ["agent-1", "agent-1"])
        assert.lengthOf(platform.signatures, 2)
        assert.deepInclude(yield* events.statistics, { kept: 2, refused: 0, dropped: 0 })
        known.set("agent-2", "k2")
        yield* events.flush()
        assert.deepStrictEqual(platform.field("agent_id").slice(2), ["agent-2", "agent-2"])
        assert.deepInclude(yield* events.statistics, { kept: 0, refused: 0, dropped: 0 })
      })
  )
})

describe("events that are refused for their signature", () => {
  it.effect("EVENT-3 are kept, and sent again when their agent has another key", () => {
    const { layer, lines } = listening()
    return Effect.gen(function* () {
      const platform = demanding(keys(["agent-1", "new"], ["agent-2", "k2"]))
      const own = keys(["agent-1", "old"], ["agent-2", "k2"])
      const files = new MemoryFiles()
      const { events } = yield* start(platform, { files, eventKey: keysIn(own) })
      for (const n of [1, 2, 1]) events.publishUnsafe("trust", trust(n))
      assert.deepStrictEqual(yield* events.flush(), { sent: 1, pending: 0 })
      assert.deepInclude(yield* events.statistics, { kept: 2, refused: 0, dropped: 0, pending: 0 })
      assert.deepInclude(yield* events.health, { kept: 2, status: "degraded" })
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(platform.batches, 1, "the same key is not tried again")
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "2 events wait for another key")
      own.set("agent-1", "new")
      yield* TestClock.adjust("11 seconds")
      assert.deepStrictEqual(platform.field("agent_id"), ["agent-2", "agent-1", "agent-1"])
      assert.deepInclude(yield* events.statistics, { kept: 0, sent: 3, refused: 0, dropped: 0 })
      assert.deepInclude(yield* events.health, { status: "ok" })
      assert.lengthOf(
        files.list(directory).filter((name) => Folder.parseLogName(name) !== undefined),
        1
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("EVENT-3 are sent again when the key came while they were on their way", () =>
    Effect.gen(function* () {
      const own = keys()
      const platform = demanding(keys(["agent-1", "k1"]))
      const { events } = yield* start(platform, { files: new MemoryFiles(), eventKey: keysIn(own) })
      events.publishUnsafe("trust", trust(1))
      yield* events.flush()
      assert.strictEqual((yield* events.statistics).kept, 1)
      own.set("agent-1", "k1")
      assert.deepStrictEqual(yield* events.flush(), { sent: 1, pending: 0 })
      assert.deepStrictEqual(platform.field("agent_id"), ["agent-1"])
    })
  )

  for (const how of ["killed", "closed"] as const)
    it.effect(`EVENT-4 are sent again by the next start, though this one was ${how}`, () =>
      Effect.gen(function* () {
        const files = new MemoryFiles()
        const right = keys(["agent-1", "new"])
        const first = yield* start(demanding(right), { files, eventKey: keysIn(keys(["agent-1", "old"])) })
        first.events.publishUnsafe("trust", trust(1))
        first.events.publishUnsafe("llmInteraction", {
          executionId: "e",
          agentId: "agent-1",
          interactionId: "i",
          model: "m",
          provider: "p",
          userPrompt: "x"
        })
        yield* first.events.flush()
        assert.strictEqual((yield* first.events.statistics).kept, 2)
        if (how === "closed") yield* first.close
        const platform = demanding(right)
        const left = how === "killed" ? killed(files) : files
        const { events } = yield* start(platform, { files: left, eventKey: keysIn(right) })
        yield* events.flush()
        assert.sameMembers(
          platform.events.map(({ kind }) => kind),
          ["trust", "llmInteraction"]
        )
      })
    )

  it.effect("EVENT-1 take half of the disk at most: the oldest go first, and are told as lost", () => {
    const { layer, lines } = listening()
    return Effect.gen(function* () {
      const right = keys(["agent-1", "new"])
      const own = keys(["agent-1", "old"])
      const platform = demanding(right)
      const files = new MemoryFiles()
      const { events } = yield* start(platform, {
        files,
        eventKey: keysIn(own),
        diskBytes: 40_000,
        segmentBytes: 2_000
      })
      for (let n = 0; n < 200; n++) {
        const event = { agentId: "agent-1", eventType: "task_completed", context: { n } } as const
        events.publishUnsafe("trust", event)
        if (n % 20 === 19) yield* events.flush()
      }
      yield* TestClock.adjust("1 second")
      const { dropped, fileBytes, kept } = yield* events.statistics
      assert.strictEqual(kept + dropped, 200)
      assert.isAbove(kept, 20)
      assert.isAbove(dropped, 20)
      assert.isAtMost(fileBytes, 20_000 + 2_500)
      yield* TestClock.adjust("11 seconds")
      const told = platform.reports.find(({ body }) => body.includes("events_dropped"))
      assert.include(
        told?.body,
        `"event: refused for its signature, and there was no room to keep it":${dropped}`
      )
      assert.isTrue(lines.some((line) => line.includes(" are lost: there was no room")))
      own.set("agent-1", "new")
      yield* events.flush()
      const sent = platform.field("context").map((context) => JSON.parse(context ?? "{}").n)
      assert.deepStrictEqual(
        sent,
        Array.from({ length: kept }, (_, i) => 200 - kept + i)
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("EVENT-2 are kept in memory where there is no file, within its bound", () =>
    Effect.gen(function* () {
      const right = keys(["agent-1", "new"])
      const own = keys(["agent-1", "old"])
      const platform = demanding(right)
      const options = { files: new MemoryFiles(), directory: false, memoryBytes: 10_000 } as const
      const { events } = yield* start(platform, { ...options, eventKey: keysIn(own) })
      for (let n = 0; n < 100; n++) {
        const event = { agentId: "agent-1", eventType: "task_completed", context: { n } } as const
        events.publishUnsafe("trust", event)
        if (n % 20 === 19) yield* events.flush()
      }
      const { dropped, kept } = yield* events.statistics
      assert.strictEqual(kept + dropped, 100)
      assert.isAbove(kept, 5)
      own.set("agent-1", "new")
      yield* events.flush()
      const sent = platform.field("context").map((context) => JSON.parse(context ?? "{}").n)
      assert.deepStrictEqual(
        sent,
        Array.from({ length: kept }, (_, i) => 100 - kept + i)
      )
      assert.strictEqual((yield* events.statistics).pending, 0)
    })
  )

  it.effect("EVENT-1 come to the file with the end, though it was away when they were refused", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const right = keys(["agent-1", "new"])
      const first = yield* start(demanding(right), { files, eventKey: keysIn(keys(["agent-1", "old"])) })
      files.broken = "EIO"
      first.events.publishUnsafe("trust", trust(1))
      yield* first.events.flush()
      assert.strictEqual((yield* first.events.statistics).kept, 1)
      files.broken = undefined
      const closing = yield* Effect.forkChild(first.close)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(closing)
      const platform = demanding(right)
      const { events } = yield* start(platform, { files, eventKey: keysIn(right) })
      yield* events.flush()
      assert.deepStrictEqual(platform.field("agent_id"), ["agent-1"])
    })
  )

  it.effect(
    "EVENT-3 are kept with one write a batch, and with few open files however many agents they are of",
    () =>
      Effect.gen(function* () {
        const files = new MemoryFiles()
        const right = keys()
        const platform = demanding(right)
        const own = keys()
        const { events } = yield* start(platform, { files, eventKey: keysIn(own), flushAt: 1_000 })
        for (let n = 0; n < 300; n++) events.publishUnsafe("trust", trust(1))
        const written = files.writes
        yield* events.flush()
        assert.strictEqual((yield* events.statistics).kept, 300)
        assert.isAtMost(files.writes - written, 3)
        for (let n = 1; n <= 300; n++) events.publishUnsafe("trust", trust(n))
        yield* events.flush()
        assert.isAtMost(files.opened.size, 50)
        for (let n = 1; n <= 300; n++) {
          right.set(`agent-${n}`, `k${n}`)
          own.set(`agent-${n}`, `k${n}`)
        }
        assert.deepInclude(yield* events.flush(), { pending: 0 })
        assert.deepInclude(yield* events.statistics, { kept: 0, sent: 600, dropped: 0 })
      })
  )
})
