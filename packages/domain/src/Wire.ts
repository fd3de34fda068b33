/**
 * How values are spelled on the wire: snake_case keys, text that a database can hold, open JSON that is
 * bounded, and query parameters as existing clients write them.
 *
 * This is the only place that translates between `camelCase` inside and `snake_case` outside.
 */
import { Effect, Schema, SchemaGetter, SchemaIssue, SchemaTransformation } from "effect"

/** `costLimitUsd` as a type becomes `cost_limit_usd`. */
export type SnakeCase<S extends string> = S extends `${infer Head}${infer Tail}`
  ? Head extends Lowercase<Head>
    ? `${Head}${SnakeCase<Tail>}`
    : `_${Lowercase<Head>}${SnakeCase<Tail>}`
  : S

/** The snake_case spelling of a camelCase name. */
export const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)

/** A schema's message with the fields of its paths as the wire spells them. */
export const wirePaths = (message: string): string =>
  message.replace(/\["([a-z]+[A-Z][A-Za-z0-9]*)"\]/g, (_, name: string) => `["${snakeCase(name)}"]`)

/** The mapping of every field of a struct to its spelling on the wire. */
export type SnakeKeys<Fields extends Schema.Struct.Fields> = {
  readonly [K in keyof Fields]: K extends string ? SnakeCase<K> : K
}

/** A struct whose keys are snake_case when encoded. */
export type struct<Fields extends Schema.Struct.Fields> = Schema.encodeKeys<
  Schema.Struct<Fields>,
  SnakeKeys<Fields>
>

/** A struct with camelCase fields inside and snake_case keys on the wire; unknown keys are ignored. */
export const struct = <const Fields extends Schema.Struct.Fields>(fields: Fields): struct<Fields> => {
  const mapping: Record<string, string> = {}
  for (const key of Object.keys(fields)) mapping[key] = snakeCase(key)
  return Schema.encodeKeys<Schema.Struct<Fields>, SnakeKeys<Fields>>(mapping as SnakeKeys<Fields>)(
    Schema.Struct(fields)
  )
}

/** A field that a request may leave out or send as null. */
export const optional = <S extends Schema.Constraint>(schema: S) => Schema.optional(Schema.NullOr(schema))

/** True for text that PostgreSQL can store and JSON can carry: well-formed UTF-16 without NUL. */
export const isStorable = (text: string): boolean => !text.includes("\u0000") && text.isWellFormed()

/** What `isStorable` takes, as a pattern for the texts that tests make: about half of it is of `ascii`. */
const storableText = (ascii: string): string =>
  `(?:[\\t\\n\\r${ascii}]|[\\u00a0-\\ud7ff\\ue000-\\uffff]|[${ascii}]|[\\u{10000}-\\u{10ffff}])*`

const storable = Schema.makeFilter<string>(
  (text) => (isStorable(text) ? undefined : "text without NUL characters and lone surrogates"),
  {
    // Tests make such text, and at times names that objects inherit.
    arbitraryConstraint: {
      patterns: [{ source: `^(?:__proto__|constructor|0|-1|${storableText(" -~")})$`, flags: "u" }]
    }
  }
)

/** Text of any length that can be stored. */
export const Text = Schema.String.check(storable)

/** Text of 1 to 1,000 characters that can be stored: names and ids. */
export const Name = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(1000), storable)

/** The deepest nesting of an open JSON value. */
export const maxJsonDepth = 32

/** True for JSON that is nested more deeply than the API takes. */
export const isTooDeep = (value: unknown, depth = 0): boolean =>
  typeof value === "object" &&
  value !== null &&
  (depth >= maxJsonDepth || Object.values(value).some((one) => isTooDeep(one, depth + 1)))

const jsonFault = (value: unknown, depth: number): string | undefined => {
  if (typeof value === "string")
    return isStorable(value) ? undefined : "text without NUL characters and lone surrogates"
  if (typeof value === "number") return Number.isFinite(value) ? undefined : "finite numbers"
  if (value === null || typeof value === "boolean") return undefined
  if (typeof value !== "object") return "JSON"
  if (depth >= maxJsonDepth) return `at most ${maxJsonDepth} levels`
  for (const key of Object.keys(value)) {
    if (key === "__proto__") return "no key `__proto__`"
    if (!isStorable(key)) return "keys without NUL characters and lone surrogates"
    const fault = jsonFault((value as Record<string, unknown>)[key], depth + 1)
    if (fault !== undefined) return fault
  }
  return undefined
}

/**
 * Any key: `jsonFault` judges them, and this one tells tests which to make. None has a backslash: V8's `JSON.parse`
 * takes a key that is written with an escape for one that it has read before and that begins as the escape is written.
 */
export const JsonKey = Schema.String.check(
  Schema.makeFilter<string>(() => undefined, {
    arbitraryConstraint: { patterns: [{ source: `^${storableText(" -\\[\\]-~")}$`, flags: "u" }] }
  })
)

/** JSON of any kind, for which tests make what `jsonFault` lets pass. */
export const OpenJson: Schema.Codec<Schema.Json> = Schema.Json.annotate({
  toCodecArbitrary: () =>
    Schema.link<Schema.Json>()(StorableJson, {
      decode: SchemaGetter.passthrough(),
      encode: SchemaGetter.passthrough()
    })
})

const StorableJson: Schema.Codec<Schema.Json> = Schema.Union([
  Schema.Null,
  Schema.Finite,
  Schema.Boolean,
  Text,
  Schema.Array(Schema.suspend(() => StorableJson)),
  Schema.Record(
    JsonKey,
    Schema.suspend(() => StorableJson)
  )
])

/** A JSON object with open contents, at most 32 levels deep. */
export type JsonObject = { readonly [key: string]: Schema.Json }

/** Schema of `JsonObject`. */
export const JsonObject: Schema.Codec<JsonObject> = Schema.Record(JsonKey, OpenJson).check(
  Schema.makeFilter<JsonObject>((value) => {
    const fault = jsonFault(value, 0)
    return fault === undefined ? undefined : `an object with ${fault}`
  })
)

/** Any JSON value, at most 32 levels deep, that a database can hold. */
export const JsonValue: Schema.Codec<Schema.Json> = OpenJson.check(
  Schema.makeFilter<Schema.Json>((value) => {
    const fault = jsonFault(value, 0)
    return fault === undefined ? undefined : `JSON with ${fault}`
  })
)

/** Epoch milliseconds as the wire spells an instant. */
export const timestamp = (epochMillis: number): string => new Date(epochMillis).toISOString()

const zoned = /(?:[zZ]|[+-]\d{2}:?\d{2})$/

/** What a database can hold as well: years 1 to 9999. */
const storedTime = /^(?!0000)\d{4}-/

/**
 * An instant as older clients write it: maybe a JSON string inside the string, maybe without a zone (then it
 * is UTC). Undefined when it is none.
 */
export const lenientTimestamp = (raw: string): string | undefined => {
  const text = raw.startsWith('"') && raw.endsWith('"') && raw.length > 1 ? raw.slice(1, -1) : raw
  if (!/^\d{4}-\d{2}-\d{2}/.test(text)) return undefined
  const dated = text.length <= 10 ? `${text}T00:00:00` : text.replace(" ", "T")
  const millis = Date.parse(zoned.test(dated) ? dated : `${dated}Z`)
  if (Number.isNaN(millis)) return undefined
  const time = timestamp(millis)
  return storedTime.test(time) ? time : undefined
}

const iso =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[zZ]|[+-](?:0\d|1[0-5]):?[0-5]\d)?)?$/

const isInstant = (text: string): boolean => {
  const [, year, month, day] = iso.exec(text) ?? []
  if (year === undefined || lenientTimestamp(text) === undefined) return false
  // A parser takes the 30th of February for the 2nd of March; a database refuses it.
  return new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day)
}

/** An instant: ISO-8601 in UTC, as the wire spells it. */
export const Timestamp = Schema.String.check(
  Schema.makeFilter<string>((text) => (isInstant(text) ? undefined : "an ISO-8601 time"), {
    // Tests make such times.
    arbitraryConstraint: {
      patterns: [
        {
          source:
            "^20\\d\\d-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d\\.\\d{3}Z$",
          flags: ""
        }
      ]
    }
  })
)

const Digits = Schema.String.check(
  Schema.makeFilter<string>((text) => (/^\d+$/.test(text) ? undefined : "a whole number in decimal digits"), {
    // Tests make such numbers.
    arbitraryConstraint: { patterns: [{ source: "^(0|[1-9]\\d{0,9})$", flags: "" }] }
  })
)

/** A whole number written in a query or a path, in decimal digits and within bounds. */
export const queryInt = (minimum: number, maximum: number) =>
  Digits.pipe(
    Schema.decodeTo(
      Schema.Finite.check(Schema.isInt(), Schema.isBetween({ minimum, maximum })),
      SchemaTransformation.numberFromString
    )
  )

/** A boolean written in a query: true, false, 1, 0 in any case. */
export const QueryBoolean = Schema.String.pipe(
  Schema.decodeTo(Schema.Boolean, {
    decode: SchemaGetter.transformEffect((text: string) => {
      const lower = text.toLowerCase()
      if (lower === "true" || lower === "1") return Effect.succeed(true)
      if (lower === "false" || lower === "0") return Effect.succeed(false)
      return Effect.fail(new SchemaIssue.InvalidValue({ message: "expected true or false" }))
    }),
    encode: SchemaGetter.transform((value: boolean) => String(value))
  })
)

/** A list in a query: comma-separated or repeated. */
export const QueryList = Schema.Union([Text, Schema.Array(Text)]).pipe(
  Schema.decodeTo(Schema.Array(Schema.String), {
    decode: SchemaGetter.transform((value: string | ReadonlyArray<string>) =>
      (typeof value === "string" ? [value] : value)
        .flatMap((part) => part.split(","))
        .map((part) => part.trim())
        .filter((part) => part !== "")
    ),
    encode: SchemaGetter.transform((values: ReadonlyArray<string>): string | ReadonlyArray<string> =>
      values.join(",")
    )
  })
)

/** An enumeration in a query: `ai_model`, or `ResourceType.AI_MODEL` as some clients write it. */
export const queryEnum = <const Values extends ReadonlyArray<string>>(values: Values) =>
  Schema.String.pipe(
    Schema.decodeTo(Schema.Literals(values), {
      decode: SchemaGetter.transform(
        (text: string) => text.slice(text.lastIndexOf(".") + 1).toLowerCase() as Values[number]
      ),
      encode: SchemaGetter.transform((value: Values[number]): string => value)
    })
  )
