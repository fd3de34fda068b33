/** The platform as the event buffer sees it: takes events once by id, and can be away, deaf or lose its answers. */
import { createHmac } from "node:crypto"
import { Streams } from "@agion/domain"
import { Effect, Layer } from "effect"
import type { Report, StreamEvent } from "../src/events/Event.ts"
import {
  accepted,
  type Delivery,
  DeliveryFailed,
  duplicate,
  EventTransport
} from "../src/events/EventTransport.ts"
import { speakerOf } from "../src/events/Naming.ts"
import { ReportTransport } from "../src/events/ReportTransport.ts"

export class FakePlatform {
  /** What counted, in order. */
  readonly events: Array<StreamEvent> = []
  readonly reports: Array<Report> = []
  readonly batches: Array<number> = []
  /** `deaf`: nothing arrives and nothing is answered; `mute`: it arrives, and the answer is lost. */
  mode: "up" | "down" | "deaf" | "mute" = "up"
  /** Nothing but its signature says whose word an event is. */
  signed = true
  /** Kinds of events that are refused for good. */
  readonly refuses = new Set<string>()
  signatures: Array<string> = []
  /** The agents' keys, when it demands signed events. */
  keys: Map<string, string> | undefined
  attempts = 0
  /** What it says while it is `down`: not before that many milliseconds. */
  retryAfterMs: number | undefined
  /** The process at the other end is dead: what it still seems to say is not heard. */
  dead = false
  private known = new Set<string>()

  private take(id: string, kind: string, keep: () => void): Delivery {
    if (this.refuses.has(kind)) return { _tag: "Refused", reason: "not wanted" }
    if (this.known.has(id)) return duplicate
    this.known.add(id)
    keep()
    return accepted
  }

  private answer<A>(work: () => A): Effect.Effect<A, DeliveryFailed> {
    return Effect.suspend(() => {
      this.attempts += 1
      const { mode, retryAfterMs } = this
      const asked = retryAfterMs === undefined ? {} : { retryAfterMs }
      const away = new DeliveryFailed({ to: "fake", reason: `it is ${mode}`, ...asked })
      if (this.mode === "down" || this.dead) return Effect.fail(away)
      if (this.mode === "deaf") return Effect.never
      const result = work()
      return this.mode === "mute" ? Effect.fail(away) : Effect.succeed(result)
    })
  }

  readonly layer = Layer.merge(
    Layer.sync(EventTransport, () => ({
      to: "fake",
      signed: this.signed,
      send: (events, sign) =>
        this.answer(() => {
          this.batches.push(events.length)
          return events.map((event) => {
            const signature = sign?.(event.kind, event.fields)
            if (signature !== undefined) this.signatures.push(signature)
            if (this.keys !== undefined && signature !== this.signatureOf(event))
              return { _tag: "Unsigned", reason: "signed events are demanded" } satisfies Delivery
            return this.take(event.eventId, event.kind, () => this.events.push(event))
          })
        })
    })),
    Layer.succeed(ReportTransport, {
      to: "fake",
      send: (reports) =>
        this.answer(() =>
          reports.map((report) =>
            this.take(report.eventId + report.path, report.kind, () => this.reports.push(report))
          )
        ).pipe(
          Effect.map((deliveries) => ({ deliveries, failed: undefined })),
          Effect.catch((failed) => Effect.succeed({ deliveries: [], failed }))
        )
    })
  )

  private signatureOf({ fields, kind }: StreamEvent): string {
    const key = this.keys?.get(speakerOf(fields)) ?? "nobody's"
    return createHmac("sha256", key).update(Streams.signatureInput(kind, fields)).digest("base64url")
  }

  /** The field of all events that counted. */
  field(name: string): ReadonlyArray<string | undefined> {
    return this.events.map((event) => event.fields[name])
  }
}
