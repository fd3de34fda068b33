import { Streams } from "@agion/domain"
import { assert, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { decodeTrustFields } from "../../src/events/TrustFields.ts"

const schema = Schema.decodeUnknownResult(Streams.TrustEvent)

/** Usual and unusual values, often of the wrong kind. */
const Text = Schema.Union([
  Schema.String,
  Schema.Literals([
    "",
    "0",
    "-0",
    "0.1",
    "-12.5",
    "1e3",
    "NaN",
    "01",
    "null",
    "true",
    '"2026-01-01"',
    "{}",
    "[]"
  ]),
  Schema.Literals(["2026-01-01T00:00:00Z", "2026-01-01 00:00:00", "2026-13-01", "9007199254740993"]),
  Schema.Literals([
    '{"a":1}',
    '{"a":{"b":[1]}}',
    '{"__proto__":1}',
    '{"a":NaN}',
    '{"a":"\\u0000"}',
    '{"a":1e999}'
  ])
])

const usual = {
  agent_id: "a",
  event_type: "task_completed",
  severity: "positive",
  impact: "0.1",
  confidence: "1.0",
  context: '{"task":"t","n":1}',
  timestamp: "2026-01-01T00:00:00.000Z",
  event_id: "e",
  organization_id: "o",
  producer: "p",
  producer_epoch: "1",
  sequence: "7",
  signature: "s",
  traceparent: "t"
}
const names = Schema.Literals(Object.keys(usual))

let decoded = 0
let left = 0

it.prop(
  "what is decoded by hand is what the schema decodes",
  [Schema.Array(Schema.Tuple([names, Text])).check(Schema.isMaxLength(3)), Schema.Array(names)],
  ([changed, removed]) => {
    const fields: Record<string, string> = { ...usual, ...Object.fromEntries(changed) }
    for (const name of removed) delete fields[name]
    const byHand = decodeTrustFields(fields)
    if (byHand === undefined) {
      left += 1
      return
    }
    decoded += 1
    const bySchema = schema(fields)
    assert.isTrue(Result.isSuccess(bySchema), JSON.stringify(fields))
    if (Result.isSuccess(bySchema)) assert.deepStrictEqual({ ...byHand }, { ...bySchema.success })
  },
  { arbitrary: { runs: 3000 } }
)

it("the property has seen both kinds, and the usual one is decoded by hand", () => {
  assert.isAbove(decoded, 100)
  assert.isAbove(left, 100)
  assert.isDefined(decodeTrustFields(usual))
})
