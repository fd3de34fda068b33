/** What comes with a check, and what the names in it that the platform reads must be. */
import { Schema } from "effect"
import * as Wire from "./Wire.ts"

/** A value that policies, limits or DLP read, of a type that they could not. */
export interface ContextFault {
  /** Its name in the context, as the wire spells it. */
  readonly name: string
  /** What it must be. */
  readonly expected: string
}

const text = (value: unknown): boolean => typeof value === "string"

const record = (value: unknown): boolean =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const within =
  (maximum: number) =>
  (value: unknown): boolean =>
    typeof value === "number" && value >= 0 && value <= maximum

const amounts = {
  tokens: "a number between 0 and 9007199254740991",
  usd: "a number of US dollars between 0 and 9000000000"
}

const known: ReadonlyArray<readonly [name: string, expected: string, fits: (value: unknown) => boolean]> = [
  ["content", "text", text],
  ["request_tokens", amounts.tokens, within(Number.MAX_SAFE_INTEGER)],
  ["estimated_cost", amounts.usd, within(9_000_000_000)],
  ["origin", "text", text],
  ["action", "text", text],
  ["tool", "text", text],
  ["model", "text", text],
  ["arguments", "an object", record],
  ["metadata", "an object", record]
]

/**
 * The first of the known names (content, request_tokens, estimated_cost, origin, action, tool, model, arguments,
 * metadata) whose value is of another type or out of bounds; undefined when there is none. Null counts as absent.
 * A call with such a value is refused: what cannot be read can be neither scanned nor limited.
 */
export const contextFault = (context: { readonly [name: string]: unknown }): ContextFault | undefined => {
  for (const [name, expected, fits] of known) {
    const value = context[name]
    if (value !== undefined && value !== null && !fits(value)) return { name, expected }
  }
  return undefined
}

/** The context of a check: open, but for the known names, which must be what `contextFault` asks. */
export const CheckContext: Schema.Codec<Wire.JsonObject> = Wire.JsonObject.check(
  Schema.makeFilter<Wire.JsonObject>((context) => {
    const fault = contextFault(context)
    return fault === undefined
      ? undefined
      : { path: [fault.name], issue: `\`${fault.name}\` must be ${fault.expected}` }
  })
)
