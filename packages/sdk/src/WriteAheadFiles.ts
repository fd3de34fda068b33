/**
 * What the write-ahead log needs of a file system, all of it synchronous but for one `sync`: a record is in the
 * file when `publish` returns. Tests give one that fails, fills up, is slow or loses its tail.
 */
import * as fs from "node:fs"
import { promisify } from "node:util"
import { makeFolder } from "./internal/MakeFolder.ts"

/** An open file. */
export type FileHandle = number

/**
 * What the log does with files, synchronously but for `syncLater`; what cannot be done is thrown, as
 * `node:fs` does.
 */
export interface WriteAheadFiles {
  /** Milliseconds that only rise: how long a write took. */
  readonly elapsed: () => number
  /** Creates a folder, for its owner alone, and what it lies in. */
  readonly makeFolder: (path: string) => void
  /** Names in a folder. */
  readonly list: (path: string) => ReadonlyArray<string>
  /** `create`: a new file, for its owner alone; `update`: for reading and writing, made when it is not there. */
  readonly open: (path: string, mode: "create" | "update" | "read") => FileHandle
  /** Writes at the end of a file that was opened by `create`; answers how many bytes went in. */
  readonly append: (file: FileHandle, bytes: Uint8Array, length: number) => number
  readonly writeAt: (file: FileHandle, bytes: Uint8Array, position: number) => number
  readonly read: (file: FileHandle, into: Uint8Array, position: number) => number
  readonly size: (file: FileHandle) => number
  /** Waits until the contents are on disk. */
  readonly sync: (file: FileHandle) => void
  /** The same beside the program. */
  readonly syncLater: (file: FileHandle) => Promise<void>
  readonly close: (file: FileHandle) => void
  readonly remove: (path: string) => void
  readonly removeFolder: (path: string) => void
  readonly rename: (from: string, to: string) => void
  /** Moves a folder's time of change to now. */
  readonly touch: (path: string) => void
  /** How long ago a folder was touched, milliseconds. */
  readonly age: (path: string) => number
}

const fdatasync = promisify(fs.fdatasync)

/** The machine's own. Files have mode 0600, folders 0700. */
export const node: WriteAheadFiles = {
  elapsed: () => performance.now(),
  makeFolder,
  list: (path) => fs.readdirSync(path),
  open: (path, mode) => {
    const { O_RDWR, O_CREAT, O_RDONLY } = fs.constants
    const flags = mode === "create" ? "ax" : mode === "update" ? O_RDWR | O_CREAT : O_RDONLY
    return fs.openSync(path, flags, 0o600)
  },
  append: (file, bytes, length) => fs.writeSync(file, bytes, 0, length),
  writeAt: (file, bytes, position) => fs.writeSync(file, bytes, 0, bytes.length, position),
  read: (file, into, position) => fs.readSync(file, into, 0, into.length, position),
  size: (file) => fs.fstatSync(file).size,
  sync: (file) => fs.fdatasyncSync(file),
  syncLater: (file) => fdatasync(file),
  close: (file) => fs.closeSync(file),
  remove: (path) => fs.unlinkSync(path),
  removeFolder: (path) => fs.rmSync(path, { recursive: true, force: true }),
  rename: (from, to) => fs.renameSync(from, to),
  touch: (path) => {
    const now = Date.now() / 1000
    fs.utimesSync(path, now, now)
  },
  age: (path) => Date.now() - fs.statSync(path).mtimeMs
}
