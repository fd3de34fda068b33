/** Carries what a promise of the program's rejected with through an effect, as which it is handed on. */
import { saidBy } from "./ErrorText.ts"

/** A rejection: what it says of itself, and as `cause` what was thrown. */
export class Rejected extends Error {
  readonly _tag = "Rejected"
  constructor(cause: unknown) {
    const { message, name = "Rejected" } = saidBy(cause)
    super(message, { cause })
    this.name = name
  }
}
