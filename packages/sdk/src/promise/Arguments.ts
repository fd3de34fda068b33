/**
 * The arguments of a governed function: as policies and DLP see them, and as they are handed on.
 *
 * What JSON holds is seen as JSON has it. Of the rest: a `bigint` as text, a map with text keys as an object and any
 * other as pairs, a set as a list, bytes as text, an error as its text, a reference back as `[circular]`. What lies
 * behind that (values under a `toJSON`, hidden and symbol properties, properties of functions, getters of a class) is
 * listed as `$more`. What is of no known kind, or is used up by reading it, refuses the call before it is judged,
 * which costs no trust.
 *
 * What is judged is what runs: an argument that DLP redacts is handed on as it was seen; one that the program changed
 * while the call was judged, or that has getters of its own, as a copy of what was judged; the others as they were given.
 *
 * **Gotchas**: private fields without a getter and what a closure holds cannot be seen. An instance of a class is not
 * copied: what is changed in it while the call is judged is not judged.
 */
import type { Wire } from "@agion/domain"
import { Reader } from "./Reader.ts"

export const isPlain = (value: unknown): value is Wire.JsonObject =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** What policies see of arguments, and the arguments to call with by what DLP left of that. */
export interface Seen<Args> {
  readonly arguments: Wire.JsonObject
  readonly handedOn: (now: Wire.JsonObject) => Args
}

type Part = (view: Wire.JsonObject) => unknown

/** One look at arguments: what is seen of all, and which part of that is which argument's. */
interface Look {
  readonly reader: Reader
  readonly view: Wire.JsonObject
  readonly parts: ReadonlyMap<number, Part>
}

/** The arguments of a tool: the first as it is or as `input`, each further one that is not the framework's as `$2`, … */
export const seenOfTool = (
  args: ReadonlyArray<unknown>,
  isFrameworks: (arg: unknown, at: number) => boolean
): Seen<ReadonlyArray<unknown>> => {
  const shown = args.flatMap((arg, at) =>
    arg === undefined || isFrameworks(arg, at)
      ? []
      : [{ at, name: at === 0 ? "input" : `$${at + 1}`, spread: at === 0 }]
  )
  return see(args, () => lookAt(args, shown))
}

/** The arguments of a function: a single object as it is, others as `args`. */
export const seenOf = <Args extends ReadonlyArray<unknown>>(args: Args): Seen<Args> => {
  const visible = args.flatMap((arg, at) => (arg instanceof AbortSignal ? [] : [at]))
  const [at] = visible
  return at !== undefined && visible.length === 1 && isPlain(args[at])
    ? see(args, () => lookAt(args, [{ at, name: "args", spread: true }]))
    : see(args, () => lookAtList(args, visible))
}

/** An argument to show: spread where `name` says nothing else and it is an object. */
interface Shown {
  readonly at: number
  readonly name: string
  readonly spread: boolean
}

const lookAt = (args: ReadonlyArray<unknown>, shown: ReadonlyArray<Shown>): Look => {
  const reader = new Reader()
  const view: Record<string, unknown> = {}
  const parts = new Map<number, Part>()
  const added = new Set<string>()
  /** A name that no argument has: what is added must hide nothing. */
  const add = (wanted: string, value: unknown): string => {
    if (Object.hasOwn(view, wanted)) return add(`$${wanted}`, value)
    view[wanted] = value
    added.add(wanted)
    return wanted
  }
  for (const { at, name, spread } of shown) {
    const value = reader.read(args[at], name)
    if (spread && isPlain(args[at]) && isPlain(value)) {
      for (const key of Object.keys(value)) define(view, key, value[key])
      parts.set(at, (of) => Object.fromEntries(Object.entries(of).filter(([key]) => !added.has(key))))
    } else {
      const under = add(name, value ?? null)
      parts.set(at, (of) => of[under])
    }
  }
  if (reader.hidden.length > 0) add(hiddenName, reader.hidden)
  return { reader, view: view as Wire.JsonObject, parts }
}

const lookAtList = (args: ReadonlyArray<unknown>, visible: ReadonlyArray<number>): Look => {
  const reader = new Reader()
  const list = visible.map((at) => reader.read(args[at], "args") ?? null)
  const view = { args: list, ...(reader.hidden.length > 0 ? { [hiddenName]: reader.hidden } : {}) }
  const parts = new Map(
    visible.map((at, place): readonly [number, Part] => [at, (of) => Reflect.get(Object(of["args"]), place)])
  )
  return { reader, view: view as Wire.JsonObject, parts }
}

const define = (on: object, key: string, value: unknown): void => {
  Object.defineProperty(on, key, { value, enumerable: true, configurable: true, writable: true })
}

const hiddenName = "$more"

const hiddenOf = (view: Wire.JsonObject): ReadonlyArray<unknown> =>
  Object.entries(view).filter(([name]) => /^\$+more$/.test(name))

/** Of views, which are JSON. */
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

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

const again = (look: () => Look): Wire.JsonObject | undefined => {
  try {
    return look().view
  } catch {
    return undefined
  }
}

const see = <Args extends ReadonlyArray<unknown>>(args: Args, look: () => Look): Seen<Args> => {
  const { parts, reader, view } = look()
  const handedOn = (now: Wire.JsonObject): Args => {
    const later = reader.isSteady ? again(look) : undefined
    const isSteady = later !== undefined && same(hiddenOf(view), hiddenOf(later))
    const isRedacted = now !== view && !same(hiddenOf(view), hiddenOf(now))
    const handed = args.map((arg, at) => {
      const part = parts.get(at)
      if (part === undefined) return arg
      const was = part(view)
      const is = part(now)
      if (isRedacted || !same(was, is)) return withSignals(is, reader.copyOf(arg))
      return isSteady && same(was, part(later)) ? arg : reader.copyOf(arg)
    })
    return handed as ReadonlyArray<unknown> as Args
  }
  return { arguments: view, handedOn }
}
