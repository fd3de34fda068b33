import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { type Draft, WriteAheadLog } from "../src/WriteAhead.ts"
import * as Segment from "../src/WriteAheadSegment.ts"
import { MemoryFiles } from "./MemoryFiles.ts"

const folder = "/log"
const secret = ["long", "and", "random"].join("-")

const options = (files: MemoryFiles, more: { secret?: string; segmentBytes?: number } = {}) => ({
  files,
  folder,
  producer: "producer-1",
  epoch: "epoch-1",
  secret: more.secret,
  syncEach: false,
  segmentBytes: more.segmentBytes ?? 400
})

const readAll = (log: WriteAheadLog, lane: number): Array<string> => {
  const bodies: Array<string> = []
  let next = 1
  for (let reads = 0; reads < 10_000; reads++) {
    const result = log.read(lane, next, 3, 1000)
    bodies.push(...result.records.map((record) => record.body))
    next = result.next
    if (result.done) return bodies
  }
  throw new Error("the log never ends")
}

const filled = (count: number, more: { secret?: string; segmentBytes?: number } = {}) => {
  const files = new MemoryFiles()
  const log = WriteAheadLog.create(options(files, more))
  for (let i = 1; i <= count; i++) log.appendOne(0, `{"event":${i}}`)
  return { files, log }
}

const bodies = (from: number, to: number) =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => `{"event":${from + i}}`)

describe("WriteAheadLog", () => {
  it("EVENT-1 answers after a crash what was appended before, in order, lane by lane", () => {
    const files = new MemoryFiles()
    const log = WriteAheadLog.create(options(files))
    for (let i = 0; i < 60; i++) log.appendOne(i % 3, `body ${i}`)
    const next = WriteAheadLog.open(options(files.crash()))
    for (const lane of [0, 1, 2]) {
      const expected = Array.from({ length: 20 }, (_, i) => `body ${i * 3 + lane}`)
      assert.deepStrictEqual(readAll(next, lane), expected)
    }
  })

  it("EVENT-1 writes all records of one call with one write", () => {
    const files = new MemoryFiles()
    const log = WriteAheadLog.create(options(files, { segmentBytes: 100_000 }))
    log.appendOne(0, "first")
    const before = files.writes
    const index = log.append([1, 2, 3, 4].map((i): Draft => ({ lane: i % 3, body: `body ${i}` })))
    assert.strictEqual(files.writes, before + 1)
    assert.strictEqual(index, 2)
    assert.strictEqual(log.next, 6)
  })

  it("reads on in the segment that is being written", () => {
    const { log } = filled(5, { segmentBytes: 100_000 })
    const first = log.read(0, 1, 100, 10_000)
    assert.deepStrictEqual([first.done, first.next], [true, 6])
    log.appendOne(0, "late")
    assert.deepStrictEqual(
      log.read(0, first.next, 100, 10_000).records.map((record) => record.body),
      ["late"]
    )
  })

  it("reads a segment that is being written in time that grows with what was written", () => {
    const bytesRead = (count: number) => {
      const { files, log } = filled(1, { segmentBytes: 10_000_000 })
      let next = 1
      for (let i = 2; i <= count; i++) {
        const found = log.read(0, next, 100, 10_000)
        assert.deepStrictEqual(
          found.records.map((record) => record.body),
          bodies(next, i - 1)
        )
        next = found.next
        log.appendOne(0, `{"event":${i}}`)
      }
      return files.readBytes
    }
    const small = bytesRead(250)
    assert.isAtMost(bytesRead(1000), small * 6)
  })

  it("keeps the segments that hold records of a later version, and goes on behind them", () => {
    const knows = (body: string) => !body.startsWith("later")
    const files = new MemoryFiles()
    const log = WriteAheadLog.create(options(files))
    for (let i = 1; i <= 40; i++) log.appendOne(0, i === 20 ? "later 20" : `{"event":${i}}`)
    const kept = (found: MemoryFiles) =>
      [...found.entries.keys()].filter((path) => path.includes("quarantine"))
    for (const looks of [true, false]) {
      const found = files.crash()
      const next = WriteAheadLog.open({ ...options(found), knows })
      if (looks) assert.lengthOf(readAll(next, 0), 40)
      next.acknowledge(0, 40)
      next.acknowledge(1, 40)
      next.acknowledge(2, 40)
      next.checkpoint()
      next.sweep()
      // What nobody has read ends where nobody knows.
      assert.strictEqual(next.done, looks)
      assert.strictEqual(next.unknown, 1)
      const [path, ...others] = kept(found)
      assert.lengthOf(others, 0)
      assert.isTrue(found.entries.get(path ?? "")?.bytes.includes("later 20"))
    }
  })

  it("removes nothing of a log in a later form", () => {
    const { files } = filled(40)
    const [path] = [...files.entries.keys()].filter((name) => name.endsWith(".wal"))
    const file = files.entries.get(path ?? "")
    assert(file !== undefined)
    const records = file.bytes.subarray(Segment.decodeHeader(file.bytes)?.end ?? 0)
    const header = Segment.encodeHeader({ version: 2, producer: "producer-1", epoch: "epoch-1", first: 1 })
    file.bytes = Buffer.concat([header, records])
    for (const looks of [true, false]) {
      const found = files.crash()
      const log = WriteAheadLog.open({ ...options(found), knows: () => true })
      if (looks) assert.deepStrictEqual(readAll(log, 0), [])
      for (const lane of [0, 1, 2]) log.acknowledge(lane, 100)
      log.checkpoint()
      log.sweep()
      assert.isTrue(log.locked)
      assert.isTrue(found.entries.has(path ?? ""))
    }
  })

  it("removes a segment only after its acknowledgement is on disk", async () => {
    const { files, log } = filled(100)
    await log.settle(true)
    const segments = () => [...files.entries.keys()].filter((path) => path.endsWith(".wal")).length
    const before = segments()
    assert.isAbove(before, 5)
    log.acknowledge(0, 50)
    assert.strictEqual(segments(), before, "nothing goes before the acknowledgement is written")
    const syncs = files.syncs
    log.checkpoint()
    assert.deepStrictEqual([segments(), files.syncs], [before, syncs], "nor before it is on disk")
    log.sweep()
    assert.strictEqual(files.syncs, syncs + 1)
    assert.isBelow(segments(), before)
    const next = WriteAheadLog.open(options(files.crash(true)))
    assert.deepStrictEqual(readAll(next, 0).slice(0, 2), bodies(51, 52))
  })

  it("keeps a segment that one lane has not finished", () => {
    const files = new MemoryFiles()
    const log = WriteAheadLog.create(options(files))
    log.appendOne(1, "report")
    for (let i = 0; i < 50; i++) log.appendOne(0, `event ${i}`)
    log.acknowledge(0, log.next - 1)
    log.checkpoint()
    const next = WriteAheadLog.open(options(files.crash()))
    assert.deepStrictEqual([readAll(next, 0), readAll(next, 1)], [[], ["report"]])
    assert.isFalse(next.done)
    next.acknowledge(1, 1)
    next.checkpoint()
    next.sweep()
    assert.isTrue(next.done)
  })

  it("survives a torn acknowledgement: the one before holds", () => {
    const { files, log } = filled(20, { segmentBytes: 100_000 })
    for (const index of [5, 9]) {
      log.acknowledge(0, index)
      log.checkpoint()
    }
    const bytes = files.entries.get(`${folder}/ack`)?.bytes ?? Buffer.alloc(0)
    assert.strictEqual(bytes.length, 128)
    for (let at = 0; at < 64; at++) {
      const torn = files.crash()
      const ack = torn.entries.get(`${folder}/ack`)
      // The second checkpoint went to the slot at 0.
      ack?.bytes.fill(0xff, at, 64)
      const first = readAll(WriteAheadLog.open(options(torn)), 0)[0]
      assert.strictEqual(first, `{"event":6}`)
    }
  })

  for (const key of [undefined, secret]) {
    const kind = key === undefined ? "in clear" : "encrypted"
    const sealed = key === undefined ? {} : { secret: key }

    it(`cuts a tail torn at every byte and keeps all before it, ${kind}`, () => {
      const { files } = filled(6, { segmentBytes: 100_000, ...sealed })
      const [path, file] = [...files.entries].find(([name]) => name.endsWith(".wal")) ?? []
      assert(path !== undefined && file !== undefined)
      for (let length = 0; length <= file.bytes.length; length++) {
        const torn = files.crash()
        torn.entries.set(path, { bytes: Buffer.from(file.bytes.subarray(0, length)), synced: length })
        const log = WriteAheadLog.open(options(torn, { segmentBytes: 100_000, ...sealed }))
        const found = readAll(log, 0)
        assert.deepStrictEqual(found, bodies(1, found.length))
        if (length === file.bytes.length) assert.strictEqual(found.length, 6)
      }
    })

    it(`takes no record with a flipped bit for a good one, and finds those behind it, ${kind}`, () => {
      const { files } = filled(5, { segmentBytes: 100_000, ...sealed })
      const [path, file] = [...files.entries].find(([name]) => name.endsWith(".wal")) ?? []
      assert(path !== undefined && file !== undefined)
      const head = Segment.decodeHeader(file.bytes)?.end ?? 0
      for (let bit = head * 8; bit < file.bytes.length * 8; bit++) {
        const broken = files.crash()
        const bytes = Buffer.from(file.bytes)
        bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
        broken.entries.set(path, { bytes, synced: 0 })
        const log = WriteAheadLog.open(options(broken, { segmentBytes: 100_000, ...sealed }))
        const found = readAll(log, 0)
        assert.strictEqual(found.length, 4, `bit ${bit}`)
        assert.isTrue(found.every((body) => bodies(1, 5).includes(body)))
      }
    })
  }

  it("sets a bad record aside, counts it, and goes on", () => {
    const { files } = filled(40)
    const [path] = [...files.entries.keys()].filter((name) => name.endsWith(".wal")).slice(1)
    assert(path !== undefined)
    const file = files.entries.get(path)
    assert(file !== undefined)
    const head = Segment.decodeHeader(file.bytes)?.end ?? 0
    file.bytes.fill(0, head, head + 10)
    const log = WriteAheadLog.open(options(files.crash()))
    assert.strictEqual(readAll(log, 0).length, 39)
    assert.deepStrictEqual(log.damage, { stretches: 1, records: 1 })
  })

  it("counts records that are missing at the end of a segment in the middle", () => {
    const { files } = filled(40)
    const [path] = [...files.entries.keys()].filter((name) => name.endsWith(".wal")).slice(1)
    const file = files.entries.get(path ?? "")
    assert(file !== undefined)
    file.bytes = Buffer.from(file.bytes.subarray(0, file.bytes.length - 3))
    const log = WriteAheadLog.open(options(files.crash()))
    assert.strictEqual(readAll(log, 0).length, 39)
    assert.strictEqual(log.damage.records, 1)
  })

  it("reads a log with another key not at all, and removes nothing of it", () => {
    const { files } = filled(10, { secret })
    const next = files.crash()
    const log = WriteAheadLog.open(options(next, { secret: `${secret}!` }))
    assert.deepStrictEqual(readAll(log, 0), [])
    assert.isTrue(log.locked)
    assert.isFalse(log.done)
    log.acknowledge(0, 100)
    log.checkpoint()
    const later = WriteAheadLog.open(options(next, { secret }))
    // Acknowledged by hand above: what counts is that the segments are there.
    assert.isAbove(later.bytes, 0)
  })

  it("with a key, nothing of a body stands in the file", () => {
    const { files } = filled(10, { secret })
    for (const file of files.entries.values()) assert.isFalse(file.bytes.includes("event"))
  })

  it("passes a record over whose write was taken back because the disk did not confirm it", () => {
    const files = new MemoryFiles()
    const log = WriteAheadLog.create({ ...options(files, { segmentBytes: 100_000 }), syncEach: true })
    log.appendOne(0, "first")
    files.failSync = true
    assert.throws(() => log.appendOne(0, "unconfirmed"), /EIO/)
    log.appendOne(0, "second")
    log.appendOne(0, "third")
    const next = WriteAheadLog.open(options(files.crash()))
    assert.deepStrictEqual(readAll(next, 0), ["first", "second", "third"])
    assert.deepStrictEqual(next.damage, { stretches: 0, records: 0 })
  })

  it("EVENT-1 no write waits for a full segment's way to the disk: that is done beside the program", async () => {
    const { files, log } = filled(100)
    assert.strictEqual(files.syncs, 0)
    await log.settle(true)
    assert.isAbove(files.syncs, 5)
    assert.isAtMost(files.opened.size, 1, "full segments are closed")
    assert.deepStrictEqual(readAll(WriteAheadLog.open(options(files.crash(true))), 0), bodies(1, 100))
    log.acknowledge(0, 100)
    log.checkpoint()
    await log.settle(true)
    assert.isAtMost([...files.entries.keys()].filter((path) => path.endsWith(".wal")).length, 1)
  })

  it("begins a new segment after a write that went in halfway", () => {
    const { files, log } = filled(3, { segmentBytes: 100_000 })
    files.capacity = files.used + 10
    assert.throws(() => log.appendOne(0, "lost"), /full|ENOSPC/)
    files.capacity = Number.POSITIVE_INFINITY
    log.appendOne(0, `{"event":4}`)
    assert.deepStrictEqual(readAll(WriteAheadLog.open(options(files.crash())), 0), bodies(1, 4))
  })
})

const Commands = Schema.Array(
  Schema.Union([
    Schema.Struct({
      _tag: Schema.tag("Append"),
      lane: Schema.Literals([0, 1, 2]),
      count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 }))
    }),
    Schema.Struct({
      _tag: Schema.tag("Read"),
      lane: Schema.Literals([0, 1, 2]),
      count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 }))
    }),
    Schema.Struct({
      _tag: Schema.tag("Acknowledge"),
      lane: Schema.Literals([0, 1, 2]),
      part: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
    }),
    Schema.Struct({ _tag: Schema.tag("Checkpoint") }),
    Schema.Struct({
      _tag: Schema.tag("Full"),
      bytes: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))
    }),
    Schema.Struct({ _tag: Schema.tag("Crash") }),
    Schema.Struct({
      _tag: Schema.tag("Tear"),
      bytes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 }))
    })
  ])
)

interface Modelled {
  readonly lane: number
  readonly body: string
}

/** A log over many starts, beside three lists. After a crash a log is only read: its successor is a new folder. */
it.prop(
  "EVENT-1 does what three lists would do, whatever is appended, read, acknowledged, torn or full",
  [Commands],
  ([commands]) => {
    let files = new MemoryFiles()
    let log = WriteAheadLog.create(options(files))
    let model: Array<Modelled & { readonly index: number }> = []
    let crashed = false
    const marks = [0, 0, 0]
    const written = [0, 0, 0]
    for (const [step, command] of commands.entries()) {
      switch (command._tag) {
        case "Append": {
          if (crashed) break
          const drafts = Array.from({ length: command.count }, (_, i) => ({
            lane: command.lane,
            body: `${step}.${i}`
          }))
          const index = log.append(drafts)
          model.push(...drafts.map((draft, i) => ({ ...draft, index: index + i })))
          break
        }
        case "Full": {
          if (crashed) break
          files.capacity = files.used + command.bytes
          try {
            const index = log.appendOne(0, `full ${step} ${"x".repeat(80)}`)
            model.push({ lane: 0, body: `full ${step} ${"x".repeat(80)}`, index })
          } catch {
            // Not in the log, and not in the model.
          }
          files.capacity = Number.POSITIVE_INFINITY
          break
        }
        case "Read": {
          const { lane } = command
          const expected = model.filter((r) => r.lane === lane && r.index > (marks[lane] ?? 0))
          const found: Array<string> = []
          let next = 1
          for (let done = false; !done && found.length < command.count; ) {
            const result = log.read(lane, next, command.count - found.length, 10_000)
            found.push(...result.records.map((record) => record.body))
            next = result.next
            done = result.done
          }
          assert.deepStrictEqual(
            found,
            expected.slice(0, command.count).map((record) => record.body)
          )
          break
        }
        case "Acknowledge": {
          const { lane } = command
          const waiting = model.filter((r) => r.lane === lane && r.index > (marks[lane] ?? 0))
          const index = waiting[Math.floor(command.part * waiting.length)]?.index
          if (index === undefined) break
          log.acknowledge(lane, index)
          marks[lane] = index
          break
        }
        case "Checkpoint": {
          log.checkpoint()
          log.sweep()
          for (const lane of [0, 1, 2]) written[lane] = marks[lane] ?? 0
          break
        }
        case "Tear": {
          if (crashed) break
          const last = [...files.entries.keys()]
            .filter((path) => path.endsWith(".wal"))
            .sort()
            .at(-1)
          const file = last === undefined ? undefined : files.entries.get(last)
          if (file === undefined || last === undefined) break
          const head = Segment.decodeHeader(file.bytes)?.end ?? 0
          const first = Number.parseInt(last.slice(folder.length + 1), 10)
          const kept = Math.max(head, file.bytes.length - command.bytes)
          file.bytes = Buffer.from(file.bytes.subarray(0, kept))
          const good = Segment.scan(file.bytes, head, first, undefined).records.at(-1)?.index ?? first - 1
          model = model.filter((record) => record.index <= good)
          files = files.crash()
          log = WriteAheadLog.open(options(files))
          crashed = true
          for (const lane of [0, 1, 2]) marks[lane] = written[lane] ?? 0
          break
        }
        case "Crash": {
          files = files.crash()
          log = WriteAheadLog.open(options(files))
          crashed = true
          for (const lane of [0, 1, 2]) marks[lane] = written[lane] ?? 0
          break
        }
      }
    }
  },
  { arbitrary: { runs: 400, size: 40 } }
)
