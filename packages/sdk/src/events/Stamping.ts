/** What the buffer adds to events: ids, numbers without a gap, times, and who tells them. */
import * as CallEnd from "./CallEnd.ts"
import * as Event from "./Event.ts"
import * as EventId from "./EventId.ts"

export interface StampingOptions {
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly organizationId: string | undefined
  /** The installation. */
  readonly producer: string
  /** This start of it. */
  readonly epoch: string
  readonly maxEventBytes: number
}

/** Stamps events and encodes them. */
export class Stamping {
  private options: StampingOptions
  private id: (at?: number) => string
  private sequence = 0
  /** What each record of a call begins with. */
  private callPrefix: string
  private isoMillis = Number.NaN
  private iso = ""

  constructor(options: StampingOptions) {
    this.options = options
    this.id = EventId.make(options.now)
    this.callPrefix = CallEnd.prefixOf(this.who)
  }

  /** This start, as records name it. */
  private get who() {
    const { epoch, organizationId, producer } = this.options
    return { organizationId, producer, producerEpoch: epoch }
  }

  /** The end of a call, of which so many events are told, as a record and its body. */
  call(end: CallEnd.CallEnd): { readonly item: CallEnd.CallRecord; readonly body: string } {
    const at = this.options.now()
    const { epoch, organizationId, producer } = this.options
    const item = {
      id: this.id(at),
      at,
      sequence: this.sequence + 1,
      organizationId,
      producer,
      producerEpoch: epoch,
      end
    }
    return { item, body: CallEnd.toRecord(this.callPrefix, item, end) }
  }

  /** So many numbers are used. */
  used(count: number): void {
    this.sequence += count
  }

  /** An event for the streams; `at`: epoch milliseconds, else now. */
  stream(kind: Event.StreamKind, event: object, at: number | undefined): Event.StreamEvent {
    const given: unknown = "eventId" in event ? event.eventId : undefined
    const organization: unknown = "organizationId" in event ? event.organizationId : undefined
    this.sequence += 1
    const eventId = typeof given === "string" ? given : this.id()
    const { maxEventBytes } = this.options
    const fields = Event.encode(event, {
      eventId,
      organizationId: typeof organization === "string" ? organization : this.options.organizationId,
      producer: this.options.producer,
      producerEpoch: this.options.epoch,
      sequence: this.sequence,
      timestamp: this.timestamp(at)
    })
    let size = 0
    for (const name in fields) size += (fields[name] ?? "").length
    return { kind, eventId, fields: size > maxEventBytes / 2 ? Event.shorten(fields) : fields }
  }

  /** A report: it has no number. */
  report(publication: Event.Publication): Event.Report {
    const { event } = publication
    const organization = "organizationId" in event ? event.organizationId : undefined
    return Event.encodeReport(publication, {
      eventId: event.eventId ?? this.id(),
      organizationId: organization ?? this.options.organizationId,
      producer: this.options.producer,
      producerEpoch: this.options.epoch,
      sequence: 0,
      timestamp: this.timestamp(event.timestamp)
    })
  }

  /** ISO-8601 of epoch milliseconds, else of now. */
  timestamp(at: number | undefined): string {
    const millis = at === undefined || !Number.isFinite(at) ? this.options.now() : at
    if (millis !== this.isoMillis) {
      this.iso = new Date(millis).toISOString()
      this.isoMillis = millis
    }
    return this.iso
  }
}
