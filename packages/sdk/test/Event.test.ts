import { Streams } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Event from "../src/events/Event.ts"
import * as EventId from "../src/events/EventId.ts"

const stamp: Event.Stamp = {
  eventId: "0198c0de-0000-7000-8000-000000000001",
  organizationId: "org-1",
  producer: "producer-1",
  producerEpoch: "epoch-1",
  sequence: 7,
  timestamp: "2026-11-26T10:00:00.000Z"
}

const codecs = {
  trust: Streams.TrustEvent,
  decision: Streams.DecisionEvent,
  mission: Streams.MissionEvent,
  missionMessage: Streams.MissionMessageEvent,
  feedback: Streams.FeedbackEvent,
  llmInteraction: Streams.LlmInteraction
}

const added = {
  eventId: stamp.eventId,
  organizationId: stamp.organizationId,
  producer: stamp.producer,
  producerEpoch: stamp.producerEpoch,
  sequence: stamp.sequence,
  timestamp: stamp.timestamp
}

/** What a database cannot hold becomes U+FFFD, and -0 is 0 in JSON. */
const stored = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, field: unknown) =>
      typeof field === "string"
        ? field.toWellFormed().replaceAll("\u0000", "\ufffd")
        : Object.is(field, -0)
          ? 0
          : field
    )
  )

for (const [kind, codec] of Object.entries(codecs)) {
  it.prop(
    `EVENT-5 a ${kind} event is decoded by the platform as it was published`,
    { event: codec },
    ({ event }) => {
      const decode = Schema.decodeUnknownSync(codec)
      const { signature: _, ...rest } = event
      const decoded = decode(Event.encode(rest, stamp))
      assert.deepStrictEqual(stored(decoded), stored({ ...rest, ...added }))
    }
  )
}

it.prop(
  "EVENT-4 an event is read from the file as it was written, whatever its fields hold",
  {
    fields: Schema.Record(Schema.String.check(Schema.isPattern(/^[a-z_]{1,20}$/)), Schema.String),
    id: Schema.String
  },
  ({ fields, id }) => {
    const eventId = id.replaceAll("\n", "")
    const event = { kind: "trust" as const, eventId, fields }
    assert.deepStrictEqual(Event.fromRecord(Event.toRecord(event)), event)
  }
)

it.prop("any text in a file is an event or none, and never throws", { body: Schema.String }, ({ body }) => {
  for (const text of [body, `trust\n1\n${body}`, `trust\n1\na 99:${body}`, `trust\n1\na -1:${body}`]) {
    const event = Event.fromRecord(text)
    if (event !== undefined) assert.strictEqual(Event.toRecord(event), text)
  }
})

/** Whatever JavaScript can hold, and JSON cannot. */
const strange = (): ReadonlyArray<readonly [string, unknown]> => {
  const cycle: Record<string, unknown> = { name: "cycle" }
  cycle["self"] = cycle
  let deep: unknown = "bottom"
  for (let i = 0; i < 100; i++) deep = { deeper: deep }
  return [
    ["a cycle", cycle],
    ["a hundred levels", deep],
    ["NaN", { confidence: Number.NaN, list: [Number.POSITIVE_INFINITY] }],
    ["NUL and half characters", { "a\u0000": "b\u0000\ud800", list: ["\udfff"] }],
    ["a bigint", { amount: 12n }],
    ["an error", { error: new TypeError("no") }],
    [
      "a date, a map, a function, a symbol",
      { at: new Date(0), map: new Map([[1, 2]]), f: () => 1, s: Symbol("x") }
    ],
    ["undefined in a list", { list: [undefined, 1] }],
    ["an invalid date", { at: new Date(Number.NaN) }],
    [
      "a getter that throws",
      Object.defineProperty({}, "x", {
        enumerable: true,
        get: () => {
          throw new Error("no")
        }
      })
    ],
    [
      "a toJSON that throws",
      {
        toJSON: () => {
          throw new Error("no")
        }
      }
    ],
    ["a key that reaches for the prototype", JSON.parse('{"__proto__": {"polluted": true}, "a": 1}')],
    [
      "a proxy that refuses",
      {
        p: new Proxy(
          {},
          {
            ownKeys: () => {
              throw new Error("no")
            }
          }
        )
      }
    ]
  ]
}

describe("Event.encode", () => {
  for (const [name, context] of strange()) {
    it(`EVENT-6 sends an event the platform decodes when its context holds ${name}`, () => {
      const event: object = {
        agentId: "agent-1",
        eventType: "task_failed",
        context: { error: "boom", value: context }
      }
      const decoded = Schema.decodeUnknownResult(Streams.TrustEvent)(Event.encode(event, stamp))
      assert.isTrue(Result.isSuccess(decoded), String(decoded))
      if (Result.isSuccess(decoded)) assert.strictEqual(decoded.success.context?.["error"], "boom")
    })
  }

  it("cuts long texts and leaves large open parts out, and an error stays an error", () => {
    const event = {
      agentId: "agent-1",
      eventType: "task_failed",
      context: { error: "boom", dump: "x".repeat(100_000) }
    }
    const fields = Event.shorten(Event.encode(event, stamp))
    assert.isBelow(fields["context"]?.length ?? 0, 100)
    assert.isDefined(Schema.decodeUnknownSync(Streams.TrustEvent)(fields).context?.["error"])
    const prompt = Event.shorten(Event.encode({ systemPrompt: "🙂".repeat(50_000) }, stamp))["system_prompt"]
    assert.isTrue(prompt?.isWellFormed())
    assert.isBelow(prompt?.length ?? 0, 20_000)
  })
})

describe("EventId", () => {
  const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

  it("EVENT-5 gives UUIDv7 that rise, even while the clock stands still or goes back", () => {
    let now = 1_790_000_000_000
    const id = EventId.make(() => now)
    const ids: Array<string> = []
    for (let i = 0; i < 20_000; i++) {
      if (i === 5_000) now += 1
      if (i === 10_000) now -= 86_400_000
      ids.push(id())
    }
    assert.isTrue(ids.every((text) => uuid7.test(text)))
    assert.deepStrictEqual(ids, [...ids].sort())
    assert.strictEqual(new Set(ids).size, ids.length)
  })

  it("holds the time of the clock, of one at zero too", () => {
    assert.match(EventId.make(() => 0)(), uuid7)
    const id = EventId.make(() => 1_790_000_000_000)()
    assert.strictEqual(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16), 1_790_000_000_000)
  })

  it("two sources never give the same", () => {
    const [one, other] = [EventId.make(() => 5), EventId.make(() => 5)]
    const ids = new Set(Array.from({ length: 1000 }, () => [one(), other()]).flat())
    assert.strictEqual(ids.size, 2000)
  })
})

describe("Event.encodeReport", () => {
  it("a usage report names its event, so that it counts once", () => {
    const event = { permissionId: "p/1", tokenCount: 12.4, costUsd: 0.5 }
    const report = Event.encodeReport({ kind: "usage", event }, stamp)
    assert.strictEqual(report.path, "/permissions/p%2F1/usage")
    assert.deepStrictEqual(JSON.parse(report.body), {
      token_count: 12,
      cost_usd: 0.5,
      event_id: stamp.eventId,
      occurred_at: stamp.timestamp
    })
  })

  it("GOVERN-2 more than the platform takes is the most that it takes, and not a report that it refuses", () => {
    const event = { permissionId: "p", tokenCount: 1e30, costUsd: 1e11 }
    assert.deepInclude(JSON.parse(Event.encodeReport({ kind: "usage", event }, stamp).body), {
      token_count: Number.MAX_SAFE_INTEGER,
      cost_usd: 9_000_000_000
    })
  })

  it("a settlement and a release name their reservation", () => {
    const settled = Event.encodeReport(
      { kind: "settlement", event: { reservationId: "r", tokens: 3 } },
      stamp
    )
    assert.deepStrictEqual(
      [settled.path, settled.body],
      ["/permissions/reservations/r/settle", '{"tokens":3}']
    )
    const released = Event.encodeReport({ kind: "release", event: { reservationId: "r" } }, stamp)
    assert.deepStrictEqual([released.path, released.body], ["/permissions/reservations/r/release", ""])
  })

  it("an audit line is spelled as the contract spells it", () => {
    const event = { eventType: "x", entityId: "a", data: { bad: Number.NaN } }
    const report = Event.encodeReport({ kind: "audit", event }, stamp)
    assert.deepStrictEqual(JSON.parse(report.body), {
      event_id: stamp.eventId,
      organization_id: "org-1",
      timestamp: stamp.timestamp,
      event_type: "x",
      entity_id: "a",
      data: { bad: "NaN" }
    })
  })
})
