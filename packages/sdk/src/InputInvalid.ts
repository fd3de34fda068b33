/** What a program is told whose call cannot be what it meant. */
import { Schema } from "effect"

/** A call was given something that it cannot work with; nothing ran, and nothing was told of it. */
export class InputInvalid extends Schema.TaggedError<InputInvalid>()("InputInvalid", {
  /** Its name, such as `timeout` or `estimate.tokens`. */
  input: Schema.String,
  /** What is wrong with it and what to do. */
  problem: Schema.String
}) {
  readonly code = "input_invalid"
  override get message() {
    return `\`${this.input}\` ${this.problem}`
  }
}
