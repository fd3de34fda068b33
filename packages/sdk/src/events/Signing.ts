/** Signing events as they are sent, each with the key of the agent whose word it is (TRUST-6). */
import { createHmac } from "node:crypto"
import { Streams } from "@agion/domain"
import { Effect, Redacted } from "effect"
import type { StreamEvent } from "./Event.ts"
import type { Delivery, DeliveryFailed, EventTransport, Sign } from "./EventTransport.ts"
import { speakerOf } from "./Naming.ts"

/** The key of an agent now; undefined: there is none. */
export type KeyOf = (agentId: string) => string | undefined

/** Keys as one batch is signed with them: each is asked for once. */
export const keysOf = (
  eventKey: ((agentId: string) => Redacted.Redacted<string> | undefined) | undefined
): KeyOf => {
  if (eventKey === undefined) return () => undefined
  const keys = new Map<string, string | undefined>()
  return (agentId) => {
    if (keys.has(agentId)) return keys.get(agentId)
    const key = eventKey(agentId)
    const text = key === undefined ? undefined : Redacted.value(key)
    keys.set(agentId, text)
    return text
  }
}

/** The agent whose signature an event needs; undefined: no agent's is of use. */
export const signerOf = ({ fields, kind }: StreamEvent): string | undefined =>
  kind === "feedback" ? undefined : speakerOf(fields)

const signWith =
  (keyOf: KeyOf): Sign =>
  (stream, fields) => {
    const key = keyOf(speakerOf(fields))
    return key === undefined
      ? undefined
      : createHmac("sha256", key).update(Streams.signatureInput(stream, fields)).digest("base64url")
  }

/** The events of an agent wait for its key: nobody has seen them. */
export const late: Extract<Delivery, { readonly _tag: "Unsigned" }> = {
  _tag: "Unsigned",
  reason: "its agent is not registered yet, and the answer to that brings the key that signs it"
}

const keyless: Delivery = { _tag: "Unsigned", reason: "the key that signs it is not here" }

/**
 * Sends a batch, but for events of the agents that are `missing` their key, and of those whose key `isAwaited`: they were
 * or are to be signed, and go to nobody without.
 */
export const send = (
  transport: EventTransport["Service"],
  events: ReadonlyArray<StreamEvent>,
  keyOf: KeyOf | undefined,
  missing: ReadonlySet<string>,
  isAwaited: (agentId: string) => boolean
): Effect.Effect<ReadonlyArray<Delivery>, DeliveryFailed> => {
  const sign = keyOf === undefined ? undefined : signWith(keyOf)
  const heldBack = (event: StreamEvent): Delivery | undefined => {
    const signer = signerOf(event)
    if (signer === undefined || keyOf?.(signer) !== undefined) return undefined
    if (isAwaited(signer)) return late
    return missing.has(signer) ? keyless : undefined
  }
  const waiting = events.map(heldBack)
  if (waiting.every((delivery) => delivery === undefined)) return transport.send(events, sign)
  const ready = events.filter((_, i) => waiting[i] === undefined)
  const sent = ready.length === 0 ? Effect.succeed([]) : transport.send(ready, sign)
  return Effect.map(sent, (answers) => {
    const left = answers[Symbol.iterator]()
    return waiting.flatMap((delivery) => delivery ?? left.next().value ?? [])
  })
}
