/**
 * An agent loses trust for a policy that it violates at a resource once a minute (TRUST-5). The SDK tells no more of
 * each of its processes; several of them, and other clients, do. The platform goes by what an event says: its
 * `context.policy`, `context.resource_id` and its time. One that names no policy or no resource stands for itself.
 */
import { createHash } from "node:crypto"
import { Clock, Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import type * as Effects from "./Effects.ts"
import * as Processed from "./Processed.ts"

/** Leaves out violations that were told of before in their minute; claims the others in the caller's transaction. */
export const once = (
  events: ReadonlyArray<Effects.Of<"trust">>
): Effect.Effect<ReadonlyArray<Effects.Of<"trust">>, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const keys = events.map((event) => keyOf(event, now))
    const fresh = (yield* Processed.claim(keys.filter((key) => key !== undefined))).values()
    return events.filter((_, i) => keys[i] === undefined || fresh.next().value === true)
  })

const keyOf = (
  { event, organizationId }: Effects.Of<"trust">,
  now: number
): Processed.EventKey | undefined => {
  const { agentId, eventType, context } = event.value
  if (eventType !== "policy_violation") return undefined
  const { policy, resource_id: resource } = context ?? {}
  if (typeof policy !== "string" || typeof resource !== "string") return undefined
  const minute = Math.floor((event.occurredAt === null ? now : Date.parse(event.occurredAt)) / 60_000)
  const subject = createHash("sha256")
    .update(JSON.stringify([policy, resource, minute]))
    .digest("hex")
  return { organizationId, agentId, eventId: `violation/${subject}`, stream: event.raw.stream }
}
