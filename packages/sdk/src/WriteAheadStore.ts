/**
 * The write-ahead log with its moods: in the file while the disk takes writes, in memory while it does not.
 *
 * A write that takes longer than 50 ms, or fails, or finds no room, turns it to memory. It is tried again after a
 * tenth of a second where it was slow (perhaps only the machine was busy), else after a second, and after twice as
 * long each time that this comes soon after the last. Nothing here throws (EVENT-1, EVENT-2).
 */
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { codeOf } from "./internal/MakeFolder.ts"
import { type Draft, probe, WriteAheadLog } from "./WriteAhead.ts"
import * as Agents from "./WriteAheadAgents.ts"
import type { WriteAheadFiles } from "./WriteAheadFiles.ts"
import * as Folder from "./WriteAheadFolder.ts"
import { WriteAheadRefused } from "./WriteAheadRefused.ts"

/** Where durable events are. */
export interface Storage {
  readonly mode: "file" | "memory"
  /** Undefined when none was wanted. */
  readonly directory: string | undefined
  /** Why it is memory; empty with a file. */
  readonly reason: string
}

export interface StoreOptions {
  readonly files: WriteAheadFiles
  /** Undefined: memory only. */
  readonly directory: string | undefined
  readonly epoch: string
  readonly secret: string | undefined
  readonly syncEach: boolean
  /** Bytes of all segments, ours, those taken over and those that are left alone. */
  readonly diskBytes: number
  readonly segmentBytes: number | undefined
  /** Whether a record's body is of a kind that this version reads. */
  readonly knows?: (body: string) => boolean
  /** Whether there is a key that signs an agent's events; left out: none are signed. */
  readonly hasKey?: (agentId: string) => boolean
  /** Bytes of refused events while there is no file. */
  readonly refusedMemoryBytes: number
}

/** A log of an earlier start that is left alone: the keys that sign its events are not here. */
export interface LeftAlone {
  readonly folder: string
  readonly agents: ReadonlyArray<string>
  /** As it was left: nobody writes there. */
  readonly bytes: number
}

/** The part of the disk that logs which are left alone count for at most: this agent has events to keep, too. */
const leftAloneShare = 0.5

/** The part of the disk that refused events may use. */
const refusedShare = 0.5

/** When the file is tried again: after its pause; with a slow disk at any time; at any time, since there is no other. */
type Resuming = "in time" | "slow too" | "last"

/** What a system says of a folder that is not there. */
const gone = new Set(["ENOENT", "ENOTDIR", "ESTALE"])

/** The longest that one write may take, milliseconds. */
const slowWriteMillis = 50
const slowPauseMillis = 100
const failedPauseMillis = 1_000
const longestPauseMillis = 30_000
/** So long without trouble, and pauses are short again. */
const calmMillis = 10_000

export class WriteAheadStore {
  /** The installation, or this start of it when there is no folder to remember it in. */
  producer: string
  /** Logs of earlier starts, the oldest first. */
  readonly left: Array<WriteAheadLog> = []
  /** Logs of earlier starts that wait for their agents' keys. */
  leftAlone: ReadonlyArray<LeftAlone> = []
  /** Bytes in them. Each event that is kept asks, and there may be many. */
  leftAloneBytes = 0
  /** The agents of those that were left alone when it was last looked, by folder. */
  private alone: ReadonlyMap<string, LeftAlone> = new Map()
  /** Agents of logs that were taken over whose events are to be signed, and whose key was not there. */
  readonly missing = new Set<string>()
  /** Events that were refused for their signature. */
  readonly refused: WriteAheadRefused
  /** What happened to the storage since it was last asked: a change of mode, for whoever tells. */
  changed = false
  private options: StoreOptions
  private log: WriteAheadLog | undefined
  private storage: Storage
  /** It is memory because the disk is slow; it takes writes nevertheless. */
  private slow = false
  private pauseMillis = 0
  private retryAt = 0
  private resumedAt = Number.NEGATIVE_INFINITY
  private touchedAt = 0
  private lostRecords = 0
  private lostStretches = 0
  private setAside = 0
  /** Bytes in other logs than the one that is written; undefined: to be summed up again. */
  private elsewhere: number | undefined
  private agents: Agents.WriteAheadAgents | undefined

  constructor(options: StoreOptions) {
    this.options = options
    const { files, hasKey } = options
    this.agents = hasKey === undefined ? undefined : new Agents.WriteAheadAgents(files, hasKey)
    this.refused = new WriteAheadRefused({
      open: (agentId, signed) => this.beside(agentId, signed),
      room: () => Math.min(this.bound * refusedShare, this.bound - this.bytes + this.refused.bytes),
      memoryBytes: options.refusedMemoryBytes,
      onResized: this.resized
    })
    this.producer = options.epoch
    const { directory } = options
    const reason = directory === undefined ? "no folder is configured" : ""
    this.storage = { mode: directory === undefined ? "memory" : "file", directory, reason }
    if (directory === undefined) return
    try {
      options.files.makeFolder(directory)
      Folder.sweepDrafts(options.files, directory)
      this.producer = Folder.producerId(options.files, directory)
      this.log = this.begin(directory)
      this.takeOver()
    } catch (error) {
      this.toMemory(error)
    }
  }

  get state(): Storage {
    return this.storage
  }

  /** The log that is written, if there is one. */
  get current(): WriteAheadLog | undefined {
    return this.log
  }

  /** Bytes in files of this process: its own, and those that it has taken over. */
  get bytes(): number {
    // Each event that is kept asks, and there may be a log for each of many agents.
    this.elsewhere ??= this.left.reduce((sum, log) => sum + log.bytes, this.refused.bytes)
    return this.elsewhere + (this.log?.bytes ?? 0)
  }

  /** How many bytes `bytes` may be. */
  private get bound(): number {
    const { diskBytes } = this.options
    return diskBytes - Math.min(this.leftAloneBytes, diskBytes * leftAloneShare)
  }

  private readonly resized = (): void => {
    this.elsewhere = undefined
  }

  /** Records that were in a file and could not be read. */
  get damage(): { readonly stretches: number; readonly records: number } {
    let { lostRecords: records, lostStretches: stretches } = this
    for (const log of this.left) {
      records += log.damage.records
      stretches += log.damage.stretches
    }
    return { records, stretches }
  }

  /** Records of earlier starts that a later version wrote, and that are kept for it. */
  get unknown(): number {
    return this.left.reduce((sum, log) => sum + log.unknown, this.setAside)
  }

  /** Logs that another key or a later version wrote. */
  get locked(): number {
    return this.left.filter((log) => log.locked).length
  }

  /**
   * Keeps a record; answers its index, or 0 when it is not in the file. `share` is the part of the disk that it may
   * use; `insist` waits for a slow disk.
   */
  appendOne(lane: number, body: string, share = 1, insist = false): number {
    if (!this.open(body.length, share, insist)) return 0
    return this.timed((log) => log.appendOne(lane, body))
  }

  /** Keeps all records with one write, or none; answers the index of the first, or 0. `insist` as above. */
  append(drafts: ReadonlyArray<Draft>, insist = false): number {
    const size = drafts.reduce((sum, draft) => sum + draft.body.length, 0)
    return this.open(size, 1, insist) ? this.timed((log) => log.append(drafts)) : 0
  }

  private open(size: number, share: number, insist: boolean): boolean {
    if (this.log === undefined) return false
    if (this.storage.mode === "memory" && !(insist && this.slow)) return false
    if (this.bytes + size <= this.bound * share) return true
    if (share === 1) this.toMemory(new Error(this.full))
    return false
  }

  private get full(): string {
    const { diskBytes } = this.options
    return this.leftAloneBytes === 0
      ? `${diskBytes} bytes are kept, which is the bound`
      : `${this.bound} bytes are kept, which is the bound of ${diskBytes} beside ${this.leftAloneBytes} that wait for the key of another agent`
  }

  private timed(write: (log: WriteAheadLog) => number): number {
    const { log } = this
    const { files } = this.options
    if (log === undefined) return 0
    const before = files.elapsed()
    try {
      const index = write(log)
      const took = files.elapsed() - before
      if (took > slowWriteMillis) {
        this.toMemory(new Error(`a write took ${Math.round(took)} ms`), true)
      }
      return index
    } catch (error) {
      this.toMemory(error)
      return 0
    }
  }

  private toMemory(error: unknown, slow = false): void {
    const now = this.options.files.elapsed()
    const first = slow ? slowPauseMillis : failedPauseMillis
    const again = now - this.resumedAt < calmMillis
    this.pauseMillis = again ? Math.min(longestPauseMillis, Math.max(first, this.pauseMillis * 2)) : first
    this.retryAt = now + this.pauseMillis
    this.changed = true
    this.slow = slow
    const reason = error instanceof Error ? error.message : String(error)
    this.storage = { mode: "memory", directory: this.options.directory, reason }
  }

  /** True when it is memory and time to try the file again. */
  get isDue(): boolean {
    return this.mayResume("in time")
  }

  private mayResume(when: Resuming): boolean {
    const { bound } = this
    const { directory, files } = this.options
    if (this.storage.mode === "file" || directory === undefined) return false
    if (when === "last") return this.bytes < bound
    const isTime = files.elapsed() >= this.retryAt || (when === "slow too" && this.slow)
    return isTime && this.bytes < bound * 0.9
  }

  /**
   * When it may be: tries the file again, keeps what is in memory, all of it with one write, and answers the
   * index of the first; 0 when it may not be, or failed.
   */
  resume(drafts: () => ReadonlyArray<Draft>, when: Resuming = "in time"): number {
    const { directory, files } = this.options
    if (directory === undefined || !this.mayResume(when)) return 0
    try {
      if (this.log === undefined) {
        files.makeFolder(directory)
        this.log = this.begin(directory)
      }
    } catch (error) {
      this.toMemory(error)
      return 0
    }
    this.storage = { mode: "file", directory, reason: "" }
    this.resumedAt = files.elapsed()
    this.changed = true
    const kept = drafts()
    const index = this.timed((log) => log.append(kept.length === 0 ? [probe] : kept))
    return kept.length === 0 ? 0 : index
  }

  private begin(directory: string): WriteAheadLog {
    const log = this.create(directory, this.options.epoch, this.options.segmentBytes)
    this.agents?.begin(log.folder)
    return log
  }

  private create(directory: string, epoch: string, segmentBytes: number | undefined): WriteAheadLog {
    const { files, secret, syncEach } = this.options
    const folder = join(directory, Folder.logName(epoch, Folder.thisProcess()))
    files.makeFolder(folder)
    const bound = segmentBytes === undefined ? {} : { segmentBytes }
    return WriteAheadLog.create({ files, folder, producer: this.producer, epoch, secret, syncEach, ...bound })
  }

  /** A log for what was refused of an agent, small enough in its segments to lose the oldest by themselves. */
  private beside(agentId: string, signed: boolean): WriteAheadLog | undefined {
    const { diskBytes, directory, files, segmentBytes } = this.options
    if (directory === undefined || this.storage.mode === "memory") return undefined
    const segment = Math.min(segmentBytes ?? 4_194_304, Math.max(1, (diskBytes * refusedShare) / 16))
    const log = this.create(directory, randomUUID(), segment)
    if (signed) Agents.write(files, log.folder, [agentId])
    return log
  }

  /** An event of this agent is about to be kept: whether it is signed must be known to who takes the log over. */
  noteAgent(agentId: string): void {
    if (this.agents === undefined) return
    try {
      this.agents.note(agentId)
    } catch (error) {
      this.toMemory(error)
    }
  }

  /** Names agents whose key has come since. */
  recheckAgents(): void {
    try {
      this.agents?.recheck()
    } catch (error) {
      this.toMemory(error)
    }
  }

  private mayTake(folder: string): boolean {
    const { files, hasKey = () => false } = this.options
    // Nobody writes there any more.
    const known = this.alone.get(folder)
    const agents = known?.agents ?? Agents.read(files, folder)
    const missing = agents.filter((agentId) => !hasKey(agentId))
    if (agents.length > 0 && missing.length === agents.length) {
      const bytes = known?.bytes ?? Folder.bytesIn(files, folder)
      this.leftAlone = [...this.leftAlone, { folder, agents, bytes }]
      this.leftAloneBytes += bytes
      return false
    }
    for (const agentId of missing) this.missing.add(agentId)
    return true
  }

  /** Takes over the logs of processes that are gone; answers those that are new. */
  takeOver(): ReadonlyArray<WriteAheadLog> {
    const { directory } = this.options
    if (directory === undefined) return []
    this.alone = new Map(this.leftAlone.map((log) => [log.folder, log]))
    this.leftAlone = []
    this.leftAloneBytes = 0
    const fresh = this.adopted(directory)
    this.left.push(...fresh)
    this.resized()
    if (this.leftAlone.length !== this.alone.size) this.changed = true
    return fresh
  }

  private adopted(directory: string): ReadonlyArray<WriteAheadLog> {
    const { files, knows, secret, syncEach } = this.options
    const { producer } = this
    const known = knows === undefined ? {} : { knows }
    try {
      return Folder.adopt(files, directory, (folder) => this.mayTake(folder)).flatMap(({ epoch, name }) => {
        const folder = join(directory, name)
        try {
          return WriteAheadLog.open({ files, folder, producer, epoch, secret, syncEach, ...known })
        } catch {
          // One that cannot be read is left for a person, and for the next start; the others are not.
          return []
        }
      })
    } catch {
      return []
    }
  }

  /** True when a key has come for which a log was left alone. */
  get isKeyHere(): boolean {
    const { hasKey = () => false } = this.options
    return this.leftAlone.some(({ agents }) => agents.some(hasKey))
  }

  /** Writes down what was acknowledged; removes what is done. */
  checkpoint(): void {
    this.resized()
    try {
      this.log?.checkpoint()
      for (const log of [...this.left]) {
        log.checkpoint()
        if (log.done) this.discard(log)
      }
    } catch (error) {
      // Not written down means sent again by the next start, which changes nothing.
      if (this.storage.mode === "file") this.toMemory(error)
    }
  }

  /** Sends again what was refused of an agent; answers what of it was in memory, and the log that is to be read. */
  release(agentId: string): ReturnType<WriteAheadRefused["release"]> {
    const released = this.refused.release(agentId)
    if (released.log !== undefined) this.left.push(released.log)
    this.resized()
    return released
  }

  private discard(log: WriteAheadLog): void {
    const at = this.left.indexOf(log)
    if (at < 0) return
    this.left.splice(at, 1)
    this.resized()
    this.lostRecords += log.damage.records
    this.lostStretches += log.damage.stretches
    log.close()
    this.setAside += log.unknown
    if (log.done) this.options.files.removeFolder(log.folder)
  }

  /** True when `settle` has something to do. */
  needsSettling(sync: boolean): boolean {
    return (sync && this.agents?.needsSettling === true) || this.logs.some((log) => log.needsSettling(sync))
  }

  /** Waits, beside the program, for the disk where that is wanted, and removes what is done. */
  async settle(sync: boolean): Promise<void> {
    try {
      if (sync) await this.agents?.settle()
      for (const log of this.logs) await log.settle(sync)
    } catch (error) {
      this.toMemory(error)
    } finally {
      this.resized()
    }
  }

  private get logs(): ReadonlyArray<WriteAheadLog> {
    return [...this.left, ...this.refused.logs, ...(this.log === undefined ? [] : [this.log])]
  }

  /** Gives a log up, because another machine has taken it; of the one that is written the next `resume` begins another. */
  private forsake(log: WriteAheadLog): void {
    log.close()
    if (log !== this.log) {
      this.left.splice(this.left.indexOf(log), 1)
      this.lostRecords += log.damage.records
      this.lostStretches += log.damage.stretches
      this.resized()
      return
    }
    this.log = undefined
    this.toMemory(new Error("another machine has taken the folder over"))
    this.retryAt = 0
  }

  /** A sign of life for other machines; answers the logs that they have taken, each of which is given up. */
  touch(): ReadonlyArray<WriteAheadLog> {
    const now = this.options.files.elapsed()
    if (now - this.touchedAt < Folder.leaseMillis / 6) return []
    this.touchedAt = now
    this.refused.forgetWhere((log) => !this.isTouched(log))
    const ours = this.log === undefined ? this.left : [this.log, ...this.left]
    const taken = ours.filter((log) => !this.isTouched(log))
    for (const log of taken) this.forsake(log)
    return taken
  }

  /** False when its folder is not there any more; one that cannot be touched, as on a read-only disk, still is. */
  private isTouched(log: WriteAheadLog): boolean {
    try {
      this.options.files.touch(log.folder)
      return true
    } catch (error) {
      return !gone.has(codeOf(error))
    }
  }

  /** Closes the files; what is done is removed, the rest is left to the next start. */
  close(): void {
    const { directory, files } = this.options
    this.checkpoint()
    this.agents?.close()
    for (const log of this.logs) {
      log.close()
      try {
        if (log.done) files.removeFolder(log.folder)
        else if (directory !== undefined)
          files.rename(log.folder, join(directory, Folder.logName(log.epoch, Folder.nobody)))
      } catch {
        // The next start finds it by its owner's absence.
      }
    }
    this.log = undefined
    this.left.length = 0
  }
}
