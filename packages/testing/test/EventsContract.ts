import { Streams } from "@agion/domain"
import { EventBuffer, EventTransport } from "@agion/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schedule, Schema, type Scope } from "effect"
import * as EventTargets from "./EventTargets.ts"

const names = Streams.streamNames()

const trust = (n: number) => ({ agentId: `agent-${n}`, eventType: "task_completed" as const })
const agents = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `agent-${from + i}`)
const agentsOf = (entries: ReadonlyArray<Streams.Fields>) => entries.map((entry) => entry["agent_id"])

/** A buffer of its own on a target. */
const start = Effect.fnUntraced(function* (target: EventTargets.Target, directory: string) {
  const layer = EventBuffer.layer({ directory, organizationId: "org-1", shutdownDeadline: "1 second" })
  const context = yield* Layer.build(Layer.provide(layer, Layer.merge(target.transport, target.reports)))
  return Context.get(context, EventBuffer)
})

/** Flushes until nothing waits; fails the test when that takes longer than a fault can explain. */
const drained = (events: EventBuffer["Service"]) =>
  events.flush({ deadline: "1 second" }).pipe(
    Effect.flatMap(({ pending }) =>
      pending === 0 ? Effect.void : Effect.fail(`${pending} events still wait`)
    ),
    Effect.retry(Schedule.recurs(30)),
    Effect.orDie
  )

/** What every way out promises (EVENT-7). Each test has a target of its own and mostly waits for it: they wait together. */
export const eventsContract = (name: string, make: Effect.Effect<EventTargets.Target, never, Scope.Scope>) =>
  describe.concurrent(`events over ${name}`, () => {
    it.live("EVENT-7 each kind arrives on its stream, in order, as the platform decodes it", () =>
      Effect.gen(function* () {
        const target = yield* make
        const events = yield* start(target, yield* EventTargets.folder)
        for (let n = 1; n <= 250; n++) events.publishUnsafe("trust", trust(n))
        const mission = { missionId: "m-1", participantId: "a", eventType: "joined" } as const
        events.publishUnsafe("mission", mission)
        const message = { missionId: "m-1", fromParticipant: "a", messageType: "note", content: "hello" }
        events.publishUnsafe("missionMessage", message)
        events.publishUnsafe("feedback", { executionId: "e", userId: "u", feedbackType: "thumbs_up" })
        yield* drained(events)
        const entries = yield* target.entries(names.trust)
        assert.deepStrictEqual(agentsOf(entries), agents(1, 250))
        const decoded = entries.map((entry) => Schema.decodeUnknownSync(Streams.TrustEvent)(entry))
        assert.deepStrictEqual(
          decoded.map((event) => event.sequence),
          Array.from({ length: 250 }, (_, i) => i + 1)
        )
        assert.deepInclude(decoded[0], { organizationId: "org-1", eventType: "task_completed" })
        const [joined] = yield* target.entries(names.missions)
        assert.deepInclude(Schema.decodeUnknownSync(Streams.MissionEvent)(joined), mission)
        const [said] = yield* target.entries(names.missionMessages("m-1"))
        assert.deepInclude(Schema.decodeUnknownSync(Streams.MissionMessageEvent)(said), message)
        assert.strictEqual((yield* target.entries(names.feedback)).length, 1)
      })
    )

    it.live("EVENT-5 a batch that is sent again changes nothing, and is known by its ids", () =>
      Effect.gen(function* () {
        const target = yield* make
        const transport = Context.get(yield* Layer.build(target.transport), EventTransport)
        const batch = Array.from({ length: 300 }, (_, n) => {
          const eventId = `0198c0de-0000-7000-8000-${String(n).padStart(12, "0")}`
          return { kind: "trust" as const, eventId, fields: { event_id: eventId, agent_id: `agent-${n}` } }
        })
        // On a busy machine an answer may come too late; sending again is what this is about.
        const send = (events: typeof batch) =>
          transport.send(events, undefined).pipe(Effect.retry(Schedule.recurs(20)), Effect.orDie)
        yield* send(batch.slice(0, 200))
        const again = yield* send(batch)
        assert.deepStrictEqual(
          again.slice(0, 200).map((delivery) => delivery._tag),
          Array(200).fill("Duplicate")
        )
        assert.isTrue(again.every((delivery) => delivery._tag !== "Refused"))
        assert.strictEqual((yield* target.entries(names.trust)).length, 300)
      })
    )

    it.live("EVENT-5 answers that get lost duplicate nothing and lose nothing", () =>
      Effect.gen(function* () {
        const target = yield* make
        const events = yield* start(target, yield* EventTargets.folder)
        yield* target.proxy.apply({ _tag: "DropReplies", every: 3 })
        for (let round = 0; round < 12; round++) {
          for (let n = 1; n <= 50; n++) events.publishUnsafe("trust", trust(round * 50 + n))
          yield* events.flush({ deadline: "200 millis" })
        }
        yield* target.proxy.apply({ _tag: "None" })
        yield* drained(events)
        assert.deepStrictEqual(agentsOf(yield* target.entries(names.trust)), agents(1, 600))
        const { duplicates, sent, dropped } = yield* events.statistics
        assert.deepStrictEqual([sent + duplicates, dropped], [600, 0])
        assert.isAbove(duplicates, 0, "no answer was lost: the test showed nothing")
      })
    )

    it.live("EVENT-3 a link that breaks in every way delays events, and does no more", () =>
      Effect.gen(function* () {
        const target = yield* make
        const directory = yield* EventTargets.folder
        yield* target.proxy.apply({ _tag: "Reset" })
        const events = yield* start(target, directory)
        let n = 0
        const publish = (count: number) => {
          for (const last = n + count; n < last; ) {
            n += 1
            events.publishUnsafe("trust", trust(n))
          }
        }
        publish(20)
        assert.strictEqual((yield* events.flush({ deadline: "300 millis" })).pending, 20)
        assert.strictEqual((yield* events.health).events.status, "failing")
        for (const fault of ["BlackHole", "SwallowReplies", "Garbage", "Truncate"] as const) {
          yield* target.proxy.apply({ _tag: fault })
          publish(20)
          yield* events.flush({ deadline: "700 millis" })
        }
        yield* target.proxy.apply({ _tag: "None" })
        yield* target.proxy.cut
        publish(20)
        yield* drained(events)
        assert.deepStrictEqual(agentsOf(yield* target.entries(names.trust)), agents(1, n))
        assert.strictEqual((yield* events.health).status, "ok")
      })
    )
  })
