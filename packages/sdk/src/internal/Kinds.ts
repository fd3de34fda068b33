/** What kind of object a value of the program's is, and whether its contents can be read without using them up. */
import { types } from "node:util"

/** True for what every object inherits from, of any realm. */
const isRoot = (proto: object): boolean =>
  Object.getPrototypeOf(proto) === null && Object.hasOwn(proto, "isPrototypeOf")

/** What a value inherits from, the nearest first. */
export function* lineOf(value: object): Generator<object> {
  let proto: object | null = Object.getPrototypeOf(value)
  for (; proto !== null && !isRoot(proto); proto = Object.getPrototypeOf(proto)) yield proto
}

export const isNative = (made: unknown): boolean =>
  typeof made === "function" && /\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(made))

const holdsNative = (proto: object): boolean =>
  Object.values(Object.getOwnPropertyDescriptors(proto)).some(
    ({ get, value }) => isNative(get) || isNative(value)
  )

const nameOf = (made: object): string => String(Reflect.get(made, "name"))

/** The name of the kind that a value is of and that is not the program's; undefined: it is the program's. */
export const foreignKind = (value: object): string | undefined => {
  for (const proto of lineOf(value)) {
    const made: unknown = Object.getOwnPropertyDescriptor(proto, "constructor")?.value
    if (typeof made !== "function") {
      if (holdsNative(proto)) return Object.prototype.toString.call(value).slice(8, -1)
    } else if (isNative(made) || Reflect.get(globalThis, nameOf(made)) === made) return nameOf(made)
  }
  return undefined
}

/** True where a value has a method of this name, without calling a getter. */
export const hasMethod = (value: object, key: PropertyKey): boolean => {
  for (let at: object | null = value; at !== null; at = Object.getPrototypeOf(at)) {
    const found = Object.getOwnPropertyDescriptor(at, key)
    if (found !== undefined) return typeof found.value === "function"
  }
  return false
}

/** True for an iterator, a stream, a promise, and what behaves as one: its contents come when it is asked. */
export const isUsedUp = (value: object): boolean =>
  hasMethod(value, "then") ||
  hasMethod(value, "next") ||
  hasMethod(value, Symbol.asyncIterator) ||
  (hasMethod(value, Symbol.iterator) && Reflect.get(value, Symbol.iterator) !== Array.prototype.values)

export const isPairs = (value: object): value is URLSearchParams | Headers | FormData =>
  value instanceof URLSearchParams || value instanceof Headers || value instanceof FormData

export const isError = (value: object): value is Error => value instanceof Error || types.isNativeError(value)
