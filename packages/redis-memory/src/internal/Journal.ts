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

export type { Journal } from "./Machine.ts"

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

/** Replays the file, cuts off what is not whole, and appends from then on until the scope closes. */
export const openJournal = Effect.fnUntraced(function* (path: string, apply: Apply) {
  const file = yield* Effect.acquireRelease(
    Effect.sync(() => {
      Fs.mkdirSync(Path.dirname(Path.resolve(path)), { recursive: true })
      return Fs.openSync(path, Fs.constants.O_RDWR | Fs.constants.O_CREAT, 0o600)
    }),
    (file) => Effect.sync(() => Fs.closeSync(file))
  )
  const end = yield* Effect.sync(() => replay(file, apply))
  let position = end
  if (Fs.fstatSync(file).size > end) {
    yield* Effect.logWarning(`\`${path}\` ended in a write that was cut off; it was removed`)
    Fs.ftruncateSync(file, end)
  }
  const journal: Journal = (now, calls) => {
    const frame = encode(now, calls)
    Fs.writeSync(file, frame, 0, frame.length, position)
    position += frame.length
  }
  return journal
})
