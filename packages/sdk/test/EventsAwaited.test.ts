/** Events of agents whose registration, which brings the key that signs them, is not answered yet. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted } from "effect"
import { TestClock } from "effect/testing"
import type { EventBufferOptions } from "../src/EventBuffer.ts"
import { OwnKeys } from "../src/live/EventKeys.ts"
import type { Registrar, RegistrarState } from "../src/Registrar.ts"
import { killed, start, trust } from "./Buffers.ts"
import { FakePlatform } from "./FakePlatform.ts"
import { MemoryFiles } from "./MemoryFiles.ts"

/** A registration that is answered when the test says so. */
const registering = () => {
  let state: RegistrarState = { registered: false, lastSeenAt: null, problem: null }
  let eventKey: Redacted.Redacted<string> | undefined
  let calls: Array<() => void> = []
  const registrar: Registrar["Service"] = {
    register: Effect.sync(() => state),
    stateUnsafe: () => state,
    eventKeyUnsafe: () => eventKey,
    whenAnsweredUnsafe: (call) => {
      calls.push(call)
    }
  }
  const answer = (key?: string) => {
    state = { ...state, registered: true }
    if (key !== undefined) eventKey = Redacted.make(key)
    for (const call of calls) call()
    calls = []
  }
  return { registrar, answer }
}

/** A platform that demands signatures with these keys. */
const demanding = (...keys: ReadonlyArray<readonly [string, string]>) => {
  const platform = new FakePlatform()
  platform.keys = new Map(keys)
  return platform
}

const interaction = {
  executionId: "e",
  agentId: "agent-1",
  interactionId: "i",
  model: "m",
  provider: "p",
  userPrompt: "x"
}

const signing = (keys: OwnKeys) => ({ eventKey: keys.keyOf, awaitedKeys: keys })

/** The buffer of `agent-1` alone, which registers. */
const alone = Effect.fnUntraced(function* (
  platform: FakePlatform,
  options: EventBufferOptions & { readonly files: MemoryFiles }
) {
  const keys = new OwnKeys("agent-1")
  const { answer, registrar } = registering()
  keys.add("agent-1", registrar)
  return { ...(yield* start(platform, { ...options, ...signing(keys) })), answer }
})

/** The buffer of several agents, each of which registers. */
const several = Effect.fnUntraced(function* (
  platform: FakePlatform,
  options: EventBufferOptions & { readonly files: MemoryFiles },
  agents: ReadonlyArray<string>
) {
  const keys = new OwnKeys()
  const registrations = agents.map((agentId) => {
    const { answer, registrar } = registering()
    keys.add(agentId, registrar)
    return answer
  })
  return { ...(yield* start(platform, { ...options, ...signing(keys) })), keys, registrations }
})

/** Waits for work whose deadlines are of the test's clock. */
const passing = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(work, { startImmediately: true })
    yield* TestClock.adjust("6 seconds")
    return yield* Fiber.join(fiber)
  })

describe("an agent that is not registered yet", () => {
  it.effect("EVENT-3 TRUST-6 has its events wait, and sends them signed as soon as its key has come", () =>
    Effect.gen(function* () {
      const platform = demanding(["agent-1", "k1"])
      const { answer, events } = yield* alone(platform, { files: new MemoryFiles() })
      assert.strictEqual(events.publishUnsafe("trust", trust(1)), "durable")
      assert.strictEqual(events.publishUnsafe("llmInteraction", interaction), "buffered")
      assert.deepStrictEqual(yield* passing(events.flush()), { sent: 0, pending: 2 })
      assert.isEmpty(platform.batches)
      const { events: link, status } = yield* events.health
      assert.deepInclude([link, status], "degraded")
      assert.include(link.reason, "is not registered yet")
      const flushing = yield* Effect.forkChild(events.flush(), { startImmediately: true })
      answer("k1")
      assert.deepStrictEqual(yield* Fiber.join(flushing), { sent: 2, pending: 0 })
      assert.lengthOf(platform.signatures, 2)
      assert.deepInclude(yield* events.statistics, { refused: 0, kept: 0, dropped: 0 })
      assert.deepInclude(yield* events.health, { status: "ok" })
    })
  )

  it.effect("EVENT-3 sends them without a signature where the answer brings no key", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { answer, events } = yield* alone(platform, { files: new MemoryFiles() })
      events.publishUnsafe("trust", trust(1))
      yield* TestClock.adjust("10 seconds")
      assert.isEmpty(platform.events)
      answer()
      assert.deepInclude(yield* events.flush(), { pending: 0 })
      assert.deepStrictEqual(platform.field("agent_id"), ["agent-1"])
      assert.isEmpty(platform.signatures)
    })
  )

  it.effect("EVENT-3 wakes the sender by the answer alone", () =>
    Effect.gen(function* () {
      const platform = demanding(["agent-1", "k1"])
      const { answer, events } = yield* alone(platform, { files: new MemoryFiles() })
      events.publishUnsafe("trust", trust(1))
      // By now pauses are of half a minute.
      yield* TestClock.adjust("5 minutes")
      answer("k1")
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(platform.field("agent_id"), ["agent-1"])
    })
  )

  for (const how of ["killed", "closed"] as const)
    it.effect(`EVENT-4 leaves them to its next start when it is ${how}, and hangs on nothing`, () =>
      Effect.gen(function* () {
        const files = new MemoryFiles()
        const platform = demanding(["agent-1", "k1"])
        const first = yield* alone(platform, { files })
        first.events.publishUnsafe("trust", trust(1))
        first.events.publishUnsafe("trust", trust(1))
        yield* TestClock.adjust("10 seconds")
        if (how === "closed") {
          const closing = yield* Effect.forkChild(first.close, { startImmediately: true })
          yield* TestClock.adjust("2 seconds")
          yield* Fiber.join(closing)
        }
        const left = how === "killed" ? killed(files) : files
        const next = yield* alone(platform, { files: left })
        yield* TestClock.adjust("10 seconds")
        assert.isEmpty(platform.batches)
        next.answer("k1")
        yield* next.events.flush()
        assert.deepStrictEqual(platform.field("agent_id"), ["agent-1", "agent-1"])
        assert.deepInclude(yield* next.events.statistics, { refused: 0, kept: 0 })
      })
    )

  it.effect("EVENT-3 keeps them within the bounds of an outage, without a file too", () =>
    Effect.gen(function* () {
      const platform = demanding(["agent-1", "k1"])
      const options = { files: new MemoryFiles(), directory: false, memoryBytes: 10_000 } as const
      const { answer, events } = yield* alone(platform, options)
      for (let n = 0; n < 100; n++) events.publishUnsafe("trust", trust(1))
      const { dropped, pending } = yield* events.statistics
      assert.strictEqual(dropped + pending, 100)
      assert.isAbove(pending, 10)
      yield* TestClock.adjust("10 seconds")
      answer("k1")
      assert.deepInclude(yield* events.flush(), { pending: 0 })
      assert.lengthOf(platform.events, pending)
    })
  )

  it.effect("EVENT-7 is sent at once where the line says who speaks", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      platform.signed = false
      const { events } = yield* alone(platform, { files: new MemoryFiles() })
      events.publishUnsafe("trust", trust(1))
      assert.deepStrictEqual(yield* events.flush(), { sent: 1, pending: 0 })
    })
  )
})

it.effect("EVENT-3 a buffer that nobody registers for sends at once, without a signature", () =>
  Effect.gen(function* () {
    const platform = new FakePlatform()
    const options = { files: new MemoryFiles(), eventKey: () => undefined }
    const { events } = yield* start(platform, options)
    events.publishUnsafe("trust", trust(1))
    assert.deepStrictEqual(yield* events.flush(), { sent: 1, pending: 0 })
    assert.isEmpty(platform.signatures)
  })
)

describe("one of several agents that is not registered yet", () => {
  for (const directory of ["/events", false] as const) {
    const where = directory === false ? "in memory" : "in files"
    it.effect(`EVENT-3 TRUST-6 holds up no other, and gets its events out signed, kept ${where}`, () =>
      Effect.gen(function* () {
        const platform = demanding(["agent-1", "k1"], ["agent-2", "k2"])
        const options = { files: new MemoryFiles(), directory }
        const { events, registrations } = yield* several(platform, options, ["agent-1", "agent-2"])
        registrations[1]?.("k2")
        const [one, two] = [events.forAgent("agent-1"), events.forAgent("agent-2")]
        for (const n of [1, 2, 1, 2]) (n === 1 ? one : two).publishUnsafe("trust", trust(n))
        one.publishUnsafe("llmInteraction", interaction)
        assert.deepStrictEqual(yield* two.flush(), { sent: 2, pending: 0 })
        assert.deepStrictEqual(platform.field("agent_id"), ["agent-2", "agent-2"])
        assert.deepStrictEqual(yield* passing(one.flush()), { sent: 0, pending: 3 })
        const { refusal, ...health } = yield* events.health
        assert.deepInclude(health, { status: "degraded", kept: 3, refused: 0 })
        assert.include(refusal, "is not registered yet")
        const flushing = yield* Effect.forkChild(one.flush(), { startImmediately: true })
        registrations[0]?.("k1")
        assert.deepStrictEqual(yield* Fiber.join(flushing), { sent: 3, pending: 0 })
        assert.deepStrictEqual(platform.field("agent_id").slice(2), ["agent-1", "agent-1", "agent-1"])
        assert.deepInclude(yield* events.statistics, { sent: 5, kept: 0, refused: 0, dropped: 0 })
        assert.deepInclude(yield* events.health, { status: "ok", kept: 0 })
      })
    )
  }

  it.effect("EVENT-3 loses no decision to telemetry where there is little memory", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const options = { files: new MemoryFiles(), directory: false, memoryBytes: 20_000 } as const
      const { events, registrations } = yield* several(platform, options, ["agent-1"])
      for (let n = 0; n < 10; n++) events.publishUnsafe("trust", trust(1))
      yield* passing(events.flush())
      for (let n = 0; n < 100; n++) {
        events.publishUnsafe("llmInteraction", interaction)
        if (n % 10 === 9) yield* TestClock.adjust("6 seconds")
      }
      assert.isAbove((yield* events.statistics).dropped, 10)
      registrations[0]?.()
      assert.deepInclude(yield* events.flush(), { pending: 0 })
      assert.lengthOf(
        platform.events.filter(({ kind }) => kind === "trust"),
        10
      )
    })
  )

  it.effect("EVENT-3 gets its events out where the answer brings no key", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      const { events, registrations } = yield* several(platform, { files: new MemoryFiles() }, ["agent-1"])
      events.publishUnsafe("trust", trust(1))
      assert.deepStrictEqual(yield* passing(events.flush()), { sent: 0, pending: 1 })
      registrations[0]?.()
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(platform.field("agent_id"), ["agent-1"])
      assert.isEmpty(platform.signatures)
    })
  )

  for (const how of ["killed", "closed"] as const)
    it.effect(`EVENT-4 has its events sent signed by the next start of the host, which was ${how}`, () =>
      Effect.gen(function* () {
        const files = new MemoryFiles()
        const platform = demanding(["agent-1", "k1"])
        const first = yield* several(platform, { files }, ["agent-1"])
        first.events.publishUnsafe("trust", trust(1))
        yield* TestClock.adjust("10 seconds")
        // The first is aside by now, and this one is not.
        first.events.publishUnsafe("trust", trust(1))
        first.keys.close("agent-1")
        if (how === "closed") {
          const closing = yield* Effect.forkChild(first.close, { startImmediately: true })
          yield* TestClock.adjust("2 seconds")
          yield* Fiber.join(closing)
        }
        const left = how === "killed" ? killed(files) : files
        const next = yield* several(platform, { files: left }, ["agent-1"])
        yield* TestClock.adjust("10 seconds")
        assert.isEmpty(platform.batches)
        next.registrations[0]?.("k1")
        yield* next.events.flush()
        assert.deepStrictEqual(platform.field("agent_id"), ["agent-1", "agent-1"])
        assert.deepInclude(yield* next.events.statistics, { refused: 0, kept: 0 })
      })
    )
})
