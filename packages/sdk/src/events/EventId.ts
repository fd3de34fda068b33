/**
 * Ids of events: UUIDv7, given once, rising within a process even when its clock does not (EVENT-5).
 *
 * The first 48 bits are milliseconds, the next 12 count within one, the last 62 are random.
 */
import { randomFillSync } from "node:crypto"

const digits = "0123456789abcdef"
const codes = Buffer.from(digits)

/** Where ids are spelt: a text of one piece is written in half the time that one of ten joined pieces takes. */
const text = Buffer.from("00000000-0000-7000-8000-000000000000")

/** Spells a number in so many digits. */
const spell = (at: number, count: number, value: number): void => {
  let rest = value
  for (let i = at + count - 1; i >= at; i--) {
    text[i] = codes[rest & 15] ?? 0
    rest >>>= 4
  }
}

/** One pool for all sources of the process: agents by the thousand have one each. Of the system, for 512 ids at a time. */
const pool = Buffer.alloc(4096)
let drawn = pool.length

/** Spells two bits that tell the form, and 62 random ones. */
const spellRandom = (): void => {
  if (drawn === pool.length) {
    randomFillSync(pool)
    drawn = 0
  }
  spell(19, 4, 0x8000 | (pool.readUInt16BE(drawn) & 0x3fff))
  spell(24, 6, pool.readUIntBE(drawn + 2, 3))
  spell(30, 6, pool.readUIntBE(drawn + 5, 3))
  drawn += 8
}

/** A source of ids of now, or of a moment that was read; epoch milliseconds. Each is greater than the one before. */
export const make = (now: () => number): ((at?: number) => string) => {
  let millis = -1
  let count = 0
  return (at = now()) => {
    const time = Math.max(0, Math.floor(at))
    if (time > millis || count === 0xfff) {
      millis = time > millis ? time : millis + 1
      count = 0
    } else {
      count += 1
    }
    spell(0, 8, Math.floor(millis / 0x10000))
    spell(9, 4, millis)
    spell(15, 3, count)
    spellRandom()
    return text.toString("latin1")
  }
}

/** The id of a part, 0 to 3, of something that has one id: the last two bits tell the part. */
export const part = (id: string, number: 0 | 1 | 2 | 3): string =>
  `${id.slice(0, -1)}${digits[(digits.indexOf(id.at(-1) ?? "0") & 12) | number]}`
