/**
 * The form of a write-ahead segment, as functions over bytes.
 *
 * ```
 * segment = header record*
 * header  = "AGIONWAL" length(u32) JSON crc32(u32)          JSON: version, producer, epoch, first, salt?, check?
 * record  = length(u32) crc32(u32) lane(u8) index(u48) body length and crc cover lane, index and body
 * ```
 *
 * The index rises by one from record to record: `scan` finds its way behind a bad one by it, and knows how many
 * are missing. With a key a body is AES-256-GCM under a key of the segment's own (HKDF over its salt), the index
 * is the nonce, lane and index are authenticated: no nonce is ever used twice, and no record moves.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto"
import { crc32 } from "node:zlib"

/** What a segment says of itself. */
export interface SegmentHeader {
  /** Higher: a later version wrote it, and what follows may have another form. */
  readonly version: number
  /** The installation that wrote it. */
  readonly producer: string
  /** The start of that installation that wrote it. */
  readonly epoch: string
  /** Index of its first record. */
  readonly first: number
  /** With a key: hex, what its key is derived with, and by which another key is told. */
  readonly salt?: string
  readonly check?: string
}

/** The version of what this module writes, and the highest that it reads. */
export const version = 1

/** Bytes before a record's body. */
const recordHead = 15
/** A body is at most this long. */
const maxBody = 16 * 1024 * 1024
const tagBytes = 16
const magic = Buffer.from("AGIONWAL", "latin1")

/** A segment's key. */
export interface SegmentKey {
  readonly salt: string
  readonly check: string
  readonly key: Uint8Array
}

/** The key of a segment with this salt; a new salt for a new segment. */
export const segmentKey = (secret: string, salt = randomBytes(16).toString("hex")): SegmentKey => {
  const derived = Buffer.from(hkdfSync("sha256", secret, Buffer.from(salt, "hex"), "agion write-ahead", 40))
  return { salt, check: derived.toString("hex", 32), key: derived.subarray(0, 32) }
}

/** A header as it stands at the beginning of a segment. */
export const encodeHeader = (header: SegmentHeader): Buffer => {
  const json = Buffer.from(JSON.stringify(header))
  const bytes = Buffer.alloc(magic.length + 8 + json.length)
  magic.copy(bytes)
  bytes.writeUInt32BE(json.length, 8)
  json.copy(bytes, 12)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 12 + json.length)), 12 + json.length)
  return bytes
}

/** The header and where the records begin; undefined when there is none that can be believed. */
export const decodeHeader = (
  bytes: Buffer
): { readonly header: SegmentHeader; readonly end: number } | undefined => {
  if (bytes.length < 16 || !bytes.subarray(0, 8).equals(magic)) return undefined
  const end = 12 + bytes.readUInt32BE(8)
  if (end > 4096 || end + 4 > bytes.length) return undefined
  if (bytes.readUInt32BE(end) !== crc32(bytes.subarray(0, end))) return undefined
  const header: SegmentHeader = JSON.parse(bytes.toString("utf8", 12, end))
  return { header, end: end + 4 }
}

/** How many bytes a body may need inside a record. */
export const recordBound = (body: string): number =>
  recordHead + tagBytes + (body.length < 16_384 ? body.length * 3 : Buffer.byteLength(body))

/** Writes a record into `into` (which has `recordBound` bytes left) at `at`; answers where it ends. */
export const encodeRecord = (
  into: Buffer,
  at: number,
  record: { readonly lane: number; readonly index: number; readonly body: string },
  key: SegmentKey | undefined
): number => {
  const start = at + recordHead
  into.writeUInt8(record.lane, at + 8)
  into.writeUIntBE(record.index, at + 9, 6)
  let end = start + into.write(record.body, start, "utf8")
  if (key !== undefined) {
    const cipher = createCipheriv("aes-256-gcm", key.key, nonce(record.index))
    cipher.setAAD(into.subarray(at + 8, start))
    const sealed = cipher.update(into.subarray(start, end))
    cipher.final()
    sealed.copy(into, start)
    end += cipher.getAuthTag().copy(into, end)
  }
  into.writeUInt32BE(end - at - 8, at)
  into.writeUInt32BE(crc32(into.subarray(at + 8, end)), at + 4)
  return end
}

const nonce = (index: number): Buffer => {
  const bytes = Buffer.alloc(12)
  bytes.writeUIntBE(index, 6, 6)
  return bytes
}

/** A record as it was found. */
export interface FoundRecord {
  readonly lane: number
  readonly index: number
  readonly body: string
  /** Bytes that it takes in the segment. */
  readonly bytes: number
}

/** A record whose text is read when somebody asks: a segment holds very many, and few are wanted at a time. */
class Unread implements FoundRecord {
  readonly lane: number
  readonly index: number
  readonly bytes: number
  private from: Buffer
  private start: number

  constructor(from: Buffer, at: number, bytes: number) {
    this.lane = from.readUInt8(at + 8)
    this.index = from.readUIntBE(at + 9, 6)
    this.bytes = bytes
    this.from = from
    this.start = at + recordHead
  }

  get body(): string {
    return this.from.toString("utf8", this.start, this.start - recordHead + this.bytes)
  }
}

/** What a segment holds; its records are good for as long as its bytes are. */
export interface Scan {
  readonly records: ReadonlyArray<FoundRecord>
  /** Stretches that are no record, with good ones behind them. */
  readonly bad: ReadonlyArray<{ readonly from: number; readonly to: number }>
  /** Records that stood in them, by the indexes that are missing. */
  readonly lost: number
  /** Where the last good record ends: what is behind was never finished. */
  readonly end: number
}

/** Reads the records from `at` on, the first of them with index `first`. */
export const scan = (bytes: Buffer, at: number, first: number, key: SegmentKey | undefined): Scan => {
  const records: Array<FoundRecord> = []
  const bad: Array<{ from: number; to: number }> = []
  let lost = 0
  let end = at
  let next = first
  while (end < bytes.length) {
    const found = findRecord(bytes, end, next, key)
    if (found === undefined) break
    if (found.at > end) bad.push({ from: end, to: found.at })
    lost += found.record.index - next
    records.push(found.record)
    end = found.at + found.record.bytes
    next = found.record.index + 1
  }
  return { records, bad, lost, end }
}

/** The first good record at `from` or behind it, with an index of `next` or more. */
const findRecord = (bytes: Buffer, from: number, next: number, key: SegmentKey | undefined) => {
  for (let at = from; at + recordHead <= bytes.length; at++) {
    const record = readRecord(bytes, at, next, key)
    if (record !== undefined) return { at, record }
  }
  return undefined
}

const readRecord = (
  bytes: Buffer,
  at: number,
  next: number,
  key: SegmentKey | undefined
): FoundRecord | undefined => {
  const length = bytes.readUInt32BE(at)
  if (length < 7 || length > maxBody || at + 8 + length > bytes.length) return undefined
  const index = bytes.readUIntBE(at + 9, 6)
  // Nothing stands further on than the bytes in between have room for.
  if (index < next || index - next > bytes.length / recordHead) return undefined
  const end = at + 8 + length
  if (bytes.readUInt32BE(at + 4) !== crc32(bytes.subarray(at + 8, end))) return undefined
  if (key === undefined) return new Unread(bytes, at, end - at)
  const body = open(bytes, at, end, index, key)
  if (body === undefined) return undefined
  return { lane: bytes.readUInt8(at + 8), index, body: body.toString("utf8"), bytes: end - at }
}

const open = (bytes: Buffer, at: number, end: number, index: number, key: SegmentKey): Buffer | undefined => {
  if (end - at < recordHead + tagBytes) return undefined
  const decipher = createDecipheriv("aes-256-gcm", key.key, nonce(index))
  decipher.setAAD(bytes.subarray(at + 8, at + recordHead))
  decipher.setAuthTag(bytes.subarray(end - tagBytes, end))
  const body = decipher.update(bytes.subarray(at + recordHead, end - tagBytes))
  try {
    decipher.final()
    return body
  } catch {
    return undefined
  }
}
