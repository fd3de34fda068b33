/**
 * Ids of decisions that carry their own proof: a UUIDv7 whose last 62 random bits are a keyed hash of whom the
 * decision was about and that it allowed. An outcome that names one shows, without a stored row, that the
 * platform allowed that actor something then (TRUST-6); a denial's id, or an invented one, shows nothing.
 */
import { createHmac, hash, randomFillSync, timingSafeEqual } from "node:crypto"

export interface DecisionFacts {
  readonly organizationId: string
  readonly actorId: string
  readonly allowed: boolean
  /** Epoch milliseconds. */
  readonly now: number
}

const maxKept = 20_000

/** By the platform's secret: what an actor's ids are hashed with. */
const kept = new WeakMap<Uint8Array, Map<string, string>>()

/** The key of an actor's allowed, or denied, decisions: 64 hexadecimal digits. */
const keyOf = (secret: Uint8Array, organizationId: string, actorId: string, allowed: boolean): string => {
  const keys = kept.get(secret) ?? new Map<string, string>()
  kept.set(secret, keys)
  const name = `${allowed ? "+" : "-"}${organizationId}\0${actorId}`
  const known = keys.get(name)
  if (known !== undefined) return known
  const message = JSON.stringify([organizationId, actorId, allowed])
  const key = createHmac("sha256", secret).update(message).digest("hex")
  if (keys.size >= maxKept) keys.clear()
  keys.set(name, key)
  return key
}

/**
 * 62 bits of a hash of a secret key and the id's first 60: 16 hexadecimal digits. What is hashed is always 82
 * characters long and three quarters of the hash stay unsaid, so that nobody can continue it.
 */
const tail = (key: string, head: string): string => {
  const mac = hash("sha256", key + head, "hex")
  return variants.charAt(Number.parseInt(mac.charAt(0), 16)) + mac.slice(1, 16)
}

/** A hexadecimal digit with its two high bits set to 10, as a UUID wants it. */
const variants = "89ab89ab89ab89ab"

const pool = Buffer.alloc(4096)
let spent = pool.length

/** Eleven random bits, drawn from the system thousands at a time. */
const random11 = (): number => {
  if (spent >= pool.length) {
    randomFillSync(pool)
    spent = 0
  }
  spent += 2
  return pool.readUInt16BE(spent - 2) & 0x7ff
}

let lastTime = 0
let lastCount = 0

/** Counts within a millisecond, from a random number on; what overflows borrows the next one (RFC 9562, 6.2). */
const tick = (now: number): void => {
  if (now > lastTime || now < lastTime - 1000) {
    lastTime = now
    lastCount = random11()
  } else if (lastCount < 0xfff) lastCount += 1
  else {
    lastTime += 1
    lastCount = random11()
  }
}

/** A new id; no two of a process are the same. */
export const make = (secret: Uint8Array, facts: DecisionFacts): string => {
  tick(Math.max(0, Math.floor(facts.now)))
  const time = lastTime.toString(16).padStart(12, "0").slice(-12)
  const count = lastCount.toString(16).padStart(3, "0")
  const head = `${time.slice(0, 8)}-${time.slice(8)}-7${count}`
  const mac = tail(keyOf(secret, facts.organizationId, facts.actorId, facts.allowed), head)
  return `${head}-${mac.slice(0, 4)}-${mac.slice(4)}`
}

/** True for an id that was made of an allowed decision about that actor. */
export const isAllowed = (
  secret: Uint8Array,
  id: string,
  organizationId: string,
  actorId: string
): boolean => {
  const match = /^([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3})-([0-9a-f]{4})-([0-9a-f]{12})$/.exec(id)
  const [, head = "", first = "", rest = ""] = match ?? []
  if (head === "") return false
  const mac = tail(keyOf(secret, organizationId, actorId, true), head)
  return timingSafeEqual(Buffer.from(first + rest), Buffer.from(mac))
}

/** Epoch milliseconds at which an id was made; NaN for what is no UUIDv7. */
export const timeOf = (id: string): number =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(id) ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : Number.NaN
