/**
 * What an agent tells the platform, kept until the platform has it.
 *
 * ```ts
 * const events = yield* EventBuffer
 * events.publishUnsafe("trust", { agentId: "agent-1", eventType: "task_completed" })
 * yield* events.flush()
 * ```
 *
 * Publishing never throws and never waits for the network. An event of the durable class (decisions, trust,
 * feedback, missions, usage) is in the write-ahead file before `publish` returns; one of the buffered class (LLM
 * interactions) is in memory, and goes first when there is no room. What did not get out before the process ended,
 * however it ended, is sent by the next start. On the way an event may go twice, in effect it counts once: its id
 * is given once, and a repetition is known by it.
 *
 * A batch is sent every 5 s, when 100 events wait, or by `flush`; order is kept for each stream. While the
 * platform is away the same batch is tried again with growing, jittered pauses, of at most half a minute; a
 * `Retry-After` is heeded for a minute at most.
 *
 * **Gotchas**: an event says what it said when it was published, however the program changes it then. After the
 * scope has closed `publish` fails with `AgentClosed`, and `publishUnsafe` drops. `"dropped"` means that there was no
 * room in memory while the file was away; the count is told as an audit line `events_dropped`. Closing the scope
 * waits for at most `shutdownDeadline`.
 */
import { Context, type Duration, Effect, Layer, type Redacted, type Stream } from "effect"
import type { AgentClosed } from "./AgentClosed.ts"
import type { CallEnd } from "./events/CallEnd.ts"
import type { EventClass, EventInputs, EventKind, Publication, StreamKind } from "./events/Event.ts"
import type { EventTransport } from "./events/EventTransport.ts"
import type { Published } from "./events/Outbox.ts"
import type { ReportTransport } from "./events/ReportTransport.ts"
import { live } from "./internal/Later.ts"
import type { WriteAheadFiles } from "./WriteAheadFiles.ts"
import type { Storage } from "./WriteAheadStore.ts"

export type { Published } from "./events/Outbox.ts"
export type { Storage } from "./WriteAheadStore.ts"

/** Registrations of this process that are not answered yet: each may bring the key that signs an agent's events. */
export interface AwaitedKeys {
  /** The agent that the buffer is of; left out: it is of several. */
  readonly alone?: string
  /** True while the registration of this agent is not answered. */
  readonly has: (agentId: string) => boolean
  /** Calls whenever the first registration of an agent was answered. */
  readonly onAnswered: (call: (agentId: string) => void) => void
}

/** How the buffer keeps and sends. */
export interface EventBufferOptions {
  /** Whose events these are, unless an event says otherwise. */
  readonly organizationId?: string
  /**
   * Where the write-ahead file lies; `false`: nowhere. What is left there is sent by the next start on it, so that one
   * folder is for one platform and organization. Default: `agion/events` in the user's state folder.
   */
  readonly directory?: string | false
  /**
   * When to wait for the disk: with each event, every 200 ms beside the program, or never (a crash of the
   * process loses nothing in any case, one of the machine what is not on disk). Default: `interval`.
   */
  readonly fsync?: "each" | "interval" | "never"
  /** Encrypts the file. At least 32 random characters; events in files with another key wait for it. */
  readonly encryptionKey?: Redacted.Redacted<string>
  /** The longest that an event waits to be sent. Default: 5 s. */
  readonly flushInterval?: Duration.Input
  /** This many send at once. Default: 100. */
  readonly flushAt?: number
  /** How long closing the scope may take. Default: 2 s. */
  readonly shutdownDeadline?: Duration.Input
  /** Bytes in memory, for each class. Default: 8 MiB. */
  readonly memoryBytes?: number
  /**
   * Bytes in files, of which events that were refused for their signature take half at most. Logs in the folder that wait
   * for the key of another agent count, too, for half at most. Default: 256 MiB.
   */
  readonly diskBytes?: number
  /** Bytes of one event; long texts in a larger one are cut, and what is still larger is dropped. Default: 1 MiB. */
  readonly maxEventBytes?: number
  /** The class of a stream's events, where it is not the default one. */
  readonly classes?: { readonly [K in StreamKind]?: EventClass }
  /** The key that an agent's registration answered, by whom an entry is of: entries are signed with it as they are sent. */
  readonly eventKey?: (agentId: string) => Redacted.Redacted<string> | undefined
  /**
   * Whose key may still come: over a transport where nothing but the signature says whose word an event is, the events
   * of an agent without a key wait for that. Default: nobody's, and what has no key goes out without a signature.
   */
  readonly awaitedKeys?: AwaitedKeys
  /** The file system. Default: the machine's. */
  readonly files?: WriteAheadFiles
  /** Bytes of one segment of the file. Default: 4 MiB. */
  readonly segmentBytes?: number
}

/** Counters since the start. */
export interface EventStatistics {
  /** Handed in. */
  readonly published: number
  /** Taken by the platform. */
  readonly sent: number
  /** Known to the platform already: sent again after an answer that got lost. */
  readonly duplicates: number
  /** Never to be taken by the platform. */
  readonly refused: number
  /**
   * Refused for their signature, and kept until their agent has another key or for the next start; now. Those of several
   * agents' that wait for a first key, too.
   */
  readonly kept: number
  /** No room, or cannot be encoded. */
  readonly dropped: number
  /** Published by this process and not sent yet. */
  readonly pending: number
  /** Bytes of them in memory. */
  readonly pendingBytes: number
  /** Bytes in files of this process, those of earlier starts that it sends included. */
  readonly fileBytes: number
  /** Bytes in logs of earlier starts in the same folder that wait for the key of their agent: nobody's as yet. */
  readonly keylessBytes: number
  /** Batches sent. */
  readonly batches: number
  /** Batches that failed. */
  readonly failures: number
  /** Records that were in a file and could not be read. */
  readonly unreadable: number
}

/** Whether events get out by one of the two ways. */
export interface TransportHealth {
  readonly to: string
  readonly status: "ok" | "failing"
  /** Why the last batch failed; empty when it did not. */
  readonly reason: string
}

/** Whether events are kept and get out. */
export interface EventHealth {
  /**
   * `degraded`: the file is wanted and away, or a transport fails, or events wait for the key that signs them, or some
   * were lost that nobody was told of.
   */
  readonly status: "ok" | "degraded"
  readonly storage: Storage
  readonly events: TransportHealth
  readonly reports: TransportHealth
  readonly dropped: number
  readonly refused: number
  /** Why the platform refused the last one that it refused; empty when it refused none. */
  readonly refusal: string
  /** Events that were refused for their signature and wait for another key, or of several agents' for a first one. */
  readonly kept: number
  /** Logs of earlier starts that wait for the key of the agent whose events they hold; the log names them. */
  readonly keyless: number
  /** Logs of earlier starts that were written with another key, or by a later version in another form. */
  readonly locked: number
}

/** What a flush did. */
export interface Flushed {
  /** Sent or found there already, in this flush. */
  readonly sent: number
  /**
   * Published by this process and still waiting at its deadline. What earlier starts have left is waited for, too, but
   * not counted: how much it is shows only as it is read, and `fileBytes` tells its size.
   */
  readonly pending: number
}

/** What `EventBuffer` does. */
export interface EventBufferShape {
  /** Takes an event in. Plain and synchronous, for hot paths; never throws, and drops what comes after closing. */
  readonly publishUnsafe: <K extends EventKind>(kind: K, event: EventInputs[K]) => Published
  /** Takes events in, all durable ones with one write; answers the worst that became of one. Never throws. */
  readonly publishAllUnsafe: (publications: ReadonlyArray<Publication>) => Published
  /** Takes in the end of a governed call, all that is told of it as one record. Never throws. */
  readonly publishCallUnsafe: (end: CallEnd) => Published
  /** `publishUnsafe` as an effect, which fails once the agent is closed. */
  readonly publish: <K extends EventKind>(
    kind: K,
    event: EventInputs[K]
  ) => Effect.Effect<Published, AgentClosed>
  /** `publishAllUnsafe` as an effect, which fails once the agent is closed. */
  readonly publishAll: (publications: ReadonlyArray<Publication>) => Effect.Effect<Published, AgentClosed>
  /** Sends what was published before the call, by earlier starts too; answers at the deadline (default: 5 s) at the latest. */
  readonly flush: (options?: { readonly deadline?: Duration.Input }) => Effect.Effect<Flushed>
  /** Counts since the start, and how many events wait now. */
  readonly statistics: Effect.Effect<EventStatistics>
  /** Where events are kept, and how each transport fares. */
  readonly health: Effect.Effect<EventHealth>
  /** The health now, then each change of it. */
  readonly healthChanges: Stream.Stream<EventHealth>
  /**
   * The same buffer for one of several agents. What it publishes in another's name is dropped, but for a decision:
   * that may be about another actor, and goes out as this agent's word, with its name as `reportedBy` and its
   * signature. `flush` waits for what it published itself;
   * `published`, `dropped` and `pending` count its own, the rest is of the buffer. `isClosed` tells when the agent is;
   * what ends with it later is still taken in.
   */
  readonly forAgent: (agentId: string, isClosed?: () => boolean) => EventBufferShape
}

/** Takes events in and sends them; see the module's manual. */
export class EventBuffer extends Context.Service<EventBuffer, EventBufferShape>()("@agion/sdk/EventBuffer") {
  /** The buffer over the two transports. */
  static readonly layer = (
    options: EventBufferOptions = {}
  ): Layer.Layer<EventBuffer, never, EventTransport | ReportTransport> =>
    Layer.effect(
      EventBuffer,
      Effect.flatMap(live, ({ EventBuffer }) => EventBuffer.make(options))
    )

  /** Keeps what is published in an `EventRecorder`, for tests; sends nothing. */
  static get layerMemory(): Layer.Layer<EventBuffer | EventRecorder> {
    return Layer.effectContext(Effect.map(live, ({ EventRecorder }) => EventRecorder.makeMemory()))
  }
}

/** What was published into `EventBuffer.layerMemory`, in order. */
export class EventRecorder extends Context.Service<
  EventRecorder,
  {
    /** All of them, in the order of publishing. */
    readonly recorded: Effect.Effect<ReadonlyArray<Publication>>
    /** The events of one kind. */
    readonly of: <K extends EventKind>(kind: K) => Effect.Effect<ReadonlyArray<EventInputs[K]>>
    /** Forgets them. */
    readonly clear: Effect.Effect<void>
  }
>()("@agion/sdk/EventRecorder") {}
