/**
 * The keys: values by type, expiry, and who must hear of a change.
 */
import { wrongType } from "./Reply.ts"
import type { StreamValue } from "./StreamValue.ts"

export interface TextValue {
  readonly type: "string"
  text: string
}
export interface HashValue {
  readonly type: "hash"
  readonly fields: Map<string, string>
}
export interface ListValue {
  readonly type: "list"
  items: Array<string>
}
export interface SetValue {
  readonly type: "set"
  readonly members: Set<string>
}
export interface SortedSetValue {
  readonly type: "zset"
  readonly scores: Map<string, number>
  /** By score, then by bytes; made when it is needed, dropped by a change. */
  sorted: ReadonlyArray<readonly [string, number]> | undefined
}
export type Value = TextValue | HashValue | ListValue | SetValue | SortedSetValue | StreamValue

type ValueOf<T extends Value["type"]> = Extract<Value, { readonly type: T }>

export class Database {
  readonly #values = new Map<string, Value>()
  readonly #expiries = new Map<string, number>()
  #sweep: IterableIterator<[string, number]> = this.#expiries.entries()
  readonly #now: () => number
  readonly #onChange: (key: string) => void
  /** Rises with every change. */
  changes = 0

  constructor(now: () => number, onChange: (key: string) => void) {
    this.#now = now
    this.#onChange = onChange
  }

  /** The value of a key that is there and has not expired. */
  get(key: string): Value | undefined {
    const value = this.#values.get(key)
    if (value === undefined || this.#expiries.size === 0) return value
    const expiry = this.#expiries.get(key)
    if (expiry === undefined || expiry > this.#now()) return value
    this.#forget(key)
    return undefined
  }

  /** The value, which must be of this type if there is one. */
  typed<T extends Value["type"]>(key: string, type: T): ValueOf<T> | undefined {
    const value = this.get(key)
    if (value === undefined) return undefined
    if (!isType(value, type)) throw wrongType()
    return value
  }

  /** Puts a new value in place of any other, without expiry unless it is kept. */
  put(key: string, value: Value, keepExpiry = false) {
    if (!keepExpiry) this.#expiries.delete(key)
    this.#values.set(key, value)
    this.touch(key)
  }

  delete(key: string): boolean {
    if (this.get(key) === undefined) return false
    this.#forget(key)
    this.touch(key)
    return true
  }

  /** Says that a value was changed in place; a collection without members goes. */
  touch(key: string) {
    this.changes += 1
    const value = this.#values.get(key)
    if (value !== undefined && isEmpty(value)) this.#forget(key)
    this.#onChange(key)
    this.#sweepSome()
  }

  /** Epoch milliseconds, if the key expires. */
  expiry(key: string): number | undefined {
    return this.#expiries.get(key)
  }

  expire(key: string, at: number | undefined) {
    if (at === undefined) this.#expiries.delete(key)
    else if (at <= this.#now()) this.#forget(key)
    else this.#expiries.set(key, at)
    this.touch(key)
  }

  /** Every key that is there, in the order of creation. */
  keys(): ReadonlyArray<string> {
    return Array.from(this.#values.keys()).filter((key) => this.get(key) !== undefined)
  }

  clear() {
    const keys = [...this.#values.keys()]
    this.#values.clear()
    this.#expiries.clear()
    for (const key of keys) this.touch(key)
    this.changes += 1
  }

  #forget(key: string) {
    this.#values.delete(key)
    this.#expiries.delete(key)
  }

  /** Two keys for each change: what expires and is never asked for again does not stay. */
  #sweepSome() {
    for (let i = 0; i < 2 && this.#expiries.size > 0; i++) {
      const next = this.#sweep.next()
      if (next.done) this.#sweep = this.#expiries.entries()
      else if (next.value[1] <= this.#now()) this.#forget(next.value[0])
    }
  }
}

const isType = <T extends Value["type"]>(value: Value, type: T): value is ValueOf<T> => value.type === type

const isEmpty = (value: Value) => {
  if (value.type === "hash") return value.fields.size === 0
  if (value.type === "list") return value.items.length === 0
  if (value.type === "set") return value.members.size === 0
  return value.type === "zset" && value.scores.size === 0
}
