/** `decode ∘ encode = id`, by way of what really travels: JSON text or a record of strings. */
import { Arbitrary, Schema } from "effect"

/** The same value without what JSON cannot tell: keys that are undefined, and the sign of zero. */
export const plain = <A>(value: A): A => {
  if (Object.is(value, -0)) return 0 as A
  if (Array.isArray(value)) return value.map(plain) as A
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .map(([key, field]) => [key, plain(field)])
  ) as A
}

/** Values of a schema as JSON can carry them. */
export const values = <S extends Schema.Constraint>(schema: S): Arbitrary.Arbitrary<S["Type"]> =>
  Arbitrary.map(Arbitrary.schema(schema), plain)

/** What comes back when a value is sent as JSON text. */
export const overJson = <T, E>(schema: Schema.Codec<T, E>, value: T): T =>
  Schema.decodeUnknownSync(schema)(JSON.parse(JSON.stringify(Schema.encodeSync(schema)(value))))
