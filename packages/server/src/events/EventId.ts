/** Ids of entries whose writer gave them none. */
import { createHash } from "node:crypto"
import { Streams } from "@agion/domain"

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
