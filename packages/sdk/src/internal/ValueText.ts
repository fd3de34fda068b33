/**
 * The text in a value: every string, wherever it stands, read as pieces in one order and put back in it.
 *
 * What can be read only by using it up, or not at all, is `Unreadable`: nothing passes unseen.
 *
 * **Gotchas**: what private fields without a getter and what functions hold cannot be seen.
 */
import { Buffer } from "node:buffer"
import { types } from "node:util"
import { foreignKind, hasMethod, isError, isNative, isPairs, lineOf } from "./Kinds.ts"

/** One text of an element. */
export interface Piece {
  /** Where it stands. What stands in the same slot of elements that follow each other is one text. */
  readonly slot: string
  readonly text: string
  /** What may tell it from other texts that take turns in the same slot. Left out: nothing. */
  readonly names?: ReadonlyArray<Name>
}

/** A field that may name the text in its object: `of` says which, `is` what it says. */
export interface Name {
  readonly of: string
  readonly is: string
}

/** Thrown of what cannot be read, or not be redacted. */
export class Unreadable {
  readonly what: string
  constructor(what: string) {
    this.what = what
  }
}

/** A value that was read. */
export interface ValueText<A> {
  readonly pieces: ReadonlyArray<Piece>
  /** The value with these texts for its pieces; undefined: as it was. Throws `Unreadable`. */
  readonly put: (texts: ReadonlyArray<string | undefined>) => A
}

/** Reads the text in a value. Throws `Unreadable`. */
export const textIn = <A>(value: A): ValueText<A> => {
  const walk = new Walk()
  const { pieces } = walk
  const put = walk.of(value, "$")
  if (put === undefined) return { pieces, put: () => value }
  return {
    pieces,
    put: (texts) => {
      let at = 0
      const made = put(() => texts[at++]) as A
      if (walk.isMadeUp && texts.some((text) => text !== undefined)) verify(made, pieces, texts)
      return made
    }
  }
}

/** What a getter makes of other fields is right when these are; what it keeps to itself stays what it was. */
const verify = (
  made: unknown,
  pieces: ReadonlyArray<Piece>,
  texts: ReadonlyArray<string | undefined>
): void => {
  const again = new Walk()
  again.of(made, "$")
  const isRight =
    again.pieces.length === pieces.length &&
    again.pieces.every(({ text }, i) => text === (texts[i] ?? pieces[i]?.text))
  if (!isRight) throw new Unreadable("text that cannot be replaced")
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const encoder = new TextEncoder()

/** Bytes as text; what is no UTF-8 in them is U+FFFD. */
export const textOf = (bytes: Uint8Array): string => decoder.decode(bytes)

/** Bytes of the kind that `one` is. */
export const likeIt = (one: Uint8Array, bytes: Uint8Array): Uint8Array =>
  Buffer.isBuffer(one)
    ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Text as bytes of the kind that `like` is. */
export const encoded = (like: Uint8Array, text: string): Uint8Array => likeIt(like, encoder.encode(text))

/** The next text; undefined: it is as it was. */
type Next = () => string | undefined
/** Makes a value anew with other texts in it; the value itself where none has changed. */
type Put = (next: Next) => unknown

/** Objects within objects. */
const deepest = 64

/** Kinds that hold no text of their own. */
const isMute = (value: object): boolean =>
  types.isDate(value) || value instanceof AbortSignal || types.isNumberObject(value)

/** Kinds whose text is what they say, and which are not made anew. */
const saidBy = (value: object): string | undefined => {
  if (isPairs(value)) return JSON.stringify([...(value as Iterable<unknown>)])
  return value instanceof URL || types.isRegExp(value) || types.isBoxedPrimitive(value)
    ? String(value)
    : undefined
}

const isUsedUp = (value: object): boolean =>
  hasMethod(value, "then") || hasMethod(value, "next") || hasMethod(value, Symbol.asyncIterator)

/** What a class's values say of themselves beside their own fields, by what they inherit from. */
const getters = new WeakMap<object, ReadonlyArray<string>>()

const gettersOf = (value: object): ReadonlyArray<string> => {
  const proto: object = Object.getPrototypeOf(value)
  const known = getters.get(proto)
  if (known !== undefined) return known
  const names = new Set<string>()
  for (const line of lineOf(value))
    for (const [name, { get }] of Object.entries(Object.getOwnPropertyDescriptors(line)))
      if (get !== undefined && !isNative(get)) names.add(name)
  getters.set(proto, [...names])
  return [...names]
}

const read = (value: object, key: PropertyKey): unknown => {
  try {
    return Reflect.get(value, key)
  } catch {
    return undefined
  }
}

const isPlain = (value: object): boolean => {
  const proto: unknown = Object.getPrototypeOf(value)
  return proto === Object.prototype || proto === null
}

/** Of what is streamed piece by piece a list names the place by `index`: each element has a few of the places. */
const placeOf = (item: unknown, at: number): number => {
  const index: unknown =
    typeof item === "object" && item !== null
      ? Object.getOwnPropertyDescriptor(item, "index")?.value
      : undefined
  return typeof index === "number" ? index : at
}

/** By what streams tell the texts apart that they send piece by piece. */
const naming = ["id", "index", "item_id", "output_index", "content_index", "toolCallId", "tool_call_id"]

const noNames: ReadonlyArray<Name> = []

/** What may name the text in an object. */
const namesIn = (value: object, slot: string): ReadonlyArray<Name> => {
  const names: Array<Name> = []
  for (const field of naming) {
    const is: unknown = Object.getOwnPropertyDescriptor(value, field)?.value
    if (typeof is === "number" || (typeof is === "string" && is.length <= 100))
      names.push({ of: `${slot}.${field}`, is: String(is) })
  }
  return names.length === 0 ? noNames : names
}

/** One walk through a value. */
class Walk {
  readonly pieces: Array<Piece> = []
  /** What names the text in the objects that are walked through. */
  #names = noNames
  /** Some of it is made up when it is read, or holds itself. */
  isMadeUp = false
  readonly #known = new Map<object, Put | undefined>()
  #depth = 0

  /** Reads a value; undefined: there is no text in it. */
  of(value: unknown, slot: string): Put | undefined {
    if (typeof value === "string") return this.#text(value, slot, (text) => text)
    if (typeof value !== "object" || value === null) return undefined
    if (this.#known.has(value)) return this.#known.get(value)
    this.#known.set(value, () => {
      this.isMadeUp = true
      return value
    })
    if (++this.#depth > deepest) throw new Unreadable(`more than ${deepest} objects within objects`)
    const put = once(this.#object(value, slot))
    this.#depth--
    this.#known.set(value, put)
    return put
  }

  /** A text, and what becomes of it when it is replaced. */
  #text(text: string, slot: string, replaced: (text: string) => unknown, value: unknown = text): Put {
    this.pieces.push({ slot, text, names: this.#names })
    return (next) => {
      const now = next()
      return now === undefined ? value : replaced(now)
    }
  }

  #object(value: object, slot: string): Put | undefined {
    if (types.isProxy(value)) throw new Unreadable("Proxy")
    if (isPlain(value) || Array.isArray(value)) return this.#fields(value, slot)
    if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return this.#bytes(value, slot)
    if (isMute(value)) return undefined
    const said = saidBy(value)
    if (said !== undefined) return this.#text(said, slot, fixed, value)
    if (types.isMap(value)) return this.#map(value, slot)
    if (types.isSet(value)) return this.#set(value, slot)
    const kind = isError(value) ? undefined : foreignKind(value)
    if (kind !== undefined) throw new Unreadable(kind)
    return this.#fields(value, slot)
  }

  #bytes(value: ArrayBufferView | ArrayBufferLike, slot: string): Put {
    const bytes = ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value)
    const anew = (text: string): unknown => {
      if (types.isUint8Array(value)) return encoded(value, text)
      if (types.isArrayBuffer(value)) return encoder.encode(text).buffer
      return fixed()
    }
    return this.#text(textOf(bytes), slot, anew, value)
  }

  #map(value: ReadonlyMap<unknown, unknown>, slot: string): Put | undefined {
    const parts = [...value].map(([key, item]) => this.#part(key, item, `${slot}[${String(key)}]`))
    return anewBy(value, parts, (changed) => new Map([...value, ...changed]))
  }

  #set(value: ReadonlySet<unknown>, slot: string): Put | undefined {
    const items = [...value]
    const parts = items.map((item, at) => this.#part(item, item, `${slot}[${placeOf(item, at)}]`))
    return anewBy(value, parts, (changed) => new Set(items.map((item) => changed.get(item) ?? item)))
  }

  /** An object, a list or an instance of a class: what is its own, and what getters of its class say. */
  #fields(value: object, slot: string): Put | undefined {
    if (isUsedUp(value)) throw new Unreadable("what comes only as it is used")
    const parts: Array<Part<PropertyKey>> = []
    const isList = Array.isArray(value)
    const around = this.#names
    const names = isList ? noNames : namesIn(value, slot)
    if (names.length > 0) this.#names = [...around, ...names]
    for (const key of Reflect.ownKeys(value)) {
      const how = Object.getOwnPropertyDescriptor(value, key)
      if (how?.get !== undefined) this.isMadeUp = true
      const item: unknown = how?.get === undefined ? how?.value : read(value, key)
      const name = isList ? placeOf(item, Number(String(key))) : String(key)
      parts.push(this.#part(key, item, `${slot}.${name}`))
    }
    const own = anewBy(value, parts, (changed) => likeOf(value, changed))
    const put = isList || isPlain(value) ? own : this.#made(value, slot, own)
    this.#names = around
    return put
  }

  /** What getters of a class make is not put back: it follows from the fields, or `verify` finds that it does not. */
  #made(value: object, slot: string, own: Put | undefined): Put | undefined {
    const made = gettersOf(value).flatMap((key) => this.of(read(value, key), `${slot}.${key}`) ?? [])
    if (made.length === 0) return own
    this.isMadeUp = true
    return (next) => {
      const anew = own === undefined ? value : own(next)
      for (const put of made) put(next)
      return anew
    }
  }

  #part<K>(key: K, item: unknown, slot: string): Part<K> {
    return { key, item, put: this.of(item, slot) }
  }
}

/** A part of a value, and how it is made anew; undefined: there is no text in it. */
interface Part<K> {
  readonly key: K
  readonly item: unknown
  readonly put: Put | undefined
}

/** Makes a value anew where one of its parts is. */
const anewBy = <K>(
  value: object,
  parts: ReadonlyArray<Part<K>>,
  make: (changed: ReadonlyMap<K, unknown>) => object
): Put | undefined => {
  if (parts.every(({ put }) => put === undefined)) return undefined
  return (next) => {
    const changed = new Map<K, unknown>()
    for (const { item, key, put } of parts) {
      const now = put === undefined ? item : put(next)
      if (now !== item) changed.set(key, now)
    }
    return changed.size === 0 ? value : make(changed)
  }
}

/** A value of the same class with other properties. */
const likeOf = (value: object, changed: ReadonlyMap<PropertyKey, unknown>): object => {
  const list = Array.isArray(value) ? [...value] : undefined
  if (list !== undefined) {
    for (const [key, item] of changed) Reflect.set(list, key, item)
    return list
  }
  const properties: PropertyDescriptorMap = Object.getOwnPropertyDescriptors(value)
  for (const [key, item] of changed)
    Object.defineProperty(properties, key, {
      value: {
        value: item,
        enumerable: properties[key]?.enumerable ?? true,
        configurable: true,
        writable: true
      },
      enumerable: true,
      configurable: true,
      writable: true
    })
  return Object.create(Object.getPrototypeOf(value), properties)
}

const fixed = (): never => {
  throw new Unreadable("text that cannot be replaced")
}

const once = (put: Put | undefined): Put | undefined => {
  if (put === undefined) return undefined
  let made: { readonly value: unknown } | undefined
  return (next) => {
    made ??= { value: put(next) }
    return made.value
  }
}
