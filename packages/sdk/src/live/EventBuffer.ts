/** The work of `EventBuffer`: an outbox, and a link for each of the two ways out of it. */
import { createHmac } from "node:crypto"
import { Streams } from "@agion/domain"
import {
  Cause,
  Clock,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  Latch,
  Random,
  Redacted,
  Stream,
  SubscriptionRef
} from "effect"
import { AgentClosed } from "../AgentClosed.ts"
import {
  EventBuffer,
  type EventBufferOptions,
  type EventHealth,
  EventRecorder,
  type EventStatistics,
  type TransportHealth
} from "../EventBuffer.ts"
import { publicationsOf } from "../events/CallEnd.ts"
import {
  defaultClasses,
  type EventInputs,
  type EventKind,
  isReport,
  type Publication
} from "../events/Event.ts"
import * as EventId from "../events/EventId.ts"
import { DeliveryFailed, EventTransport, type Sign } from "../events/EventTransport.ts"
import { saidBy, speakerOf } from "../events/Naming.ts"
import { Outbox, type Published } from "../events/Outbox.ts"
import { isKnown } from "../events/Records.ts"
import { ReportTransport } from "../events/ReportTransport.ts"
import { Telemetry } from "../Telemetry.ts"
import { type Sampling, within } from "../telemetry/Spans.ts"
import { node } from "../WriteAheadFiles.ts"
import { defaultDirectory } from "../WriteAheadFolder.ts"
import { WriteAheadStore } from "../WriteAheadStore.ts"

const maxBatch = 1000
const maxBatchBytes = 1_048_576
const maxReports = 100
const sendTimeout = "30 seconds"
const takeOverEveryMillis = 60_000
const tellEveryMillis = 5_000
/** The longest that a platform's `Retry-After` is heeded: it is asked again, however long it said it would be. */
const longestAskedMillis = 60_000

/** The buffer over the two transports. */
export const make = Effect.fnUntraced(function* (options: EventBufferOptions) {
  const clock = yield* Clock.Clock
  const events = yield* EventTransport
  const reports = yield* ReportTransport
  const work = yield* Latch.make()
  const outbox = openOutbox(
    options,
    () => clock.currentTimeMillisUnsafe(),
    () => work.openUnsafe()
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => outbox.close()))

  const signing = makeSigning(options.eventKey)
  const { sampling } = yield* Telemetry.orSilent
  const links = [
    makeLink(events.to, sendEvents(outbox, events, signing, sampling)),
    makeLink(reports.to, sendReports(outbox, reports, sampling))
  ] as const
  const healthNow = () => healthOf(outbox, links[0], links[1])
  const health = yield* SubscriptionRef.make(healthNow())
  const told = {
    get: SubscriptionRef.get(health),
    set: (now: EventHealth) => SubscriptionRef.set(health, now)
  }
  const announce = makeAnnounce(outbox, told, healthNow)
  yield* announce

  for (const link of links) {
    const interval = options.flushInterval ?? "5 seconds"
    yield* Effect.forkScoped(sendForEver(link, outbox, work, interval, announce))
  }
  yield* Effect.forkScoped(maintainForEver(outbox, options.fsync ?? "interval", announce))

  const flush: EventBuffer["Service"]["flush"] = (given) =>
    within(sampling, "EventBuffer.flush", makeFlush(outbox, links, work)(given), {
      told: (exit) =>
        Exit.isSuccess(exit)
          ? { "agion.events.count": exit.value.sent, "agion.events.pending": exit.value.pending }
          : {}
    })
  yield* Effect.addFinalizer(() => flush({ deadline: options.shutdownDeadline ?? "2 seconds" }))

  const isClosed = () => outbox.isClosed
  const buffer: EventBuffer["Service"] = {
    publishUnsafe: (kind, event) => outbox.publish(kind, event),
    publishAllUnsafe: (publications) => outbox.publishAll(publications),
    publishCallUnsafe: (end) => outbox.publishCall(end),
    publish: (kind, event) => unlessClosed(isClosed, () => outbox.publish(kind, event)),
    publishAll: (publications) => unlessClosed(isClosed, () => outbox.publishAll(publications)),
    flush,
    statistics: Effect.sync(() => statisticsOf(outbox, links)),
    health: Effect.sync(healthNow),
    healthChanges: SubscriptionRef.changes(health),
    forAgent: (agentId, isAgentClosed = () => false) =>
      ofAgent(
        agentId,
        buffer,
        outbox,
        (own) => makeFlush(outbox, links, work, own),
        () => isAgentClosed() || isClosed()
      )
  }
  return EventBuffer.of(buffer)
})

/** Takes in what is published while there is an agent. */
const unlessClosed = (
  isClosed: () => boolean,
  take: () => Published
): Effect.Effect<Published, AgentClosed> =>
  Effect.suspend(() => (isClosed() ? Effect.fail(new AgentClosed()) : Effect.succeed(take())))

/** One agent's part of a buffer: it speaks for itself, and waits for what is its own. */
const ofAgent = (
  agentId: string,
  buffer: EventBuffer["Service"],
  outbox: Outbox,
  flushOf: (own: OwnPart) => EventBuffer["Service"]["flush"],
  isClosed: () => boolean
): EventBuffer["Service"] => {
  const lanes = [outbox.events, outbox.reports, outbox.telemetry]
  let until = [0, 0, 0]
  let published = 0
  let dropped = 0
  const noted = (count: number, became: Published): Published => {
    published += count
    if (became === "dropped") dropped += 1
    until = lanes.map((lane) => lane.pushed)
    return became
  }
  const publishAllUnsafe = (publications: ReadonlyArray<Publication>): Published => {
    const own = publications.flatMap((one) => saidBy(agentId, one) ?? [])
    const foreign = publications.length - own.length
    dropped += foreign
    const became = own.length === 0 ? "dropped" : noted(own.length, buffer.publishAllUnsafe(own))
    return foreign === 0 ? became : "dropped"
  }
  const publishUnsafe: EventBuffer["Service"]["publishUnsafe"] = (kind, event) =>
    publishAllUnsafe([{ kind, event } as Publication])
  const waits = () => lanes.reduce((sum, lane, i) => sum + Math.max(0, (until[i] ?? 0) - lane.settled), 0)
  const pending = () => Math.min(outbox.pending, published, waits())
  return {
    ...buffer,
    publishUnsafe,
    publishAllUnsafe,
    publishCallUnsafe: (end) => {
      if (end.agentId !== agentId) return noted(0, "dropped")
      const before = outbox.published
      const became = buffer.publishCallUnsafe(end)
      return noted(outbox.published - before, became)
    },
    publish: (kind, event) => unlessClosed(isClosed, () => publishUnsafe(kind, event)),
    publishAll: (publications) => unlessClosed(isClosed, () => publishAllUnsafe(publications)),
    flush: (options) => Effect.suspend(() => flushOf({ until, pending })(options)),
    statistics: Effect.map(buffer.statistics, (all) => ({
      ...all,
      published,
      dropped,
      pending: pending()
    }))
  }
}

const openOutbox = (options: EventBufferOptions, now: () => number, wake: () => void): Outbox => {
  const epoch = EventId.make(now)()
  const directory = options.directory === false ? undefined : (options.directory ?? defaultDirectory())
  const store = new WriteAheadStore({
    files: options.files ?? node,
    directory,
    epoch,
    secret: options.encryptionKey === undefined ? undefined : Redacted.value(options.encryptionKey),
    syncEach: options.fsync === "each",
    diskBytes: options.diskBytes ?? 268_435_456,
    segmentBytes: options.segmentBytes,
    knows: isKnown
  })
  return new Outbox({
    store,
    now,
    epoch,
    organizationId: options.organizationId,
    classes: { ...defaultClasses, ...options.classes },
    memoryBytes: options.memoryBytes ?? 8_388_608,
    maxEventBytes: options.maxEventBytes ?? 1_048_576,
    flushAt: options.flushAt ?? 100,
    wake
  })
}

const makeSigning = (eventKey: EventBufferOptions["eventKey"]) => (): Sign => {
  if (eventKey === undefined) return undefined
  // One batch asks once for each agent: the key of another is read from a file.
  const keys = new Map<string, Redacted.Redacted<string> | undefined>()
  return (stream, fields) => {
    const speaker = speakerOf(fields)
    if (!keys.has(speaker)) keys.set(speaker, eventKey(speaker))
    const key = keys.get(speaker)
    if (key === undefined) return undefined
    return createHmac("sha256", Redacted.value(key))
      .update(Streams.signatureInput(stream, fields))
      .digest("base64url")
  }
}

/** One of the two ways out, with what it remembers. */
interface Link {
  readonly to: string
  /** Sends one batch and settles it; answers false when there was nothing to send. */
  readonly send: Effect.Effect<boolean, DeliveryFailed>
  /** Opened to try again at once. */
  readonly nudge: Latch.Latch
  /** Waits for `until` of its lanes to be settled. */
  readonly waiters: Set<() => void>
  batches: number
  failures: number
  /** Failures in a row. */
  attempt: number
  reason: string
}

const makeLink = (to: string, send: Link["send"]): Link => ({
  to,
  send,
  nudge: Latch.makeUnsafe(false),
  waiters: new Set(),
  batches: 0,
  failures: 0,
  attempt: 0,
  reason: ""
})

const sendEvents = (
  outbox: Outbox,
  transport: EventTransport["Service"],
  signing: () => Sign,
  sampling: Sampling
): Link["send"] =>
  Effect.suspend(() => {
    const batch = outbox.takeEvents(maxBatch, maxBatchBytes)
    if (batch.events.length === 0) return Effect.succeed(false)
    return within(sampling, "EventBuffer.sendEvents", transport.send(batch.events, signing()), {
      kind: "producer",
      attributes: () => ({ "agion.events.count": batch.events.length })
    }).pipe(
      Effect.map((deliveries) => {
        outbox.settleEvents(batch, deliveries)
        return true
      })
    )
  })

const sendReports = (
  outbox: Outbox,
  transport: ReportTransport["Service"],
  sampling: Sampling
): Link["send"] =>
  Effect.suspend(() => {
    const batch = outbox.takeReports(maxReports, maxBatchBytes)
    if (batch.length === 0) return Effect.succeed(false)
    return within(sampling, "EventBuffer.sendReports", transport.send(batch), {
      attributes: () => ({ "agion.events.count": batch.length })
    }).pipe(
      Effect.flatMap(({ deliveries, failed }) => {
        outbox.settleReports(deliveries)
        return failed === undefined ? Effect.succeed(true) : Effect.fail(failed)
      })
    )
  })

const sendForEver = (
  link: Link,
  outbox: Outbox,
  work: Latch.Latch,
  interval: Duration.Input,
  announce: Effect.Effect<void>
) =>
  Effect.forever(
    Effect.gen(function* () {
      yield* Effect.raceFirst(Effect.raceFirst(work.await, link.nudge.await), Effect.sleep(interval))
      work.closeUnsafe()
      link.nudge.closeUnsafe()
      outbox.woken()
      yield* drain(link, announce)
    })
  )

/** Sends until nothing waits; what fails is tried again after a pause, and the pauses grow. */
const drain = Effect.fnUntraced(function* (link: Link, announce: Effect.Effect<void>) {
  while (true) {
    const exit = yield* Effect.exit(bounded(link))
    const error = remember(link, exit)
    for (const waiter of [...link.waiters]) waiter()
    if (Exit.isSuccess(exit) && !exit.value) return
    yield* announce
    if (error === undefined) continue
    const asked = error instanceof DeliveryFailed ? Math.min(longestAskedMillis, error.retryAfterMs ?? 0) : 0
    const pause = Math.max(asked, yield* pauseMillis(link.attempt))
    yield* Effect.raceFirst(link.nudge.await, Effect.sleep(Duration.millis(pause)))
    if (link.nudge.closeUnsafe()) link.attempt = 0
  }
})

/** Counts how a batch went; answers what was wrong. */
const remember = (link: Link, exit: Exit.Exit<boolean, DeliveryFailed>): unknown => {
  if (Exit.isSuccess(exit)) {
    if (exit.value) {
      link.batches += 1
      link.attempt = 0
      link.reason = ""
    }
    return undefined
  }
  const error = Cause.squash(exit.cause)
  link.failures += 1
  link.attempt += 1
  link.reason = error instanceof Error ? error.message : String(error)
  return error
}

const bounded = (link: Link) =>
  Effect.timeoutOrElse(link.send, {
    duration: sendTimeout,
    orElse: () => Effect.fail(new DeliveryFailed({ to: link.to, reason: `no answer within ${sendTimeout}` }))
  })

/** 100 ms, doubled with each failure up to 30 s, of which a random half is taken off. */
const pauseMillis = (attempt: number): Effect.Effect<number> =>
  Effect.map(Random.next, (random) => Math.min(30_000, 50 * 2 ** attempt) * (0.5 + random / 2))

const maintainForEver = (
  outbox: Outbox,
  fsync: "each" | "interval" | "never",
  announce: Effect.Effect<void>
) => {
  const sync = fsync === "interval"
  const pause = sync ? 200 : 1_000
  let waited = 0
  const isTime = (every: number) => waited % every < pause
  return Effect.forever(
    Effect.gen(function* () {
      yield* Effect.sleep(Duration.millis(pause))
      waited += pause
      outbox.maintain(isTime(takeOverEveryMillis), isTime(tellEveryMillis))
      if (outbox.store.needsSettling(sync))
        yield* Effect.uninterruptible(Effect.promise(() => outbox.store.settle(sync)))
      if (outbox.store.changed) yield* announce
    })
  )
}

/** Publishes the health when it changed, and says in the log when the file goes or comes. */
const makeAnnounce = (
  outbox: Outbox,
  health: {
    readonly get: Effect.Effect<EventHealth>
    readonly set: (now: EventHealth) => Effect.Effect<void>
  },
  healthNow: () => EventHealth
): Effect.Effect<void> => {
  let told: "file" | "memory" = "file"
  return Effect.gen(function* () {
    outbox.store.changed = false
    const now = healthNow()
    const before = yield* health.get
    if (JSON.stringify(before) !== JSON.stringify(now)) yield* health.set(now)
    if (now.refused > before.refused)
      yield* Effect.logWarning(`the platform refused ${now.refused - before.refused} events: ${now.refusal}`)
    const { storage } = now
    if (storage.mode === told || storage.directory === undefined) return
    told = storage.mode
    yield* storage.mode === "memory"
      ? Effect.logWarning(
          `events are kept in memory until they are sent, because of \`${storage.directory}\`: ${storage.reason}; ` +
            "it is tried again; where that does not help, choose another `directory`"
        )
      : Effect.logInfo(`events are kept in \`${storage.directory}\` again`)
  })
}

/** What of the buffer is one agent's. */
interface OwnPart {
  /** What it published last, for each lane. */
  readonly until: ReadonlyArray<number>
  /** How many of its events wait. */
  readonly pending: () => number
}

/** Without an `own` part it waits for all that was published, by earlier starts too. */
const makeFlush =
  (
    outbox: Outbox,
    links: ReadonlyArray<Link>,
    work: Latch.Latch,
    own?: OwnPart
  ): EventBuffer["Service"]["flush"] =>
  (options) =>
    Effect.suspend(() => {
      const before = outbox.sent + outbox.duplicates
      const waited = own?.pending() ?? 0
      const targets = [outbox.events, outbox.reports, outbox.telemetry].map((lane, i) => ({
        lane,
        until: own?.until[i] ?? lane.pushed
      }))
      const done = Deferred.makeUnsafe<void>()
      const check = () => {
        if (targets.every(({ lane, until }) => lane.settled >= until && (own !== undefined || !lane.hasLeft)))
          Deferred.doneUnsafe(done, Effect.void)
      }
      check()
      for (const link of links) {
        link.waiters.add(check)
        link.nudge.openUnsafe()
      }
      work.openUnsafe()
      return Deferred.await(done).pipe(
        Effect.timeoutOption(options?.deadline ?? "5 seconds"),
        Effect.map(() => {
          const sent = outbox.sent + outbox.duplicates - before
          if (own === undefined) return { sent, pending: outbox.pending }
          const pending = own.pending()
          return { sent: Math.max(0, Math.min(sent, waited - pending)), pending }
        }),
        Effect.ensuring(
          Effect.sync(() => {
            for (const link of links) link.waiters.delete(check)
          })
        )
      )
    })

const healthOf = (outbox: Outbox, events: Link, reports: Link): EventHealth => {
  const storage = outbox.store.state
  const away = storage.mode === "memory" && storage.directory !== undefined
  const failing = events.reason !== "" || reports.reason !== ""
  return {
    status: away || failing || outbox.hasLost ? "degraded" : "ok",
    storage,
    events: transportHealth(events),
    reports: transportHealth(reports),
    dropped: outbox.dropped,
    refused: outbox.refused,
    refusal: outbox.refusal,
    locked: outbox.store.locked
  }
}

const transportHealth = ({ to, reason }: Link): TransportHealth => ({
  to,
  status: reason === "" ? "ok" : "failing",
  reason
})

const statisticsOf = (outbox: Outbox, links: ReadonlyArray<Link>): EventStatistics => ({
  published: outbox.published,
  sent: outbox.sent,
  duplicates: outbox.duplicates,
  refused: outbox.refused,
  dropped: outbox.dropped,
  pending: outbox.pending,
  pendingBytes: outbox.pendingBytes,
  fileBytes: outbox.store.bytes,
  batches: links.reduce((sum, link) => sum + link.batches, 0),
  failures: links.reduce((sum, link) => sum + link.failures, 0),
  unreadable:
    outbox.store.damage.records +
    outbox.events.unreadable +
    outbox.reports.unreadable +
    outbox.telemetry.unreadable
})

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
    locked: 0
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
      batches: 0,
      failures: 0,
      unreadable: 0
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
