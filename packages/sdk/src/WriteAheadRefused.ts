/**
 * Events that were refused for their signature, kept until there is another key: a log for each agent beside the one
 * that is written, in memory while there is no file. They go out again when the agent's key is another, or by the next
 * start. The oldest go first when there is no room, and are counted as lost.
 */
import type { Draft, WriteAheadLog } from "./WriteAhead.ts"

/** The part of its room that telemetry may use. */
const telemetryShare = 0.5
const telemetryLane = 2
/** So many logs are open for writing at most. */
const mostWriting = 32

export interface RefusedOptions {
  /** A log of its own for an agent; undefined while there is no file. `signed`: its events are to be signed. */
  readonly open: (agentId: string, signed: boolean) => WriteAheadLog | undefined
  /** Bytes that there are for all in files. */
  readonly room: () => number
  /** Bytes of all in memory. */
  readonly memoryBytes: number
  /** Called when files have grown or shrunk. */
  readonly onResized: () => void
}

/** What is kept of one agent. */
interface Kept {
  log: WriteAheadLog | undefined
  /** Records in the log. */
  logged: number
  /** What could not be written, in order. */
  memory: Array<Draft>
  /** The key by which the last one was refused; undefined: there was none. */
  key: string | undefined
  signed: boolean
  /** Nobody has seen them: they wait for the agent's first key. */
  isLate: boolean
}

const nothing = (): Kept => ({
  log: undefined,
  logged: 0,
  memory: [],
  key: undefined,
  signed: false,
  isLate: false
})

/** What is sent again: a whole log, and what was in memory. */
export interface Released {
  readonly log: WriteAheadLog | undefined
  readonly memory: ReadonlyArray<Draft>
}

export class WriteAheadRefused {
  /** Events that were kept, ever. */
  taken = 0
  private options: RefusedOptions
  private agents = new Map<string, Kept>()
  private memoryBytes = 0
  private writing = new Set<WriteAheadLog>()

  constructor(options: RefusedOptions) {
    this.options = options
  }

  /** Events that are kept now. */
  get count(): number {
    let count = 0
    for (const kept of this.agents.values()) count += kept.logged + kept.memory.length
    return count
  }

  /** Bytes in files. */
  get bytes(): number {
    let bytes = 0
    for (const { log } of this.agents.values()) bytes += log?.bytes ?? 0
    return bytes
  }

  get logs(): ReadonlyArray<WriteAheadLog> {
    return [...this.agents.values()].flatMap(({ log }) => log ?? [])
  }

  /** Agents of which something is kept. */
  get names(): ReadonlyArray<string> {
    return [...this.agents.keys()]
  }

  /** Keeps events that were refused with this key, or for want of one; answers how many were lost for it. */
  keep(
    agentId: string,
    drafts: ReadonlyArray<Draft>,
    { isLate, key, signed }: Pick<Kept, "key" | "signed" | "isLate">
  ): number {
    const kept = this.agents.get(agentId) ?? nothing()
    kept.key = key
    kept.signed ||= signed
    kept.isLate ||= isLate
    this.agents.set(agentId, kept)
    this.taken += drafts.length
    return this.write(agentId, kept, drafts)
  }

  /** All with one write: a slow disk is waited for once. */
  private write(agentId: string, kept: Kept, drafts: ReadonlyArray<Draft>): number {
    let fit: ReadonlyArray<Draft> = []
    let lost = 0
    try {
      kept.log ??= this.options.open(agentId, kept.signed)
      const { log } = kept
      if (log === undefined) return this.remember(kept, drafts)
      const room = this.makeRoom(drafts)
      fit = room.fit
      lost = room.lost
      if (fit.length > 0) log.append(fit)
      kept.logged += fit.length
      this.note(log)
      return lost
    } catch {
      return lost + this.remember(kept, fit.length === 0 ? drafts : fit)
    } finally {
      this.options.onResized()
    }
  }

  /** What fits of these; for it the oldest go, of a batch that is too large by itself too. */
  private makeRoom(drafts: ReadonlyArray<Draft>): {
    readonly fit: ReadonlyArray<Draft>
    readonly lost: number
  } {
    const room = this.options.room()
    const telemetry = room * telemetryShare
    let size = 0
    let lost = 0
    const fit = drafts.filter(({ body, lane }) => {
      const fits = lane !== telemetryLane || this.bytes + size + body.length <= telemetry
      if (fits) size += body.length
      else lost += 1
      return fits
    })
    while (this.bytes + size > room) {
      const dropped = this.dropOldest()
      const first = dropped === undefined ? fit.shift() : undefined
      if (dropped === undefined && first === undefined) break
      size -= first?.body.length ?? 0
      lost += dropped ?? 1
    }
    return { fit, lost }
  }

  /** Few files are open at a time, however many agents there are. */
  private note(log: WriteAheadLog): void {
    this.writing.add(log)
    if (this.writing.size <= mostWriting) return
    for (const other of this.writing) {
      other.finish()
      void other.settle(false)
    }
    this.writing.clear()
  }

  /** Drops the oldest records of a file; answers how many there were, undefined where there is none. */
  private dropOldest(): number | undefined {
    for (const kept of this.agents.values()) {
      const dropped = kept.log?.dropOldest()
      if (dropped === undefined) continue
      kept.logged -= dropped
      this.options.onResized()
      return dropped
    }
    return undefined
  }

  private remember(kept: Kept, drafts: ReadonlyArray<Draft>): number {
    return drafts.reduce((lost, draft) => lost + this.rememberOne(kept, draft), 0)
  }

  private rememberOne(kept: Kept, draft: Draft): number {
    const size = draft.body.length
    let lost = 0
    while (this.memoryBytes + size > this.options.memoryBytes) {
      const oldest = this.oldestInMemory(draft.lane)
      if (oldest === undefined) return lost + 1
      this.memoryBytes -= oldest.body.length
      lost += 1
    }
    kept.memory.push(draft)
    this.memoryBytes += size
    return lost
  }

  /** Takes out the oldest telemetry, else what is oldest, unless it is telemetry that wants the room. */
  private oldestInMemory(lane: number): Draft | undefined {
    for (const { memory } of this.agents.values()) {
      const at = memory.findIndex((draft) => draft.lane === telemetryLane)
      if (at >= 0) return memory.splice(at, 1)[0]
    }
    if (lane === telemetryLane) return undefined
    for (const { memory } of this.agents.values()) {
      const oldest = memory.shift()
      if (oldest !== undefined) return oldest
    }
    return undefined
  }

  /** Tries the file again for what is in memory; answers how many were lost for it. */
  settle(): number {
    let lost = 0
    for (const [agentId, kept] of this.agents) {
      if (kept.memory.length === 0) continue
      const drafts = kept.memory.splice(0)
      for (const draft of drafts) this.memoryBytes -= draft.body.length
      lost += this.write(agentId, kept, drafts)
    }
    return lost
  }

  /** True when the agent has another key than the one that was refused, or its first one is awaited no more. */
  isDue(agentId: string, key: string | undefined, isAwaited: boolean): boolean {
    const kept = this.agents.get(agentId)
    if (kept === undefined) return false
    return key === undefined ? kept.isLate && !isAwaited : key !== kept.key
  }

  /** Events that wait for a first key, of one agent or of all. */
  late(agentId?: string): number {
    if (agentId === undefined) return this.names.reduce((sum, name) => sum + this.late(name), 0)
    const kept = this.agents.get(agentId)
    return kept?.isLate === true ? kept.logged + kept.memory.length : 0
  }

  /** Hands over what is kept of an agent. */
  release(agentId: string): Released {
    const kept = this.agents.get(agentId)
    this.agents.delete(agentId)
    for (const draft of kept?.memory ?? []) this.memoryBytes -= draft.body.length
    kept?.log?.finish()
    if (kept?.log !== undefined) this.writing.delete(kept.log)
    return { log: kept?.log, memory: kept?.memory ?? [] }
  }

  /** Gives up logs that others have taken. */
  forgetWhere(isGone: (log: WriteAheadLog) => boolean): void {
    for (const [agentId, kept] of this.agents) {
      const { log } = kept
      if (log === undefined || !isGone(log)) continue
      log.close()
      this.options.onResized()
      kept.log = undefined
      kept.logged = 0
      if (kept.memory.length === 0) this.agents.delete(agentId)
    }
  }
}
