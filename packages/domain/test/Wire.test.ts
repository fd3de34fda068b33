/** The spelling of values on the wire. */
import { Wire } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Exit, Schema } from "effect"

const accepts = <S extends Schema.Codec<unknown, unknown>>(schema: S, value: unknown): boolean =>
  Exit.isSuccess(Schema.decodeUnknownExit(schema)(value))

const nested = (levels: number): unknown => {
  let value: unknown = 1
  for (let i = 0; i < levels; i++) value = { a: value }
  return value
}

describe("keys", () => {
  it.each([
    ["costLimitUsd", "cost_limit_usd"],
    ["id", "id"],
    ["rateLimitRpm", "rate_limit_rpm"]
  ])("%s are %s on the wire", (inside, outside) => {
    assert.strictEqual(Wire.snakeCase(inside), outside)
    const schema = Wire.struct({ [inside]: Schema.Int })
    assert.deepStrictEqual(Schema.encodeUnknownSync(schema)({ [inside]: 1 }), { [outside]: 1 })
    assert.deepStrictEqual(Schema.decodeUnknownSync(schema)({ [outside]: 1, more: 2 }), { [inside]: 1 })
  })

  it("that are optional may be absent or null", () => {
    const schema = Wire.struct({ someKey: Wire.optional(Schema.Int) })
    assert.deepStrictEqual(Schema.decodeUnknownSync(schema)({}), {})
    assert.deepStrictEqual(Schema.decodeUnknownSync(schema)({ some_key: null }), { someKey: null })
    assert.isFalse(accepts(schema, { some_key: "1" }))
  })
})

describe("text", () => {
  it.prop("is stored as it came", [Wire.Text], ([text]) => {
    assert.isFalse(text.includes("\u0000"))
    assert.strictEqual(new TextDecoder().decode(new TextEncoder().encode(text)), text)
  })

  it.each(["a\u0000b", "\ud800", "x\udc00"])("that no database holds is refused: %j", (text) => {
    assert.isFalse(accepts(Wire.Text, text))
    assert.isFalse(accepts(Wire.Name, text))
    assert.isFalse(accepts(Wire.JsonObject, { key: text }))
    assert.isFalse(accepts(Wire.JsonObject, { [text]: 1 }))
    assert.isFalse(accepts(Wire.JsonValue, [text]))
  })

  it("that names something has 1 to 1,000 characters", () => {
    assert.deepStrictEqual(
      ["", "a", "a".repeat(1000), "a".repeat(1001)].map((name) => accepts(Wire.Name, name)),
      [false, true, true, false]
    )
  })
})

describe("open JSON", () => {
  it("goes down 32 levels", () => {
    assert.isTrue(accepts(Wire.JsonObject, nested(32)))
    assert.isFalse(accepts(Wire.JsonObject, nested(33)))
    assert.isFalse(accepts(Wire.JsonValue, [nested(32)]))
  })

  it("may be of any depth without harm", () => {
    const deep = JSON.parse(`${"[".repeat(100_000)}${"]".repeat(100_000)}`)
    assert.isFalse(accepts(Wire.JsonValue, deep))
    assert.isFalse(accepts(Wire.JsonObject, { deep }))
  })

  it("has no prototype in it, at any level", () => {
    assert.isFalse(accepts(Wire.JsonObject, JSON.parse('{"__proto__": {"admin": true}}')))
    assert.isFalse(accepts(Wire.JsonObject, JSON.parse('{"a": [{"__proto__": 1}]}')))
    assert.isTrue(accepts(Wire.JsonObject, { constructor: 1, prototype: 2, toString: 3 }))
  })

  it.each([[[]], ["text"], [1], [null], [{ a: Number.NaN }], [{ a: undefined }]])("is no %j", (value) => {
    assert.isFalse(accepts(Wire.JsonObject, value))
  })
})

const Millis = Schema.Int.check(
  Schema.isBetween({ minimum: -62_135_596_800_000, maximum: 253_402_300_799_999 })
)

describe("a time", () => {
  it.prop("is understood in every spelling that clients have", [Millis], ([millis]) => {
    const time = Wire.timestamp(millis)
    for (const spelling of [
      time,
      time.slice(0, -1),
      time.replace("T", " "),
      time.replace("Z", "+00:00"),
      JSON.stringify(time)
    ]) {
      assert.strictEqual(Wire.lenientTimestamp(spelling), time)
    }
    assert.isTrue(accepts(Wire.Timestamp, time))
  })

  it.each([
    ["2026-11-26", "2026-11-26T00:00:00.000Z"],
    ["2026-11-26T10:00:00.123456", "2026-11-26T10:00:00.123Z"],
    ["2026-11-26T10:00:00+02:00", "2026-11-26T08:00:00.000Z"],
    ["2026-11-26T10:00:00-0130", "2026-11-26T11:30:00.000Z"]
  ])("%s is %s", (raw, time) => {
    assert.strictEqual(Wire.lenientTimestamp(raw), time)
    assert.isTrue(accepts(Wire.Timestamp, raw))
  })

  it.each([
    "",
    "now",
    "1764200000",
    "11/26/2026",
    "2026-13-01T00:00:00Z",
    "2026-11-26T25:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-01:00",
    '"2026-11-26'
  ])("that is none is refused: %j", (raw) => {
    assert.strictEqual(Wire.lenientTimestamp(raw), undefined)
    assert.isFalse(accepts(Wire.Timestamp, raw))
  })

  it.each(["2026-02-30T00:00:00Z", "2025-02-29", "2026-11-26T10:00:00+16:00", "2026-11-26T10:00:00Z; drop"])(
    "that a database refuses is refused in a request: %s",
    (raw) => {
      assert.isFalse(accepts(Wire.Timestamp, raw))
    }
  )

  it.prop("never throws, and gives what a database can hold", [Schema.String], ([raw]) => {
    const time = Wire.lenientTimestamp(raw)
    if (time !== undefined) assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  })
})

describe("a query", () => {
  it.prop(
    "has lists with commas or repeated",
    [Schema.Array(Schema.Literals(["a", "b", "c d"]))],
    ([list]) => {
      const decode = Schema.decodeUnknownSync(Wire.QueryList)
      assert.deepStrictEqual(decode(list), list)
      assert.deepStrictEqual(decode(list.join(",")), list)
      assert.deepStrictEqual(decode(`${list.join(" , ")},`), list)
    }
  )

  it.each([
    ["true", true],
    ["False", false],
    ["1", true],
    ["0", false]
  ])("has booleans: %s", (text, value) => {
    assert.strictEqual(Schema.decodeUnknownSync(Wire.QueryBoolean)(text), value)
  })

  it("refuses what is no boolean", () => {
    assert.isFalse(accepts(Wire.QueryBoolean, "yes"))
  })

  it("has enumerations as Python writes them, and refuses unknown values", () => {
    const schema = Wire.queryEnum(["ai_model", "database"])
    const decode = Schema.decodeUnknownSync(schema)
    assert.strictEqual(decode("ai_model"), "ai_model")
    assert.strictEqual(decode("ResourceType.AI_MODEL"), "ai_model")
    assert.isFalse(accepts(schema, "ResourceType.AI"))
  })

  it.each(["0", "101", "1.5", "x", "", "1e1000", "-1"])("refuses %j as a number from 1 to 100", (text) => {
    assert.isFalse(accepts(Wire.queryInt(1, 100), text))
  })

  it.prop(
    "has whole numbers within bounds",
    [Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))],
    ([n]) => {
      assert.strictEqual(Schema.decodeUnknownSync(Wire.queryInt(1, 100))(String(n)), n)
    }
  )
})

// Values of open JSON that the schema itself makes are accepted by it.
it.prop(
  "open JSON that tests make has no key with a backslash, which V8 would take others for",
  [Arbitrary.schema(Wire.JsonObject)],
  ([value]) => {
    JSON.stringify(value, (key, field: unknown) => {
      assert.notInclude(key, "\\")
      return field
    })
  }
)

it.prop("open JSON comes back from its text", [Arbitrary.schema(Wire.JsonObject)], ([value]) => {
  assert.isTrue(accepts(Wire.JsonObject, JSON.parse(JSON.stringify(value))))
})
