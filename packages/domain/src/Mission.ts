/** Several agents at one piece of work: who takes part, what they tell each other, what they share. */
import { Schema } from "effect"
import { MissionId, OrganizationName } from "./Id.ts"
import * as Wire from "./Wire.ts"

/** What is told of a mission on its stream. */
export const missionEventTypes = ["joined", "left", "state_updated", "message_sent"] as const

/** Who takes part; `lost`: nothing was heard for too long, `left`: it said so. */
export const Participant = Wire.struct({
  participantId: Wire.Name,
  role: Wire.Text,
  status: Schema.Literals(["active", "lost", "left"]),
  joinedAt: Wire.Timestamp,
  lastSeenAt: Wire.Timestamp
})
export type Participant = typeof Participant.Type

/** A mission with everyone who took part; `stateVersion` is that of the shared state. */
export const Mission = Wire.struct({
  id: MissionId,
  organizationId: Schema.String,
  name: Wire.Text,
  metadata: Wire.JsonObject,
  participants: Schema.Array(Participant),
  stateVersion: Schema.Int,
  createdAt: Wire.Timestamp,
  updatedAt: Wire.Timestamp
})
export type Mission = typeof Mission.Type

/** Begins a mission; without an `id` it is given one. */
export const CreateMission = Wire.struct({
  id: Wire.optional(MissionId),
  name: Wire.optional(Wire.Text),
  metadata: Wire.optional(Wire.JsonObject),
  organizationId: Wire.optional(OrganizationName)
})
export type CreateMission = typeof CreateMission.Type

/** `POST …/join`, `…/leave`, `…/heartbeat`. */
export const MissionMember = Wire.struct({
  participantId: Wire.Name,
  role: Wire.optional(Wire.Text),
  organizationId: Wire.optional(OrganizationName)
})
export type MissionMember = typeof MissionMember.Type

/** A message to one participant, without `toParticipant` to all; `eventId` makes a repetition count once. */
export const SendMissionMessage = Wire.struct({
  fromParticipant: Wire.Name,
  toParticipant: Wire.optional(Wire.Name),
  messageType: Wire.Name,
  content: Wire.JsonObject,
  eventId: Wire.optional(Wire.Name)
})
export type SendMissionMessage = typeof SendMissionMessage.Type

/** A message as it is kept and read. */
export const MissionMessage = Wire.struct({
  /** Rises by one with each message of a mission: the cursor. */
  sequence: Schema.Int,
  missionId: MissionId,
  fromParticipant: Wire.Text,
  toParticipant: Schema.NullOr(Wire.Text),
  messageType: Wire.Text,
  content: Wire.JsonObject,
  timestamp: Wire.Timestamp
})
export type MissionMessage = typeof MissionMessage.Type

/** Messages of a mission, by rising `sequence`. */
export const MissionMessages = Wire.struct({ messages: Schema.Array(MissionMessage) })

/** What the participants share; `version` rises by one with each change (MISSION-3). */
export const MissionState = Wire.struct({ missionId: MissionId, version: Schema.Int, state: Wire.JsonObject })
export type MissionState = typeof MissionState.Type

/** A state and the version that it was made from; another version is a conflict (MISSION-3). */
export const PutMissionState = Wire.struct({
  version: Schema.Int,
  state: Wire.JsonObject,
  participantId: Wire.optional(Wire.Name)
})
export type PutMissionState = typeof PutMissionState.Type
