/** What the platform tells of a change of score: entries of `trust-events`, and scores for caches (TRUST-9). */
import { type PushedTrust, Streams, tierOf } from "@agion/domain"
import type { Outgoing } from "../changes/Changes.ts"
import { uuidv7 } from "../changes/Governance.ts"
import type { Signing } from "../keys/Signing.ts"
import type { ScoreChange } from "./TrustSql.ts"

/** The entries of one change: the score, and the tier when that changed too. */
export const entriesOf = (stream: string, change: ScoreChange, now: number): ReadonlyArray<Outgoing> => {
  const [oldTier, newTier] = [tierOf(change.oldScore), tierOf(change.newScore)]
  const common = {
    entity_id: change.entityId,
    entity_type: change.entityType,
    organization_id: change.organizationId,
    old_score: change.oldScore,
    new_score: change.newScore,
    old_tier: oldTier,
    new_tier: newTier,
    tier: newTier,
    reason: change.description,
    metadata: { event_type: change.eventType, impact: change.impact, source_event_id: change.eventId },
    timestamp: new Date(now).toISOString()
  }
  const entry = (eventType: string, updateType: string): Outgoing => ({
    _tag: "Stream",
    name: stream,
    fields: Streams.toFields({
      event_id: uuidv7(now),
      event_type: eventType,
      update_type: updateType,
      ...common
    })
  })
  const score = entry("trust_score_updated", "score_change")
  return oldTier === newTier ? [score] : [score, entry("trust_tier_changed", "tier_change")]
}

/** The last score of each actor of one organization that changed, signed for the epoch of the change. */
export const pushesOf = (
  organizationId: string,
  changes: ReadonlyArray<ScoreChange>,
  signing: Signing["Service"],
  epoch: number,
  now: number
): ReadonlyArray<PushedTrust> => {
  const last = new Map<string, { readonly change: ScoreChange; readonly tierChanged: boolean }>()
  for (const change of changes) {
    const name = `${change.entityType}\0${change.entityId}`
    const crossed = tierOf(change.oldScore) !== tierOf(change.newScore)
    last.set(name, { change, tierChanged: crossed || last.get(name)?.tierChanged === true })
  }
  return Array.from(last.values(), ({ change, tierChanged }) => {
    const { entityId, entityType, newScore: score } = change
    const signed = signing.trustAt(organizationId, epoch, { entityId, entityType, score }, now)
    return { actorId: entityId, actorType: entityType, score, tierChanged, signed }
  })
}
