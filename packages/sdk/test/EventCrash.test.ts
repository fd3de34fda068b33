import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Redacted, Scope } from "effect"
import { TestClock } from "effect/testing"
import { EventBuffer, type EventBufferOptions } from "../src/EventBuffer.ts"
import type { WriteAheadFiles } from "../src/WriteAheadFiles.ts"
import * as Folder from "../src/WriteAheadFolder.ts"
import { FakePlatform } from "./FakePlatform.ts"
import { MemoryFiles } from "./MemoryFiles.ts"

const directory = "/events"
const changing = [
  "makeFolder",
  "open",
  "append",
  "writeAt",
  "sync",
  "close",
  "remove",
  "removeFolder",
  "rename"
]

/** The files of a process that is killed before its `at`-th operation that changes something. */
const dying = (files: MemoryFiles, at: number, platform: FakePlatform) => {
  const state = { operations: 0, files: undefined as MemoryFiles | undefined }
  const step = () => {
    state.operations += 1
    if (state.operations !== at) return
    state.files = files.crash()
    platform.dead = true
  }
  const watched = new Proxy<WriteAheadFiles>(files, {
    get: (target, name) => {
      const method: unknown = Reflect.get(target, name)
      if (typeof name !== "string" || typeof method !== "function" || !changing.includes(name)) return method
      return (...args: ReadonlyArray<unknown>) => {
        step()
        return Reflect.apply(method, target, args)
      }
    }
  })
  return { state, files: watched }
}

/** Its owner is gone. */
const left = (files: MemoryFiles): MemoryFiles => {
  for (const name of files.list(directory)) {
    const log = Folder.parseLogName(name)
    if (log !== undefined)
      files.rename(`${directory}/${name}`, `${directory}/${Folder.logName(log.epoch, Folder.nobody)}`)
  }
  return files
}

const run = (
  platform: FakePlatform,
  files: WriteAheadFiles,
  life: (events: EventBuffer["Service"]) => Effect.Effect<void>,
  more: EventBufferOptions = {}
) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const layer = EventBuffer.layer({ directory, files, fsync: "each", segmentBytes: 1_500, ...more })
    const context = yield* Layer.buildWithScope(Layer.provide(layer, platform.layer), scope)
    yield* life(Context.get(context, EventBuffer))
    const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
    yield* TestClock.adjust("3 seconds")
    yield* Fiber.join(closing)
  })

/** What an agent does in its life; `said` is what it was told to be durable while it lived. */
const life = (platform: FakePlatform, said: Array<number>) => (events: EventBuffer["Service"]) =>
  Effect.gen(function* () {
    for (let round = 0; round < 4; round++) {
      for (let n = 1; n <= 6; n++) {
        const id = round * 6 + n
        const became = events.publishUnsafe("trust", { agentId: `agent-${id}`, eventType: "task_completed" })
        if (became === "durable" && !platform.dead) said.push(id)
      }
      platform.mode = round === 1 ? "mute" : "up"
      yield* Effect.forkChild(events.flush({ deadline: "50 millis" }))
      yield* TestClock.adjust("60 millis")
    }
  })

describe("a process that is killed", () => {
  it.effect(
    "EVENT-4 EVENT-5 before any operation on a file: nothing durable is lost, nothing counts twice",
    () =>
      Effect.gen(function* () {
        const calm = new FakePlatform()
        const whole = dying(new MemoryFiles(), Number.POSITIVE_INFINITY, calm)
        yield* run(calm, whole.files, life(calm, []))
        const { operations } = whole.state
        assert.isAbove(operations, 60)
        let replayed = 0
        for (let at = 1; at <= operations; at++) {
          const platform = new FakePlatform()
          const said: Array<number> = []
          const process = dying(new MemoryFiles(), at, platform)
          yield* run(platform, process.files, life(platform, said))
          const { files } = process.state
          assert(files !== undefined, `it was not killed before operation ${at}`)
          const before = platform.events.length
          platform.dead = false
          platform.mode = "up"
          yield* run(platform, left(files), (events) => Effect.asVoid(events.flush()))
          replayed += platform.events.length - before
          const got = platform.field("agent_id").map((id) => Number(id?.slice("agent-".length)))
          const lost = said.filter((id) => !got.includes(id))
          const twice = got.filter((id, i) => got.indexOf(id) !== i)
          assert.deepStrictEqual({ lost, twice }, { lost: [], twice: [] }, `killed before operation ${at}`)
        }
        assert.isAbove(replayed, 100, "the next start had little to send: the test showed little")
      })
  )

  it.effect(
    "EVENT-4 EVENT-5 while its signature is refused and its key changes: nothing durable is lost",
    () =>
      Effect.gen(function* () {
        const platformOf = () => {
          const platform = new FakePlatform()
          platform.keys = new Map(Array.from({ length: 9 }, (_, n) => [`agent-${n}`, "new"] as const))
          return platform
        }
        const lived = (platform: FakePlatform, files: WriteAheadFiles, said: Array<number>) => {
          let key = "old"
          const publishes = (events: EventBuffer["Service"]) =>
            Effect.gen(function* () {
              for (let n = 0; n < 9; n++) {
                const became = events.publishUnsafe("trust", {
                  agentId: `agent-${n}`,
                  eventType: "task_completed"
                })
                if (became === "durable" && !platform.dead) said.push(n)
                if (n === 5) key = "new"
                if (n % 3 === 2) yield* events.flush({ deadline: "50 millis" })
              }
            })
          const forked = (events: EventBuffer["Service"]) =>
            Effect.andThen(Effect.forkChild(publishes(events)), TestClock.adjust("1 second"))
          return run(platform, files, forked, { eventKey: () => Redacted.make(key) })
        }
        const calm = platformOf()
        const whole = dying(new MemoryFiles(), Number.POSITIVE_INFINITY, calm)
        yield* lived(calm, whole.files, [])
        const { operations } = whole.state
        assert.isAbove(operations, 60)
        let replayed = 0
        for (let at = 1; at <= operations; at++) {
          const platform = platformOf()
          const said: Array<number> = []
          const process = dying(new MemoryFiles(), at, platform)
          yield* lived(platform, process.files, said)
          const { files } = process.state
          assert(files !== undefined, `it was not killed before operation ${at}`)
          const before = platform.events.length
          platform.dead = false
          const flush = (events: EventBuffer["Service"]) => Effect.asVoid(events.flush())
          yield* run(platform, left(files), flush, { eventKey: () => Redacted.make("new") })
          replayed += platform.events.length - before
          const got = platform.field("agent_id").map((id) => Number(id?.slice("agent-".length)))
          const lost = said.filter((id) => !got.includes(id))
          const twice = got.filter((id, i) => got.indexOf(id) !== i)
          assert.deepStrictEqual({ lost, twice }, { lost: [], twice: [] }, `killed before operation ${at}`)
        }
        assert.isAbove(replayed, 50, "the next start had little to send: the test showed little")
      })
  )
})
