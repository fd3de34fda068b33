/**
 * A queue of what is to be sent, in order: some of it in memory, some only in a log.
 *
 * It is a list of pieces: a piece of memory, or a stretch of a log that is read when its turn comes. What
 * `take` answers stays first, and is answered again, until it is settled: a batch that failed is sent again as it
 * was (EVENT-3).
 */
import type { WriteAheadLog } from "../WriteAhead.ts"

/** Something that waits. */
export interface Held<A> {
  /** What is sent; a lane of the buffered class encodes it when it is taken. */
  item: A
  /** The log that holds it too, if one does. */
  log: WriteAheadLog | undefined
  /** Its index there, else 0. */
  index: number
  /** What it takes, roughly. */
  readonly bytes: number
  /** True when it was published in this process. */
  readonly own: boolean
  /** How many events it is: the end of a call is two. */
  readonly parts: number
}

/** How a record of a log is read; undefined: it means nothing. */
export type Decode<A> = (body: string) => { readonly item: A; readonly parts: number } | undefined

type Piece<A> =
  | { readonly _tag: "Memory"; readonly held: Array<Held<A>>; at: number }
  | {
      readonly _tag: "Log"
      readonly log: WriteAheadLog
      next: number
      /** The index behind its last record; undefined: whatever will be written is part of it. */
      until: number | undefined
      /** Written by this process. */
      readonly own: boolean
      /** Since when every read has failed; undefined: the last one did not. */
      failingSince: number | undefined
    }

/** So long may every read of a log fail before what is behind it goes on, milliseconds: however often it is tried. */
const patience = 60_000

/** Lets go of what was taken, now and then. */
const compact = <A>(piece: Extract<Piece<A>, { _tag: "Memory" }>): void => {
  if (piece.at <= 1000 || piece.at * 2 <= piece.held.length) return
  piece.held.splice(0, piece.at)
  piece.at = 0
}

export class Lane<A> {
  /** The lane's number in the logs. */
  readonly number: number
  /** Bytes in memory. */
  bytes = 0
  /** What was published, of all kinds of memory. */
  pushed = 0
  /** What of that was sent, refused or dropped. */
  settled = 0
  /** Records of logs that could not be understood. */
  unreadable = 0
  private decode: Decode<A>
  private elapsed: () => number
  private pieces: Array<Piece<A>> = []
  private window: Array<Held<A>> = []
  /** Records that mean nothing: done when those before them are. */
  private passed: Array<{ readonly log: WriteAheadLog; readonly index: number }> = []

  /** `elapsed` is a clock that only moves forward, milliseconds. */
  constructor(number: number, decode: Decode<A>, elapsed: () => number) {
    this.number = number
    this.decode = decode
    this.elapsed = elapsed
  }

  /** How many of this process's wait. */
  get pending(): number {
    return this.pushed - this.settled
  }

  /** True when nothing waits at all. */
  get isEmpty(): boolean {
    return this.window.length === 0 && this.pieces.length === 0
  }

  /** True while something of an earlier start is before what was published. */
  get hasLeft(): boolean {
    return (
      this.window.some((held) => !held.own) || this.pieces.some((piece) => piece._tag === "Log" && !piece.own)
    )
  }

  /** True while what is published goes to the log alone, because what is before it does too. */
  get isInLog(): boolean {
    const last = this.pieces.at(-1)
    return last?._tag === "Log" && last.own && last.until === undefined
  }

  /** Adds at the end, in memory. */
  push(held: Held<A>): void {
    this.pushed += held.parts
    this.bytes += held.bytes
    const last = this.pieces.at(-1)
    if (last?._tag === "Memory") last.held.push(held)
    else this.pieces.push({ _tag: "Memory", held: [held], at: 0 })
  }

  /** Counts one that was written to the log, of which this lane's end is part. */
  pushLogged(log: WriteAheadLog, index: number, parts: number): void {
    this.pushed += parts
    if (!this.isInLog)
      this.pieces.push({
        _tag: "Log",
        log,
        next: index,
        until: undefined,
        own: true,
        failingSince: undefined
      })
  }

  /** From now on what is published does not follow in the log. */
  leaveLog(): void {
    const last = this.pieces.at(-1)
    if (last?._tag === "Log" && last.until === undefined) last.until = last.log.next
  }

  /** Everything of a log of an earlier start, behind what is there. */
  addLog(log: WriteAheadLog): void {
    this.leaveLog()
    this.pieces.push({
      _tag: "Log",
      log,
      next: 1,
      until: log.next > 1 ? log.next : Number.MAX_SAFE_INTEGER,
      own: false,
      failingSince: undefined
    })
  }

  /**
   * The first ones: beyond one not more events than `maxCount` and not more bytes than `maxBytes`. The same again
   * until they are settled.
   */
  take(maxCount: number, maxBytes: number): ReadonlyArray<Held<A>> {
    if (this.window.length > 0) return this.window
    let bytes = 0
    let count = 0
    while (count < maxCount && bytes < maxBytes) {
      const [piece] = this.pieces
      if (piece === undefined) break
      const before = this.window.length
      const goesOn =
        piece._tag === "Memory"
          ? this.takeMemory(piece, maxCount - count, maxBytes - bytes)
          : this.takeLog(piece, maxCount - count, maxBytes - bytes)
      for (const held of this.window.slice(before)) {
        bytes += held.bytes
        count += held.parts
      }
      if (!goesOn) break
    }
    if (this.window.length === 0) this.passOver()
    return this.window
  }

  private passOver(): void {
    for (const { log, index } of this.passed.splice(0)) log.acknowledge(this.number, index)
  }

  /** Answers false when the next one does not fit any more. */
  private takeMemory(
    piece: Extract<Piece<A>, { _tag: "Memory" }>,
    maxCount: number,
    maxBytes: number
  ): boolean {
    let bytes = 0
    let count = 0
    while (piece.at < piece.held.length && count < maxCount) {
      const held = piece.held[piece.at]
      if (held === undefined) break
      if (this.window.length > 0 && (bytes + held.bytes > maxBytes || count + held.parts > maxCount)) break
      this.window.push(held)
      bytes += held.bytes
      count += held.parts
      piece.at += 1
    }
    const all = piece.at === piece.held.length
    if (all) this.pieces.shift()
    else compact(piece)
    return all
  }

  /** Answers false when the log cannot be read at the moment: what is behind it must not overtake it. */
  private takeLog(piece: Extract<Piece<A>, { _tag: "Log" }>, maxCount: number, maxBytes: number): boolean {
    const read = this.read(piece, maxCount, maxBytes)
    if (read === undefined) return false
    let count = 0
    for (const record of read.records) {
      if (piece.until !== undefined && record.index >= piece.until) continue
      const { body } = record
      const decoded = body === "" ? undefined : this.decode(body)
      if (decoded === undefined) {
        this.unreadable += 1
        this.passed.push({ log: piece.log, index: record.index })
        if (piece.own) this.settled += 1
        continue
      }
      const { item, parts } = decoded
      if (this.window.length > 0 && count + parts > maxCount) {
        piece.next = record.index
        return false
      }
      const { bytes, index } = record
      this.bytes += bytes
      count += parts
      this.window.push({ item, log: piece.log, index, bytes, own: piece.own, parts })
    }
    piece.next = read.next
    if (read.done || piece.next >= (piece.until ?? Number.MAX_SAFE_INTEGER)) this.pieces.shift()
    return true
  }

  private read(piece: Extract<Piece<A>, { _tag: "Log" }>, maxCount: number, maxBytes: number) {
    try {
      const read = piece.log.read(this.number, piece.next, maxCount, maxBytes)
      piece.failingSince = undefined
      return read
    } catch {
      const now = this.elapsed()
      piece.failingSince ??= now
      // A file that cannot be read for long holds nothing up any more: what it holds is counted as unreadable.
      if (now - piece.failingSince < patience) return undefined
      this.unreadable += 1
      return { records: [], next: piece.next, done: true }
    }
  }

  /** The first `count` of what was taken are done: sent, or refused for good. */
  settle(count: number): void {
    for (const held of this.window.slice(0, count)) {
      this.bytes -= held.bytes
      if (held.own) this.settled += held.parts
      if (held.log !== undefined) held.log.acknowledge(this.number, held.index)
    }
    this.window = this.window.slice(count)
    if (this.window.length === 0) this.passOver()
    // Records that no one could read are no longer waited for.
    if (this.isEmpty) this.settled = this.pushed
  }

  /** Drops the oldest that is in memory and not on its way; undefined when there is none. */
  dropOldest(): Held<A> | undefined {
    const piece = this.pieces.find((p) => p._tag === "Memory")
    if (piece === undefined || piece._tag !== "Memory") return undefined
    const held = piece.held[piece.at]
    piece.at += 1
    if (piece.at === piece.held.length) this.pieces.splice(this.pieces.indexOf(piece), 1)
    else compact(piece)
    if (held !== undefined) {
      this.bytes -= held.bytes
      this.settled += held.parts
    }
    return held
  }

  /** What is only in memory, in order. */
  *unlogged(): Generator<Held<A>> {
    for (const held of this.window) if (held.log === undefined) yield held
    for (const piece of this.pieces) {
      if (piece._tag !== "Memory") continue
      for (let i = piece.at; i < piece.held.length; i++) {
        const held = piece.held[i]
        if (held !== undefined && held.log === undefined) yield held
      }
    }
  }

  /** A log is no longer ours: what is held is held in memory alone; what was only there is another's to send. */
  forget(log: WriteAheadLog): void {
    for (const held of this.window) if (held.log === log) held.log = undefined
    for (const piece of this.pieces) {
      if (piece._tag === "Memory") {
        for (const held of piece.held) if (held.log === log) held.log = undefined
      }
    }
    this.pieces = this.pieces.filter((piece) => piece._tag !== "Log" || piece.log !== log)
    if (this.isEmpty) this.settled = this.pushed
  }
}
