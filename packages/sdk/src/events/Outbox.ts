/**
 * The synchronous half of the event buffer: takes events in, keeps the durable ones in the file, holds what waits
 * in three lanes, hands out batches and takes their answers. It knows no fiber, no clock of its own and no network.
 *
 * Bounds are bytes, and each class has its own: when telemetry has no room left, the oldest telemetry goes, never
 * a decision (EVENT-3). What is dropped is counted by kind and reason, and the count is told (EVENT-1).
 */
import { bothLanes, type Draft } from "../WriteAhead.ts"
import type { WriteAheadStore } from "../WriteAheadStore.ts"
import * as CallEnd from "./CallEnd.ts"
import * as Event from "./Event.ts"
import type { Delivery } from "./EventTransport.ts"
import { type Held, Lane } from "./Lane.ts"
import { Losses } from "./Losses.ts"
import * as Records from "./Records.ts"
import { Refusals } from "./Refusals.ts"
import { type KeyOf, late as lateDelivery, signerOf } from "./Signing.ts"
import { snapshot } from "./Snapshot.ts"
import { Stamping } from "./Stamping.ts"

/**
 * What became of an event that was published. `durable`: it is in the file; `memory`: durable, but the file is
 * away, and it is kept in memory until it is sent; `buffered`: of the buffered class; `dropped`: there was no room.
 */
export type Published = "durable" | "memory" | "buffered" | "dropped"

export interface OutboxOptions {
  readonly store: WriteAheadStore
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Milliseconds of a clock that only moves forward. */
  readonly elapsed: () => number
  readonly organizationId: string | undefined
  readonly classes: { readonly [K in Event.StreamKind]: Event.EventClass }
  /** For each class. */
  readonly memoryBytes: number
  readonly maxEventBytes: number
  /** Called when this many wait, and not again until `woken`. */
  readonly flushAt: number
  readonly wake: () => void
  /** This start, a UUIDv7. */
  readonly epoch: string
}

/** An event of the buffered class as it was published, before it is encoded. */
interface Raw {
  readonly raw: true
  readonly kind: Event.StreamKind
  readonly event: object
  readonly at: number
}

/** A durable event on its way into the file and a lane. */
type Entry =
  | { readonly lane: 0; readonly kind: string; readonly item: Event.StreamEvent; readonly body: string }
  | { readonly lane: 1; readonly kind: string; readonly item: Event.Report; readonly body: string }

/** A batch for the streams: durable events first. `durable` counts what is held: the end of a call is two events. */
export interface EventBatch {
  readonly events: ReadonlyArray<Event.StreamEvent>
  readonly durable: number
  readonly buffered: number
}

/** The part of the disk that telemetry may use. */
const telemetryShare = 0.5

const tooLarge = "it is too large"

/** By the kind of error alone: its words may be others each time, and quote what nobody has scanned. */
const unencodable = (error: unknown): string =>
  `it cannot be encoded: ${error instanceof Error ? error.constructor.name : typeof error}`

type StreamPublication = Extract<Event.Publication, { readonly kind: Event.StreamKind }>

const isBuffered = (
  publication: Event.Publication,
  classes: OutboxOptions["classes"]
): publication is StreamPublication =>
  !Event.isReport(publication.kind) && classes[publication.kind] === "buffered"

export class Outbox {
  readonly events: Lane<Event.StreamEvent | CallEnd.CallRecord>
  readonly reports: Lane<Event.Report | CallEnd.CallRecord>
  readonly telemetry: Lane<Event.StreamEvent | Raw>
  readonly store: WriteAheadStore
  /** Events that were taken in. */
  published = 0
  /** Events that the platform took. */
  sent = 0
  /** Events that the platform had already. */
  duplicates = 0
  /** Events that the platform will never take. */
  refused = 0
  private droppedOnTheWay = 0
  /** Why the last one was refused; empty when none was. */
  refusal = ""
  /** Set when the buffer's scope is closed. */
  private closed = false
  private options: OutboxOptions
  private stamping: Stamping
  private waiting = 0
  private again = new Map<string, ReadonlyArray<number>>()
  private lastAgain: ReadonlyArray<number> | undefined
  private losses: Losses
  readonly refusals: Refusals

  constructor(options: OutboxOptions) {
    const { elapsed } = options
    this.options = options
    this.events = new Lane<Event.StreamEvent | CallEnd.CallRecord>(0, Records.readEvent, elapsed)
    this.reports = new Lane<Event.Report | CallEnd.CallRecord>(1, Records.readReport, elapsed)
    this.telemetry = new Lane<Event.StreamEvent | Raw>(2, Records.readTelemetry, elapsed)
    this.store = options.store
    this.losses = new Losses(options.store)
    this.refusals = new Refusals(options.store, this.losses, options.classes)
    this.stamping = new Stamping({ ...options, producer: options.store.producer })
    for (const log of options.store.left) this.addLog(log)
  }

  /** Events for which there was no room, ever. */
  get dropped(): number {
    return this.droppedOnTheWay + this.refusals.lost
  }

  /** Nothing is taken in any more. */
  get isClosed(): boolean {
    return this.closed
  }

  /** Takes an event in. Never throws. */
  publish<K extends Event.EventKind>(kind: K, event: Event.EventInputs[K]): Published {
    try {
      if (this.closed) return this.drop(kind, "the buffer is closed")
      this.published += 1
      return this.take({ kind, event } as Event.Publication)
    } catch (error) {
      return this.drop(kind, unencodable(error))
    }
  }

  private take(publication: Event.Publication): Published {
    if (isBuffered(publication, this.options.classes)) return this.buffer(publication.kind, publication.event)
    const entry = this.entry(publication)
    if (entry === undefined) return this.drop(publication.kind, tooLarge)
    return this.placeEntry(entry, this.append(entry.lane, entry.body))
  }

  /** Takes in the end of a call: one record, whatever is told of it. Never throws. */
  publishCall(end: CallEnd.CallEnd): Published {
    const { classes } = this.options
    if (this.closed || classes.trust === "buffered" || classes.decision === "buffered")
      return this.publishAll(CallEnd.publicationsOf(end))
    const events = CallEnd.eventKindsOf(end)
    const report = CallEnd.reportKindOf(end)
    if (report === null && events.length === 0) return "durable"
    const { body, item } = this.stamping.call(end)
    this.store.noteAgent(end.agentId)
    // What is too large for one record may not be for three, and is shortened there.
    if (body.length > this.options.maxEventBytes / 16) return this.publishAll(CallEnd.publicationsOf(end))
    this.stamping.used(events.length)
    this.published += events.length + (report === null ? 0 : 1)
    const lane = events.length === 0 ? 1 : report === null ? 0 : bothLanes
    const written = this.append(lane, body)
    // One write for all that is told of the call: whichever memory is full, none of it is left behind.
    const full =
      (report !== null && this.isFull(this.reports, body)) ||
      (events.length > 0 && this.isFull(this.events, body))
    const index = written === 0 && full ? this.insist(lane, body) : written
    const told = report === null ? "durable" : this.place([report], this.reports, item, index, body)
    return events.length === 0 ? told : worse(told, this.place(events, this.events, item, index, body))
  }

  /** Takes events in, the durable ones with one write. Answers the worst that became of one. Never throws. */
  publishAll(publications: ReadonlyArray<Event.Publication>): Published {
    let worst: Published = "buffered"
    const entries: Array<Entry> = []
    for (const publication of publications) {
      try {
        if (this.closed) return this.drop(publication.kind, "the buffer is closed")
        this.published += 1
        if (isBuffered(publication, this.options.classes)) {
          worst = worse(worst, this.buffer(publication.kind, publication.event))
          continue
        }
        const entry = this.entry(publication)
        if (entry === undefined) worst = this.drop(publication.kind, tooLarge)
        else entries.push(entry)
      } catch (error) {
        worst = this.drop(publication.kind, unencodable(error))
      }
    }
    const first = entries.length === 0 ? 0 : this.appendAll(entries)
    for (const [i, entry] of entries.entries())
      worst = worse(worst, this.placeEntry(entry, first === 0 ? 0 : first + i))
    return worst
  }

  /** Writes one record; answers its index, or 0 while the file is away. */
  private append(lane: number, body: string): number {
    const index = this.store.appendOne(lane, body)
    return index === 0 && this.isBack() ? this.store.appendOne(lane, body) : index
  }

  private appendAll(entries: ReadonlyArray<Entry>): number {
    const index = this.store.append(entries)
    return index === 0 && this.isBack() ? this.store.append(entries) : index
  }

  /** Tries the file again when it is time: a program that publishes without a pause leaves nobody else to do it. */
  private isBack(): boolean {
    if (!this.store.isDue) return false
    this.resume()
    return this.store.state.mode === "file"
  }

  /** A durable event, encoded; undefined when it is too large. */
  private entry(publication: Event.Publication): Entry | undefined {
    const { kind } = publication
    let entry: Entry
    if (Event.isReport(kind)) {
      const item = this.stamping.report(publication)
      entry = { lane: 1, kind, item, body: Records.bodyOf(item) }
    } else {
      const item = this.stamping.stream(kind, publication.event, publication.event.timestamp)
      this.note(item)
      entry = { lane: 0, kind, item, body: Event.toRecord(item) }
    }
    return entry.body.length > this.options.maxEventBytes ? undefined : entry
  }

  /** Whose signature an event that goes to the file needs. */
  private note(event: Event.StreamEvent): void {
    const agentId = signerOf(event)
    if (agentId !== undefined) this.store.noteAgent(agentId)
  }

  private placeEntry(entry: Entry, written: number): Published {
    const full = written === 0 && this.isFull(entry.lane === 0 ? this.events : this.reports, entry.body)
    const index = full ? this.insist(entry.lane, entry.body) : written
    return entry.lane === 0
      ? this.place([entry.kind], this.events, entry.item, index, entry.body)
      : this.place([entry.kind], this.reports, entry.item, index, entry.body)
  }

  /** Holds what was written under an index, or could not be: 0. */
  private place<A>(
    kinds: ReadonlyArray<string>,
    lane: Lane<A>,
    item: A,
    index: number,
    body: string
  ): Published {
    const bytes = body.length
    const parts = kinds.length
    const full = this.isFull(lane, body)
    const log = this.store.current
    if (index > 0 && log !== undefined) {
      if (lane.isInLog || full) lane.pushLogged(log, index, parts)
      else lane.push({ item, log, index, bytes, own: true, parts })
      this.arrived(parts)
      return "durable"
    }
    lane.leaveLog()
    if (full) {
      for (const kind of kinds) this.drop(kind, "there is no room in memory, and the file is away")
      return "dropped"
    }
    lane.push({ item, log: undefined, index: 0, bytes, own: true, parts })
    this.arrived(parts)
    return "memory"
  }

  /** Rather waits for a slow disk than drops: what is in memory goes first, so that indexes stay in order. */
  private insist(lane: number, body: string): number {
    this.resume("slow too")
    return this.store.appendOne(lane, body, 1, true)
  }

  private isFull(lane: { readonly bytes: number }, body: string): boolean {
    return lane.bytes + body.length > this.options.memoryBytes
  }

  private buffer(kind: Event.StreamKind, given: Event.EventHead): Published {
    const at = given.timestamp ?? this.options.now()
    // The program may go on with the event, which is encoded when its batch is.
    const { bytes, event } = snapshot(given)
    const lane = this.telemetry
    if (lane.isInLog || lane.bytes + bytes > this.options.memoryBytes)
      return this.bufferUnderPressure(kind, event, at, bytes)
    lane.push({ item: { raw: true, kind, event, at }, log: undefined, index: 0, bytes, own: true, parts: 1 })
    this.arrived(1)
    return "buffered"
  }

  /** To the file while that has room, else the oldest go. */
  private bufferUnderPressure(kind: Event.StreamKind, event: object, at: number, bytes: number): Published {
    const lane = this.telemetry
    const item = this.stamping.stream(kind, event, at)
    const body = Event.toRecord(item)
    if (body.length > this.options.maxEventBytes) return this.drop(kind, tooLarge)
    this.note(item)
    const index = this.store.appendOne(lane.number, body, telemetryShare)
    const log = this.store.current
    if (index > 0 && log !== undefined) lane.pushLogged(log, index, 1)
    else {
      lane.leaveLog()
      while (lane.bytes + bytes > this.options.memoryBytes) {
        const oldest = lane.dropOldest()
        if (oldest === undefined) return this.drop(kind, "there is no room")
        this.drop(oldest.item.kind, "there is no room")
      }
      lane.push({ item, log: undefined, index: 0, bytes, own: true, parts: 1 })
    }
    this.arrived(1)
    return "buffered"
  }

  private arrived(count: number): void {
    const before = this.waiting
    this.waiting += count
    if (before < this.options.flushAt && this.waiting >= this.options.flushAt) this.options.wake()
  }

  /** What wakes the sender is counted anew. */
  woken(): void {
    this.waiting = 0
  }

  private drop(kind: string, reason: string): "dropped" {
    this.droppedOnTheWay += 1
    if (!this.closed) this.losses.add(kind, reason)
    return "dropped"
  }

  /** The next events, or again those that were not settled. */
  takeEvents(maxCount: number, maxBytes: number): EventBatch {
    const durable = this.events.take(maxCount, maxBytes)
    const buffered = durable.length < maxCount ? this.telemetry.take(maxCount - durable.length, maxBytes) : []
    const events: Array<Event.StreamEvent> = []
    for (const { item } of durable)
      if ("end" in item) events.push(...Records.eventsOf(item, this.stamping.timestamp(item.at)))
      else events.push(item)
    for (const held of buffered) events.push(this.encoded(held))
    return { events, durable: durable.length, buffered: buffered.length }
  }

  private encoded(held: Held<Event.StreamEvent | Raw>): Event.StreamEvent {
    if (!("raw" in held.item)) return held.item
    const { kind, event, at } = held.item
    const item = this.stamping.stream(kind, event, at)
    held.item = item
    return item
  }

  /** What became of the batch that was taken; `keyOf` answers the keys that it was signed with. */
  settleEvents(batch: EventBatch, deliveries: ReadonlyArray<Delivery>, keyOf: KeyOf): void {
    // In a file again before it is done in the first one.
    const late = batch.events.filter((_, i) => deliveries[i] === lateDelivery)
    const unsigned = batch.events.filter(
      (_, i) => deliveries[i]?._tag === "Unsigned" && deliveries[i] !== lateDelivery
    )
    if (late.length > 0) this.refusals.keep(late, keyOf, true)
    if (unsigned.length > 0) this.refusals.keep(unsigned, keyOf)
    this.events.settle(batch.durable)
    this.telemetry.settle(batch.buffered)
    this.settled(deliveries)
  }

  takeReports(maxCount: number, maxBytes: number): ReadonlyArray<Event.Report> {
    return this.reports
      .take(maxCount, maxBytes)
      .flatMap(({ item }) =>
        "end" in item ? Records.reportsOf(item, this.stamping.timestamp(item.at)) : [item]
      )
  }

  settleReports(deliveries: ReadonlyArray<Delivery>): void {
    this.reports.settle(deliveries.length)
    this.settled(deliveries)
  }

  private settled(deliveries: ReadonlyArray<Delivery>): void {
    for (const delivery of deliveries) {
      if (delivery._tag === "Accepted") this.sent += 1
      else if (delivery._tag === "Duplicate") this.duplicates += 1
      else {
        if (delivery._tag === "Refused") this.refused += 1
        this.refusal = delivery.reason
      }
    }
    this.store.checkpoint()
  }

  /** Sends again what was kept of agents that have another key by now, or whose key is awaited no more. */
  retryRefused(keyOf: KeyOf, isAwaited: (agentId: string) => boolean, agentId?: string): void {
    const { refused } = this.store
    const due = (agentId === undefined ? refused.names : [agentId]).filter((name) =>
      refused.isDue(name, keyOf(name), isAwaited(name))
    )
    if (due.length === 0) return
    this.refusals.retry(due, {
      log: (log) => this.addLog(log),
      event: (item, isTelemetry, bytes) => {
        const held = { item, log: undefined, index: 0, bytes, own: true, parts: 1 }
        if (isTelemetry) this.telemetry.push(held)
        else this.events.push(held)
      }
    })
    const pushed = [this.events, this.reports, this.telemetry].map((lane) => lane.pushed)
    for (const name of due) this.again.set(name, pushed)
    this.lastAgain = pushed
    this.options.wake()
  }

  /** What each lane had taken when kept events of an agent, or of any, were last handed over again. */
  againOf(agentId?: string): ReadonlyArray<number> | undefined {
    return agentId === undefined ? this.lastAgain : this.again.get(agentId)
  }

  /** How many wait, of those that were published in this process. */
  get pending(): number {
    return this.events.pending + this.reports.pending + this.telemetry.pending
  }

  /** Bytes of what waits in memory. */
  get pendingBytes(): number {
    return this.events.bytes + this.reports.bytes + this.telemetry.bytes
  }

  /** True when nothing waits, of earlier starts neither. */
  get isEmpty(): boolean {
    return this.events.isEmpty && this.reports.isEmpty && this.telemetry.isEmpty
  }

  private addLog(log: WriteAheadStore["left"][number]): void {
    for (const lane of [this.events, this.reports, this.telemetry]) lane.addLog(log)
  }

  /** Looks after the file: tries it again when it was away, takes over what processes left that are gone. */
  maintain(takeOver: boolean, tell: boolean): void {
    for (const log of this.store.touch())
      for (const lane of [this.events, this.reports, this.telemetry]) lane.forget(log)
    this.resume()
    if (tell) this.store.recheckAgents()
    // Logs that wait for a key wait no longer than for what is told.
    if (takeOver || (tell && this.store.isKeyHere)) for (const log of this.store.takeOver()) this.addLog(log)
    this.refusals.settle()
    if (tell) this.tell()
  }

  private resume(when?: Parameters<WriteAheadStore["resume"]>[1]): void {
    const waiting: Array<Held<unknown>> = []
    const index = this.store.resume(() => {
      const drafts: Array<Draft> = []
      for (const held of this.events.unlogged()) {
        drafts.push({ lane: 0, body: Records.bodyOf(held.item) })
        waiting.push(held)
      }
      for (const held of this.reports.unlogged()) {
        drafts.push({ lane: 1, body: Records.bodyOf(held.item) })
        waiting.push(held)
      }
      return drafts
    }, when)
    if (index === 0) return
    for (const [i, held] of waiting.entries()) {
      held.log = this.store.current
      held.index = index + i
    }
  }

  /** True while events were lost that nobody was told of. */
  get hasLost(): boolean {
    return this.losses.any
  }

  /** Publishes how many events were lost, and why, if any were since it was last told. */
  private tell(): void {
    if (!this.hasLost) return
    const { counts, told } = this.losses.untold
    const item = this.stamping.report({
      kind: "audit",
      event: {
        eventType: "events_dropped",
        entityId: this.store.producer,
        entityType: "producer",
        action: "drop",
        reason: "events were lost before they reached the platform",
        data: { counts, producer: this.store.producer, producer_epoch: this.options.epoch }
      }
    })
    const body = Records.bodyOf(item)
    if (this.reports.bytes + body.length > this.options.memoryBytes) return
    this.published += 1
    this.place(["audit"], this.reports, item, this.append(1, body), body)
    told()
  }

  /** The last thing that happens: what waits in memory goes to the file, if that takes it. */
  close(): void {
    this.tell()
    this.closed = true
    this.resume("last")
    this.refusals.settle()
    const drafts: Array<Draft> = []
    for (const held of this.telemetry.unlogged()) {
      try {
        const event = this.encoded(held)
        this.note(event)
        drafts.push({ lane: 2, body: Event.toRecord(event) })
      } catch {
        this.droppedOnTheWay += 1
      }
    }
    if (drafts.length > 0) this.store.append(drafts, true)
    this.store.close()
  }
}

const ranks: { readonly [P in Published]: number } = { buffered: 0, durable: 1, memory: 2, dropped: 3 }

const worse = (one: Published, other: Published): Published => (ranks[other] > ranks[one] ? other : one)
