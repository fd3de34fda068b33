import { createHmac } from "node:crypto"
import { Streams } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { AgentClosed } from "../src/AgentClosed.ts"
import { EventBuffer, EventRecorder } from "../src/EventBuffer.ts"
import * as Segment from "../src/WriteAheadSegment.ts"
import { agents, directory, killed, start, trust } from "./Buffers.ts"
import { FakePlatform } from "./FakePlatform.ts"
import { MemoryFiles } from "./MemoryFiles.ts"

const interaction = (n: number, size = 10) => ({
  executionId: `execution-${n}`,
  agentId: "agent-1",
  interactionId: `interaction-${n}`,
  model: "m",
  provider: "p",
  userPrompt: "x".repeat(size)
})
describe("EventBuffer", () => {
  it.effect("EVENT-3 sends when 100 events wait, in one batch and in order", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      for (let n = 1; n <= 99; n++) events.publishUnsafe("trust", trust(n))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(platform.events.length, 0)
      events.publishUnsafe("trust", trust(100))
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(platform.field("agent_id"), agents(1, 100))
      assert.deepStrictEqual(platform.batches, [100])
    })
  )

  it.effect("GOVERN-1 sends off the path of whoever publishes the event that fills a batch", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      yield* TestClock.adjust(1)
      for (let n = 1; n <= 100; n++) events.publishUnsafe("trust", trust(n))
      assert.strictEqual(platform.attempts, 0)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(platform.batches, [100])
    })
  )

  it.effect("EVENT-3 what is published after closing is an error, and is not taken in", () =>
    Effect.gen(function* () {
      const { close, events } = yield* start(new FakePlatform(), { files: new MemoryFiles() })
      yield* close
      assert.instanceOf(yield* Effect.flip(events.publish("trust", trust(1))), AgentClosed)
      const all = events.publishAll([{ kind: "trust", event: trust(1) }])
      assert.instanceOf(yield* Effect.flip(all), AgentClosed)
      assert.strictEqual(events.publishUnsafe("trust", trust(1)), "dropped")
      assert.strictEqual((yield* events.statistics).published, 0)
    })
  )

  it.effect("EVENT-3 sends what waits every 5 seconds", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      events.publishUnsafe("trust", trust(1))
      events.publishUnsafe("llmInteraction", interaction(1))
      events.publishUnsafe("usage", { permissionId: "p1" })
      yield* TestClock.adjust("4900 millis")
      assert.strictEqual(platform.events.length + platform.reports.length, 0)
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual([platform.events.length, platform.reports.length], [2, 1])
    })
  )

  it.effect("EVENT-3 flush sends what was published before it and tells how much", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      for (let n = 1; n <= 7; n++) yield* events.publish("trust", trust(n))
      assert.deepStrictEqual(yield* events.flush(), { sent: 7, pending: 0 })
      assert.deepStrictEqual(yield* events.flush(), { sent: 0, pending: 0 })
      assert.deepInclude(yield* events.statistics, { published: 7, sent: 7, pending: 0, dropped: 0 })
    })
  )

  it.effect("EVENT-3 keeps a batch that failed and tries it again with growing pauses", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      platform.mode = "down"
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      for (let n = 1; n <= 3; n++) events.publishUnsafe("trust", trust(n))
      yield* TestClock.adjust("5 seconds")
      yield* TestClock.adjust("10 seconds")
      const early = platform.attempts
      yield* TestClock.adjust("10 seconds")
      const late = platform.attempts - early
      assert.isAbove(early, 5)
      assert.isBelow(late, early)
      assert.deepInclude(yield* events.health, { status: "degraded" })
      platform.mode = "up"
      yield* TestClock.adjust("31 seconds")
      assert.deepStrictEqual(platform.field("agent_id"), agents(1, 3))
      assert.deepInclude(yield* events.health, { status: "ok" })
    })
  )

  it.effect("EVENT-3 a platform that asks for a day is asked again within a minute, and no sooner", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      platform.mode = "down"
      platform.retryAfterMs = 86_400_000
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      events.publishUnsafe("trust", trust(1))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(platform.attempts, 1)
      platform.mode = "up"
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(platform.attempts, 1)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(platform.field("agent_id"), agents(1, 1))
    })
  )

  it.effect("EVENT-5 an answer that gets lost duplicates nothing: the same ids are sent again", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      platform.mode = "mute"
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      for (let n = 1; n <= 20; n++) {
        events.publishUnsafe("trust", trust(n))
        events.publishUnsafe("llmInteraction", interaction(n))
        events.publishUnsafe("usage", { permissionId: `p${n}` })
      }
      yield* TestClock.adjust("8 seconds")
      platform.mode = "up"
      yield* TestClock.adjust("31 seconds")
      assert.deepStrictEqual([platform.events.length, platform.reports.length], [40, 20])
      assert.deepInclude(yield* events.statistics, { sent: 0, duplicates: 60, pending: 0 })
    })
  )

  it.effect(
    "EVENT-1 a durable event is in the file before publish returns: killed at once, the next start sends it",
    () =>
      Effect.gen(function* () {
        const files = new MemoryFiles()
        const away = new FakePlatform()
        away.mode = "down"
        const { events } = yield* start(away, { files })
        const ids: Array<string> = []
        for (let n = 1; n <= 250; n++) {
          assert.strictEqual(events.publishUnsafe("trust", trust(n)), "durable")
          if (n !== 120) continue
          const platform = new FakePlatform()
          const next = yield* start(platform, { files: killed(files) })
          yield* next.events.flush()
          assert.deepStrictEqual(platform.field("agent_id"), agents(1, 120))
          ids.push(...platform.events.map((event) => event.eventId))
          yield* next.close
        }
        const platform = new FakePlatform()
        const next = yield* start(platform, { files: killed(files) })
        yield* next.events.flush()
        assert.deepStrictEqual(platform.field("agent_id"), agents(1, 250))
        assert.deepStrictEqual(
          platform.events.slice(0, 120).map((event) => event.eventId),
          ids,
          "ids are given once"
        )
      })
  )

  it.effect("EVENT-4 what did not get out is sent by the next start, before its own and in order", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const platform = new FakePlatform()
      platform.mode = "down"
      const first = yield* start(platform, { files })
      for (let n = 1; n <= 5; n++) first.events.publishUnsafe("trust", trust(n))
      first.events.publishUnsafe("llmInteraction", interaction(1))
      first.events.publishUnsafe("settlement", { reservationId: "r1", tokens: 5 })
      const closing = yield* Effect.forkChild(first.close)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(closing)
      assert.strictEqual(files.opened.size, 0, "no file stays open")

      platform.mode = "up"
      const second = yield* start(platform, { files })
      second.events.publishUnsafe("trust", trust(6))
      yield* second.events.flush()
      const sent = platform.events.filter((event) => event.kind === "trust")
      assert.deepStrictEqual(
        sent.map((event) => event.fields["agent_id"]),
        agents(1, 6)
      )
      assert.isTrue(platform.events.some((event) => event.kind === "llmInteraction"))
      assert.deepStrictEqual(
        platform.reports.map((report) => report.body),
        ['{"tokens":5}']
      )
      yield* second.close
      assert.deepStrictEqual(files.list(directory), ["producer"], "nothing is left behind")
      assert.strictEqual(files.opened.size, 0)
    })
  )

  it.effect("EVENT-4 closing the scope sends what waits, and takes no longer than its deadline", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const first = yield* start(platform, { files: new MemoryFiles() })
      first.events.publishUnsafe("trust", trust(1))
      yield* first.close
      assert.strictEqual(platform.events.length, 1)
      assert.strictEqual(first.events.publishUnsafe("trust", trust(2)), "dropped")

      platform.mode = "deaf"
      const second = yield* start(platform, { files: new MemoryFiles(), shutdownDeadline: "1 second" })
      second.events.publishUnsafe("trust", trust(3))
      const closing = yield* Effect.forkChild(second.close)
      yield* TestClock.adjust("1100 millis")
      yield* Fiber.join(closing)
    })
  )

  it.effect("EVENT-2 without a writable folder it starts, says so in health, and sends from memory", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      files.broken = "EACCES"
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files })
      const { status, storage } = yield* events.health
      assert.deepStrictEqual([status, storage.mode], ["degraded", "memory"])
      assert.match(storage.reason, /EACCES/)
      assert.strictEqual(events.publishUnsafe("decision", decision(1)), "memory")
      yield* events.flush()
      assert.strictEqual(platform.events.length, 1)
    })
  )

  it.effect("EVENT-1 a disk that stalls turns the buffer to memory, and back when it has recovered", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const platform = new FakePlatform()
      platform.mode = "down"
      const { events } = yield* start(platform, { files })
      events.publishUnsafe("trust", trust(0))
      files.writeMillis = 51
      assert.strictEqual(events.publishUnsafe("trust", trust(1)), "durable", "this one was written, slowly")
      const writes = files.writes
      assert.strictEqual(events.publishUnsafe("trust", trust(2)), "memory")
      assert.strictEqual(events.publishUnsafe("trust", trust(3)), "memory")
      assert.strictEqual(files.writes, writes, "a stalled disk is left alone")
      const stalled = yield* events.health
      assert.strictEqual(stalled.storage.mode, "memory")
      assert.match(stalled.storage.reason, /51 ms/)

      files.writeMillis = 0
      files.clock += 1_001
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* events.health).storage.mode, "file")
      const next = new FakePlatform()
      const after = yield* start(next, { files: killed(files) })
      yield* after.events.flush()
      assert.deepStrictEqual(next.field("agent_id"), agents(0, 3), "what was in memory is in the file")
    })
  )

  it.effect(
    "EVENT-1 a program that never pauses is back in the file a tenth of a second after a slow write",
    () =>
      Effect.gen(function* () {
        const files = new MemoryFiles()
        const platform = new FakePlatform()
        platform.mode = "down"
        const { events } = yield* start(platform, { files })
        const publish = (n: number) => events.publishUnsafe("trust", trust(n))
        publish(1)
        files.writeMillis = 51
        assert.strictEqual(publish(2), "durable", "this one was written, slowly")
        files.writeMillis = 0
        files.clock += 99
        assert.strictEqual(publish(3), "memory", "the disk is left alone for so long")
        files.clock += 1
        assert.strictEqual(publish(4), "durable")
        assert.strictEqual(publish(5), "durable")
        const next = new FakePlatform()
        const after = yield* start(next, { files: killed(files) })
        yield* after.events.flush()
        assert.deepStrictEqual(
          next.field("agent_id"),
          agents(1, 5),
          "what was in memory as well, and in order"
        )
        platform.mode = "up"
        yield* events.flush()
        assert.deepStrictEqual(platform.field("agent_id"), agents(1, 5), "each of them once")
      })
  )

  it.effect("EVENT-1 a full disk loses nothing that is in memory, and is used again when it has room", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const platform = new FakePlatform()
      platform.mode = "down"
      const { events } = yield* start(platform, { files })
      events.publishUnsafe("trust", trust(1))
      files.capacity = files.used + 100
      assert.strictEqual(
        events.publishAllUnsafe([2, 3, 4].map((n) => ({ kind: "trust", event: trust(n) }))),
        "memory"
      )
      files.capacity = Number.POSITIVE_INFINITY
      files.clock += 1_001
      yield* TestClock.adjust("1 second")
      assert.strictEqual(events.publishUnsafe("trust", trust(5)), "durable")
      const next = new FakePlatform()
      const after = yield* start(next, { files: killed(files) })
      yield* after.events.flush()
      assert.deepStrictEqual(next.field("agent_id"), agents(1, 5))
      assert.strictEqual((yield* after.events.statistics).unreadable, 0)
    })
  )

  it.effect("EVENT-4 records of a later version are kept for it and told of, and hold nothing up", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const down = new FakePlatform()
      down.mode = "down"
      const { events } = yield* start(down, { files })
      events.publishUnsafe("trust", trust(1))
      const found = killed(files)
      const [path] = [...found.entries.keys()].filter((name) => name.endsWith(".wal"))
      const segment = found.entries.get(path ?? "")
      assert(segment !== undefined)
      for (const [i, body] of ["call 2\n3:abc", "forecast\nid\n"].entries()) {
        const record = Buffer.alloc(Segment.recordBound(body))
        const end = Segment.encodeRecord(record, 0, { lane: 0, index: 2 + i, body }, undefined)
        segment.bytes = Buffer.concat([segment.bytes, record.subarray(0, end)])
      }
      const platform = new FakePlatform()
      const after = yield* start(platform, { files: found })
      after.events.publishUnsafe("trust", trust(2))
      yield* after.events.flush()
      assert.deepStrictEqual(platform.field("agent_id"), agents(1, 2))
      yield* TestClock.adjust("20 seconds")
      yield* after.events.flush()
      assert.include(JSON.stringify(platform.reports), "of a later version")
      yield* after.close
      const kept = [...found.entries].filter(([name]) => name.includes("quarantine"))
      assert.lengthOf(kept, 1)
      assert.isTrue(kept[0]?.[1].bytes.includes("forecast"))
    })
  )

  it.effect("EVENT-1 all durable events of one call are written with one write", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const { events } = yield* start(new FakePlatform(), { files })
      events.publishUnsafe("trust", trust(1))
      const writes = files.writes
      const became = yield* events.publishAll([
        { kind: "decision", event: decision(1) },
        { kind: "trust", event: trust(2) },
        { kind: "usage", event: { permissionId: "p1" } },
        { kind: "llmInteraction", event: interaction(1) }
      ])
      assert.deepStrictEqual([became, files.writes - writes], ["durable", 1])
    })
  )

  it.effect(
    "keeps its bound in memory while the platform is away, and the order when it reads the file back",
    () =>
      Effect.gen(function* () {
        const files = new MemoryFiles()
        const platform = new FakePlatform()
        platform.mode = "down"
        const { events } = yield* start(platform, { files, memoryBytes: 5_000, segmentBytes: 3_000 })
        for (let n = 1; n <= 500; n++) assert.strictEqual(events.publishUnsafe("trust", trust(n)), "durable")
        const { pendingBytes, pending } = yield* events.statistics
        assert.isBelow(pendingBytes, 6_000)
        assert.strictEqual(pending, 500)
        platform.mode = "up"
        const flushing = yield* Effect.forkChild(events.flush())
        yield* TestClock.adjust("31 seconds")
        yield* Fiber.join(flushing)
        assert.deepStrictEqual(platform.field("agent_id"), agents(1, 500))
        for (let n = 501; n <= 510; n++) events.publishUnsafe("trust", trust(n))
        yield* events.flush()
        assert.deepStrictEqual(platform.field("agent_id"), agents(1, 510))
        assert.strictEqual((yield* events.statistics).pending, 0)
      })
  )

  it.effect("a batch ends before it is too large, however the sizes fall", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      for (let n = 1; n <= 7; n++) events.publishUnsafe("llmInteraction", interaction(n, 400_000))
      for (let n = 1; n <= 7; n++)
        events.publishUnsafe("mission", {
          missionId: "m",
          participantId: `p-${n}`,
          eventType: "joined",
          data: { note: "x".repeat(400_000) }
        })
      yield* events.flush()
      assert.strictEqual(platform.events.length, 14)
      assert.isTrue(platform.batches.every((count) => count <= 4))
    })
  )

  it.effect("what cannot be read from the file for a while is not overtaken, and not lost", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const platform = new FakePlatform()
      platform.mode = "down"
      const { events } = yield* start(platform, { files, memoryBytes: 5_000, segmentBytes: 20_000 })
      for (let n = 1; n <= 1_500; n++) events.publishUnsafe("trust", trust(n))
      platform.mode = "up"
      files.failReads = 3
      for (let turn = 0; turn < 8; turn++) {
        events.publishUnsafe("trust", trust(1_501 + turn))
        yield* TestClock.adjust("5 seconds")
      }
      assert.strictEqual(files.failReads, 0)
      assert.deepStrictEqual(platform.field("agent_id"), agents(1, 1_508))
    })
  )

  it.effect("EVENT-4 a second in which no file can be opened loses nothing, however often it is tried", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const platform = new FakePlatform()
      platform.mode = "down"
      const { events } = yield* start(platform, { files, memoryBytes: 2_000, flushAt: 10 })
      for (let n = 1; n <= 100; n++) events.publishUnsafe("trust", trust(n))
      platform.mode = "up"
      files.failReads = Number.POSITIVE_INFINITY
      for (let n = 101; n <= 1_000; n++) {
        events.publishUnsafe("trust", trust(n))
        if (n % 10 === 0) yield* TestClock.adjust(10)
      }
      files.failReads = 0
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(platform.field("agent_id"), agents(1, 1_000))
    })
  )

  it.effect("a file that cannot be read for more than a minute holds nothing up any more", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const platform = new FakePlatform()
      platform.mode = "down"
      const { events } = yield* start(platform, { files, memoryBytes: 2_000 })
      for (let n = 1; n <= 100; n++) events.publishUnsafe("trust", trust(n))
      platform.mode = "up"
      files.failReads = Number.POSITIVE_INFINITY
      yield* TestClock.adjust("1 minute")
      events.publishUnsafe("trust", trust(101))
      yield* TestClock.adjust("30 seconds")
      events.publishUnsafe("trust", trust(102))
      yield* TestClock.adjust("5 seconds")
      assert.include(platform.field("agent_id"), "agent-102")
    })
  )

  it.effect(
    "EVENT-4 takes over the log of an agent that goes while it runs, and sends nothing twice for that",
    () =>
      Effect.gen(function* () {
        const files = new MemoryFiles()
        const platform = new FakePlatform()
        platform.mode = "down"
        const living = yield* start(platform, { files, memoryBytes: 5_000 })
        for (let n = 1; n <= 1_500; n++) living.events.publishUnsafe("trust", trust(n))
        const other = yield* start(platform, { files })
        for (let n = 5_001; n <= 5_010; n++) other.events.publishUnsafe("trust", trust(n))
        const closing = yield* Effect.forkChild(other.close)
        yield* TestClock.adjust("3 seconds")
        yield* Fiber.join(closing)
        for (let minute = 0; minute < 70; minute++) yield* TestClock.adjust("1 second")
        for (let n = 1_501; n <= 1_550; n++) living.events.publishUnsafe("trust", trust(n))
        platform.mode = "up"
        const flushing = yield* Effect.forkChild(living.events.flush({ deadline: "1 minute" }))
        yield* TestClock.adjust("61 seconds")
        yield* Fiber.join(flushing)
        const got = platform.field("agent_id").map((id) => Number(id?.slice("agent-".length)))
        assert.deepStrictEqual(
          got.filter((n) => n <= 1_550),
          Array.from({ length: 1_550 }, (_, i) => i + 1)
        )
        assert.deepStrictEqual(
          got.filter((n) => n > 1_550),
          Array.from({ length: 10 }, (_, i) => 5_001 + i)
        )
        assert.deepInclude(yield* living.events.statistics, { duplicates: 0, pending: 0, sent: 1_560 })
      })
  )

  it.effect("EVENT-3 telemetry spills to the file under pressure, and never pushes a decision out", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const platform = new FakePlatform()
      platform.mode = "down"
      const { events } = yield* start(platform, {
        files,
        memoryBytes: 10_000,
        diskBytes: 60_000,
        segmentBytes: 8_000
      })
      for (let n = 1; n <= 1_000; n++)
        assert.notStrictEqual(events.publishUnsafe("llmInteraction", interaction(n, 200)), "durable")
      for (let n = 1; n <= 20; n++)
        assert.strictEqual(events.publishUnsafe("decision", decision(n)), "durable")
      const { dropped, fileBytes } = yield* events.statistics
      assert.isAbove(dropped, 500)
      assert.isAbove(fileBytes, 20_000)
      platform.mode = "up"
      const flushing = yield* Effect.forkChild(events.flush({ deadline: "1 minute" }))
      yield* TestClock.adjust("61 seconds")
      yield* Fiber.join(flushing)
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual(platform.events.filter((event) => event.kind === "decision").length, 20)
      const told = platform.reports.map((report) => JSON.parse(report.body))
      const counts = told.flatMap((line) => Object.values<number>(line.data.counts))
      assert.deepStrictEqual(new Set(told.map((line) => line.event_type)), new Set(["events_dropped"]))
      assert.strictEqual(
        counts.reduce((sum, count) => sum + count, 0),
        dropped,
        "the count is itself an event"
      )
      const kept = platform.events.filter((event) => event.kind === "llmInteraction")
      assert.strictEqual(kept.length + dropped, 1_000)
    })
  )

  it.effect("EVENT-1 without a file the oldest telemetry goes first", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { events } = yield* start(platform, {
        files: new MemoryFiles(),
        directory: false,
        memoryBytes: 10_000
      })
      for (let n = 1; n <= 90; n++) events.publishUnsafe("llmInteraction", interaction(n, 200))
      yield* events.flush()
      const kept = platform.field("interaction_id")
      assert.strictEqual(kept.at(-1), "interaction-90")
      assert.strictEqual(kept[0], `interaction-${91 - kept.length}`)
      assert.strictEqual((yield* events.statistics).dropped, 90 - kept.length)
    })
  )

  it.effect("EVENT-1 a durable event without room is dropped, counted and told, and nothing else is", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      platform.mode = "down"
      const { events } = yield* start(platform, {
        files: new MemoryFiles(),
        directory: false,
        memoryBytes: 5_000
      })
      const became = Array.from({ length: 40 }, (_, n) => events.publishUnsafe("trust", trust(n + 1)))
      const kept = became.filter((published) => published === "memory").length
      assert.isAbove(kept, 5)
      assert.deepStrictEqual(became.slice(kept), Array(40 - kept).fill("dropped"))
      platform.mode = "up"
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(platform.field("agent_id"), agents(1, kept))
      yield* TestClock.adjust("10 seconds")
      const [line] = platform.reports
      assert.deepInclude(JSON.parse(line?.body ?? "{}"), { event_type: "events_dropped" })
    })
  )

  it.effect("rather waits for a slow disk than drops a durable event for want of memory", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const platform = new FakePlatform()
      platform.mode = "down"
      const { events } = yield* start(platform, { files, memoryBytes: 5_000 })
      events.publishUnsafe("trust", trust(1))
      files.writeMillis = 60
      const became = Array.from({ length: 99 }, (_, n) => events.publishUnsafe("trust", trust(n + 2)))
      assert.strictEqual(became.filter((published) => published === "dropped").length, 0)
      assert.isAbove(became.filter((published) => published === "memory").length, 5)
      files.writeMillis = 0
      const next = new FakePlatform()
      const after = yield* start(next, { files: killed(files) })
      yield* after.events.flush()
      assert.deepStrictEqual(next.field("agent_id"), agents(1, 100), "in the file, and in order")
      platform.mode = "up"
      const flushing = yield* Effect.forkChild(events.flush())
      yield* TestClock.adjust("31 seconds")
      yield* Fiber.join(flushing)
      assert.deepStrictEqual(platform.field("agent_id"), agents(1, 100))
    })
  )

  it.effect("EVENT-3 publishing never throws, whatever it is given", () =>
    Effect.gen(function* () {
      const { events } = yield* start(new FakePlatform(), { files: new MemoryFiles() })
      const hostile = new Proxy({ agentId: "a", eventType: "task_failed" } as const, {
        ownKeys: () => {
          throw new Error("no")
        }
      })
      assert.strictEqual(events.publishUnsafe("trust", hostile), "dropped")
      assert.strictEqual(events.publishAllUnsafe([{ kind: "trust", event: hostile }]), "dropped")
      assert.strictEqual(
        events.publishUnsafe("trust", { ...trust(1), timestamp: Number.MAX_VALUE }),
        "dropped"
      )
      assert.strictEqual((yield* events.statistics).dropped, 3)
    })
  )

  it.effect("an event is told as it was when it was published, whatever the program does with it then", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      const turns: Array<number> = []
      const event = { ...interaction(1), metadata: { turns } }
      for (const n of [0, 1, 2]) {
        event.userPrompt = `prompt ${n}`
        turns.push(n)
        events.publishUnsafe("llmInteraction", event)
      }
      yield* events.flush()
      assert.deepStrictEqual(platform.field("user_prompt"), ["prompt 0", "prompt 1", "prompt 2"])
      assert.deepStrictEqual(platform.field("metadata"), [
        '{"turns":[0]}',
        '{"turns":[0,1]}',
        '{"turns":[0,1,2]}'
      ])
    })
  )

  it.effect("a graph with very many paths is published within a bound", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      const nodes = Array.from({ length: 40 }, (): Record<string, Schema.Json> => ({}))
      // Every getter that is read counts: there are 40! paths through the cyclic one, and 2^40 through the other.
      let reads = 0
      for (const node of nodes)
        for (const [i, other] of nodes.entries())
          Object.defineProperty(node, `k${i}`, {
            enumerable: true,
            get: () => {
              reads += 1
              return other
            }
          })
      let shared: Schema.Json = {}
      for (let i = 0; i < 40; i++) shared = { a: shared, b: shared }
      for (const metadata of [{ graph: nodes[0] ?? null }, { graph: shared }]) {
        events.publishUnsafe("llmInteraction", { ...interaction(1), metadata })
        events.publishUnsafe("trust", { ...trust(1), context: metadata })
      }
      yield* events.flush()
      assert.isBelow(reads, 5_000_000)
      assert.strictEqual(platform.events.length, 4)
      for (const { fields } of platform.events)
        assert.isBelow((fields["metadata"] ?? fields["context"] ?? "").length, 1_048_576)
    })
  )

  it.effect("the sequence of a start has no gaps, its producer outlives it, its epoch does not", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const platform = new FakePlatform()
      for (const run of [0, 1]) {
        const { events, close } = yield* start(platform, { files })
        for (let n = 1; n <= 10; n++) {
          events.publishUnsafe("trust", trust(n))
          events.publishUnsafe("llmInteraction", interaction(n))
        }
        yield* events.flush()
        yield* close
        const epoch = platform.events.slice(run * 20).map((event) => event.fields)
        const sequence = epoch.map((fields) => Number(fields["sequence"])).sort((a, b) => a - b)
        assert.deepStrictEqual(
          sequence,
          Array.from({ length: 20 }, (_, i) => i + 1)
        )
        assert.strictEqual(new Set(epoch.map((fields) => fields["producer_epoch"])).size, 1)
      }
      assert.strictEqual(new Set(platform.field("producer")).size, 1)
      assert.strictEqual(new Set(platform.field("producer_epoch")).size, 2)
    })
  )

  it.effect("what the platform refuses is counted and holds nothing up", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      platform.refuses.add("mission")
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      events.publishUnsafe("mission", { missionId: "m", eventType: "joined", participantId: "a" })
      events.publishUnsafe("trust", trust(1))
      yield* events.flush()
      assert.deepInclude(yield* events.statistics, { sent: 1, refused: 1, pending: 0 })
    })
  )

  it.effect("signs entries as they are sent, with the key that registering answered", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      let key: Redacted.Redacted<string> | undefined
      const { events } = yield* start(platform, { files: new MemoryFiles(), eventKey: () => key })
      events.publishUnsafe("trust", trust(1))
      key = Redacted.make("event-key")
      yield* events.flush()
      const fields = platform.events[0]?.fields ?? {}
      const expected = createHmac("sha256", "event-key")
        .update(Streams.signatureInput("trust", fields))
        .digest("base64url")
      assert.deepStrictEqual(platform.signatures, [expected])
    })
  )

  it.effect("events in a file with another key wait for that key, and are not lost", () =>
    Effect.gen(function* () {
      const [right, wrong] = ["right", "wrong"].map((word) => Redacted.make(`${word} key of many characters`))
      assert(right !== undefined && wrong !== undefined)
      const files = new MemoryFiles()
      const first = yield* start(new FakePlatform(), { files, encryptionKey: right })
      first.events.publishUnsafe("trust", trust(1))
      const left = killed(files)
      const platform = new FakePlatform()
      const second = yield* start(platform, { files: left, encryptionKey: wrong })
      second.events.publishUnsafe("trust", trust(2))
      yield* second.events.flush()
      assert.deepStrictEqual(platform.field("agent_id"), ["agent-2"])
      assert.strictEqual((yield* second.events.health).locked, 1)
      yield* second.close
      const third = yield* start(platform, { files: left, encryptionKey: right })
      yield* third.events.flush()
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual(platform.field("agent_id"), ["agent-2", "agent-1"])
    })
  )

  it.effect("health changes are a stream that begins with the present", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      const seen = yield* Stream.runCollect(Stream.take(events.healthChanges, 3)).pipe(Effect.forkChild)
      yield* TestClock.adjust(1)
      platform.mode = "down"
      events.publishUnsafe("trust", trust(1))
      yield* TestClock.adjust("6 seconds")
      platform.mode = "up"
      yield* TestClock.adjust("31 seconds")
      const statuses = yield* Fiber.join(seen)
      assert.deepStrictEqual(
        statuses.map((health) => health.status),
        ["ok", "degraded", "ok"]
      )
    })
  )

  it.effect("what is published is an entry the platform decodes", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files: new MemoryFiles(), organizationId: "org-1" })
      events.publishUnsafe("decision", decision(1))
      events.publishUnsafe("trust", { ...trust(1), organizationId: "org-2", timestamp: 1_790_000_000_000 })
      yield* events.flush()
      const [first, second] = platform.events
      assert.deepInclude(Schema.decodeUnknownSync(Streams.DecisionEvent)(first?.fields), {
        organizationId: "org-1",
        mode: "degraded"
      })
      assert.deepInclude(Schema.decodeUnknownSync(Streams.TrustEvent)(second?.fields), {
        organizationId: "org-2",
        timestamp: new Date(1_790_000_000_000).toISOString()
      })
    })
  )
})

const decision = (n: number) =>
  ({
    agentId: `agent-${n}`,
    action: "query",
    actorType: "agent",
    resourceId: "resource-1",
    permissionType: "read",
    decision: "allow",
    mode: "degraded",
    reason: "trust 72"
  }) as const

describe("EventBuffer.forAgent", () => {
  const mine = Effect.gen(function* () {
    const platform = new FakePlatform()
    const eventKey = (agentId: string) => Redacted.make(`key of ${agentId}`)
    const { events } = yield* start(platform, { files: new MemoryFiles(), eventKey })
    return { platform, events: events.forAgent("agent-1") }
  })
  it.effect("EVENT-3 its flush tells of its own events, not of another agent's", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { events } = yield* start(platform, { files: new MemoryFiles() })
      const [one, other] = [events.forAgent("agent-1"), events.forAgent("agent-2")]
      platform.mode = "down"
      other.publishUnsafe("trust", trust(2))
      assert.deepStrictEqual(yield* one.flush(), { sent: 0, pending: 0 })
      platform.mode = "up"
      assert.deepStrictEqual(yield* other.flush(), { sent: 1, pending: 0 })
      one.publishUnsafe("trust", trust(1))
      assert.deepStrictEqual(yield* one.flush(), { sent: 1, pending: 0 })
    })
  )

  type Given = Parameters<EventBuffer["Service"]["publishAllUnsafe"]>[0][number]
  const given = (kind: Given["kind"], event: object) => [{ kind, event } as Given]

  it.effect("TRUST-3 an event that names another goes out by none of its spellings", () =>
    Effect.gen(function* () {
      const { platform, events } = yield* mine
      const work = { eventType: "task_completed" }
      const unreadable = Object.defineProperty({ ...work }, "agentId", {
        enumerable: true,
        get: () => {
          throw new Error("no name")
        }
      })
      const foreign: ReadonlyArray<Parameters<typeof given>> = [
        ["trust", { agentId: "agent-2", ...work }],
        ["trust", { agent_id: "agent-2", ...work }],
        ["trust", { agentId: "agent-1", agent_id: "agent-2", ...work }],
        ["trust", { agent_id: "agent-2", agentId: "agent-1", ...work }],
        ["trust", { agentId: ["agent-2"], ...work }],
        ["trust", unreadable],
        ["mission", { agentId: "agent-1", missionId: "m", participantId: "agent-2", eventType: "joined" }],
        ["mission", { missionId: "m", participantId: "agent-1", participant_id: "agent-2" }],
        ["missionMessage", { missionId: "m", fromParticipant: "agent-1", from_participant: "agent-2" }],
        ["llmInteraction", { ...interaction(1), agentId: "agent-2" }],
        ["usage", { permissionId: "p", agentId: "agent-2" }],
        ["settlement", { reservationId: "r", agent_id: "agent-2" }],
        ["decision", { ...decision(1), agent_id: "agent-2" }],
        ["decision", { ...decision(1), reportedBy: "agent-2" }],
        ["decision", { ...decision(2), reported_by: "agent-3" }],
        ["trust", { agentId: "agent-1", reportedBy: "agent-2", ...work }]
      ]
      for (const [kind, event] of foreign)
        assert.strictEqual(events.publishAllUnsafe(given(kind, event)), "dropped", kind)
      assert.deepInclude(yield* events.statistics, { published: 0, dropped: foreign.length })
      const own = { agentId: "agent-1", agent_id: "agent-1", ...work }
      assert.strictEqual(events.publishAllUnsafe(given("trust", own)), "durable")
      const sent = { missionId: "m", fromParticipant: "agent-1", toParticipant: "agent-2", content: "x" }
      assert.strictEqual(events.publishAllUnsafe(given("missionMessage", sent)), "durable")
      yield* events.flush()
      assert.lengthOf(platform.events, 2)
      assert.lengthOf(platform.reports, 0)
      assert.lengthOf(platform.signatures, 2)
    })
  )

  it.effect(
    "OUTAGE-6 TRUST-6 a decision about another is the word of whoever tells it, by name and signature",
    () =>
      Effect.gen(function* () {
        const { platform, events } = yield* mine
        const about = { ...decision(2), executionId: "execution-2", context: { why: "outage" } }
        assert.strictEqual(events.publishUnsafe("decision", about), "durable")
        assert.notProperty(about, "reportedBy")
        assert.strictEqual(events.publishUnsafe("decision", { ...about, reportedBy: "agent-1" }), "durable")
        yield* events.flush()
        assert.lengthOf(platform.events, 2)
        for (const event of platform.events) {
          assert.deepInclude(event.fields, {
            agent_id: "agent-2",
            reported_by: "agent-1",
            resource_id: "resource-1",
            mode: "degraded",
            context: '{"why":"outage"}'
          })
          const input = Streams.signatureInput("decision", event.fields)
          const signature = createHmac("sha256", "key of agent-1").update(input).digest("base64url")
          assert.include(platform.signatures, signature)
        }
        events.publishUnsafe("decision", decision(1))
        yield* events.flush()
        assert.notProperty(platform.events[2]?.fields, "reported_by")
        assert.lengthOf(platform.signatures, 3)
      })
  )
})

describe("EventBuffer.layerMemory", () => {
  it.effect("records what was published, by kind", () =>
    Effect.gen(function* () {
      const events = yield* EventBuffer
      const recorder = yield* EventRecorder
      assert.strictEqual(events.publishUnsafe("trust", trust(1)), "durable")
      assert.strictEqual(
        yield* events.publishAll([{ kind: "llmInteraction", event: interaction(1) }]),
        "buffered"
      )
      assert.deepStrictEqual(yield* recorder.of("trust"), [trust(1)])
      assert.strictEqual((yield* recorder.recorded).length, 2)
      yield* recorder.clear
      assert.deepStrictEqual(yield* recorder.recorded, [])
    }).pipe(Effect.provide(EventBuffer.layerMemory))
  )
})
