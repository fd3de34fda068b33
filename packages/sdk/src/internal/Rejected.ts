/** What a promise of the program's rejected with, on its way through an effect. */
export class Rejected extends Error {
  readonly _tag = "Rejected"
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.name = cause instanceof Error ? cause.name : "Rejected"
  }
}
