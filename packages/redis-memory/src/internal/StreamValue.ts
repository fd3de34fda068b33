/**
 * A stream and its consumer groups: entries by id, and what was handed out to
 * whom. An id is one number, milliseconds shifted by 64 bits plus the sequence.
 */

export interface StreamEntry {
  readonly id: bigint
  readonly fields: ReadonlyArray<string>
}

/** An entry that was handed out and not acked. */
export interface Pending {
  consumer: Consumer
  /** Epoch milliseconds. */
  deliveredAt: number
  deliveries: number
}

export interface Consumer {
  readonly name: string
  pending: number
  seenAt: number
}

const counterUnknown = -1

export class Group {
  lastId: bigint
  /** How many entries of the stream lie before `lastId`; -1 when that is unknown. */
  entriesRead: number
  readonly consumers = new Map<string, Consumer>()
  #pending = new Map<bigint, Pending>()
  #newest = -1n
  #ordered = true

  constructor(lastId: bigint, entriesRead = counterUnknown) {
    this.lastId = lastId
    this.entriesRead = entriesRead
  }

  get size() {
    return this.#pending.size
  }

  get(id: bigint): Pending | undefined {
    return this.#pending.get(id)
  }

  /** Hands an entry to a consumer, from whoever had it. */
  assign(id: bigint, pending: Pending) {
    const old = this.#pending.get(id)
    if (old !== undefined) old.consumer.pending -= 1
    else if (id < this.#newest) this.#ordered = false
    else this.#newest = id
    pending.consumer.pending += 1
    this.#pending.set(id, pending)
  }

  remove(id: bigint): boolean {
    const old = this.#pending.get(id)
    if (old === undefined) return false
    old.consumer.pending -= 1
    return this.#pending.delete(id)
  }

  /** In the order of ids. */
  pending(): Iterable<readonly [bigint, Pending]> {
    if (!this.#ordered) {
      this.#pending = new Map([...this.#pending].sort(([a], [b]) => (a < b ? -1 : 1)))
      this.#ordered = true
    }
    return this.#pending
  }

  consumer(name: string, now: number): { readonly consumer: Consumer; readonly created: boolean } {
    const old = this.consumers.get(name)
    if (old !== undefined) return { consumer: old, created: false }
    const consumer = { name, pending: 0, seenAt: now }
    this.consumers.set(name, consumer)
    return { consumer, created: true }
  }
}

export class StreamValue {
  readonly type = "stream"
  readonly groups = new Map<string, Group>()
  lastId = 0n
  maxDeletedId = 0n
  entriesAdded = 0
  #entries: Array<StreamEntry> = []
  /** Trimmed entries before this index wait to be cut off together. */
  #start = 0

  get length() {
    return this.#entries.length - this.#start
  }

  get first(): StreamEntry | undefined {
    return this.#entries[this.#start]
  }

  get last(): StreamEntry | undefined {
    return this.length === 0 ? undefined : this.#entries.at(-1)
  }

  add(entry: StreamEntry) {
    this.#entries.push(entry)
    this.lastId = entry.id
    this.entriesAdded += 1
  }

  /** All that a stream is, without its groups. */
  dump() {
    const entries = this.#entries.slice(this.#start)
    return { entries, lastId: this.lastId, entriesAdded: this.entriesAdded, maxDeletedId: this.maxDeletedId }
  }

  find(id: bigint): StreamEntry | undefined {
    const entry = this.#entries[this.#lowerBound(id)]
    return entry?.id === id ? entry : undefined
  }

  /** Entries from `from` to `to`, both included. */
  range(from: bigint, to: bigint, count = Number.POSITIVE_INFINITY): ReadonlyArray<StreamEntry> {
    const start = this.#lowerBound(from)
    const end = Math.min(this.#lowerBound(to + 1n), start + count)
    return this.#entries.slice(start, end)
  }

  rangeBackwards(from: bigint, to: bigint, count: number): ReadonlyArray<StreamEntry> {
    const start = this.#lowerBound(from)
    const end = this.#lowerBound(to + 1n)
    return this.#entries.slice(Math.max(start, end - count), end).reverse()
  }

  /** How many entries are older than `id`. */
  countBefore(id: bigint) {
    return this.#lowerBound(id) - this.#start
  }

  delete(id: bigint): boolean {
    const index = this.#lowerBound(id)
    if (this.#entries[index]?.id !== id) return false
    this.#entries.splice(index, 1)
    if (id > this.maxDeletedId) this.maxDeletedId = id
    return true
  }

  /** Removes the oldest `count` entries. */
  trim(count: number): number {
    const gone = Math.min(count, this.length)
    this.#start += gone
    if (this.#start > 1024 && this.#start * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start)
      this.#start = 0
    }
    return gone
  }

  /** Whether an entry was deleted at or after `from`, which makes counting by subtraction wrong. */
  hasTombstones(from: bigint): boolean {
    return this.length > 0 && this.maxDeletedId !== 0n && from <= this.maxDeletedId
  }

  /** How many entries were ever added up to `id`, if that can be told; else -1. */
  distance(id: bigint): number {
    if (this.entriesAdded === 0) return 0
    if (this.length === 0 && id <= this.lastId) return this.entriesAdded
    if (id === this.lastId) return this.entriesAdded
    if (id > this.lastId) return counterUnknown
    const first = this.first?.id ?? 0n
    if (this.maxDeletedId === 0n || this.maxDeletedId < first) {
      if (id < first) return this.entriesAdded - this.length
      if (id === first) return this.entriesAdded - this.length + 1
    }
    return counterUnknown
  }

  /** How many entries the group has not been handed; `null` when that cannot be told. */
  lag(group: Group): number | null {
    if (this.entriesAdded === 0) return 0
    if (group.entriesRead !== counterUnknown && !this.hasTombstones(group.lastId)) {
      return this.entriesAdded - group.entriesRead
    }
    const read = this.distance(group.lastId)
    return read === counterUnknown ? null : this.entriesAdded - read
  }

  /** Moves the group on to an entry that it is handed. */
  advance(group: Group, id: bigint) {
    if (id <= group.lastId) return
    if (group.entriesRead !== counterUnknown && !this.hasTombstones(id)) group.entriesRead += 1
    else if (this.entriesAdded > 0) group.entriesRead = this.distance(id)
    group.lastId = id
  }

  #lowerBound(id: bigint): number {
    let [low, high] = [this.#start, this.#entries.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      const entry = this.#entries[middle]
      if (entry !== undefined && entry.id < id) low = middle + 1
      else high = middle
    }
    return low
  }
}

const half = 64n
const mask = (1n << half) - 1n

/** The largest id there is. */
export const maxId = (1n << 128n) - 1n

export const makeId = (ms: bigint, seq: bigint) => (ms << half) | seq

export const millisOf = (id: bigint) => id >> half

export const formatId = (id: bigint) => `${id >> half}-${id & mask}`

const part = /^\d{1,20}$/

const uint64 = (text: string): bigint | undefined => {
  if (!part.test(text)) return undefined
  const value = BigInt(text)
  return value > mask ? undefined : value
}

/** `ms-seq` or `ms` alone, which gets `seq`; `undefined` when it is neither. */
export const parseId = (text: string, seq: bigint): bigint | undefined => {
  const dash = text.indexOf("-")
  const ms = uint64(dash < 0 ? text : text.slice(0, dash))
  const rest = dash < 0 ? seq : uint64(text.slice(dash + 1))
  return ms === undefined || rest === undefined ? undefined : makeId(ms, rest)
}
