/** The routes of missions, for agents without Redis. */
import { ApiError, type Mission, MissionId, type MissionMessage, Wire } from "@agion/domain"
import { Api, Caller, type CallerInfo } from "@agion/domain/api"
import { Clock, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { uuidv7 } from "../changes/Governance.ts"
import { Tenancy } from "../organizations/Tenancy.ts"
import { Missions, type MissionView, type Outsider } from "./Missions.ts"
import type { MessageRow, MissionKey, MissionRow } from "./MissionsSql.ts"

const iso = (date: Date): string => Wire.timestamp(date.getTime())

const toMission = ({ mission, participants }: MissionView): Mission => ({
  id: MissionId.make(mission.id),
  organizationId: mission.organization_id,
  name: mission.name,
  metadata: mission.metadata,
  participants,
  stateVersion: mission.state_version,
  createdAt: iso(mission.created_at),
  updatedAt: iso(mission.updated_at)
})

const toMessage = (row: MessageRow): MissionMessage => ({
  sequence: row.sequence,
  missionId: MissionId.make(row.mission_id),
  fromParticipant: row.from_participant,
  toParticipant: row.to_participant,
  messageType: row.message_type,
  content: row.content,
  timestamp: iso(row.created_at)
})

const keyOf = (mission: MissionRow): MissionKey => ({
  organizationId: mission.organization_id,
  missionId: mission.id
})

const missing = (id: string) =>
  new ApiError.NotFound({ message: `there is no mission \`${id}\`; joining creates it` })

const stranger = (participantId: string, id: string) =>
  new ApiError.NotFound({
    message: `\`${participantId}\` does not take part in mission \`${id}\`; join it first`
  })

/** Who is no member may neither write nor change the state. */
const outsider = (standing: Outsider, participantId: string, id: string) => {
  const join = `POST /missions/${id}/join`
  return standing === "left"
    ? new ApiError.Conflict({
        message: `\`${participantId}\` has left mission \`${id}\`; join it again with ${join}`
      })
    : new ApiError.Forbidden({
        message: `\`${participantId}\` does not take part in mission \`${id}\`; join it first with ${join}`
      })
}

/** An agent's key speaks for that agent. */
const speaksFor = (caller: CallerInfo, participantId: string | null | undefined) =>
  caller.agentId === null || participantId == null || caller.agentId === participantId
    ? Effect.void
    : Effect.fail(
        new ApiError.Forbidden({
          message: `the key belongs to agent \`${caller.agentId}\` and cannot act as \`${participantId}\``
        })
      )

/** The handlers of group `missions`. */
export const layer = HttpApiBuilder.group(
  Api,
  "missions",
  Effect.fnUntraced(function* (handlers) {
    const missions = yield* Missions
    const tenancy = yield* Tenancy

    const find = Effect.fnUntraced(function* (id: string) {
      const mission = yield* Effect.orDie(missions.find(id, yield* tenancy.scope))
      if (mission === undefined) return yield* missing(id)
      yield* tenancy.about(mission.organization_id)
      return mission
    })
    const view = Effect.fnUntraced(function* (id: string, organizationId: string) {
      const mission = yield* Effect.orDie(missions.find(id, organizationId))
      if (mission === undefined) return yield* Effect.die(new Error("a mission vanished"))
      return toMission(yield* Effect.orDie(missions.view(mission)))
    })

    return handlers.handleAll({
      create: Effect.fnUntraced(function* ({ payload }) {
        const organizationId = yield* tenancy.of(payload.organizationId)
        const id = payload.id ?? MissionId.make(uuidv7(yield* Clock.currentTimeMillis))
        const key = { organizationId, missionId: id }
        const made = yield* Effect.orDie(missions.create(key, payload.name ?? id, payload.metadata ?? {}))
        if (!made) return yield* new ApiError.Conflict({ message: `there is a mission \`${id}\` already` })
        return yield* view(id, organizationId)
      }),
      get: Effect.fnUntraced(function* ({ params }) {
        const mission = yield* find(params.id)
        return toMission(yield* Effect.orDie(missions.view(mission)))
      }),
      join: Effect.fnUntraced(function* ({ params, payload }) {
        yield* speaksFor(yield* Caller, payload.participantId)
        const scope = yield* tenancy.scope
        const there =
          payload.organizationId == null ? yield* Effect.orDie(missions.find(params.id, scope)) : undefined
        const organizationId =
          there?.organization_id ?? (yield* tenancy.ofActor(payload.organizationId, payload.participantId))
        yield* tenancy.about(organizationId)
        const key = { organizationId, missionId: params.id }
        yield* Effect.orDie(missions.join(key, payload.participantId, payload.role ?? null))
        return yield* view(params.id, organizationId)
      }),
      leave: Effect.fnUntraced(function* ({ params, payload }) {
        yield* speaksFor(yield* Caller, payload.participantId)
        const mission = yield* find(params.id)
        const there = yield* Effect.orDie(missions.leave(keyOf(mission), payload.participantId))
        if (!there) return yield* stranger(payload.participantId, params.id)
      }),
      heartbeat: Effect.fnUntraced(function* ({ params, payload }) {
        yield* speaksFor(yield* Caller, payload.participantId)
        const mission = yield* find(params.id)
        const there = yield* Effect.orDie(missions.heartbeat(keyOf(mission), payload.participantId))
        if (!there) return yield* stranger(payload.participantId, params.id)
      }),
      send: Effect.fnUntraced(function* ({ params, payload }) {
        yield* speaksFor(yield* Caller, payload.fromParticipant)
        const mission = yield* find(params.id)
        const row = yield* Effect.orDie(
          missions.send({
            ...keyOf(mission),
            eventId: payload.eventId ?? uuidv7(yield* Clock.currentTimeMillis),
            fromParticipant: payload.fromParticipant,
            toParticipant: payload.toParticipant ?? null,
            messageType: payload.messageType,
            content: payload.content
          })
        )
        if (row === "conflict")
          return yield* new ApiError.Conflict({
            message: `\`${payload.fromParticipant}\` has sent another message with this \`event_id\`; give each its own`
          })
        if (typeof row === "string") return yield* outsider(row, payload.fromParticipant, params.id)
        return row === undefined ? yield* missing(params.id) : toMessage(row)
      }),
      messages: Effect.fnUntraced(function* ({ params, query }) {
        const caller = yield* Caller
        yield* speaksFor(caller, query.participantId)
        const mission = yield* find(params.id)
        const rows = yield* Effect.orDie(
          missions.messages(keyOf(mission), {
            after: query.after,
            participantId: query.participantId,
            readerId: caller.agentId,
            limit: query.limit ?? 100
          })
        )
        return { messages: rows.map(toMessage) }
      }),
      state: Effect.fnUntraced(function* ({ params }) {
        const mission = yield* find(params.id)
        return { missionId: params.id, version: mission.state_version, state: mission.state }
      }),
      putState: Effect.fnUntraced(function* ({ params, payload }) {
        const caller = yield* Caller
        yield* speaksFor(caller, payload.participantId)
        const mission = yield* find(params.id)
        const by = payload.participantId ?? caller.agentId
        const version = yield* Effect.orDie(
          missions.putState(keyOf(mission), payload.version, payload.state, by)
        )
        if (typeof version === "string") return yield* outsider(version, by ?? "", params.id)
        if (version === undefined)
          return yield* new ApiError.Conflict({
            message: `the state of mission \`${params.id}\` is not of version ${payload.version} any more; read it and try again`
          })
        return { missionId: params.id, version, state: payload.state }
      })
    })
  })
)
