/** Events as `GET /stream` sends them: each made once, whatever the number of connections. Pure. */
import type { EpochMessage } from "@agion/domain"
import { encodeMessage } from "../changes/Outbox.ts"

const encoder = new TextEncoder()

/** One server-sent event. The data is JSON, which has no line breaks. */
export const frame = (event: string, data: string, id?: number): Uint8Array =>
  encoder.encode(`${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${data}\n\n`)

/** The event of a change: heartbeat, trust, policy; everything else is an invalidation. */
const eventOf = (kind: EpochMessage["kind"]): string =>
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

/** How many ids one frame names at most. */
const maxIds = 900

/**
 * The same changes in as few messages as may be: consecutive ones of a kind become one that names all that they
 * name. Who holds the first `previous` drops as much, and holds the last epoch, as with each on its own.
 */
export const merged = (messages: ReadonlyArray<EpochMessage>): ReadonlyArray<EpochMessage> => {
  const result: Array<EpochMessage> = []
  for (const message of messages) {
    const last = result.at(-1)
    if (last === undefined || !mayMerge(last, message)) {
      result.push(message)
      continue
    }
    const trust = [...(last.trust ?? []), ...(message.trust ?? [])]
    result[result.length - 1] = {
      ...message,
      previous: last.previous,
      ids: [...last.ids, ...message.ids],
      ...(trust.length === 0 ? {} : { trust })
    }
  }
  return result
}

const mayMerge = (first: EpochMessage, second: EpochMessage): boolean =>
  first.kind === second.kind &&
  first.kind !== "heartbeat" &&
  first.epoch === second.previous &&
  // Without ids a message means everything.
  first.ids.length > 0 &&
  second.ids.length > 0 &&
  first.ids.length + second.ids.length <= maxIds
