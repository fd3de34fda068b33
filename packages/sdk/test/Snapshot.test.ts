/** What is held of an event says what the event said when it was published. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Event from "../src/events/Event.ts"
import { snapshot } from "../src/events/Snapshot.ts"

const stamp: Event.Stamp = {
  eventId: "0198c0de-0000-7000-8000-000000000001",
  organizationId: "org-1",
  producer: "producer-1",
  producerEpoch: "epoch-1",
  sequence: 7,
  timestamp: "2026-11-26T10:00:00.000Z"
}

/** Changes everything in a value that can be changed. */
const spoil = (value: unknown): void => {
  if (typeof value !== "object" || value === null) return
  if (Array.isArray(value)) {
    for (const item of value) spoil(item)
    value.push("spoilt")
    value[0] = "spoilt"
    return
  }
  for (const key of Object.keys(value)) {
    const fields = value as Record<string, unknown>
    spoil(fields[key])
    fields[key] = "spoilt"
  }
  Object.assign(value, { spoilt: true })
}

class Row {
  name = "row"
  #hidden = 1
  get hidden() {
    return this.#hidden
  }
}

const cyclic: Record<string, unknown> = { name: "cyclic" }
cyclic["self"] = cyclic
const deep = Array.from({ length: 60 }).reduce<unknown>((below, _, n) => ({ n, below }), "bottom")
const failing = Object.defineProperty({ a: 1 }, "b", {
  enumerable: true,
  get: () => {
    throw new Error("no")
  }
})
const sparse = [1, undefined, 3]
delete sparse[1]

const odd: Readonly<Record<string, () => unknown>> = {
  "a date": () => ({ at: new Date(0) }),
  "a map": () => new Map([["a", 1]]),
  "an instance": () => ({ row: new Row() }),
  "an error": () => ({ error: new TypeError("no") }),
  "numbers that are none": () => [Number.NaN, -0, Number.POSITIVE_INFINITY, { n: Number.NaN }],
  "a big integer": () => ({ n: 10n }),
  "functions and symbols": () => ({ f: () => 1, s: Symbol("s"), [Symbol("k")]: 1, g: [() => 1] }),
  "what tells its own JSON": () => ({ toJSON: () => ({ told: true }), hidden: 1 }),
  "an object without a prototype": () => Object.assign(Object.create(null), { a: { b: 1 } }),
  "a field named as a prototype": () => JSON.parse('{"__proto__":{"a":1},"b":{"__proto__":2}}'),
  "broken characters": () => ({ "\ud800": "\udfff\u0000" }),
  "a cycle": () => ({ cyclic }),
  depth: () => deep,
  "a getter that throws": () => ({ failing }),
  "holes and undefined": () => ({ sparse, nothing: undefined, list: [undefined, null] }),
  "many objects": () => Array.from({ length: 3_000 }, (_, n) => ({ n })),
  "many numbers": () => Array.from({ length: 3_000 }, (_, n) => n),
  nothing: () => ({})
}

describe("what is held of an event", () => {
  it.prop(
    "says what the event said, whatever becomes of the event",
    { metadata: Schema.Json, conversationHistory: Schema.Array(Schema.Json), text: Schema.String },
    (event) => {
      const given = structuredClone({ ...event, count: 1 })
      const expected = Event.encode(given, stamp)
      const { event: held } = snapshot(given)
      spoil(given)
      assert.deepStrictEqual(Event.encode(held, stamp), expected)
    }
  )

  for (const [name, make] of Object.entries(odd))
    it(`says what the event said of ${name}`, () => {
      const { event: held } = snapshot({ metadata: make() })
      assert.deepStrictEqual(Event.encode(held, stamp), Event.encode({ metadata: make() }, stamp))
    })

  it("takes for its room what its texts and names take", () => {
    const texts = Array.from({ length: 100 }, () => ({ role: "user", content: "x".repeat(1_000) }))
    assert.isAtLeast(snapshot({ conversationHistory: texts }).bytes, 100_000)
  })
})
