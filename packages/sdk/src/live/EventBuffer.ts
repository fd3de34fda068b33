/** The work of `EventBuffer`: an outbox, and a link for each of the two ways out of it. */
import { Clock, Deferred, Duration, Effect, Exit, Latch, Redacted, Scheduler, SubscriptionRef } from "effect"
import { AgentClosed } from "../AgentClosed.ts"
import {
  type AwaitedKeys,
  EventBuffer,
  type EventBufferOptions,
  type EventHealth,
  type EventStatistics,
  type TransportHealth
} from "../EventBuffer.ts"
import { defaultClasses, type Publication } from "../events/Event.ts"
import * as EventId from "../events/EventId.ts"
import { DeliveryFailed, EventTransport } from "../events/EventTransport.ts"
import { saidBy } from "../events/Naming.ts"
import { Outbox, type OutboxOptions, type Published } from "../events/Outbox.ts"
import { isKnown } from "../events/Records.ts"
import { ReportTransport } from "../events/ReportTransport.ts"
import * as Signing from "../events/Signing.ts"
import { given } from "../internal/Given.ts"
import { monotonic } from "../internal/Monotonic.ts"
import { Telemetry } from "../Telemetry.ts"
import { type Sampling, within } from "../telemetry/Spans.ts"
import { node } from "../WriteAheadFiles.ts"
import { defaultDirectory } from "../WriteAheadFolder.ts"
import { WriteAheadStore } from "../WriteAheadStore.ts"
import { type Link, makeLink, sendForEver } from "./EventLink.ts"

const maxBatch = 1000
const maxBatchBytes = 1_048_576
const maxReports = 100
const takeOverEveryMillis = 60_000
const tellEveryMillis = 5_000

/** The buffer over the two transports. */
export const make = Effect.fnUntraced(function* (options: EventBufferOptions) {
  const clock = yield* Clock.Clock
  const events = yield* EventTransport
  const reports = yield* ReportTransport
  const work = yield* Latch.make()
  const dispatcher = (yield* Scheduler.Scheduler).makeDispatcher()
  const outbox = openOutbox(
    options,
    { now: () => clock.currentTimeMillisUnsafe(), elapsed: monotonic(clock) },
    // Not at once: who published would wait for what is sent.
    () => dispatcher.scheduleTask(() => work.openUnsafe(), 0)
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => outbox.close()))

  const awaited = awaitedOver(events, options)
  const retry = (agentId?: string) =>
    outbox.retryRefused(Signing.keysOf(options.eventKey), awaited.has, agentId)
  const { sampling } = yield* Telemetry.orSilent
  const links = [
    makeLink(events.to, sendEvents(outbox, events, options.eventKey, awaited, sampling)),
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
  awaited.onAnswered((agentId) => {
    retry(agentId)
    links[0].nudge.openUnsafe()
  })
  yield* Effect.forkScoped(maintainForEver(outbox, options.fsync ?? "interval", retry, announce))

  const flush: EventBuffer["Service"]["flush"] = (given) =>
    within(sampling, "EventBuffer.flush", makeFlush(outbox, links, work, retry)(given), {
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
        (own) => makeFlush(outbox, links, work, retry, own),
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
  // What waited for the agent's key stands last again when that has come.
  const waits = () =>
    laterOf(until, outbox.againOf(agentId)).reduce(
      (sum, end, i) => sum + Math.max(0, end - (lanes[i]?.settled ?? 0)),
      0
    )
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
    flush: (options) => Effect.suspend(() => flushOf({ agentId, until, pending })(options)),
    statistics: Effect.map(buffer.statistics, (all) => ({
      ...all,
      published,
      dropped,
      pending: pending()
    }))
  }
}

const openOutbox = (
  options: EventBufferOptions,
  { elapsed, now }: Pick<OutboxOptions, "elapsed" | "now">,
  wake: () => void
): Outbox => {
  const epoch = EventId.make(now)()
  const { eventKey, memoryBytes = 8_388_608 } = options
  const directory = options.directory === false ? undefined : (options.directory ?? defaultDirectory())
  const store = new WriteAheadStore({
    files: options.files ?? node,
    directory,
    epoch,
    secret: options.encryptionKey === undefined ? undefined : Redacted.value(options.encryptionKey),
    syncEach: options.fsync === "each",
    diskBytes: options.diskBytes ?? 268_435_456,
    segmentBytes: options.segmentBytes,
    knows: isKnown,
    refusedMemoryBytes: memoryBytes / 2,
    ...(eventKey === undefined ? {} : { hasKey: (agentId: string) => eventKey(agentId) !== undefined })
  })
  return new Outbox({
    store,
    now,
    elapsed,
    epoch,
    organizationId: options.organizationId,
    classes: { ...defaultClasses, ...given(options.classes) },
    memoryBytes,
    maxEventBytes: options.maxEventBytes ?? 1_048_576,
    flushAt: options.flushAt ?? 100,
    wake
  })
}

/** The keys that are waited for over this transport. */
const awaitedOver = (
  transport: EventTransport["Service"],
  { awaitedKeys, eventKey }: EventBufferOptions
): AwaitedKeys => (transport.signed !== true || eventKey === undefined ? nobodys : (awaitedKeys ?? nobodys))

const nobodys: AwaitedKeys = { has: () => false, onAnswered: () => {} }

const sendEvents = (
  outbox: Outbox,
  transport: EventTransport["Service"],
  eventKey: EventBufferOptions["eventKey"],
  awaited: AwaitedKeys,
  sampling: Sampling
): Link["send"] =>
  Effect.suspend(() => {
    const { alone } = awaited
    // Of one agent alone all wait where they are, as in an outage.
    if (alone !== undefined && awaited.has(alone) && eventKey?.(alone) === undefined)
      return outbox.events.isEmpty && outbox.telemetry.isEmpty
        ? Effect.succeed(false)
        : Effect.fail(new DeliveryFailed({ to: transport.to, reason: Signing.late.reason }))
    const batch = outbox.takeEvents(maxBatch, maxBatchBytes)
    if (batch.events.length === 0) return Effect.succeed(false)
    const keyOf = Signing.keysOf(eventKey)
    const signs = eventKey === undefined ? undefined : keyOf
    const sending = Signing.send(transport, batch.events, signs, outbox.store.missing, awaited.has)
    return within(sampling, "EventBuffer.sendEvents", sending, {
      kind: "producer",
      attributes: () => ({ "agion.events.count": batch.events.length })
    }).pipe(
      Effect.map((deliveries) => {
        outbox.settleEvents(batch, deliveries, keyOf)
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

const maintainForEver = (
  outbox: Outbox,
  fsync: "each" | "interval" | "never",
  retry: () => void,
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
      const tell = isTime(tellEveryMillis)
      outbox.maintain(isTime(takeOverEveryMillis), tell)
      if (tell) retry()
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
  const tellWaiting = makeTellWaiting(outbox)
  return Effect.gen(function* () {
    outbox.store.changed = false
    const now = healthNow()
    const before = yield* health.get
    if (JSON.stringify(before) !== JSON.stringify(now)) yield* health.set(now)
    if (now.refused > before.refused)
      yield* Effect.logWarning(`the platform refused ${now.refused - before.refused} events: ${now.refusal}`)
    yield* tellWaiting
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

/** Says in the log, once each, what waits for a key that signs it, and what was lost for want of room meanwhile. */
const makeTellWaiting = (outbox: Outbox): Effect.Effect<void> => {
  const told = { kept: 0, lost: 0, logs: new Set<string>() }
  return Effect.gen(function* () {
    const { leftAlone, refused } = outbox.store
    const kept = refused.taken - told.kept
    const lost = outbox.refusals.lost - told.lost
    told.kept = refused.taken
    told.lost = outbox.refusals.lost
    if (kept > 0)
      yield* Effect.logWarning(
        `${kept} events wait for another key of their agent: ${outbox.refusal}; they are kept and sent again when there is one, or by the next start`
      )
    if (lost > 0)
      yield* Effect.logError(
        `${lost} events that waited for another key of their agent are lost: there was no room to keep them; raise \`diskBytes\`, or have the agent registered`
      )
    for (const { agents, folder } of leftAlone.filter(({ folder }) => !told.logs.has(folder))) {
      told.logs.add(folder)
      const names = agents.map((agentId) => `\`${agentId}\``).join(", ")
      yield* Effect.logWarning(
        `events of an earlier start of ${names} are left in \`${folder}\`, since they are to be signed and the key is not here; start that agent on this folder, or put its \`event-key\` file back; where the key is lost, have the agent deleted at the platform and start it: it is given another one`
      )
    }
  })
}

/** The later one of each lane's two ends. */
const laterOf = (
  until: ReadonlyArray<number>,
  again: ReadonlyArray<number> | undefined
): ReadonlyArray<number> => until.map((end, i) => Math.max(end, again?.[i] ?? 0))

/** What of the buffer is one agent's. */
interface OwnPart {
  readonly agentId: string
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
    retry: () => void,
    own?: OwnPart
  ): EventBuffer["Service"]["flush"] =>
  (options) =>
    Effect.suspend(() => {
      retry()
      const before = outbox.sent + outbox.duplicates
      const late = () => outbox.store.refused.late(own?.agentId)
      const waited = (own?.pending() ?? 0) + late()
      const lanes = [outbox.events, outbox.reports, outbox.telemetry]
      const pushed = own?.until ?? lanes.map((lane) => lane.pushed)
      const done = Deferred.makeUnsafe<void>()
      const check = () => {
        if (late() > 0) return
        const again = outbox.againOf(own?.agentId)
        const until = laterOf(pushed, again)
        const waitsForLeft = own === undefined || again !== undefined
        if (lanes.every((lane, i) => lane.settled >= (until[i] ?? 0) && !(waitsForLeft && lane.hasLeft)))
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
          if (own === undefined) return { sent, pending: outbox.pending + late() }
          const pending = own.pending() + late()
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
  const waiting = outbox.store.refused.count > 0 || outbox.store.leftAlone.length > 0
  return {
    status: away || failing || waiting || outbox.hasLost ? "degraded" : "ok",
    storage,
    events: transportHealth(events),
    reports: transportHealth(reports),
    dropped: outbox.dropped,
    refused: outbox.refused,
    refusal: outbox.refusal,
    kept: outbox.store.refused.count,
    locked: outbox.store.locked,
    keyless: outbox.store.leftAlone.length
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
  keylessBytes: outbox.store.leftAloneBytes,
  batches: links.reduce((sum, link) => sum + link.batches, 0),
  failures: links.reduce((sum, link) => sum + link.failures, 0),
  unreadable:
    outbox.store.damage.records +
    outbox.events.unreadable +
    outbox.reports.unreadable +
    outbox.telemetry.unreadable,
  kept: outbox.store.refused.count
})
