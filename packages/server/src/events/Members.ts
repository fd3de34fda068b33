/** Messages of a mission come from those who take part in it, however they come (MISSION-1). */
import { Effect, Result } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import * as MissionsSql from "../missions/MissionsSql.ts"
import type { Outcome, Placed } from "./Placing.ts"

/** Refuses messages of who takes no part; a join or a leave earlier in the batch counts. */
export const refuseOutsiders = (
  outcomes: ReadonlyArray<Outcome>
): Effect.Effect<ReadonlyArray<Outcome>, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const senders = outcomes.flatMap((outcome) => {
      const place = placeOf(outcome)
      return place?.kind === "missionMessages" ? [place] : []
    })
    if (senders.length === 0) return outcomes
    const standings = new Map<string, MissionsSql.Standing>()
    for (const { name, key, participantId } of senders)
      if (!standings.has(name)) standings.set(name, yield* MissionsSql.standingOf(key, participantId))
    return outcomes.map((outcome) => {
      const place = placeOf(outcome)
      if (place === undefined || Result.isFailure(outcome)) return outcome
      const { event } = outcome.success
      if (event.kind === "missions") {
        if (event.value.eventType === "joined") standings.set(place.name, "member")
        if (event.value.eventType === "left") standings.set(place.name, "left")
        return outcome
      }
      if (standings.get(place.name) === "member") return outcome
      const { missionId } = place.key
      return Result.fail({
        raw: event.raw,
        eventId: event.eventId,
        reason: `\`${place.participantId}\` does not take part in mission \`${missionId}\`; join it first`
      })
    })
  })

interface Place {
  readonly kind: "missions" | "missionMessages"
  readonly key: MissionsSql.MissionKey
  readonly participantId: string
  readonly name: string
}

const placeOf = (outcome: Outcome): Place | undefined => {
  if (Result.isFailure(outcome)) return undefined
  const { event, organizationId }: Placed = outcome.success
  if (organizationId === null || (event.kind !== "missions" && event.kind !== "missionMessages"))
    return undefined
  const { missionId } = event.value
  const participantId = event.kind === "missions" ? event.value.participantId : event.value.fromParticipant
  const name = `${organizationId}\0${missionId}\0${participantId}`
  return { kind: event.kind, key: { organizationId, missionId }, participantId, name }
}
