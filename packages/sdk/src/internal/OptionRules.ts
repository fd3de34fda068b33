/**
 * What options must be, as tables of rules: a program without types, or an environment, is told which one is wrong,
 * what was seen and what to write instead.
 *
 * ```ts
 * const rules = object<Options>({ name: text, retries: whole(0) }, ["name"])
 * rules({ name: "a", retrys: 2 }, "")  // { setting: "retrys", problem: "is no option; did you mean `retries`?" }
 * ```
 *
 * A rule that finds nothing allocates nothing: calls are looked at by them, too.
 */
import { Duration, Option, Redacted } from "effect"

/** An option that cannot be. */
export interface Fault {
  /** Its name, with those of what it stands in before it: `cache.capacity`. */
  readonly setting: string
  /** What is wrong and what to do. */
  readonly problem: string
}

/** What is wrong with a value at a place; undefined: nothing. */
export type Rule = (value: unknown, at: string) => Fault | undefined

/** A rule for each option. */
export type Rules<O> = { readonly [K in keyof O]-?: Rule }

/** What was seen, for a message. */
const seen = (value: unknown): string => {
  if (typeof value === "string") return `\`${shown(value)}\``
  if (typeof value === "bigint") return `the bigint \`${value}\``
  if (typeof value === "number" || typeof value === "boolean" || value === null) return `\`${value}\``
  if (Array.isArray(value)) return "an array"
  return typeof value === "object" ? `${nameOf(value)}` : `a ${typeof value}`
}

/** The beginning of a text; what does not print is escaped. */
const shown = (value: string): string => {
  const escaped = JSON.stringify(value.slice(0, 60)).slice(1, -1)
  return value.length > 60 ? `${escaped}…` : escaped
}

const nameOf = (value: object): string => {
  const name = Object.prototype.toString.call(value).slice(8, -1)
  return name === "Object" ? "an object" : `a ${name}`
}

/** A value that is not what it must be. */
export const wrong = (setting: string, expected: string, value: unknown): Fault => ({
  setting,
  problem: `must be ${expected}, not ${value === undefined ? "left out" : seen(value)}`
})

/** A rule for values that `fits` takes. */
export const must =
  (expected: string, fits: (value: unknown) => boolean): Rule =>
  (value, at) =>
    fits(value) ? undefined : wrong(at, expected, value)

/** The same for what no message may quote. */
export const mustSecret =
  (expected: string, fits: (value: unknown) => boolean): Rule =>
  (value, at) =>
    fits(value) ? undefined : { setting: at, problem: `must be ${expected}` }

/** Anything. */
export const anything: Rule = () => undefined
/** Any text. */
export const text = must("text", (value) => typeof value === "string")
/** True or false. */
export const flag = must("true or false", (value) => typeof value === "boolean")
/** A function. */
export const callable = must("a function", (value) => typeof value === "function")

/** Text that the platform takes as a name. */
export const name = must(
  "text of 1 to 1,000 characters",
  (value) => typeof value === "string" && value.length > 0 && value.length <= 1000 && isStorable(value)
)

const isStorable = (value: string): boolean => !value.includes("\0") && value.isWellFormed()

/** A whole number from `minimum` on. */
export const whole = (minimum: number): Rule =>
  must(
    `a whole number from ${minimum} on`,
    (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= minimum
  )

/** A number from `minimum` to `maximum`. */
export const between = (minimum: number, maximum: number): Rule =>
  must(
    maximum === Number.MAX_SAFE_INTEGER
      ? `a number from ${minimum} on`
      : `a number from ${minimum} to ${maximum}`,
    (value) => typeof value === "number" && value >= minimum && value <= maximum
  )

/** One of some words. */
export const oneOf = (words: ReadonlyArray<string>): Rule =>
  must(`one of ${words.map((word) => `\`${word}\``).join(", ")}`, (value) => words.some((w) => w === value))

/** What a value is as a duration, milliseconds; NaN: none. */
const millisOf = (value: unknown): number => {
  if (typeof value === "number") return value
  const isInput =
    typeof value === "string" ||
    typeof value === "bigint" ||
    Duration.isDuration(value) ||
    (Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === "number")) ||
    isDurationObject(value)
  if (!isInput) return Number.NaN
  const duration = Duration.fromInput(value as Duration.Input)
  return Option.isNone(duration) ? Number.NaN : Duration.toMillis(duration.value)
}

const units = ["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"]

const isDurationObject = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  Object.keys(value).length > 0 &&
  Object.entries(value).every(([unit, count]) => units.includes(unit) && typeof count === "number")

const written = "such as `5 seconds`, or a number of milliseconds"

/** A duration from 0 on. */
export const duration = must(`a duration from 0 on, ${written}`, (value) => millisOf(value) >= 0)

/** A duration above 0: what waits for nothing would never rest. */
export const span = must(`a duration above 0, ${written}`, (value) => millisOf(value) > 0)

/** True for an object that is no list. */
export const isRecord = (value: unknown): value is { readonly [name: PropertyKey]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The text of a value that may be redacted; undefined when it holds none. */
export const secretOf = (value: unknown): string | undefined => {
  const held: unknown = Redacted.isRedacted(value) ? Redacted.value(value) : value
  return typeof held === "string" ? held : undefined
}

/** How many letters must be put in, taken out, swapped or changed to make one of the other. */
const distance = (a: string, b: string): number => {
  let before: ReadonlyArray<number> = []
  let row: ReadonlyArray<number> = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const cheapest = Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1)
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      next.push(isSwap ? Math.min(cheapest, (before[j - 2] ?? 0) + 1) : cheapest)
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}

/** The known name that another one is likely to mean, with `most` changes; undefined: none is near. */
export const nearest = (given: string, known: ReadonlyArray<string>, most = 3): string | undefined => {
  let best: string | undefined
  let least = Math.min(most, Math.ceil(given.length / 3)) + 1
  for (const candidate of known) {
    const apart = distance(given.toLowerCase(), candidate.toLowerCase())
    if (apart < least) {
      least = apart
      best = candidate
    }
  }
  return best
}

/** A name that there is none of. */
export const misspelt = (setting: string, given: string, known: ReadonlyArray<string>): Fault => {
  const near = nearest(given, known)
  const help =
    near === undefined
      ? `; there are ${known.map((one) => `\`${one}\``).join(", ")}`
      : `; did you mean \`${near}\`?`
  return { setting, problem: `is no option${help}` }
}

const below = (at: string, key: string): string => (at === "" ? key : `${at}.${key}`)

/**
 * An object of known names, each with its rule; those that are not `required` may be left out. `called` names it where
 * it stands in nothing.
 */
export const object = <O extends object>(
  rules: Rules<O>,
  required: ReadonlyArray<keyof O> = [],
  called = "options"
): Rule => {
  const byName = new Map<string, Rule>(Object.entries<Rule>(rules))
  const names = [...byName.keys()]
  const shape = `an object with ${listed(required.length === 0 ? names : required.map(String))}`
  return (value, at) => {
    if (!isRecord(value)) return wrong(at === "" ? called : at, shape, value)
    for (const key in value) {
      const rule = byName.get(key)
      if (rule === undefined) return misspelt(below(at, key), key, names)
      const held = value[key]
      const fault = held === undefined ? undefined : rule(held, at === "" ? key : below(at, key))
      if (fault !== undefined) return fault
    }
    for (const key of required)
      if (value[String(key)] === undefined)
        return byName.get(String(key))?.(undefined, below(at, String(key)))
    return undefined
  }
}

const listed = (names: ReadonlyArray<string>): string => {
  const first = names.slice(0, 4).map((one) => `\`${one}\``)
  return names.length > first.length ? `${first.join(", ")} and others` : first.join(", ")
}

/** An object of names of the program's own. */
export const record =
  (rule: Rule): Rule =>
  (value, at) => {
    if (!isRecord(value)) return wrong(at, "an object", value)
    for (const key in value) {
      const fault = rule(value[key], below(at, key))
      if (fault !== undefined) return fault
    }
    return undefined
  }

/** What of a value JSON does not hold, and where in it. */
interface NoJson {
  readonly path: string
  readonly value: unknown
}

/** Deeper than any value that does not contain itself. */
const deepest = 1000

const noJson = (value: unknown, depth: number): NoJson | undefined => {
  if (value === null || typeof value === "string" || typeof value === "boolean") return undefined
  if (typeof value === "number") return Number.isFinite(value) ? undefined : { path: "", value }
  if (typeof value !== "object" || depth > deepest) return { path: "", value }
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const found = noJson(value[i], depth + 1)
      if (found !== undefined) return { ...found, path: `[${i}]${found.path}` }
    }
    return undefined
  }
  for (const key of Object.keys(value)) {
    const found = noJson(Reflect.get(value, key), depth + 1)
    if (found !== undefined) return { ...found, path: `.${key}${found.path}` }
  }
  return undefined
}

/** An object of what JSON holds. */
export const jsonObject: Rule = (value, at) => {
  if (!isRecord(value)) return wrong(at, "an object", value)
  const found = noJson(value, 0)
  if (found === undefined) return undefined
  if (typeof found.value === "object")
    return { setting: at, problem: "contains itself; give it as plain values" }
  return wrong(at + found.path, "what JSON holds", found.value)
}

/** A list whose items all fit. */
export const listOf =
  (rule: Rule): Rule =>
  (value, at) => {
    if (!Array.isArray(value)) return wrong(at, "a list", value)
    for (let i = 0; i < value.length; i++) {
      const fault = rule(value[i], `${at}[${i}]`)
      if (fault !== undefined) return fault
    }
    return undefined
  }
