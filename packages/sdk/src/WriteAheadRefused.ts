/**
 * Events that were refused for their signature, kept until there is another key: a log for each agent beside the one
 * that is written, in memory while there is no file. They go out again when the agent's key is another, or by the next
 * start. The oldest go first when there is no room, and are counted as lost.
 */
import type { Draft, WriteAheadLog } from "./WriteAhead.ts"

/** The part of its room that telemetry may use. */
const telemetryShare = 0.5
const telemetryLane = 2

export interface RefusedOptions {
  /** A log of its own for an agent; undefined while there is no file. `signed`: its events are to be signed. */
  readonly open: (agentId: string, signed: boolean) => WriteAheadLog | undefined
  /** Bytes that there are for all in files. */
  readonly room: () => number
  /** Bytes of all in memory. */
  readonly memoryBytes: number
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
}

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

  /** Keeps an event that was refused with this key, or for want of one; answers how many were lost for it. */
  keep(agentId: string, draft: Draft, key: string | undefined, signed: boolean): number {
    const kept = this.agents.get(agentId) ?? {
      log: undefined,
      logged: 0,
      memory: [],
      key,
      signed: false
    }
    kept.key = key
    kept.signed ||= signed
    this.agents.set(agentId, kept)
    this.taken += 1
    return this.write(agentId, kept, draft)
  }

  private write(agentId: string, kept: Kept, draft: Draft): number {
    const size = draft.body.length
    const room = this.options.room()
    let lost = 0
    try {
      kept.log ??= this.options.open(agentId, kept.signed)
      const { log } = kept
      if (log === undefined) return this.remember(kept, draft)
      if (draft.lane === telemetryLane && this.bytes + size > room * telemetryShare) return 1
      while (this.bytes + size > room) {
        const dropped = this.dropOldest()
        if (dropped === undefined) return lost + 1
        lost += dropped
      }
      log.appendOne(draft.lane, draft.body)
      kept.logged += 1
      return lost
    } catch {
      return lost + this.remember(kept, draft)
    }
  }

  /** Drops the oldest records of a file; answers how many there were, undefined where there is none. */
  private dropOldest(): number | undefined {
    for (const kept of this.agents.values()) {
      const dropped = kept.log?.dropOldest()
      if (dropped === undefined) continue
      kept.logged -= dropped
      return dropped
    }
    return undefined
  }

  private remember(kept: Kept, draft: Draft): number {
    const size = draft.body.length
    let lost = 0
    while (this.memoryBytes + size > this.options.memoryBytes) {
      const oldest = this.oldestInMemory()
      if (oldest === undefined) return lost + 1
      this.memoryBytes -= oldest.body.length
      lost += 1
    }
    kept.memory.push(draft)
    this.memoryBytes += size
    return lost
  }

  private oldestInMemory(): Draft | undefined {
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
      for (const draft of kept.memory.splice(0)) {
        this.memoryBytes -= draft.body.length
        lost += this.write(agentId, kept, draft)
      }
    }
    return lost
  }

  /** True when the agent has another key than the one that was refused. */
  isDue(agentId: string, key: string | undefined): boolean {
    const kept = this.agents.get(agentId)
    return kept !== undefined && key !== undefined && key !== kept.key
  }

  /** Hands over what is kept of an agent. */
  release(agentId: string): Released {
    const kept = this.agents.get(agentId)
    this.agents.delete(agentId)
    for (const draft of kept?.memory ?? []) this.memoryBytes -= draft.body.length
    kept?.log?.finish()
    return { log: kept?.log, memory: kept?.memory ?? [] }
  }

  /** Gives up logs that others have taken. */
  forgetWhere(isGone: (log: WriteAheadLog) => boolean): void {
    for (const [agentId, kept] of this.agents) {
      const { log } = kept
      if (log === undefined || !isGone(log)) continue
      log.close()
      kept.log = undefined
      kept.logged = 0
      if (kept.memory.length === 0) this.agents.delete(agentId)
    }
  }
}
