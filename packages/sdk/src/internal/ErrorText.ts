/** What an error says of itself, whatever a program threw or failed with. */

/** The name and the message of an error. */
export interface Said {
  readonly name: string | undefined
  /** At most 8,192 characters; empty: it has a name alone. */
  readonly message: string
}

const longest = 8192

/** An object's code and message, or those of its `error`; else the names of its fields, and not what they hold. */
export const saidBy = (error: unknown): Said => {
  if (typeof error !== "object" || error === null)
    return { name: undefined, message: String(error).slice(0, longest) }
  const name = wordIn(error, "name") ?? wordIn(error, "_tag")
  if (error instanceof Error) return { name, message: (wordIn(error, "message") ?? "").slice(0, longest) }
  const inner = field(error, "error")
  const words = wordsOf(error) ?? (typeof inner === "object" && inner !== null ? wordsOf(inner) : undefined)
  return { name, message: (words ?? (name === undefined ? fieldsOf(error) : "")).slice(0, longest) }
}

const wordsOf = (error: object): string | undefined => {
  const said = [wordIn(error, "code"), wordIn(error, "message")].filter((word) => word !== undefined)
  return said.length === 0 ? undefined : said.join(": ")
}

const fieldsOf = (error: object): string => {
  const names = Object.keys(error).slice(0, 10)
  return names.length === 0 ? "an object" : `an object with ${names.map((name) => `\`${name}\``).join(", ")}`
}

/** A field that is a word, or a number as one. */
const wordIn = (value: object, key: string): string | undefined => {
  const held = field(value, key)
  if (typeof held === "string" && held !== "") return held
  return typeof held === "number" ? String(held) : undefined
}

/** A field, which may throw when it is read. */
const field = (value: object, key: string): unknown => {
  try {
    return Reflect.get(value, key)
  } catch {
    return undefined
  }
}
