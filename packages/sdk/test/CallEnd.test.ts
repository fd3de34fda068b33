import { ActorType, PermissionType, Streams } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { EventBuffer } from "../src/EventBuffer.ts"
import { endings, fromRecord, prefixOf, publicationsOf, toRecord } from "../src/events/CallEnd.ts"
import * as Folder from "../src/WriteAheadFolder.ts"
import { agent, end, folder, next, reads } from "./Agents.ts"
import { ended } from "./Ends.ts"
import { FakePlatform } from "./FakePlatform.ts"
import { MemoryFiles } from "./MemoryFiles.ts"

const directory = "/events"

/** Any end of a call. */
const End = Schema.Struct({
  agentId: Schema.String,
  actorType: ActorType,
  action: Schema.String,
  resourceId: Schema.String,
  permissionType: PermissionType,
  executionId: Schema.String,
  decisionId: Schema.String,
  permissionId: Schema.NullOr(Schema.NonEmptyString),
  mode: Schema.Literals(Streams.decisionModes),
  reason: Schema.String,
  ending: Schema.Literals(endings),
  problem: Schema.String,
  reservationId: Schema.NullOr(Schema.NonEmptyString),
  lostKey: Schema.NullOr(Schema.NonEmptyString),
  tokens: Schema.Number,
  costUsd: Schema.Number,
  policies: Schema.Array(Schema.String),
  observed: Schema.NullOr(Schema.Struct({ allowed: Schema.Boolean, reason: Schema.String })),
  isDecisionTold: Schema.Boolean
})

const Ends = Schema.Array(End).check(Schema.isMaxLength(12))

const using = <A>(
  platform: FakePlatform,
  files: MemoryFiles,
  work: (events: EventBuffer["Service"]) => Effect.Effect<A>
) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const layer = EventBuffer.layer({ directory, files, organizationId: "org-1" })
    const context = yield* Layer.buildWithScope(Layer.provide(layer, platform.layer), scope)
    const answer = yield* work(Context.get(context, EventBuffer))
    const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
    yield* TestClock.adjust("3 seconds")
    yield* Fiber.join(closing)
    return answer
  })

/** What the next process finds after this one was killed. */
const killed = (files: MemoryFiles): MemoryFiles => {
  const found = files.crash()
  for (const name of found.list(directory)) {
    const log = Folder.parseLogName(name)
    if (log !== undefined)
      found.rename(`${directory}/${name}`, `${directory}/${Folder.logName(log.epoch, Folder.nobody)}`)
  }
  return found
}

/** What was told, without what is each buffer's own, and when. */
const toldOf = (platform: FakePlatform) => ({
  events: platform.events.map(({ fields, kind }) => ({
    kind,
    fields: Object.entries({ ...fields, event_id: "", producer: "", producer_epoch: "", timestamp: "" })
  })),
  reports: platform.reports.map(({ body, kind, path }) => ({
    kind,
    path,
    body: body.replace(/"(event_id|occurred_at)":"[^"]*"/g, "")
  }))
})

const idsOf = (platform: FakePlatform): ReadonlyArray<string> =>
  [...platform.reports, ...platform.events].map(({ eventId }) => eventId)

describe("the end of a call", () => {
  it.effect("TRUST-5 is told as a usage report, a trust event and an audit entry", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      yield* using(platform, new MemoryFiles(), (events) => {
        assert.strictEqual(events.publishCallUnsafe(ended()), "durable")
        assert.strictEqual(
          events.publishCallUnsafe(ended({ ending: "died", problem: "Error: boom", reservationId: "r-1" })),
          "durable"
        )
        return events.flush()
      })
      const [usage, settlement] = platform.reports
      assert.strictEqual(usage?.path, "/permissions/permission-1/usage")
      assert.deepInclude(JSON.parse(usage?.body ?? ""), {
        request_count: 1,
        token_count: 12,
        cost_usd: 0.5,
        event_id: usage?.eventId,
        occurred_at: "1970-01-01T00:00:00.000Z"
      })
      assert.strictEqual(settlement?.path, "/permissions/reservations/r-1/settle")
      assert.deepStrictEqual(JSON.parse(settlement?.body ?? ""), { requests: 1, tokens: 12, cost_usd: 0.5 })
      const [completed, allowed, failed, allowedToo] = platform.events.map(({ fields }) => fields)
      assert.deepInclude(completed, {
        organization_id: "org-1",
        agent_id: "agent-1",
        event_type: "task_completed",
        severity: "positive",
        context:
          '{"action":"chat","resource_id":"model-1","execution_id":"execution-1","decision_id":"decision-1"}',
        timestamp: "1970-01-01T00:00:00.000Z",
        sequence: "1"
      })
      assert.deepInclude(allowed, {
        agent_id: "agent-1",
        action: "chat",
        actor_type: "agent",
        resource_id: "model-1",
        permission_type: "use",
        decision: "allow",
        mode: "normal",
        reason: "Permission granted",
        decision_id: "decision-1",
        permission_id: "permission-1",
        execution_id: "execution-1",
        context: '{"outcome":"succeeded"}',
        sequence: "2"
      })
      assert.deepInclude(failed, { event_type: "task_failed", severity: "critical", sequence: "3" })
      assert.include(failed?.["context"] ?? "", '"error":"Error: boom"')
      assert.deepInclude(allowedToo, { context: '{"outcome":"died"}', sequence: "4" })
    })
  )

  it.effect.prop(
    "EVENT-1 says as one record what its publications say one by one, in their order",
    { ends: Ends },
    ({ ends }) =>
      Effect.gen(function* () {
        const together = new FakePlatform()
        const apart = new FakePlatform()
        const statistics = yield* using(together, new MemoryFiles(), (events) => {
          for (const one of ends) events.publishCallUnsafe(one)
          return Effect.andThen(events.flush(), events.statistics)
        })
        const expected = yield* using(apart, new MemoryFiles(), (events) => {
          for (const one of ends) events.publishAllUnsafe(publicationsOf(one))
          return Effect.andThen(events.flush(), events.statistics)
        })
        assert.deepStrictEqual(toldOf(together), toldOf(apart))
        const { pending, published, sent } = expected
        assert.deepInclude(statistics, { pending, published, sent })
      })
  )

  it.effect.prop(
    "EVENT-5 gives ids once: the next start tells the same under the same ids, each a UUIDv7 of its own",
    { ends: Ends },
    ({ ends }) =>
      Effect.gen(function* () {
        const before = new FakePlatform()
        before.mode = "mute"
        const files = new MemoryFiles()
        const found = yield* using(before, files, (events) => {
          for (const one of ends) events.publishCallUnsafe(one)
          return Effect.gen(function* () {
            yield* Effect.forkChild(events.flush({ deadline: "50 millis" }))
            yield* TestClock.adjust("60 millis")
            return killed(files)
          })
        })
        const after = new FakePlatform()
        yield* using(after, found, (events) => events.flush())
        const ids = idsOf(after)
        assert.deepStrictEqual(new Set(ids).size, ids.length)
        for (const id of ids)
          assert.match(id, /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
        const eventIds = after.events.map(({ eventId }) => eventId)
        assert.deepStrictEqual(eventIds, [...eventIds].sort())
        assert.deepStrictEqual(after.events, before.events)
        assert.deepStrictEqual(after.reports, before.reports)
      })
  )

  it.prop("a record reads as what was written, and its pieces as nothing", { one: End }, ({ one }) => {
    // Nothing is less than nothing: -0 is written as 0.
    const who = { organizationId: "org-1", producer: "p", producerEpoch: "e" }
    const stamp = { id: "0198c0de-0000-7000-8000-000000000004", at: 1_700_000_000_000, sequence: 9 }
    const body = toRecord(prefixOf(who), stamp, one)
    const read = fromRecord(body)
    assert.deepStrictEqual(read, {
      ...who,
      ...stamp,
      end: { ...one, tokens: one.tokens + 0, costUsd: one.costUsd + 0 }
    })
    for (let cut = 0; cut < body.length; cut++) assert.isUndefined(fromRecord(body.slice(0, cut)))
  })

  it.effect("EVENT-5 a record that was torn is told in neither lane, and those before it in both", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      platform.mode = "down"
      const files = new MemoryFiles()
      const lengths: Array<number> = []
      const lengthOf = (held: MemoryFiles) =>
        [...held.entries].find(([path]) => path.endsWith(".wal"))?.[1].bytes.length ?? 0
      const found = yield* using(platform, files, (events) => {
        for (let n = 1; n <= 2; n++) {
          events.publishCallUnsafe(ended({ executionId: `execution-${n}` }))
          lengths.push(lengthOf(files))
        }
        return Effect.sync(() => killed(files))
      })
      const [first = 0, second = 0] = lengths
      for (let cut = first; cut <= second; cut++) {
        const torn = found.crash()
        for (const [path, file] of torn.entries)
          if (path.endsWith(".wal")) file.bytes = file.bytes.subarray(0, cut)
        const later = new FakePlatform()
        yield* using(later, torn, (events) => events.flush())
        const whole = cut === second ? 2 : 1
        assert.deepStrictEqual(
          [later.reports.length, later.events.length],
          [whole, whole * 2],
          `cut at ${cut}`
        )
      }
    })
  )

  it.effect("EVENT-5 what one lane has told is not told again because the other has not", () =>
    Effect.gen(function* () {
      const platform = new FakePlatform()
      platform.refuses.add("usage")
      const files = new MemoryFiles()
      const found = yield* using(platform, files, (events) => {
        for (let n = 1; n <= 3; n++) events.publishCallUnsafe(ended({ executionId: `execution-${n}` }))
        return events.flush().pipe(
          Effect.andThen(
            Effect.sync(() => {
              platform.mode = "down"
              events.publishCallUnsafe(ended({ executionId: "execution-4" }))
              return killed(files)
            })
          )
        )
      })
      const later = new FakePlatform()
      yield* using(later, found, (events) => events.flush())
      assert.deepStrictEqual(later.field("execution_id").filter(Boolean), ["execution-4"])
      assert.strictEqual(later.reports.length, 1)
      assert.isFalse([...found.entries.keys()].some((path) => path.endsWith(".wal")))
    })
  )

  it.live("EVENT-5 OUTAGE-6 a process killed between its calls and their answers leaves each told once", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const child = yield* agent(path, 1, 500, "wait", "caller.ts")
      let told: ReadonlyArray<string> = []
      const durable = yield* reads(child, (line) => {
        if (!line.startsWith("told ")) return false
        told = line.slice("told ".length).split(",")
        return true
      })
      yield* Effect.promise(() => end(child))
      assert.strictEqual(durable.length, 500)
      assert.isAbove(told.length, 100)
      const platform = yield* next(path)
      const got = [...platform.events, ...platform.reports].map(({ eventId, kind }) => `${kind}=${eventId}`)
      assert.strictEqual(platform.events.length, 1000)
      assert.strictEqual(platform.reports.length, 500)
      assert.strictEqual(new Set(got).size, 1500)
      assert.deepStrictEqual(
        told.filter((id) => !got.includes(id)),
        []
      )
    })
  )
})
