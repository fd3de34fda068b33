/** A file system in memory that can be full, broken, slow, or lose what was not synced. */
import type { FileHandle, WriteAheadFiles } from "../src/WriteAheadFiles.ts"

interface File {
  bytes: Buffer
  synced: number
}

const failure = (code: string) => Object.assign(new Error(`${code}: injected`), { code })

export class MemoryFiles implements WriteAheadFiles {
  readonly entries = new Map<string, File>()
  readonly folders = new Set<string>()
  readonly opened = new Map<FileHandle, { readonly path: string; readonly file: File }>()
  /** Bytes that fit in all files. */
  capacity = Number.POSITIVE_INFINITY
  /** Code with which every write fails. */
  broken: string | undefined
  /** Milliseconds that a write takes. */
  writeMillis = 0
  /** So many times a file cannot be opened for reading. */
  failReads = 0
  /** The next wait for the disk fails. */
  failSync = false
  writes = 0
  /** Bytes read of all files. */
  readBytes = 0
  syncs = 0
  clock = 0
  private next = 3

  elapsed = () => this.clock

  makeFolder = (path: string) => {
    if (this.broken !== undefined) throw failure(this.broken)
    this.folders.add(path)
  }

  list = (path: string): ReadonlyArray<string> => {
    const names = new Set<string>()
    for (const known of [...this.entries.keys(), ...this.folders]) {
      if (known.startsWith(`${path}/`)) names.add(known.slice(path.length + 1).split("/")[0] ?? "")
    }
    return [...names]
  }

  open = (path: string, mode: "create" | "update" | "read"): FileHandle => {
    const known = this.entries.get(path)
    if (mode === "create" && known !== undefined) throw failure("EEXIST")
    if (mode === "read" && known === undefined) throw failure("ENOENT")
    if (mode === "read" && path.endsWith(".wal") && this.failReads > 0) {
      this.failReads -= 1
      throw failure("EMFILE")
    }
    if (mode !== "read" && this.broken !== undefined) throw failure(this.broken)
    const file = known ?? { bytes: Buffer.alloc(0), synced: 0 }
    this.entries.set(path, file)
    this.next += 1
    this.opened.set(this.next, { path, file })
    return this.next
  }

  get used(): number {
    let used = 0
    for (const file of this.entries.values()) used += file.bytes.length
    return used
  }

  append = (handle: FileHandle, bytes: Uint8Array, length: number): number => {
    this.writes += 1
    this.clock += this.writeMillis
    if (this.broken !== undefined) throw failure(this.broken)
    const file = this.at(handle)
    const room = Math.max(0, this.capacity - this.used)
    if (room === 0 && length > 0) throw failure("ENOSPC")
    const fits = Math.min(length, room)
    file.bytes = Buffer.concat([file.bytes, bytes.subarray(0, fits)])
    return fits
  }

  writeAt = (handle: FileHandle, bytes: Uint8Array, position: number): number => {
    if (this.broken !== undefined) throw failure(this.broken)
    const file = this.at(handle)
    const size = Math.max(file.bytes.length, position + bytes.length)
    const grown = Buffer.alloc(size)
    file.bytes.copy(grown)
    grown.set(bytes, position)
    file.bytes = grown
    return bytes.length
  }

  read = (handle: FileHandle, into: Uint8Array, position: number): number => {
    const part = this.at(handle).bytes.subarray(position, position + into.length)
    into.set(part)
    this.readBytes += part.length
    return part.length
  }

  size = (handle: FileHandle): number => this.at(handle).bytes.length

  sync = (handle: FileHandle) => {
    this.syncs += 1
    if (this.broken !== undefined) throw failure(this.broken)
    if (this.failSync) {
      this.failSync = false
      throw failure("EIO")
    }
    const file = this.at(handle)
    file.synced = file.bytes.length
  }

  syncLater = async (handle: FileHandle) => this.sync(handle)

  close = (handle: FileHandle) => {
    if (!this.opened.delete(handle)) throw failure("EBADF")
  }

  remove = (path: string) => {
    if (!this.entries.delete(path)) throw failure("ENOENT")
  }

  removeFolder = (path: string) => {
    this.folders.delete(path)
    for (const known of [...this.entries.keys()]) if (known.startsWith(`${path}/`)) this.entries.delete(known)
  }

  rename = (from: string, to: string) => {
    let found = this.folders.delete(from)
    if (found) this.folders.add(to)
    for (const [path, file] of [...this.entries]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue
      found = true
      this.entries.delete(path)
      this.entries.set(`${to}${path.slice(from.length)}`, file)
    }
    if (!found) throw failure("ENOENT")
  }

  touch = (path: string) => {
    if (!this.folders.has(path)) throw failure("ENOENT")
  }

  age = () => 0

  /** What the next process finds: every written byte, or after a crash of the machine only what was synced. */
  crash(machine = false): MemoryFiles {
    const next = new MemoryFiles()
    for (const folder of this.folders) next.folders.add(folder)
    for (const [path, file] of this.entries) {
      const bytes = Buffer.from(machine ? file.bytes.subarray(0, file.synced) : file.bytes)
      next.entries.set(path, { bytes, synced: bytes.length })
    }
    return next
  }

  private at(handle: FileHandle): File {
    const opened = this.opened.get(handle)
    if (opened === undefined) throw failure("EBADF")
    return opened.file
  }
}
