/**
 * The file `agent` in a log's folder: the agents whose events there are to be signed, a JSON text a line, each written
 * before the first of its events that had a key.
 *
 * Who takes the log over signs with the keys of these agents, or leaves it alone: without a signature an organization
 * that demands one refuses the events, and another takes them as anybody's (EVENT-4).
 */
import { join } from "node:path"
import type { FileHandle, WriteAheadFiles } from "./WriteAheadFiles.ts"

const name = "agent"
/** So many agents are remembered as seen; more are asked about again. */
const mostSeen = 10_000
/** So many agents without a key are asked about again now and then. */
const mostKeyless = 1_000

const lineOf = (agentId: string): Buffer => Buffer.from(`${JSON.stringify(agentId)}\n`)

/** Names agents in a folder that has no such file. */
export const write = (files: WriteAheadFiles, folder: string, agents: ReadonlyArray<string>): void => {
  const file = files.open(join(folder, name), "update")
  try {
    files.writeAt(file, Buffer.concat(agents.map(lineOf)), 0)
  } finally {
    files.close(file)
  }
}

/** The agents that a folder names; a line that was torn stands before no event. */
export const read = (files: WriteAheadFiles, folder: string): ReadonlyArray<string> => {
  if (!files.list(folder).includes(name)) return []
  const file = files.open(join(folder, name), "read")
  try {
    const bytes = Buffer.alloc(files.size(file))
    return bytes
      .toString("utf8", 0, files.read(file, bytes, 0))
      .split("\n")
      .flatMap(agentIn)
  } finally {
    files.close(file)
  }
}

const agentIn = (line: string): ReadonlyArray<string> => {
  try {
    const agentId: unknown = JSON.parse(line)
    return typeof agentId === "string" ? [agentId] : []
  } catch {
    return []
  }
}

/** Names agents in the log that is written, once each; throws what the file system throws. */
export class WriteAheadAgents {
  private files: WriteAheadFiles
  private hasKey: (agentId: string) => boolean
  private folder: string | undefined
  private file: FileHandle | undefined
  private at = 0
  private named = new Set<string>()
  private seen = new Set<string>()
  private keyless = new Set<string>()
  private unsynced = false

  constructor(files: WriteAheadFiles, hasKey: (agentId: string) => boolean) {
    this.files = files
    this.hasKey = hasKey
  }

  /** A new log: whoever was named is named there. */
  begin(folder: string): void {
    this.close()
    this.folder = folder
    for (const agentId of this.named) this.line(agentId)
  }

  /** An event of this agent is about to be written. */
  note(agentId: string): void {
    if (this.seen.has(agentId)) return
    if (this.seen.size >= mostSeen) this.seen.clear()
    if (!this.name(agentId) && this.keyless.size < mostKeyless) this.keyless.add(agentId)
    this.seen.add(agentId)
  }

  /** Names those whose key came after their first event. */
  recheck(): void {
    for (const agentId of this.keyless) if (this.name(agentId)) this.keyless.delete(agentId)
  }

  private name(agentId: string): boolean {
    if (this.named.has(agentId)) return true
    if (!this.hasKey(agentId)) return false
    this.line(agentId)
    this.named.add(agentId)
    return true
  }

  private line(agentId: string): void {
    // Without a folder there is no log either: the next one names all.
    if (this.folder === undefined) return
    const line = lineOf(agentId)
    this.file ??= this.files.open(join(this.folder, name), "update")
    const written = this.files.writeAt(this.file, line, this.at)
    if (written !== line.length) throw new Error("wrote a part of an agent's name: the disk may be full")
    this.at += line.length
    this.unsynced = true
  }

  /** Waits, beside the program, until the names are on disk. */
  async settle(): Promise<void> {
    if (!this.unsynced || this.file === undefined) return
    this.unsynced = false
    await this.files.syncLater(this.file)
  }

  /** True when `settle` has something to do. */
  get needsSettling(): boolean {
    return this.unsynced
  }

  /** Closes the file; the next log begins another. */
  close(): void {
    const { file } = this
    this.folder = undefined
    this.file = undefined
    this.at = 0
    this.unsynced = false
    if (file === undefined) return
    try {
      this.files.close(file)
    } catch {
      // Nothing is written to it any more.
    }
  }
}
