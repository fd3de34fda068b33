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

const tokens = within(Number.MAX_SAFE_INTEGER)
const usd = within(9_000_000_000)

/** Null where it fits, or is not there. */
const unless = (
  fits: (value: unknown) => boolean,
  name: string,
  value: unknown,
  expected: string
): ContextFault | undefined =>
  value === undefined || value === null || fits(value) ? undefined : { name, expected }

/**
 * The first of the known names (content, request_tokens, estimated_cost, origin, action, tool, model, arguments,
 * metadata) whose value is of another type or out of bounds; undefined when there is none. Null counts as absent.
 * A call with such a value is refused: what cannot be read can be neither scanned nor limited.
 */
export const contextFault = (context: { readonly [name: string]: unknown }): ContextFault | undefined =>
  // By their names and not by a list of them, which takes ten times as long: every call asks.
  unless(text, "content", context["content"], "text") ??
  unless(tokens, "request_tokens", context["request_tokens"], amounts.tokens) ??
  unless(usd, "estimated_cost", context["estimated_cost"], amounts.usd) ??
  unless(text, "origin", context["origin"], "text") ??
  unless(text, "action", context["action"], "text") ??
  unless(text, "tool", context["tool"], "text") ??
  unless(text, "model", context["model"], "text") ??
  unless(record, "arguments", context["arguments"], "an object") ??
  unless(record, "metadata", context["metadata"], "an object")

/** The context of a check: open, but for the known names, which must be what `contextFault` asks. */
export const CheckContext: Schema.Codec<Wire.JsonObject> = Wire.JsonObject.check(
  Schema.makeFilter<Wire.JsonObject>((context) => {
    const fault = contextFault(context)
    return fault === undefined
      ? undefined
      : { path: [fault.name], issue: `\`${fault.name}\` must be ${fault.expected}` }
  })
)
