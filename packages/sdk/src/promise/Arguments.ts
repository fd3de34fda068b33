/** The arguments of a governed function: as policies see them, and as DLP hands them on. */
import type { Wire } from "@agion/domain"

export const isPlain = (value: unknown): value is Wire.JsonObject =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** A value as JSON; what JSON does not know is left out. */
const json = (value: unknown): unknown => {
  try {
    const text = JSON.stringify(value)
    return text === undefined ? null : JSON.parse(text)
  } catch {
    return null
  }
}

/** An object as it is, another value under `name`. */
export const jsonObject = (value: unknown, name: string): Wire.JsonObject => {
  const seen = isPlain(value) ? json(value) : { [name]: json(value) }
  return isPlain(seen) ? seen : {}
}

/** The arguments as policies see them. */
export const argumentsOf = (args: ReadonlyArray<unknown>): Wire.JsonObject => {
  const visible = args.filter((arg) => !(arg instanceof AbortSignal))
  const [only] = visible
  return jsonObject(visible.length === 1 && isPlain(only) ? only : { args: visible }, "args")
}

/** The arguments to call with: those that DLP redacted, where it did. */
export const redactedArgs = <Args extends ReadonlyArray<unknown>>(
  args: Args,
  seen: Wire.JsonObject,
  now: Wire.JsonObject
): Args => {
  if (now === seen) return args
  const visible = args.filter((arg) => !(arg instanceof AbortSignal))
  const replaced = visible.length === 1 && isPlain(visible[0]) ? [now] : now["args"]
  if (!Array.isArray(replaced)) return args
  let at = 0
  return args.map((arg) => (arg instanceof AbortSignal ? arg : replaced[at++])) as unknown[] as Args &
    unknown[]
}
