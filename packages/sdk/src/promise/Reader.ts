/**
 * Reads values as JSON, once, with what that does not show beside it, and copies what it reads.
 *
 * Only known kinds are read: what JSON holds, collections, dates, addresses, bytes, errors and the program's own
 * classes. Anything else, and whatever is used up by reading it, refuses.
 */
import { Buffer } from "node:buffer"
import { types } from "node:util"
import { foreignKind, hasMethod, isError, isNative, isPairs, isUsedUp, lineOf } from "../internal/Kinds.ts"

/** An argument that policies and DLP cannot see; its function was not called, which costs no trust. */
export class ArgumentUnreadable extends TypeError {
  /** As `instanceof` would say. */
  override readonly name = "ArgumentUnreadable"
  readonly code = "argument_unreadable"
}

const unreadable = (name: string, why: string, cause?: unknown): ArgumentUnreadable =>
  new ArgumentUnreadable(
    `the argument \`${name}\` cannot be shown to policies: ${why}; give its contents as plain values`,
    { cause }
  )

const deepest = 100

/** NUL stands between the letters of wide text. */
const textOf = (bytes: ArrayBufferView | ArrayBuffer): string =>
  new TextDecoder().decode(bytes).replaceAll("\0", "")

const bytesOf = (value: ArrayBufferView | ArrayBufferLike): Uint8Array<ArrayBuffer> =>
  ArrayBuffer.isView(value)
    ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice()
    : new Uint8Array(value).slice()

/** Kinds whose contents are read as what they are. */
const isKnown = (value: object): boolean =>
  Array.isArray(value) ||
  types.isMap(value) ||
  types.isSet(value) ||
  types.isDate(value) ||
  types.isRegExp(value) ||
  types.isAnyArrayBuffer(value) ||
  ArrayBuffer.isView(value) ||
  types.isBoxedPrimitive(value) ||
  isError(value) ||
  value instanceof URL ||
  isPairs(value)

/** What a copy of a value begins as; undefined: it is handed on as it is. */
const emptyCopy = (value: object): object | undefined => {
  const proto: unknown = Object.getPrototypeOf(value)
  if (proto === null || proto === Object.prototype) return Object.create(proto)
  if (proto === Array.prototype) return []
  if (proto === Map.prototype) return new Map()
  if (proto === Set.prototype) return new Set()
  if (proto === Date.prototype) return new Date(Number(value))
  if (proto === URL.prototype) return new URL(String(value))
  if (Buffer.isBuffer(value)) return Buffer.from(value)
  if (ArrayBuffer.isView(value) || types.isArrayBuffer(value)) return structuredClone(value)
  if (value instanceof URLSearchParams) return new URLSearchParams(value)
  if (value instanceof Headers) return new Headers(value)
  return undefined
}

const isIndex = (key: string): boolean => /^\d+$/.test(key)
const isOfText = (key: string): boolean => key === "length" || isIndex(key)
const ofFunctions = new Set(["length", "name", "prototype", "arguments", "caller"])
const isNone = (): boolean => false

/** One reading of arguments. */
export class Reader {
  /** What lies behind that which JSON shows. */
  readonly hidden: Array<unknown> = []
  readonly #known = new Map<object, unknown>()
  readonly #copies = new Map<object, object>()
  #isSteady = true
  #depth = 0

  /** False where a value makes up what it says: another reading may find something else. */
  get isSteady(): boolean {
    return this.#isSteady
  }

  /**
   * What was read of a value that was read, in a structure of its own. What JSON does not hold and is not copied
   * (functions, signals, instances of classes) is in it as it was given.
   */
  copyOf(value: unknown): unknown {
    return typeof value === "object" && value !== null ? (this.#copies.get(value) ?? value) : value
  }

  /** A value as JSON; undefined: it has none. */
  read(value: unknown, name: string): unknown {
    if (typeof value === "bigint") return String(value)
    if (typeof value === "number") return Number.isFinite(value) ? value : null
    if (typeof value === "symbol") return undefined
    if ((typeof value !== "object" && typeof value !== "function") || value === null) return value
    if (this.#known.has(value)) return this.#known.get(value)
    this.#known.set(value, typeof value === "function" ? undefined : "[circular]")
    if (++this.#depth > deepest) throw unreadable(name, `it is more than ${deepest} levels deep`)
    const seen = this.#guarded(value, name)
    this.#depth--
    this.#known.set(value, seen)
    return seen
  }

  #guarded(value: object, name: string): unknown {
    try {
      if (types.isProxy(value)) throw unreadable(name, "a Proxy may say something else each time")
      if (typeof value === "function") return this.#more(value, name, (key) => ofFunctions.has(key))
      if (value instanceof AbortSignal) return this.#strings(value, name)
      if (isKnown(value)) return this.#contents(value, name)
      const kind = types.isPromise(value) ? "Promise" : foreignKind(value)
      if (kind !== undefined) throw unreadable(name, `a ${kind} cannot be read before the call`)
      if (isUsedUp(value)) throw unreadable(name, "its contents come only as it is used")
      return this.#fields(value, name)
    } catch (error) {
      if (error instanceof ArgumentUnreadable) throw error
      throw unreadable(name, "reading it failed", error)
    }
  }

  /** What a value of a known kind holds. */
  #contents(value: object, name: string): unknown {
    this.#copy(value)
    if (Array.isArray(value)) return this.#array(value, name)
    if (types.isMap(value)) return this.#map(value, name)
    if (types.isSet(value)) return this.#set(value, name)
    if (ArrayBuffer.isView(value)) return this.#bytes(value, name)
    if (isError(value)) return this.#fields(value, name)
    if (isPairs(value)) {
      this.#more(value, name, isNone)
      return Array.from(value as Iterable<unknown>, (item) => this.read(item, name) ?? null)
    }
    this.#own(value, name, types.isStringObject(value) ? isOfText : isNone)
    if (types.isAnyArrayBuffer(value)) return textOf(bytesOf(value))
    if (types.isDate(value)) return value.toJSON()
    if (types.isBoxedPrimitive(value)) return this.read(value.valueOf(), name)
    return String(value)
  }

  #array(value: ReadonlyArray<unknown>, name: string): unknown {
    const copy = this.#copies.get(value)
    if (copy !== undefined) Reflect.set(copy, "length", value.length)
    const seen: Array<unknown> = []
    for (let at = 0; at < value.length; at++) seen.push(this.#property(value, String(at), name) ?? null)
    this.#more(value, name, isOfText)
    return seen
  }

  #map(value: ReadonlyMap<unknown, unknown>, name: string): unknown {
    const copy = this.#copies.get(value)
    const pairs: Array<readonly [unknown, unknown]> = []
    for (const [key, item] of Map.prototype.entries.call(value)) {
      const pair = [this.read(key, name) ?? null, this.read(item, String(key)) ?? null] as const
      if (copy instanceof Map) copy.set(this.copyOf(key), this.copyOf(item))
      pairs.push(typeof key === "string" ? [key, pair[1]] : pair)
    }
    this.#more(value, name, isNone)
    const isText = [...Map.prototype.keys.call(value)].every((key) => typeof key === "string")
    return isText ? Object.fromEntries(pairs.map(([key, item]) => [String(key), item])) : pairs
  }

  #set(value: ReadonlySet<unknown>, name: string): unknown {
    const copy = this.#copies.get(value)
    const seen: Array<unknown> = []
    for (const item of Set.prototype.values.call(value)) {
      seen.push(this.read(item, name) ?? null)
      if (copy instanceof Set) copy.add(this.copyOf(item))
    }
    this.#more(value, name, isNone)
    return seen
  }

  #bytes(value: ArrayBufferView, name: string): unknown {
    const text = textOf(bytesOf(value))
    if (types.isDataView(value)) {
      this.#own(value, name, isNone)
      return text
    }
    this.#own(value, name, isIndex)
    if (Reflect.get(value, "BYTES_PER_ELEMENT") === 1) return text
    this.hidden.push(text)
    const length = Number(Reflect.get(value, "length"))
    return Array.from({ length }, (_, at) => this.read(Reflect.get(value, at), ""))
  }

  /** What an object says of itself: by `toJSON` where it has one, else its own fields. */
  #fields(value: object, name: string): unknown {
    this.#copy(value)
    if (hasMethod(value, "toJSON")) {
      const toJson: unknown = Reflect.get(value, "toJSON")
      this.#more(value, name, isNone)
      return typeof toJson === "function" ? this.read(Reflect.apply(toJson, value, [name]), name) : undefined
    }
    const shown = Object.keys(value)
    const seen = shown.map((key) => [key, this.#property(value, key, key)] as const)
    const names = new Set(shown)
    this.#more(value, name, (key) => names.has(key))
    return Object.fromEntries(seen.filter(([, item]) => item !== undefined))
  }

  #copy(value: object): void {
    const copy = emptyCopy(value)
    if (copy !== undefined) this.#copies.set(value, copy)
  }

  /** A property of a value as JSON; it is read once, and the copy is given what was read. */
  #property(value: object, key: string | symbol, name: string): unknown {
    const how = Object.getOwnPropertyDescriptor(value, key)
    if (how === undefined) return undefined
    const isMade = !("value" in how)
    if (isMade) this.#isSteady = false
    const item: unknown = isMade ? Reflect.get(value, key) : how.value
    const seen = this.read(item, name)
    const copy = this.#copies.get(value)
    if (copy !== undefined && !(ArrayBuffer.isView(copy) && typeof key === "string" && isIndex(key)))
      Object.defineProperty(copy, key, {
        value: this.copyOf(item),
        enumerable: how.enumerable === true,
        configurable: true,
        writable: true
      })
    return seen
  }

  /** What a value holds beside what is shown of it. */
  #more(value: object, name: string, isShown: (key: string) => boolean): undefined {
    this.#own(value, name, isShown)
    for (const proto of lineOf(value))
      for (const [key, { get }] of Object.entries(Object.getOwnPropertyDescriptors(proto)))
        if (get !== undefined && !isNative(get))
          this.#hide(key, this.read(Reflect.apply(get, value, []), name))
  }

  /** The properties that a value itself has beside what is shown of it. */
  #own(value: object, name: string, isShown: (key: string) => boolean): void {
    for (const key of Reflect.ownKeys(value))
      if (typeof key === "symbol" || !isShown(key)) this.#hide(key, this.#property(value, key, name))
  }

  /** What a program hung on a signal; the rest of it is the platform's. */
  #strings(value: object, name: string): undefined {
    for (const key of Object.getOwnPropertyNames(value)) this.#hide(key, this.#property(value, key, name))
  }

  #hide(key: string | symbol, item: unknown): void {
    if (item !== undefined)
      this.hidden.push({ [typeof key === "symbol" ? (key.description ?? "") : key]: item })
  }
}
