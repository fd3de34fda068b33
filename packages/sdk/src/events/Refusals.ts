/** Events that were refused for their signature: kept, and handed over again when their agent has another key. */
import type { Draft, WriteAheadLog } from "../WriteAhead.ts"
import type { WriteAheadStore } from "../WriteAheadStore.ts"
import * as Event from "./Event.ts"
import type { Losses } from "./Losses.ts"
import { type KeyOf, signerOf } from "./Signing.ts"

const reason = "refused for its signature, and there was no room to keep it"
const telemetryLane = 2

/** What is sent again: a log, or events that were in memory. */
export interface Again {
  readonly log: (log: WriteAheadLog) => void
  readonly event: (event: Event.StreamEvent, isTelemetry: boolean, bytes: number) => void
}

export class Refusals {
  /** Events that were kept, and are no longer. */
  lost = 0
  private store: WriteAheadStore
  private losses: Losses
  private classes: { readonly [K in Event.StreamKind]: Event.EventClass }

  constructor(store: WriteAheadStore, losses: Losses, classes: Refusals["classes"]) {
    this.store = store
    this.losses = losses
    this.classes = classes
  }

  /** Keeps events that were signed with these keys, or could not be; `isLate`: their keys are awaited. */
  keep(events: ReadonlyArray<Event.StreamEvent>, keyOf: KeyOf, isLate = false): void {
    const drafts = new Map<string, Array<Draft>>()
    for (const event of events) {
      const agentId = signerOf(event) ?? ""
      const lane = this.classes[event.kind] === "buffered" ? telemetryLane : 0
      const draft = { lane, body: Event.toRecord(event) }
      const own = drafts.get(agentId)
      if (own === undefined) drafts.set(agentId, [draft])
      else own.push(draft)
    }
    for (const [agentId, own] of drafts) {
      const key = keyOf(agentId)
      const signed = key !== undefined || this.store.missing.has(agentId)
      this.lose(this.store.refused.keep(agentId, own, { key, signed, isLate }))
    }
  }

  /** Tries the file again for what is in memory. */
  settle(): void {
    this.lose(this.store.refused.settle())
  }

  /** Hands over what is kept of these agents. */
  retry(agents: ReadonlyArray<string>, again: Again): void {
    for (const agentId of agents) {
      const { log, memory } = this.store.release(agentId)
      if (log !== undefined) again.log(log)
      for (const draft of memory) holdAgain(draft, again)
    }
  }

  private lose(count: number): void {
    if (count === 0) return
    this.lost += count
    this.losses.add("event", reason, count)
    this.store.changed = true
  }
}

const holdAgain = ({ body, lane }: Draft, again: Again): void => {
  const event = Event.fromRecord(body)
  if (event !== undefined) again.event(event, lane === telemetryLane, body.length)
}
