/**
 * The file that remembers writes: frames of one time and the calls made at it,
 * each with its length and checksum. A frame that was cut off by a crash ends
 * the file: it is removed, and writing goes on from there.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { crc32 } from "node:zlib"
import { Effect } from "effect"
import type { Args, Journal } from "./Machine.ts"

const headerSize = 8

/** Length and checksum, then the time and the calls as JSON of byte strings. */
const encode = (now: number, calls: ReadonlyArray<Args>): Buffer => {
  const payload = Buffer.from(JSON.stringify([now, calls]), "latin1")
  const header = Buffer.alloc(headerSize)
  header.writeUInt32LE(payload.length, 0)
  header.writeUInt32LE(crc32(payload), 4)
  return Buffer.concat([header, payload])
}

type Apply = (now: number, calls: ReadonlyArray<Args>) => void

const isCalls = (value: unknown): value is ReadonlyArray<Args> =>
  Array.isArray(value) &&
  value.every((call) => Array.isArray(call) && call.every((arg) => typeof arg === "string"))

const applyFrame = (payload: Buffer, apply: Apply): boolean => {
  const frame: unknown = JSON.parse(payload.toString("latin1"))
  if (!Array.isArray(frame)) return false
  const [now, calls] = frame
  if (typeof now !== "number" || !isCalls(calls)) return false
  apply(now, calls)
  return true
}

/** Reads frames one at a time and answers where the last whole one ends. */
const replay = (file: number, apply: Apply): number => {
  const header = Buffer.alloc(headerSize)
  const { size } = Fs.fstatSync(file)
  let end = 0
  while (Fs.readSync(file, header, 0, headerSize, end) === headerSize) {
    const length = header.readUInt32LE(0)
    if (end + headerSize + length > size) break
    const payload = Buffer.alloc(length)
    Fs.readSync(file, payload, 0, length, end + headerSize)
    if (crc32(payload) !== header.readUInt32LE(4) || !applyFrame(payload, apply)) break
    end += headerSize + length
  }
  return end
}

/** A journal below this many bytes is not worth replacing. */
const smallest = 4 * 1024 * 1024

/** One frame per this many calls, so that no frame is as large as everything. */
const callsPerFrame = 1000

const framesOf = (now: number, calls: ReadonlyArray<Args>): ReadonlyArray<Buffer> =>
  Array.from({ length: Math.ceil(calls.length / callsPerFrame) }, (_, i) =>
    encode(now, calls.slice(i * callsPerFrame, (i + 1) * callsPerFrame))
  )

/** Writes a new file beside the old one and puts it in its place in one step. */
const replace = (path: string, now: number, calls: ReadonlyArray<Args>) => {
  const fresh = `${path}.new`
  const file = Fs.openSync(fresh, "w", 0o600)
  for (const frame of framesOf(now, calls)) Fs.writeSync(file, frame)
  Fs.fsyncSync(file)
  Fs.closeSync(file)
  Fs.renameSync(fresh, path)
}

const openFile = (path: string) => Fs.openSync(path, Fs.constants.O_RDWR | Fs.constants.O_CREAT, 0o600)

/** What a journal needs to know of the machine that it serves. */
export interface Journaled {
  readonly apply: Apply
  /** The calls that make what there is now, for a file that has grown. */
  readonly snapshot: () => ReadonlyArray<Args>
  readonly now: () => number
}

/** Replays what is whole, cuts off what is not, and makes the file small again when most of it is history. */
const restore = (path: string, { apply, snapshot, now }: Journaled) => {
  Fs.mkdirSync(Path.dirname(Path.resolve(path)), { recursive: true })
  const file = openFile(path)
  const end = replay(file, apply)
  const isTorn = Fs.fstatSync(file).size > end
  if (isTorn) Fs.ftruncateSync(file, end)
  Fs.closeSync(file)
  if (end > smallest) {
    const calls = snapshot()
    const size = calls.reduce(
      (sum, call) => sum + call.reduce((length, arg) => length + arg.length + 3, 2),
      0
    )
    if (size * 2 < end) replace(path, now(), calls)
  }
  return { isTorn }
}

/** Replays the file and appends to it from then on, until the scope closes. */
export const openJournal = Effect.fnUntraced(function* (path: string, journaled: Journaled) {
  const { isTorn } = yield* Effect.sync(() => restore(path, journaled))
  if (isTorn) yield* Effect.logWarning(`\`${path}\` ended in a write that was cut off; it was removed`)
  const file = yield* Effect.acquireRelease(
    Effect.sync(() => openFile(path)),
    (file) => Effect.sync(() => Fs.closeSync(file))
  )
  let position = Fs.fstatSync(file).size
  const journal: Journal = (now, calls) => {
    const frame = encode(now, calls)
    Fs.writeSync(file, frame, 0, frame.length, position)
    position += frame.length
  }
  return journal
})
