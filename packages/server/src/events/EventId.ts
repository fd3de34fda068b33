/** Ids of events: UUIDv7 for our own, a hash for entries of others that have none. */
import { createHash, randomBytes } from "node:crypto"
import { Streams } from "@agion/domain"

let lastMillis = 0
let counter = 0

/** A UUIDv7 that sorts after those made before it in this process, even when its clock does not rise. */
export const uuid7 = (now: number): string => {
  if (now > lastMillis) {
    lastMillis = now
    counter = 0
  } else if (counter < 0xfff) counter += 1
  else {
    lastMillis += 1
    counter = 0
  }
  const time = lastMillis.toString(16).padStart(12, "0").slice(-12)
  const bytes = randomBytes(8)
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x80
  const tail = bytes.toString("hex")
  const order = counter.toString(16).padStart(3, "0")
  return `${time.slice(0, 8)}-${time.slice(8)}-7${order}-${tail.slice(0, 4)}-${tail.slice(4)}`
}

/**
 * The id of an entry that its writer gave none: SHA-256 over the stream's name and all fields, so that a
 * repetition has the same one; the entry's own id when it has no timestamp, since then two equal entries may be
 * two events.
 */
export const idOf = (stream: string, entryId: string, fields: Streams.Fields): string => {
  const given = fields["event_id"]
  if (given !== undefined && given !== "") return given
  if (fields["timestamp"] === undefined) return `${stream}/${entryId}`
  return createHash("sha256").update(Streams.signatureInput(stream, fields)).digest("hex")
}
