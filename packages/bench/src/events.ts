/**
 * What it costs an agent to tell the platform something: taking an event in, and sending what waits.
 *
 * The goals: an event of the buffered class in 300 ns, a durable one in 10 µs with its file on a memory file system,
 * and a drain at half the rate of a bare pipelined XADD loop, although each event has a guard, an id and a log.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Streams } from "@agion/domain"
import { type Command, Redis, RedisClient, RedisStream } from "@agion/redis"
import {
  EventBuffer,
  type EventBufferOptions,
  EventTransport,
  ReportTransport,
  WriteAheadFiles
} from "@agion/sdk"
import { RedisServer } from "@agion/testing"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { type Bench, floor, ours, promise, type Suite, sync } from "./Bench.ts"

const trust = (i: number) => ({
  agentId: "agent-4711",
  eventType: "task_completed" as const,
  severity: "positive" as const,
  confidence: 1,
  context: { decision_id: "0198c0de-0000-7000-8000-000000000001", execution_id: `execution-${i & 1023}` }
})

const prompt = "Summarise the last three invoices of the customer and say what is overdue. ".repeat(4)
const interaction = (i: number) => ({
  executionId: "0198c0de-0000-7000-8000-000000000002",
  agentId: "agent-4711",
  interactionId: "0198c0de-0000-7000-8000-000000000003",
  model: "large-1",
  provider: "example",
  userPrompt: prompt,
  responseText: prompt,
  promptTokens: i & 1023,
  completionTokens: 120,
  latencyMs: 812
})

const turns = Array.from({ length: 10 }, (_, n) => ({
  role: n % 2 === 0 ? "user" : "assistant",
  content: prompt
}))
const conversation = (i: number) => ({
  ...interaction(i),
  conversationHistory: turns,
  metadata: { tenant: "example", tags: ["a", "b"] }
})

/** Takes whatever it is given. */
const accepting = Layer.merge(
  Layer.succeed(EventTransport, {
    to: "nobody",
    send: (events) => Effect.succeed(events.map(() => ({ _tag: "Accepted" })))
  }),
  Layer.succeed(ReportTransport, {
    to: "nobody",
    send: (reports) =>
      Effect.succeed({ deliveries: reports.map(() => ({ _tag: "Accepted" })), failed: undefined })
  })
)

/** The machine's files, but for the rule that a write of 50 ms turns the buffer to memory: a busy machine would do so. */
const files: WriteAheadFiles.WriteAheadFiles = { ...WriteAheadFiles.node, elapsed: () => 0 }

/** A folder on a memory file system, where there is one. */
const memoryFolder = () => {
  const root = existsSync("/dev/shm") ? "/dev/shm" : tmpdir()
  return { path: mkdtempSync(join(root, "agion-bench-")), inMemory: root === "/dev/shm" }
}

const enqueue = async (bench: Bench) => {
  const folder = memoryFolder()
  const room = { files, memoryBytes: 1_073_741_824, diskBytes: 4_294_967_296 }
  const open = (name: string, options: EventBufferOptions = {}) =>
    ManagedRuntime.make(
      EventBuffer.layer({ directory: join(folder.path, name), ...room, ...options }).pipe(
        Layer.provide(accepting)
      )
    )
  const clear = open("clear")
  const sealed = open("sealed", { encryptionKey: Redacted.make("bench ".repeat(8)) })
  try {
    const events = await clear.runPromise(EventBuffer)
    const encrypted = await sealed.runPromise(EventBuffer)
    const queue: Array<unknown> = []
    const drain = async () => {
      queue.length = 0
      await clear.runPromise(events.flush({ deadline: "1 minute" }))
      await sealed.runPromise(encrypted.flush({ deadline: "1 minute" }))
    }
    await bench.compare(
      "enqueue",
      [
        floor(
          "an object pushed to an array",
          sync((i) => queue.push({ kind: "llm", event: interaction(i) }))
        ),
        ours(
          "buffered",
          sync((i) => events.publishUnsafe("llmInteraction", interaction(i)))
        ),
        ours(
          "buffered, with a conversation of ten",
          sync((i) => events.publishUnsafe("llmInteraction", conversation(i)))
        ),
        ours(
          "durable",
          sync((i) => events.publishUnsafe("trust", trust(i)))
        ),
        ours(
          "durable, encrypted",
          sync((i) => encrypted.publishUnsafe("trust", trust(i)))
        ),
        ours(
          "durable, three in one write",
          sync(
            (i) =>
              events.publishAllUnsafe([
                { kind: "trust", event: trust(i) },
                { kind: "usage", event: { permissionId: "p", tokenCount: i } },
                { kind: "trust", event: trust(i + 1) }
              ]),
            { opsPerCall: 3 }
          )
        )
      ],
      { prepare: drain, batch: 1000 }
    )
    const { dropped } = await clear.runPromise(events.statistics)
    const { storage } = await clear.runPromise(events.health)
    if (dropped > 0)
      throw new Error(`${dropped} events were dropped: the figures are not those of publishing`)
    bench.note(
      `the write-ahead file was ${storage.mode === "file" ? "on" : "lost; it began on"} ${folder.inMemory ? "a memory file system" : "the disk"}`
    )
  } finally {
    await clear.dispose()
    await sealed.dispose()
    rmSync(folder.path, { recursive: true, force: true })
  }
}

const count = 10_000
const perPipeline = 200

const drain = async (bench: Bench) => {
  if (!RedisServer.isThere()) return bench.note("drain was not measured: there is no `redis-server`")
  const folder = memoryFolder()
  const redis = Layer.unwrap(
    Effect.map(RedisServer.RedisServer, ({ url }) => Redis.layer({ url, commandTimeout: "10 seconds" }))
  ).pipe(Layer.provide(RedisServer.layer()))
  const buffer = EventBuffer.layer({
    directory: folder.path,
    flushAt: 1_000_000_000,
    flushInterval: "1 day",
    memoryBytes: 268_435_456,
    files
  }).pipe(Layer.provide(EventTransport.layerRedis()), Layer.provide(reportsToNobody))
  const runtime = ManagedRuntime.make(Layer.provideMerge(buffer, redis))
  try {
    const events = await runtime.runPromise(EventBuffer)
    const client = await runtime.runPromise(RedisClient)
    const streams = await runtime.runPromise(RedisStream)
    const stream = Streams.streamNames().trust
    const fields = (i: number): Record<string, string> => ({
      event_id: `0198c0de-0000-7000-8000-${String(i).padStart(12, "0")}`,
      ...Streams.toFields({
        agent_id: "agent-4711",
        event_type: "task_completed",
        severity: "positive",
        confidence: 1
      }),
      context: JSON.stringify(trust(i).context),
      producer: "0198c0de-0000-7000-8000-000000000001",
      producer_epoch: "0198c0de-0000-7000-8000-000000000001",
      sequence: String(i),
      timestamp: "2026-11-26T10:00:00.000Z"
    })
    const pipelines = Array.from({ length: count / perPipeline }, (_, n) =>
      Array.from(
        { length: perPipeline },
        (_, i): Command => ["XADD", stream, "*", ...Object.entries(fields(n * perPipeline + i)).flat()]
      )
    )
    let batch = 0
    await bench.compare(
      "drain",
      [
        floor(
          "bare XADD, pipelines of 200",
          promise(() => runtime.runPromise(Effect.forEach(pipelines, client.pipeline, { discard: true })), {
            opsPerCall: count
          })
        ),
        ours(
          "guarded script, batches of 200",
          promise(
            () => {
              batch += 1
              const guarded = Array.from({ length: count }, (_, i) => ({
                stream,
                eventId: `${batch}-${i}`,
                fields: fields(i)
              }))
              return runtime.runPromise(streams.appendGuarded(guarded))
            },
            { opsPerCall: count }
          )
        ),
        ours(
          "EventBuffer.flush",
          promise(() => runtime.runPromise(events.flush({ deadline: "1 minute" })), { opsPerCall: count })
        )
      ],
      {
        rounds: 5,
        batch: 1,
        batchesPerRound: 1,
        prepare: async (variant) => {
          await runtime.runPromise(client.pipeline([["FLUSHALL"]]))
          if (variant !== "EventBuffer.flush") return
          for (let i = 0; i < count; i++) events.publishUnsafe("trust", trust(i))
        }
      }
    )
    const { sent, pending, duplicates } = await runtime.runPromise(events.statistics)
    if (sent % count !== 0 || pending > 0 || duplicates > 0)
      throw new Error("the drain did not send what it was given")
  } finally {
    await runtime.dispose()
    rmSync(folder.path, { recursive: true, force: true })
  }
}

const reportsToNobody = Layer.succeed(ReportTransport, {
  to: "nobody",
  send: (reports) =>
    Effect.succeed({ deliveries: reports.map(() => ({ _tag: "Accepted" })), failed: undefined })
})

export const suite: Suite = {
  name: "events",
  run: async (bench) => {
    await enqueue(bench)
    await drain(bench)
  }
}
