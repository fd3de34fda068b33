/**
 * What has been found so far, in offsets of the original text.
 */
import { endOf, startOf, type View } from "./View.ts"

/** One passage that a detector recognized. */
export interface Match {
  readonly detector: string
  readonly start: number
  readonly end: number
  /** The value as the detector read it: without disguise. Never leaves this package but through a keyed hash. */
  readonly value: string
}

/** Collects matches; the views say where in the original they are. */
export class Report {
  /** With the last report a full collection drops their shape, and all that was compiled for it: one stays. */
  protected static readonly kept = new Report()

  readonly matches: Array<Match> = []
  /** Before this place of the current view no key is looked for, and none with something between its characters. */
  keysFrom = 0
  brokenFrom = 0
  /** Before this place no name is looked at: the value of the last one reaches so far. */
  namesFrom = 0
  /** Before this place no command and no named private key is looked at. */
  commandsFrom = 0

  /** Begins with another view. */
  next(): void {
    this.keysFrom = 0
    this.brokenFrom = 0
    this.namesFrom = 0
    this.commandsFrom = 0
  }

  get size(): number {
    return this.matches.length
  }

  add(view: View, detector: string, from: number, to: number, value: string): void {
    this.matches.push({ detector, start: startOf(view, from), end: endOf(view, to), value })
  }
}
