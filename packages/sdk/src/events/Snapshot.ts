/**
 * An event as it was when it was published, whatever the program does with it then. Texts are not read here: an event of
 * the buffered class is encoded when its batch is.
 */
import { Wire } from "@agion/domain"
import { toJson } from "./Json.ts"

/** JSON that stands for a value as it was when it was published. */
export class Said {
  readonly json: string
  constructor(json: string) {
    this.json = json
  }
}

/** What a copy may still hold, and roughly what it takes. */
interface Copying {
  objects: number
  bytes: number
}

/** So many objects are copied; what has more is written down at once. */
const mostObjects = 1_000
const uncopied = Symbol("uncopied")

/** Objects and arrays anew, texts as they are, since nobody can change them; `uncopied` where it is not so simple. */
const copyOf = (value: unknown, depth: number, copying: Copying): unknown => {
  if (typeof value === "string") copying.bytes += value.length
  else if (typeof value === "bigint" || typeof value === "function" || typeof value === "symbol")
    return uncopied
  if (typeof value !== "object" || value === null) return value
  copying.objects -= 1
  copying.bytes += 16
  if (copying.objects < 0 || depth >= Wire.maxJsonDepth) return uncopied
  return Array.isArray(value) ? copyOfArray(value, depth, copying) : copyOfObject(value, depth, copying)
}

const copyOfArray = (values: ReadonlyArray<unknown>, depth: number, copying: Copying): unknown => {
  const copy: Array<unknown> = []
  for (let i = 0; i < values.length; i++) {
    const item = copyOf(values[i], depth + 1, copying)
    copying.bytes += 8
    // Many items of no size take their room too.
    if (item === uncopied || i >= mostObjects) return uncopied
    copy.push(item)
  }
  return copy
}

const copyOfObject = (value: object, depth: number, copying: Copying): unknown => {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return uncopied
  const copy: Record<string, unknown> = { ...value }
  for (const key in copy) {
    const field = copy[key]
    copying.bytes += key.length + 8
    if (typeof field === "string") copying.bytes += field.length
    else if (typeof field !== "number" && typeof field !== "boolean") {
      const item = copyOf(field, depth + 1, copying)
      if (item === uncopied || key === "__proto__") return uncopied
      copy[key] = item
    }
  }
  return copy
}

/** A value as it is now: a copy, or its JSON where it has to be read in full to be copied. */
const keptOf = (value: object, copying: Copying): unknown => {
  const before = copying.bytes
  try {
    const copy = copyOf(value, 0, copying)
    if (copy !== uncopied) return copy
  } catch {
    // What throws becomes words.
  }
  const said = new Said(toJson(value))
  copying.bytes = before + said.json.length
  return said
}

/** An event that the program may go on with, and roughly what it takes. */
export interface Snapshot {
  readonly event: object
  readonly bytes: number
}

/** Holds what an event says now; it is encoded when its batch is. */
export const snapshot = (event: object): Snapshot => {
  const copy: Record<string, unknown> = { ...event }
  let bytes = 16
  for (const key in copy) {
    const value = copy[key]
    bytes += key.length + 8
    if (typeof value === "string") bytes += value.length
    else if (typeof value === "object" && value !== null) {
      const copying = { objects: mostObjects, bytes: 0 }
      copy[key] = keptOf(value, copying)
      bytes += copying.bytes
    }
  }
  return { event: copy, bytes }
}
