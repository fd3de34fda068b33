/** Events as `GET /stream` sends them: each made once, whatever the number of connections. Pure. */
import type { EpochMessage } from "@agion/domain"
import { encodeMessage } from "../changes/Changes.ts"

const encoder = new TextEncoder()

/** One server-sent event. The data is JSON, which has no line breaks. */
export const frame = (event: string, data: string, id?: number): Uint8Array =>
  encoder.encode(`${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${data}\n\n`)

/** The event of a change: heartbeat, trust, policy; everything else is an invalidation. */
export const eventOf = (kind: EpochMessage["kind"]): string =>
  kind === "heartbeat" || kind === "trust" || kind === "policy" ? kind : "invalidation"

/** A change, or a heartbeat; its id is the epoch, so that a client can resume. */
export const epochFrame = (message: EpochMessage): Uint8Array =>
  frame(eventOf(message.kind), encodeMessage(message), message.epoch)

/** A change as the outbox holds it. */
export const storedFrame = (epoch: number, payload: string): Uint8Array => {
  const kind: EpochMessage["kind"] = JSON.parse(payload).kind
  return frame(eventOf(kind), payload, epoch)
}

/** Says that everything of the organization must be dropped: what came between is not known. */
export const resetFrame = (epoch: number, now: number): Uint8Array =>
  epochFrame({
    previous: epoch,
    epoch,
    kind: "organization",
    ids: [],
    timestamp: new Date(now).toISOString()
  })

/** The permissions of an actor that a change names: [permission, actor, resource, …]. */
export const permissionsOf = (message: EpochMessage, actorId: string): ReadonlyArray<string> => {
  if (message.kind !== "permission") return []
  const found: Array<string> = []
  for (let i = 0; i + 2 < message.ids.length; i += 3) {
    const [permission, actor] = [message.ids[i], message.ids[i + 1]]
    if (actor === actorId && permission !== undefined) found.push(permission)
  }
  return found
}
