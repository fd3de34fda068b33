/**
 * A write-ahead log: one folder of segments, written by one process, read by it or by whoever takes it over.
 *
 * Records have a lane and an index that rises by one over all lanes. A lane is read in order and acknowledged in
 * order, so that one number a lane says what is done: it is kept in the file `ack` (two slots, written in turn;
 * a torn one leaves the other). A segment is removed when all of its records are acknowledged and that
 * number is on disk.
 *
 * **Gotchas**: everything here is synchronous and throws what the file system throws; `WriteAheadStore` turns that
 * into a state. After a failed write the segment is closed for good: the next record begins a new one.
 */
import { join } from "node:path"
import { crc32 } from "node:zlib"
import type { FileHandle, WriteAheadFiles } from "./WriteAheadFiles.ts"
import * as Segment from "./WriteAheadSegment.ts"

/** How many lanes a log has. */
const lanes = 3
/** A record that stands in lanes 0 and 1 at once: each of them acknowledges it. */
export const bothLanes = 3
/** A record that means nothing: it finds out whether the disk takes any. */
export const probe: Draft = { lane: 7, body: "" }

export interface WriteAheadOptions {
  readonly files: WriteAheadFiles
  readonly folder: string
  readonly producer: string
  readonly epoch: string
  /** Encrypts bodies. */
  readonly secret: string | undefined
  /** A segment ends with the record that makes it this long. Default: 4 MiB. */
  readonly segmentBytes?: number
  /** Wait for the disk after each write. */
  readonly syncEach: boolean
  /** Whether a record's body is of a kind that this version reads; a segment with others is kept. Default: all are. */
  readonly knows?: (body: string) => boolean
}

/** A record to append. */
export interface Draft {
  readonly lane: number
  readonly body: string
}

/** What a read found. */
export interface ReadResult {
  readonly records: ReadonlyArray<Segment.FoundRecord>
  /** Where to read on. */
  readonly next: number
  /** Nothing is behind that now. */
  readonly done: boolean
}

/** What could not be read. */
export interface Damage {
  /** Stretches set aside. */
  readonly stretches: number
  /** Records that were in them. */
  readonly records: number
}

interface SegmentInfo {
  readonly path: string
  readonly first: number
  /** Index of its last record, 0 while unknown. */
  last: number
  bytes: number
  /** The last index of each lane; undefined while unknown. */
  lastByLane: Array<number> | undefined
  /** What is wrong with it was counted. */
  inspected: boolean
  /** Records in it of kinds that this version does not know. */
  unknown: number
}

/** The records of a segment as far as it was read; one that is being written is read on from there. */
interface Parsed {
  readonly segment: SegmentInfo
  readonly key: Segment.SegmentKey | undefined
  readonly records: Array<Segment.FoundRecord>
  /** What its first records are read from. */
  readonly from: Buffer
  /** How long the segment was when it was read. */
  bytes: number
  /** Where the last record ends. */
  end: number
  /** The index behind the last record's. */
  next: number
}

const standsIn = (record: number, lane: number): boolean =>
  record === lane || (record === bothLanes && lane <= 1)

/** Where the first record with this index or a later one stands. */
const positionOf = (records: ReadonlyArray<Segment.FoundRecord>, index: number): number => {
  let low = 0
  let high = records.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((records[middle]?.index ?? index) < index) low = middle + 1
    else high = middle
  }
  return low
}

/** Notes that a record is the last of its lanes so far. */
const note = (lastByLane: Array<number>, lane: number, index: number): void => {
  if (lane < lanes) lastByLane[lane] = index
  if (lane !== bothLanes) return
  lastByLane[0] = index
  lastByLane[1] = index
}

const segmentName = (first: number): string => `${String(first).padStart(15, "0")}.wal`

const nothing: Buffer = Buffer.alloc(0)

export class WriteAheadLog {
  readonly folder: string
  /** The start that wrote it. */
  readonly epoch: string
  /** Bytes of all segments. */
  bytes = 0
  /** Written with a key that is not ours, or in a later form: nothing can be read, nothing is removed. */
  locked = false
  /** Records that a later version wrote, so far; their segments are put into `quarantine` when they are done. */
  unknown = 0
  private options: WriteAheadOptions
  private files: WriteAheadFiles
  private segments: Array<SegmentInfo> = []
  private current: { readonly file: FileHandle; readonly info: SegmentInfo } | undefined
  private key: Segment.SegmentKey | undefined
  private nextIndex = 1
  private marks: Array<number> = Array.from({ length: lanes }, () => 0)
  private generation = 0
  private ackFile: FileHandle | undefined
  private ackDirty = false
  /** None where nothing is written: a log that is only read, or one of many that are kept beside. */
  private scratch = nothing
  private parsed: Array<Parsed | undefined> = []
  /** Room for the bytes of a segment that no lane reads any more. */
  private spare: Buffer = Buffer.alloc(0)
  private damageStretches = 0
  private damageRecords = 0
  private unsynced = false
  /** Segments that are full, and perhaps not on disk yet. */
  private retiring: Array<FileHandle> = []

  /** An empty log in a folder that is there already. */
  static create(options: WriteAheadOptions): WriteAheadLog {
    return new WriteAheadLog(options)
  }

  /** A log that was written before, for reading only. */
  static open(options: WriteAheadOptions): WriteAheadLog {
    const log = new WriteAheadLog(options)
    log.load()
    return log
  }

  private constructor(options: WriteAheadOptions) {
    this.options = options
    this.files = options.files
    this.folder = options.folder
    this.epoch = options.epoch
  }

  /** Index that the next record will have. */
  get next(): number {
    return this.nextIndex
  }

  /** What could not be read so far. */
  get damage(): Damage {
    return { stretches: this.damageStretches, records: this.damageRecords }
  }

  /** Appends all drafts in one write; answers the index of the first. Throws when they may not be in the file. */
  append(drafts: ReadonlyArray<Draft>): number {
    const current = this.current ?? this.begin()
    let size = 0
    for (const draft of drafts) size += Segment.recordBound(draft.body)
    this.reserve(size)
    const first = this.nextIndex
    let end = 0
    for (const [i, draft] of drafts.entries()) {
      const record = { lane: draft.lane, index: first + i, body: draft.body }
      end = Segment.encodeRecord(this.scratch, end, record, this.key)
    }
    this.write(current.file, end)
    this.took(current.info, drafts, end)
    return first
  }

  /** The same for one record, without an array. */
  appendOne(lane: number, body: string): number {
    const current = this.current ?? this.begin()
    const size = Segment.recordBound(body)
    this.reserve(size)
    const index = this.nextIndex
    const end = Segment.encodeRecord(this.scratch, 0, { lane, index, body }, this.key)
    this.write(current.file, end)
    this.nextIndex = index + 1
    const info = current.info
    info.last = index
    info.bytes += end
    this.bytes += end
    if (info.lastByLane !== undefined) note(info.lastByLane, lane, index)
    if (info.bytes >= (this.options.segmentBytes ?? 4_194_304)) this.finish()
    return index
  }

  /** Room for what one call writes; a large one's is given back with the next. */
  private reserve(size: number): void {
    if (this.scratch.length < size || (this.scratch.length > 1_048_576 && size < 65_536))
      this.scratch = Buffer.allocUnsafe(Math.max(size, 65_536))
  }

  private took(info: SegmentInfo, drafts: ReadonlyArray<Draft>, bytes: number): void {
    for (const draft of drafts) {
      if (info.lastByLane !== undefined) note(info.lastByLane, draft.lane, this.nextIndex)
      info.last = this.nextIndex
      this.nextIndex += 1
    }
    info.bytes += bytes
    this.bytes += bytes
    if (info.bytes >= (this.options.segmentBytes ?? 4_194_304)) this.finish()
  }

  private write(file: FileHandle, length: number): void {
    try {
      const written = this.files.append(file, this.scratch, length)
      if (written !== length) throw new Error(`wrote ${written} of ${length} bytes: the disk may be full`)
      this.unsynced = true
      if (this.options.syncEach) this.files.sync(file)
    } catch (error) {
      // What is behind the last good record is never read; a record that did get in has an index that comes again
      // in the next segment, so it is passed over there.
      this.finish()
      throw error
    }
  }

  private begin(): { readonly file: FileHandle; readonly info: SegmentInfo } {
    const { producer, epoch, secret } = this.options
    const path = join(this.folder, segmentName(this.nextIndex))
    this.key = secret === undefined ? undefined : Segment.segmentKey(secret)
    const sealed = this.key === undefined ? {} : { salt: this.key.salt, check: this.key.check }
    const header = Segment.encodeHeader({
      version: Segment.version,
      producer,
      epoch,
      first: this.nextIndex,
      ...sealed
    })
    const file = this.openSegment(path)
    try {
      if (this.files.append(file, header, header.length) !== header.length)
        throw new Error("wrote a part of a header: the disk may be full")
    } catch (error) {
      this.quietly(() => this.files.close(file))
      this.quietly(() => this.files.remove(path))
      throw error
    }
    const info: SegmentInfo = {
      path,
      first: this.nextIndex,
      last: 0,
      bytes: header.length,
      lastByLane: Array.from({ length: lanes }, () => 0),
      inspected: false,
      unknown: 0
    }
    this.bytes += header.length
    this.segments.push(info)
    this.current = { file, info }
    return this.current
  }

  /** A segment that failed before its first record leaves a file by the same name. */
  private openSegment(path: string): FileHandle {
    const stale = this.segments.findIndex((segment) => segment.path === path)
    if (stale >= 0) {
      const [segment] = this.segments.splice(stale, 1)
      this.bytes -= segment?.bytes ?? 0
      this.files.remove(path)
    }
    return this.files.open(path, "create")
  }

  /** Ends the current segment; the next record begins a new one. No write waits for its way to the disk. */
  finish(): void {
    const current = this.current
    this.current = undefined
    this.scratch = nothing
    if (current === undefined) return
    if (this.unsynced && !this.options.syncEach) this.retiring.push(current.file)
    else this.quietly(() => this.files.close(current.file))
    this.unsynced = false
  }

  /** Removes the oldest segment, whatever was acknowledged; answers how many records this process wrote there. */
  dropOldest(): number | undefined {
    const [segment] = this.segments
    if (segment === undefined) return undefined
    if (segment === this.current?.info) this.finish()
    this.files.remove(segment.path)
    this.segments.shift()
    this.bytes -= segment.bytes
    return Math.max(0, segment.last - segment.first + 1)
  }

  /** True when `settle` has something to do. */
  needsSettling(sync: boolean): boolean {
    const dirty = sync && this.unsynced && this.current !== undefined
    return dirty || this.retiring.length > 0 || this.finished().length > 0
  }

  /** Waits, beside the program, until what was written is on disk, then removes what is done. */
  async settle(sync: boolean): Promise<void> {
    const full = this.retiring.splice(0)
    try {
      for (const file of full) if (sync) await this.files.syncLater(file)
      if (sync && this.unsynced && this.current !== undefined) {
        this.unsynced = false
        await this.files.syncLater(this.current.file)
      }
    } finally {
      for (const file of full) this.quietly(() => this.files.close(file))
    }
    const done = this.finished()
    if (done.length === 0) return
    if (this.ackFile !== undefined) await this.files.syncLater(this.ackFile)
    this.drop(done)
  }

  /** Records of a lane from index `from` on: at most so many, and no more than one segment's. */
  read(lane: number, from: number, maxRecords: number, maxBytes: number): ReadResult {
    const at = Math.max(from, (this.marks[lane] ?? 0) + 1)
    const position = this.segments.findIndex((segment, i) => at < this.after(segment, i))
    const segment = this.segments[position]
    if (this.locked || segment === undefined) return { records: [], next: at, done: true }
    const { records } = this.parse(lane, segment)
    const found: Array<Segment.FoundRecord> = []
    let bytes = 0
    let next = at
    let full = false
    for (let i = positionOf(records, at); i < records.length; i++) {
      const record = records[i]
      if (record === undefined || !standsIn(record.lane, lane)) continue
      if (found.length > 0 && (found.length >= maxRecords || bytes + record.bytes > maxBytes)) {
        full = true
        break
      }
      found.push(record)
      bytes += record.bytes
      next = record.index + 1
    }
    if (!full) next = Math.max(next, this.after(segment, position))
    return { records: found, next, done: !full && position === this.segments.length - 1 }
  }

  /** The index behind a segment's last, as far as it is known. */
  private after(segment: SegmentInfo, position: number): number {
    const follower = this.segments[position + 1]
    if (follower !== undefined) return follower.first
    if (this.current?.info === segment || segment.last > 0) return segment.last + 1
    return segment.inspected ? segment.first : Number.MAX_SAFE_INTEGER
  }

  private parse(lane: number, segment: SegmentInfo): Parsed {
    const held = this.parsed[lane]
    const known = held?.segment === segment ? held : this.parsed.find((p) => p?.segment === segment)
    if (held !== known) this.leave(lane)
    const parsed = known ?? this.scan(segment)
    this.parsed[lane] = parsed
    if (parsed.bytes < segment.bytes) this.scanOn(parsed)
    return parsed
  }

  /** A lane is done with what it reads; the last of them leaves its room to the next segment. */
  private leave(lane: number): void {
    const held = this.parsed[lane]
    this.parsed[lane] = undefined
    if (held !== undefined && !this.parsed.includes(held)) this.spare = held.from
  }

  /** The bytes of a segment and what they are read with; locks the log where they cannot be read. */
  private opened(segment: SegmentInfo) {
    const bytes = this.contents(segment, 0, this.spare)
    this.spare = Buffer.alloc(0)
    const head = Segment.decodeHeader(bytes)
    const isLater = head !== undefined && head.header.version > Segment.version
    if (isLater) this.locked = true
    // Without its header a segment can still be read, unless it is encrypted: its name tells the first index.
    const key = head === undefined || isLater ? undefined : this.keyOf(head.header)
    return { bytes, head, key }
  }

  private scan(segment: SegmentInfo): Parsed {
    const { bytes, head, key } = this.opened(segment)
    if (this.locked)
      return {
        segment,
        key,
        records: [],
        from: bytes,
        bytes: segment.bytes,
        end: segment.bytes,
        next: segment.first
      }
    const start = head?.end ?? 0
    const scan = Segment.scan(bytes, start, segment.first, key)
    const follower = this.segments[this.segments.indexOf(segment) + 1]
    // Records of a write that failed: they are counted again, and kept again, by the next segment.
    const records =
      follower === undefined
        ? [...scan.records]
        : scan.records.filter((record) => record.index < follower.first)
    const next = (records.at(-1)?.index ?? segment.first - 1) + 1
    const parsed: Parsed = {
      segment,
      key,
      records,
      from: bytes,
      bytes: segment.bytes,
      end: scan.end,
      next
    }
    if (segment.inspected) return parsed
    segment.inspected = true
    this.learn(segment, records, follower)
    if (head === undefined && scan.records.length > 0) this.damageStretches += 1
    this.damageStretches += scan.bad.length
    this.damageRecords += scan.lost
    for (const stretch of scan.bad) this.quarantine(segment, bytes, stretch.from, stretch.to)
    return parsed
  }

  /** Reads what was appended since. */
  private scanOn(parsed: Parsed): void {
    const { bytes } = parsed.segment
    const scan = Segment.scan(this.contents(parsed.segment, parsed.end), 0, parsed.next, parsed.key)
    for (const record of scan.records) parsed.records.push(record)
    parsed.next = (parsed.records.at(-1)?.index ?? parsed.next - 1) + 1
    parsed.end += scan.end
    parsed.bytes = bytes
  }

  private learn(
    segment: SegmentInfo,
    records: ReadonlyArray<Segment.FoundRecord>,
    follower: SegmentInfo | undefined
  ): void {
    const last = records.at(-1)?.index ?? 0
    // Records at the end that the next segment's name counts and that are not there.
    if (follower !== undefined && this.current?.info !== segment) {
      const missing = follower.first - 1 - (last === 0 ? segment.first - 1 : last)
      if (missing > 0) {
        this.damageRecords += missing
        this.damageStretches += 1
      }
    }
    if (segment.lastByLane !== undefined) return
    const byLane = Array.from({ length: lanes }, () => 0)
    for (const record of records) note(byLane, record.lane, record.index)
    segment.lastByLane = byLane
    segment.last = last
    segment.unknown = this.unknownOf(records)
    this.unknown += segment.unknown
  }

  private unknownOf(records: ReadonlyArray<Segment.FoundRecord>): number {
    const { knows } = this.options
    return knows === undefined ? 0 : records.filter(({ body }) => !knows(body)).length
  }

  private contents(segment: SegmentInfo, from: number, into: Buffer = Buffer.alloc(0)): Buffer {
    const file = this.files.open(segment.path, "read")
    try {
      const length = segment.bytes - from
      const bytes = into.length < length ? Buffer.allocUnsafe(length) : into.subarray(0, length)
      let at = 0
      while (at < bytes.length) {
        const got = this.files.read(file, bytes.subarray(at), from + at)
        if (got === 0) break
        at += got
      }
      return bytes.subarray(0, at)
    } finally {
      this.files.close(file)
    }
  }

  private keyOf(header: Segment.SegmentHeader): Segment.SegmentKey | undefined {
    if (header.salt === undefined) return undefined
    const { secret } = this.options
    const key = secret === undefined ? undefined : Segment.segmentKey(secret, header.salt)
    if (key === undefined || key.check !== header.check) this.locked = true
    return key
  }

  /** Sets a stretch that is no record aside, beside the logs, for a person to look at; at most a few hundred KiB. */
  private quarantine(segment: SegmentInfo, bytes: Buffer, from: number, to: number): void {
    this.quietly(() => {
      const folder = join(this.folder, "..", "quarantine")
      this.files.makeFolder(folder)
      if (this.files.list(folder).length >= 100) return
      const file = this.files.open(join(folder, `${this.epoch}-${segment.first}-${from}`), "create")
      const stretch = bytes.subarray(from, Math.min(to, from + 65_536))
      this.files.append(file, stretch, stretch.length)
      this.files.close(file)
    })
  }

  /** An earlier start acknowledged all of it: whether a later version's records are in it was not seen by this one. */
  private lookAt(segment: SegmentInfo): void {
    if (this.options.knows === undefined) return
    this.quietly(() => {
      const { bytes, head, key } = this.opened(segment)
      if (this.locked) return
      segment.unknown = this.unknownOf(Segment.scan(bytes, head?.end ?? 0, segment.first, key).records)
      this.unknown += segment.unknown
    })
  }

  /** Keeps a whole segment beside the logs, for a version that can read all of it. */
  private setAside(segment: SegmentInfo): void {
    const folder = join(this.folder, "..", "quarantine")
    this.files.makeFolder(folder)
    this.files.rename(segment.path, join(folder, `${this.epoch}-${segmentName(segment.first)}`))
  }

  /** Everything of the lane up to `index` is done; `checkpoint` keeps that in the file. */
  acknowledge(lane: number, index: number): void {
    if (index <= (this.marks[lane] ?? 0)) return
    this.marks[lane] = index
    this.ackDirty = true
  }

  /** Writes what was acknowledged since, one small write; call it once per flush. */
  checkpoint(): void {
    if (!this.ackDirty) return
    const slot = Buffer.alloc(64)
    this.generation += 1
    slot.writeUIntBE(this.generation, 0, 6)
    for (let lane = 0; lane < lanes; lane++) slot.writeUIntBE(this.marks[lane] ?? 0, 6 + lane * 6, 6)
    slot.writeUInt32BE(crc32(slot.subarray(0, 60)), 60)
    this.ackFile ??= this.files.open(join(this.folder, "ack"), "update")
    const written = this.files.writeAt(this.ackFile, slot, (this.generation % 2) * 64)
    if (written !== slot.length) throw new Error("wrote a part of an acknowledgement: the disk may be full")
    this.ackDirty = false
  }

  /** Removes segments whose records are all acknowledged, after that is on disk. */
  sweep(): void {
    const done = this.finished()
    if (done.length === 0) return
    if (this.ackFile !== undefined) this.files.sync(this.ackFile)
    this.drop(done)
  }

  /** Segments whose records are all acknowledged, in the file too. */
  private finished(): ReadonlyArray<SegmentInfo> {
    if (this.ackDirty || this.locked) return []
    return this.segments.filter(
      (segment, position) => segment !== this.current?.info && this.isDone(segment, position)
    )
  }

  private drop(done: ReadonlyArray<SegmentInfo>): void {
    for (const segment of done) {
      const at = this.segments.indexOf(segment)
      if (at < 0) continue
      if (segment.lastByLane === undefined) this.lookAt(segment)
      if (this.locked) return
      if (segment.unknown > 0) this.setAside(segment)
      else this.files.remove(segment.path)
      this.segments.splice(at, 1)
      this.bytes -= segment.bytes
      for (const [lane, parsed] of this.parsed.entries()) if (parsed?.segment === segment) this.leave(lane)
    }
  }

  /** True when every record there is was acknowledged. */
  get done(): boolean {
    return !this.locked && this.segments.every((segment, position) => this.isDone(segment, position))
  }

  private isDone(segment: SegmentInfo, position: number): boolean {
    if (segment.lastByLane !== undefined)
      return segment.lastByLane.every((last, lane) => last <= (this.marks[lane] ?? 0))
    return Math.min(...this.marks) >= this.after(segment, position) - 1
  }

  /** Closes the files; the log may be opened again by whoever owns the folder. */
  close(): void {
    this.finish()
    for (const file of this.retiring.splice(0)) {
      this.quietly(() => this.files.sync(file))
      this.quietly(() => this.files.close(file))
    }
    this.quietly(() => this.sweep())
    const { ackFile } = this
    this.ackFile = undefined
    if (ackFile === undefined) return
    this.quietly(() => this.files.sync(ackFile))
    this.quietly(() => this.files.close(ackFile))
  }

  private load(): void {
    const names = this.files.list(this.folder)
    for (const name of names.filter((n) => n.endsWith(".wal")).sort()) {
      const path = join(this.folder, name)
      const file = this.files.open(path, "read")
      const bytes = this.files.size(file)
      this.files.close(file)
      const first = Number.parseInt(name, 10)
      if (!Number.isSafeInteger(first)) continue
      this.segments.push({ path, first, last: 0, bytes, lastByLane: undefined, inspected: false, unknown: 0 })
      this.bytes += bytes
    }
    if (names.includes("ack")) this.loadAck()
  }

  private loadAck(): void {
    const file = this.files.open(join(this.folder, "ack"), "update")
    const bytes = Buffer.alloc(128)
    this.files.read(file, bytes, 0)
    this.ackFile = file
    for (const at of [0, 64]) {
      const slot = bytes.subarray(at, at + 64)
      const generation = slot.readUIntBE(0, 6)
      if (generation <= this.generation || slot.readUInt32BE(60) !== crc32(slot.subarray(0, 60))) continue
      this.generation = generation
      this.marks = this.marks.map((_, lane) => slot.readUIntBE(6 + lane * 6, 6))
    }
  }

  private quietly(run: () => void): void {
    try {
      run()
    } catch {
      // The log is about to be closed or begun anew: there is nothing else to do about it.
    }
  }
}
