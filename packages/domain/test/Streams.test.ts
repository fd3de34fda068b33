/** What streams and channels carry: codecs, names, and what a signature is over. */
import { EpochText, Streams, Wire } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Exit, Schema } from "effect"
import { plain } from "./RoundTrip.ts"

const { AlertRaised, DeadLetter, DecisionEvent, FeedbackEvent, GovernanceDecision, LlmInteraction } = Streams
const { MissionEvent, MissionMessageEvent, PermissionChanged, ResourceChanged, TrustChanged, TrustEvent } =
  Streams

const codecs = {
  AlertRaised,
  DeadLetter,
  DecisionEvent,
  FeedbackEvent,
  GovernanceDecision,
  LlmInteraction,
  MissionEvent,
  MissionMessageEvent,
  PermissionChanged,
  ResourceChanged,
  TrustChanged,
  TrustEvent
}

type Entry = { readonly [field: string]: unknown }

const Millis = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4_000_000_000_000 }))

/** Entries with a time as we write it. */
const entries = (codec: Schema.Codec<Entry, unknown>): Arbitrary.Arbitrary<Entry> =>
  Arbitrary.map(Arbitrary.all([Arbitrary.schema(codec), Arbitrary.schema(Millis)]), ([entry, millis]) =>
    plain("timestamp" in entry ? { ...entry, timestamp: Wire.timestamp(millis) } : entry)
  )

/** Only a refusal by the schema: no defect, nothing thrown. */
const refusedOrDecoded = (codec: Schema.Codec<unknown, unknown>, value: unknown): void => {
  const exit = Schema.decodeUnknownExit(codec)(value)
  if (Exit.isSuccess(exit)) return
  assert.isFalse(Cause.hasDies(exit.cause))
  assert.isTrue(Schema.isSchemaError(Cause.squash(exit.cause)))
}

/** What clients in other languages write into fields, and what a hostile one would. */
const Junk = Schema.Literals([
  "",
  "null",
  "NaN",
  '{"a": NaN}',
  "Infinity",
  "1e999",
  "-0",
  "0x10",
  "{",
  "[1,",
  '"',
  '"\\ud800"',
  "\ud800",
  "\u0000",
  '{"__proto__": {"admin": true}}',
  '{"a": "\\u0000"}',
  "true",
  "2026-13-45T99:99:99",
  "0000-01-01",
  `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`,
  "[".repeat(100_000)
])
const Value = Schema.Union([Schema.String, Junk])

for (const [name, typed] of Object.entries(codecs)) {
  const codec: Schema.Codec<Entry, unknown> = typed
  const encode = Schema.encodeUnknownSync(codec)

  describe(`an entry ${name}`, () => {
    it.prop("comes back from strings under snake_case names", [entries(codec)], ([entry]) => {
      const fields = plain(encode(entry)) as Streams.Fields
      for (const [key, value] of Object.entries(fields)) {
        assert.match(key, /^[a-z]+(?:_[a-z]+)*$/)
        assert.isString(value)
      }
      assert.deepStrictEqual(plain(Schema.decodeUnknownSync(codec)(fields)), entry)
    })

    it.prop(
      "EVENT-6 is refused by the schema, or understood, whatever its fields are",
      [Schema.Record(Schema.String, Value)],
      ([fields]) => {
        refusedOrDecoded(codec, fields)
      }
    )

    it.prop(
      "EVENT-6 is refused by the schema, or understood, whatever stands in one of its fields",
      [entries(codec), Value, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))],
      ([entry, junk, at]) => {
        const fields = Object.entries(plain(encode(entry)) as Streams.Fields)
        const [key] = fields[at % fields.length] ?? ["agent_id"]
        refusedOrDecoded(codec, { ...Object.fromEntries(fields), [key]: junk })
      }
    )
  })
}

/** A value for each field that some entry must have. */
const everything = {
  agent_id: "a",
  execution_id: "e",
  interaction_id: "i",
  model: "m",
  provider: "p",
  mission_id: "m",
  participant_id: "a",
  from_participant: "a",
  message_type: "t",
  action: "use",
  actor_type: "agent",
  resource_id: "r",
  permission_type: "use",
  decision: "allow",
  mode: "normal",
  reason: "ok"
}

describe("an entry of an older client", () => {
  const decode = Schema.decodeUnknownExit(TrustEvent)
  const fields = { agent_id: "a", event_type: "task_completed", timestamp: '"2026-11-26T10:00:00"' }

  it("may have its time as JSON and without a zone", () => {
    const exit = decode(fields)
    assert.strictEqual(Exit.isSuccess(exit) ? exit.value.timestamp : undefined, "2026-11-26T10:00:00.000Z")
  })

  it.each([
    { context: '{"score": NaN}' },
    { event_type: "task_done" },
    { impact: "much" },
    { agent_id: "" },
    { agent_id: undefined }
  ])("EVENT-6 with %j is refused", (wrong) => {
    assert.isTrue(Exit.isFailure(decode({ ...fields, ...wrong })))
  })

  it.each([
    [LlmInteraction, "conversation_history"],
    [LlmInteraction, "other_params"],
    [LlmInteraction, "metadata"],
    [MissionMessageEvent, "content"],
    [MissionEvent, "data"],
    [DecisionEvent, "context"],
    [TrustEvent, "context"]
  ] as const)("EVENT-6 with more levels than anyone can write again is refused: %#", (codec, field) => {
    const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`
    const outcome = (levels: number): string => {
      const eventType = codec === MissionEvent ? "joined" : "task_completed"
      const exit = Schema.decodeUnknownExit<Schema.Codec<unknown, unknown>>(codec)({
        ...everything,
        event_type: eventType,
        [field]: deep(levels)
      })
      return Exit.isSuccess(exit) ? "understood" : Cause.pretty(exit.cause)
    }
    assert.strictEqual(outcome(32), "understood")
    for (const levels of [33, 100_000]) assert.include(outcome(levels), "at most 32 levels")
  })

  it("may hold more than we know", () => {
    assert.isTrue(Exit.isSuccess(decode({ ...fields, sdk: "python 0.3" })))
  })
})

describe("fields", () => {
  it("are strings as they are, other values as JSON, nothing for undefined", () => {
    assert.deepStrictEqual(Streams.toFields({ a: "x", b: 1, c: null, d: { e: [true] }, f: undefined }), {
      a: "x",
      b: "1",
      c: "null",
      d: '{"e":[true]}'
    })
  })
})

describe("a message on a channel", () => {
  it.prop("of an epoch comes back from its text", [EpochText], ([message]) => {
    const text = Schema.encodeSync(EpochText)(message)
    assert.deepStrictEqual(plain(Schema.decodeUnknownSync(EpochText)(text)), plain(message))
    assert.include(text, '"previous":')
  })

  it.prop("of a policy comes back from its text", [Streams.PolicyUpdated], ([message]) => {
    const text = Schema.encodeSync(Streams.PolicyUpdated)(message)
    assert.deepStrictEqual(plain(Schema.decodeUnknownSync(Streams.PolicyUpdated)(text)), plain(message))
  })

  it.prop("is refused by the schema, or understood, whatever its text", [Value], ([text]) => {
    refusedOrDecoded(EpochText, text)
    refusedOrDecoded(Streams.PolicyUpdated, text)
  })
})

describe("names", () => {
  it("are the contract's, and take a prefix all together", () => {
    const names = Streams.streamNames()
    assert.deepStrictEqual(
      [names.trust, names.feedback, names.llmInteractions, names.missions, names.decisions, names.deadLetter],
      ["trust", "feedback", "llm_interactions", "missions", "decisions", "dead-letter"].map(
        (name) => `agion:events:${name}`
      )
    )
    assert.deepStrictEqual(
      [names.trustEvents, names.governanceEvents, names.llmInteractionLogs],
      ["trust-events", "governance-events", "llm-interaction-logs"]
    )
    assert.deepStrictEqual(names.policyUpdates, ["agion:policy:updates", "policy-updates"])
    assert.strictEqual(names.missionMessages("m-1"), "agion:missions:m-1:messages")
    assert.strictEqual(names.epoch("acme"), "agion:epoch:acme")
    const prefixed = Streams.streamNames("test:")
    assert.strictEqual(prefixed.trust, "test:agion:events:trust")
    assert.strictEqual(prefixed.epoch("acme"), "test:agion:epoch:acme")
    assert.deepStrictEqual(prefixed.policyUpdates, ["test:agion:policy:updates", "test:policy-updates"])
  })
})

const Fields = Schema.Record(Wire.Text, Wire.Text)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const sorted = (fields: Streams.Fields): string =>
  JSON.stringify(
    Object.entries(fields)
      .filter(([name]) => name !== "signature")
      .sort(([a], [b]) => (a < b ? -1 : 1))
  )

/** The text of length-prefixed parts, read back. */
const parts = (bytes: Uint8Array): ReadonlyArray<string> => {
  const view = new DataView(bytes.buffer)
  const found: Array<string> = []
  for (let at = 0; at < bytes.length; at += 4 + view.getUint32(at)) {
    found.push(
      new TextDecoder("utf-8", { ignoreBOM: true }).decode(
        bytes.subarray(at + 4, at + 4 + view.getUint32(at))
      )
    )
  }
  return found
}

describe("what a signature is over", () => {
  it.prop(
    "is the stream and the other fields in order, all of which can be read back",
    [Wire.Text, Fields],
    ([stream, fields]) => {
      const [name, ...rest] = parts(Streams.signatureInput(stream, fields))
      assert.strictEqual(name, stream)
      const pairs = rest.filter((_, i) => i % 2 === 0).map((key, i) => [key, rest[2 * i + 1] ?? ""] as const)
      assert.strictEqual(JSON.stringify(pairs), sorted(fields))
    }
  )

  it.prop(
    "differs when stream or fields differ",
    [Wire.Text, Fields, Wire.Text, Fields],
    ([stream, fields, other, others]) => {
      const same = stream === other && sorted(fields) === sorted(others)
      assert.strictEqual(
        hex(Streams.signatureInput(stream, fields)) === hex(Streams.signatureInput(other, others)),
        same
      )
    }
  )

  it("tells apart what joins to the same text", () => {
    const inputs = [
      Streams.signatureInput("s", { a: "bc" }),
      Streams.signatureInput("s", { ab: "c" }),
      Streams.signatureInput("sa", { b: "c" }),
      Streams.signatureInput("s", { a: "b", c: "" }),
      Streams.signatureInput("s", {})
    ]
    assert.strictEqual(new Set(inputs.map(hex)).size, inputs.length)
  })

  it("leaves out the signature, and does not ask in which order fields came", () => {
    const first = Streams.signatureInput("s", { a: "1", b: "2", signature: "x" })
    const second = Streams.signatureInput("s", { b: "2", signature: "y", a: "1" })
    assert.strictEqual(hex(first), hex(second))
  })
})
