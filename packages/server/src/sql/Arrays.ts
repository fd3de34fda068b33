/**
 * Arrays as parameters of one statement for many rows. The client infers an array's type from its elements,
 * which fails for one that holds only nulls: then it goes as text and the statement's cast says what it is.
 */

type Element = string | number | boolean | null

/** Strings, whole numbers or booleans, with nulls; the statement casts it: `${array(values)}::text[]`. */
export const array = (values: ReadonlyArray<Element>): ReadonlyArray<Element> | string =>
  values.length > 0 && values.every((value) => value === null)
    ? `{${values.map(() => "NULL").join(",")}}`
    : values

/** Numbers that may be fractions, with nulls: as text, for `::float8[]`. */
export const numbers = (values: ReadonlyArray<number | null>): ReadonlyArray<string | null> | string => {
  const texts = values.map((value) => (value === null ? null : String(value)))
  return texts.every((text) => text === null) ? `{${texts.map(() => "NULL").join(",")}}` : texts
}
