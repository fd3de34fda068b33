/**
 * The arguments of a governed function: as policies and DLP see them, and as DLP hands them on.
 *
 * What JSON holds is seen as JSON has it. Of the rest: a `bigint` as text, a map with text keys as an object and any
 * other as pairs, a set as a list, bytes as text, an error as its text, a reference back as `[circular]`. What lies
 * behind that (values under a `toJSON`, hidden and symbol properties, getters of a class) is listed as `$more`. What
 * cannot be read without using it up refuses the call before it is judged, which costs no trust.
 *
 * **Gotchas**: private fields without a getter and what a closure holds cannot be seen. An argument that DLP redacts
 * is handed on as it was seen, the others as they were given.
 */
import type { Wire } from "@agion/domain"

export const isPlain = (value: unknown): value is Wire.JsonObject =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** What policies see of arguments, and the arguments to call with where DLP redacted some of that. */
export interface Seen {
  readonly arguments: Wire.JsonObject
  readonly redacted: (now: Wire.JsonObject) => ReadonlyArray<unknown>
}

/** An argument to show: spread where `name` says nothing else and it is an object. */
interface Shown {
  readonly at: number
  readonly name: string
  readonly spread: boolean
}

/** The arguments of a tool: the first as it is or as `input`, each further one that is not the framework's as `$2`, … */
export const seenOfTool = (
  args: ReadonlyArray<unknown>,
  isFrameworks: (arg: unknown, at: number) => boolean
): Seen =>
  see(
    args,
    args.flatMap((arg, at) =>
      arg === undefined || isFrameworks(arg, at)
        ? []
        : [{ at, name: at === 0 ? "input" : `$${at + 1}`, spread: at === 0 }]
    )
  )

/** The arguments of a function: a single object as it is, others as `args`. */
export const seenOf = <Args extends ReadonlyArray<unknown>>(
  args: Args
): { readonly arguments: Wire.JsonObject; readonly redacted: (now: Wire.JsonObject) => Args } => {
  const visible = args.filter((arg) => !(arg instanceof AbortSignal))
  const single = visible.length === 1 && isPlain(visible[0])
  const seen = see([single ? visible[0] : visible], [{ at: 0, name: "args", spread: single }])
  const redacted = (now: Wire.JsonObject): Args => {
    const [whole] = seen.redacted(now)
    if (!single && whole === visible) return args
    const replaced = single ? [whole] : (whole as ReadonlyArray<unknown>)
    const before = seen.arguments["args"]
    const allChanged = hiddenChanged(seen.arguments, now)
    let at = 0
    return args.map((arg) => {
      if (arg instanceof AbortSignal) return arg
      const place = at++
      const was = Array.isArray(before) ? before[place] : undefined
      return single || allChanged || !same(was, replaced[place]) ? replaced[place] : arg
    }) as ReadonlyArray<unknown> as Args
  }
  return { arguments: seen.arguments, redacted }
}

/** A signal is not seen, and stays where its object is redacted. */
const withSignals = (redacted: unknown, given: unknown): unknown =>
  isPlain(redacted) && isPlain(given)
    ? {
        ...redacted,
        ...Object.fromEntries(
          Object.entries<unknown>(given).filter(([, value]) => value instanceof AbortSignal)
        )
      }
    : redacted

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

const hiddenName = "$more"

const hiddenChanged = (before: Wire.JsonObject, now: Wire.JsonObject): boolean =>
  Object.keys(before).some((name) => /^\$+more$/.test(name) && !same(before[name], now[name]))

const see = (args: ReadonlyArray<unknown>, wanted: ReadonlyArray<Shown>): Seen => {
  const reader = new Reader()
  const seen: Record<string, unknown> = {}
  /** A name that no argument has: what is added must hide nothing. */
  const add = (wantedName: string, value: unknown): string => {
    const name = Object.hasOwn(seen, wantedName) ? add(`$${wantedName}`, value) : wantedName
    if (name === wantedName) seen[name] = value
    return name
  }
  const places = wanted.map(({ at, name, spread }) => {
    const value = reader.read(args[at], name)
    if (!spread || !isPlain(args[at]) || !isPlain(value))
      return { at, name: add(name, value ?? null), keys: null }
    for (const key of Object.keys(value))
      Object.defineProperty(seen, key, {
        value: value[key],
        enumerable: true,
        configurable: true,
        writable: true
      })
    return { at, name, keys: new Set(Object.keys(value)) }
  })
  if (reader.hidden.length > 0) add(hiddenName, reader.hidden)
  const before = seen as Wire.JsonObject
  const added = new Set(Object.keys(before))
  for (const { keys } of places) for (const key of keys ?? []) added.delete(key)
  const redacted = (now: Wire.JsonObject): ReadonlyArray<unknown> => {
    if (now === before) return args
    const all = hiddenChanged(before, now)
    const own = (from: Wire.JsonObject) =>
      Object.fromEntries(Object.entries(from).filter(([name]) => !added.has(name)))
    const changed = [...args]
    for (const { at, name, keys } of places) {
      const was = keys === null ? before[name] : own(before)
      const is = keys === null ? now[name] : own(now)
      if (all || !same(was, is)) changed[at] = withSignals(is, args[at])
    }
    return changed
  }
  return { arguments: before, redacted }
}

/** What cannot be read without using it up, or not at all. */
const opaque = new Set(
  [
    "Promise",
    "Blob",
    "File",
    "ReadableStream",
    "Request",
    "Response",
    "Generator",
    "AsyncGenerator",
    "WeakMap",
    "WeakSet"
  ].map((name) => `[object ${name}]`)
)

const deepest = 100

const textOf = (bytes: ArrayBufferView | ArrayBuffer): string =>
  new TextDecoder().decode(bytes).replaceAll("\0", "")

/** Reads values as JSON, and beside it what that does not show. */
class Reader {
  readonly hidden: Array<unknown> = []
  readonly #known = new Map<object, unknown>()
  #depth = 0

  read(value: unknown, name: string): unknown {
    if (typeof value === "bigint") return String(value)
    if (typeof value === "number") return Number.isFinite(value) ? value : null
    if (typeof value === "function" || typeof value === "symbol") return undefined
    if (typeof value !== "object" || value === null) return value
    if (this.#known.has(value)) return this.#known.get(value)
    this.#known.set(value, "[circular]")
    if (++this.#depth > deepest) throw unreadable(name, `it is more than ${deepest} levels deep`)
    const seen = this.#object(value, name)
    this.#depth--
    this.#known.set(value, seen)
    return seen
  }

  #object(value: object, name: string): unknown {
    try {
      const kind = Object.prototype.toString.call(value)
      if (opaque.has(kind)) throw unreadable(name, `a ${kind.slice(8, -1)} cannot be read before the call`)
      if (value instanceof AbortSignal) return undefined
      return this.#contents(value, name)
    } catch (error) {
      if (error instanceof ArgumentUnreadable) throw error
      throw unreadable(name, "reading it failed", error)
    }
  }

  #contents(value: object, name: string): unknown {
    if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer)
      return textOf(new Uint8Array(value).slice())
    if (ArrayBuffer.isView(value)) return this.#bytes(value)
    if (value instanceof Date) return value.toJSON()
    if (value instanceof URL) return value.href
    if (value instanceof RegExp) return String(value)
    if (
      value instanceof String ||
      value instanceof Number ||
      value instanceof Boolean ||
      value instanceof BigInt
    )
      return this.read(value.valueOf(), name)
    if (Array.isArray(value)) {
      this.#more(value, name, (key) => /^\d+$/.test(key) || key === "length")
      return Array.from(value, (item) => this.read(item, name) ?? null)
    }
    const seen = this.#listed(value, name)
    if (seen !== undefined) {
      this.#more(value, name, () => false)
      return seen
    }
    const toJson: unknown = Reflect.get(value, "toJSON")
    if (typeof toJson === "function") {
      this.#more(value, name, () => false)
      return this.read(Reflect.apply(toJson, value, [name]), name)
    }
    const enumerable = new Set(Object.keys(value))
    this.#more(value, name, (key) => enumerable.has(key))
    return Object.fromEntries(
      [...enumerable].flatMap((key) => {
        const item = this.read(Reflect.get(value, key), key)
        return item === undefined ? [] : [[key, item]]
      })
    )
  }

  #listed(value: object, name: string): unknown {
    if (value instanceof Map) {
      const pairs = [...value].map(([key, item]) => [key, this.read(item, String(key)) ?? null] as const)
      return pairs.every(([key]) => typeof key === "string")
        ? Object.fromEntries(pairs)
        : pairs.map(([key, item]) => [this.read(key, name) ?? null, item])
    }
    if (value instanceof Set) return Array.from(value, (item) => this.read(item, name) ?? null)
    if (value instanceof URLSearchParams || value instanceof Headers || value instanceof FormData)
      return Array.from(value as Iterable<unknown>, (item) => this.read(item, name) ?? null)
    return undefined
  }

  #bytes(value: ArrayBufferView): unknown {
    if (value instanceof DataView || Reflect.get(value, "BYTES_PER_ELEMENT") === 1)
      return textOf(new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice())
    const text = textOf(new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice())
    this.hidden.push(text)
    const length = Number(Reflect.get(value, "length"))
    return Array.from({ length }, (_, at) => this.read(Reflect.get(value, at), ""))
  }

  /** What a value holds beside what is shown of it. */
  #more(value: object, name: string, isShown: (key: string) => boolean): void {
    for (const key of Reflect.ownKeys(value)) {
      if (typeof key === "string" && isShown(key)) continue
      this.#hide(key, this.read(Reflect.get(value, key), name))
    }
    let proto: object | null = Object.getPrototypeOf(value)
    for (; proto !== null && proto !== Object.prototype; proto = Object.getPrototypeOf(proto))
      for (const [key, { get }] of Object.entries(Object.getOwnPropertyDescriptors(proto)))
        if (get !== undefined && !String(get).includes("[native code]"))
          this.#hide(key, this.read(Reflect.apply(get, value, []), name))
  }

  #hide(key: string | symbol, item: unknown): void {
    if (item !== undefined)
      this.hidden.push({ [typeof key === "symbol" ? (key.description ?? "") : key]: item })
  }
}

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
