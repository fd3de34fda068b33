/**
 * Ids of events: UUIDv7, given once, rising within a process even when its clock does not (EVENT-5).
 *
 * The first 48 bits are milliseconds, the next 12 count within one, the last 62 are random.
 */
import { randomFillSync } from "node:crypto"

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

const byte = (bits: number): string => hex[bits & 255] ?? ""

/** Random bytes, drawn from the system 512 ids at a time. */
const makePool = () => {
  const pool = new Uint8Array(4096)
  let at = pool.length
  return (): string => {
    if (at === pool.length) {
      randomFillSync(pool)
      at = 0
    }
    const b = pool
    const first = byte(((b[at] ?? 0) & 0x3f) | 0x80)
    const tail = `${first}${byte(b[at + 1] ?? 0)}-${byte(b[at + 2] ?? 0)}${byte(b[at + 3] ?? 0)}${byte(b[at + 4] ?? 0)}`
    const text = `${tail}${byte(b[at + 5] ?? 0)}${byte(b[at + 6] ?? 0)}${byte(b[at + 7] ?? 0)}`
    at += 8
    return text
  }
}

/** One pool for all sources of the process: agents by the thousand have one each. */
const random = makePool()

/** A source of ids of now, or of a moment that was read; epoch milliseconds. Each is greater than the one before. */
export const make = (now: () => number): ((at?: number) => string) => {
  let millis = -1
  let count = 0
  let head = ""
  return (at = now()) => {
    const time = Math.max(0, Math.floor(at))
    if (time > millis || count === 0xfff) {
      millis = time > millis ? time : millis + 1
      count = 0
      const text = millis.toString(16).padStart(12, "0")
      head = `${text.slice(0, 8)}-${text.slice(8, 12)}-7`
    } else {
      count += 1
    }
    return `${head}${byte(count >> 4)}${(count & 15).toString(16)}-${random()}`
  }
}

const digits = "0123456789abcdef"

/** The id of a part, 0 to 3, of something that has one id: the last two bits tell the part. */
export const part = (id: string, number: 0 | 1 | 2 | 3): string =>
  `${id.slice(0, -1)}${digits[(digits.indexOf(id.at(-1) ?? "0") & 12) | number]}`
