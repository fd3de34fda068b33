/**
 * Ids of decisions that carry their own proof: a UUIDv7 whose last 62 random bits are a keyed hash of whom the
 * decision was about and that it allowed. An outcome that names one shows, without a stored row, that the
 * platform allowed that actor something then (TRUST-6); a denial's id, or an invented one, shows nothing.
 */
import { createHmac, randomInt, timingSafeEqual } from "node:crypto"

export interface DecisionFacts {
  readonly organizationId: string
  readonly actorId: string
  readonly allowed: boolean
  /** Epoch milliseconds. */
  readonly now: number
}

const tail = (
  secret: Uint8Array,
  head: string,
  organizationId: string,
  actorId: string,
  allowed: boolean
) => {
  const mac = createHmac("sha256", secret)
    .update(JSON.stringify([head, organizationId, actorId, allowed]))
    .digest()
    .subarray(0, 8)
  mac[0] = ((mac[0] ?? 0) & 0x3f) | 0x80
  return mac
}

/** A new id. */
export const make = (secret: Uint8Array, facts: DecisionFacts): string => {
  const time = Math.max(0, Math.floor(facts.now)).toString(16).padStart(12, "0").slice(-12)
  const random = randomInt(0x1000).toString(16).padStart(3, "0")
  const head = `${time.slice(0, 8)}-${time.slice(8)}-7${random}`
  const mac = tail(secret, head, facts.organizationId, facts.actorId, facts.allowed).toString("hex")
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
  return timingSafeEqual(Buffer.from(first + rest, "hex"), tail(secret, head, organizationId, actorId, true))
}

/** Epoch milliseconds at which an id was made; NaN for what is no UUIDv7. */
export const timeOf = (id: string): number =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(id) ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : Number.NaN
