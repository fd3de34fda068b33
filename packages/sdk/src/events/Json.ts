/** JSON of whatever an agent puts into an event, as the platform accepts it: bounded, and never an error. */
import { Wire } from "@agion/domain"

/** Text that a database can hold: broken halves of characters and NUL become U+FFFD. */
export const cleanText = (text: string): string =>
  Wire.isStorable(text) ? text : text.toWellFormed().replaceAll("\u0000", "\ufffd")

/**
 * JSON whose texts a database can hold, the same value where all can. Keys stay what policies know them by, and what is
 * nested too deeply, or in itself, is left as it is: nobody takes it.
 */
export const cleanJson = (value: Wire.JsonObject): Wire.JsonObject =>
  Wire.isTooDeep(value) ? value : cleanObject(value)

const cleanObject = (value: Wire.JsonObject): Wire.JsonObject => {
  let copy: Record<string, Wire.JsonObject[string]> | undefined
  for (const key of Object.keys(value)) {
    const field = value[key]
    const clean = field === undefined ? field : cleanValue(field)
    if (clean === undefined || clean === field || key === "__proto__") continue
    copy ??= { ...value }
    copy[key] = clean
  }
  return copy ?? value
}

const cleanValue = (value: Wire.JsonObject[string]): Wire.JsonObject[string] => {
  if (typeof value === "string") return cleanText(value)
  if (typeof value !== "object" || value === null) return value
  if (!Array.isArray(value)) return cleanObject(value as Wire.JsonObject)
  const copy = value.map(cleanValue)
  return copy.every((item, n) => item === value[n]) ? value : copy
}

/** What is left of the characters that one value may become; graphs that share their parts become very many. */
interface Room {
  left: number
}

/** More than any event may have by default: what is cut here is cut anyway. */
const mostCharacters = 4_194_304
/** The same for what has to be copied first, which takes longer. */
const mostCopied = 524_288

const takes = (room: Room, characters: number): boolean => {
  room.left -= characters + 2
  return room.left >= 0
}

/** JSON text of anything at all, as the platform accepts it. */
export const toJson = (value: unknown): string =>
  JSON.stringify(isReadable(value) ? value : plain(value, 0, new Set(), { left: mostCopied }))

const isReadable = (value: unknown): boolean => {
  try {
    return isPlain(value, 0, { left: mostCharacters })
  } catch {
    return false
  }
}

/** True when JSON.stringify gives what the platform accepts: no need to copy. */
const isPlain = (value: unknown, depth: number, room: Room): boolean => {
  switch (typeof value) {
    case "string":
      return takes(room, value.length) && Wire.isStorable(value)
    case "number":
      return takes(room, 0) && Number.isFinite(value)
    case "boolean":
      return takes(room, 0)
    case "object":
      break
    default:
      return false
  }
  if (!takes(room, 0)) return false
  if (value === null) return true
  if (depth >= Wire.maxJsonDepth) return false
  if (Array.isArray(value))
    return value.length * 2 <= room.left && value.every((item) => isPlain(item, depth + 1, room))
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  for (const key of Object.keys(value)) {
    if (key === "__proto__" || !takes(room, key.length) || !Wire.isStorable(key)) return false
    const field: unknown = (value as Record<string, unknown>)[key]
    if (field !== undefined && !isPlain(field, depth + 1, room)) return false
  }
  return true
}

const tooLarge = "[too large]"

/** A copy that JSON can hold. Getters that throw, cycles and what JSON does not know become words. */
const plain = (value: unknown, depth: number, above: Set<object>, room: Room): unknown => {
  if (!takes(room, typeof value === "string" ? value.length : 0)) return tooLarge
  switch (typeof value) {
    case "string":
      return cleanText(value)
    case "number":
      return Number.isFinite(value) ? value : String(value)
    case "boolean":
      return value
    case "undefined":
      return null
    case "object":
      break
    default:
      return String(value)
  }
  if (value === null) return null
  if (above.has(value)) return "[circular]"
  if (depth >= Wire.maxJsonDepth) return "[too deep]"
  above.add(value)
  try {
    return plainObject(value, depth, above, room)
  } catch {
    return "[unreadable]"
  } finally {
    above.delete(value)
  }
}

const plainObject = (value: object, depth: number, above: Set<object>, room: Room): unknown => {
  if (Array.isArray(value)) return plainArray(value, depth, above, room)
  if (value instanceof Error) return { name: cleanText(value.name), message: cleanText(value.message) }
  if ("toJSON" in value && typeof value.toJSON === "function")
    return plain(value.toJSON(), depth, above, room)
  const copy: Record<string, unknown> = {}
  for (const key of Object.keys(value)) {
    if (key === "__proto__") continue
    if (!takes(room, key.length)) return { ...copy, truncated: true }
    copy[cleanText(key)] = plain((value as Record<string, unknown>)[key], depth + 1, above, room)
  }
  return copy
}

const plainArray = (
  values: ReadonlyArray<unknown>,
  depth: number,
  above: Set<object>,
  room: Room
): ReadonlyArray<unknown> => {
  const copy: Array<unknown> = []
  for (let i = 0; i < values.length; i++) {
    copy.push(plain(values[i], depth + 1, above, room))
    if (room.left < 0) break
  }
  return copy
}
