/** The work of `EventBuffer.layerMemory`: keeps what is published, for tests, and sends nothing. */
import { Context, Effect, Stream } from "effect"
import { EventBuffer, type EventHealth, EventRecorder, type TransportHealth } from "../EventBuffer.ts"
import { publicationsOf } from "../events/CallEnd.ts"
import {
  defaultClasses,
  type EventInputs,
  type EventKind,
  isReport,
  type Publication
} from "../events/Event.ts"
import type { Published } from "../events/Outbox.ts"

/** A buffer that keeps what is published, and its recorder. */
export const makeMemory = () => {
  let recorded: Array<Publication> = []
  const record = (publication: Publication): Published => {
    recorded.push(publication)
    return isReport(publication.kind) || defaultClasses[publication.kind] === "durable"
      ? "durable"
      : "buffered"
  }
  const recordAll = (publications: ReadonlyArray<Publication>): Published =>
    publications.map(record).includes("durable") ? "durable" : "buffered"
  const publishUnsafe = <K extends EventKind>(kind: K, event: EventInputs[K]): Published =>
    record({ kind, event } as Publication)
  const transport = (to: string): TransportHealth => ({ to, status: "ok", reason: "" })
  const health: EventHealth = {
    status: "ok",
    storage: { mode: "memory", directory: undefined, reason: "a recorder for tests" },
    events: transport("recorder"),
    reports: transport("recorder"),
    dropped: 0,
    refused: 0,
    refusal: "",
    kept: 0,
    locked: 0,
    keyless: 0
  }
  const buffer: EventBuffer["Service"] = {
    publishUnsafe,
    publishAllUnsafe: recordAll,
    publishCallUnsafe: (end) => recordAll(publicationsOf(end)),
    publish: (kind, event) => Effect.sync(() => publishUnsafe(kind, event)),
    publishAll: (publications) => Effect.sync(() => recordAll(publications)),
    flush: () => Effect.sync(() => ({ sent: 0, pending: 0 })),
    statistics: Effect.sync(() => ({
      published: recorded.length,
      sent: recorded.length,
      duplicates: 0,
      refused: 0,
      dropped: 0,
      pending: 0,
      pendingBytes: 0,
      fileBytes: 0,
      keylessBytes: 0,
      batches: 0,
      failures: 0,
      unreadable: 0,
      kept: 0
    })),
    health: Effect.succeed(health),
    healthChanges: Stream.succeed(health),
    forAgent: () => buffer
  }
  const ofKind = <K extends EventKind>(kind: K) =>
    Effect.sync(() => recorded.flatMap((p) => (p.kind === kind ? [p.event as EventInputs[K]] : [])))
  const recorder = EventRecorder.of({
    recorded: Effect.sync(() => [...recorded]),
    of: ofKind,
    clear: Effect.sync(() => {
      recorded = []
    })
  })
  return Context.make(EventBuffer, buffer).pipe(Context.add(EventRecorder, recorder))
}
