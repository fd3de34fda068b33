/** Missions in SQL: participants with their leases, messages in order, a versioned state. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { json } from "../sql/Database.ts"

type Sql<A> = Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>

/** A mission of an organization. */
export interface MissionKey {
  readonly organizationId: string
  readonly missionId: string
}

export interface MissionRow {
  readonly organization_id: string
  readonly id: string
  readonly name: string
  readonly metadata: { readonly [key: string]: never }
  readonly state: { readonly [key: string]: never }
  readonly state_version: number
  readonly created_at: Date
  readonly updated_at: Date
}

export interface ParticipantRow {
  readonly participant_id: string
  readonly role: string
  readonly has_left: boolean
  readonly is_lost: boolean
  readonly cursor: number
  readonly joined_at: Date
  readonly last_seen_at: Date
}

export interface MessageRow {
  readonly sequence: number
  readonly mission_id: string
  readonly from_participant: string
  readonly to_participant: string | null
  readonly message_type: string
  readonly content: { readonly [key: string]: never }
  readonly created_at: Date
}

const messageColumns = `
  sequence, mission_id, from_participant, to_participant, message_type, content, created_at`

/** Creates a mission; false when there is one of that id. */
export const insertMission = (key: MissionKey, name: string, metadata: unknown): Sql<boolean> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`
      INSERT INTO missions (organization_id, id, name, metadata)
      VALUES (${key.organizationId}, ${key.missionId}, ${name}, ${json(metadata)}::jsonb)
      ON CONFLICT DO NOTHING RETURNING id`
    return rows.length > 0
  })

/** The mission of an id in one organization, or, while authentication is off, the newest of any. */
export const findMission = (id: string, organizationId: string | null): Sql<MissionRow | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<MissionRow>`
      SELECT organization_id, id, name, metadata, state, state_version, created_at, updated_at FROM missions
      WHERE id = ${id} AND (${organizationId}::text IS NULL OR organization_id = ${organizationId})
      ORDER BY created_at DESC LIMIT 1`
    return rows[0]
  })

/** Who takes part; lost: silent for longer than the lease, by the database's clock. */
export const participantsOf = (key: MissionKey, leaseMillis: number): Sql<ReadonlyArray<ParticipantRow>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* sql<ParticipantRow>`
      SELECT participant_id, role, has_left, cursor, joined_at, last_seen_at,
        last_seen_at < clock_timestamp() - ${leaseMillis} * interval '1 millisecond' AS is_lost
      FROM mission_participants
      WHERE organization_id = ${key.organizationId} AND mission_id = ${key.missionId}
      ORDER BY joined_at, participant_id`
  })

/** Lets somebody take part, again if need be, and creates the mission when it is not there (MISSION-1). */
export const joinMission = (key: MissionKey, participantId: string, role: string | null): Sql<void> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* insertMission(key, key.missionId, {})
    yield* sql`
      INSERT INTO mission_participants (organization_id, mission_id, participant_id, role)
      VALUES (${key.organizationId}, ${key.missionId}, ${participantId}, ${role ?? "member"})
      ON CONFLICT (organization_id, mission_id, participant_id) DO UPDATE SET
        role = coalesce(${role}, mission_participants.role), has_left = false,
        joined_at = CASE WHEN mission_participants.has_left THEN clock_timestamp()
          ELSE mission_participants.joined_at END,
        last_seen_at = clock_timestamp()`
  })

/** Says that a participant is alive, or has left; false when nobody of that name takes part. */
export const seeParticipant = (
  key: MissionKey,
  participantId: string,
  options: { readonly hasLeft: boolean; readonly cursor?: number }
): Sql<boolean> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`
      UPDATE mission_participants SET last_seen_at = clock_timestamp(), has_left = ${options.hasLeft},
        cursor = greatest(cursor, ${options.cursor ?? 0})
      WHERE organization_id = ${key.organizationId} AND mission_id = ${key.missionId}
        AND participant_id = ${participantId} AND (${options.hasLeft} OR NOT has_left)
      RETURNING participant_id`
    return rows.length > 0
  })

/** Whether somebody takes part, did, or never has. */
export type Standing = "member" | "left" | "stranger"

export const standingOf = (key: MissionKey, participantId: string): Sql<Standing> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ has_left: boolean }>`
      SELECT has_left FROM mission_participants
      WHERE organization_id = ${key.organizationId} AND mission_id = ${key.missionId}
        AND participant_id = ${participantId}`
    return rows[0] === undefined ? "stranger" : rows[0].has_left ? "left" : "member"
  })

/** A message to be appended. */
export interface NewMessage extends MissionKey {
  readonly eventId: string
  readonly fromParticipant: string
  readonly toParticipant: string | null
  readonly messageType: string
  readonly content: unknown
}

/**
 * Appends a message: its number is the next of its mission. A sender's same event id gives the message that is
 * there, with `fresh` false, or "conflict" when that is another message; undefined when there is no such mission.
 */
export const appendMessage = (
  message: NewMessage
): Sql<{ readonly row: MessageRow; readonly fresh: boolean } | "conflict" | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { organizationId, missionId, eventId } = message
    const locked = yield* sql<{ last_sequence: number }>`
      SELECT last_sequence FROM missions
      WHERE organization_id = ${organizationId} AND id = ${missionId} FOR UPDATE`
    const last = locked[0]
    if (last === undefined) return undefined
    const known = yield* sql<MessageRow & { readonly is_same: boolean }>`
      SELECT ${sql.literal(messageColumns)}, to_participant IS NOT DISTINCT FROM ${message.toParticipant}
          AND message_type = ${message.messageType} AND content = ${json(message.content)}::jsonb AS is_same
      FROM mission_messages
      WHERE organization_id = ${organizationId} AND mission_id = ${missionId} AND event_id = ${eventId}
        AND from_participant = ${message.fromParticipant}`
    if (known[0] !== undefined) return known[0].is_same ? { row: known[0], fresh: false } : "conflict"
    yield* sql`
      UPDATE missions SET last_sequence = last_sequence + 1, updated_at = clock_timestamp()
      WHERE organization_id = ${organizationId} AND id = ${missionId}`
    const rows = yield* sql<MessageRow>`
      INSERT INTO mission_messages (organization_id, mission_id, sequence, event_id, from_participant,
        to_participant, message_type, content)
      VALUES (${organizationId}, ${missionId}, ${last.last_sequence + 1}, ${eventId}, ${message.fromParticipant},
        ${message.toParticipant}, ${message.messageType}, ${json(message.content)}::jsonb)
      RETURNING ${sql.literal(messageColumns)}`
    const row = rows[0]
    return row === undefined ? undefined : { row, fresh: true }
  })

/** Messages after a number, in order: all of a mission, or what a participant may read (MISSION-2). */
export const messagesAfter = (
  key: MissionKey,
  after: number,
  participantId: string | null,
  limit: number
): Sql<ReadonlyArray<MessageRow>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* sql<MessageRow>`
      SELECT ${sql.literal(messageColumns)} FROM mission_messages
      WHERE organization_id = ${key.organizationId} AND mission_id = ${key.missionId} AND sequence > ${after}::int8
        AND (${participantId}::text IS NULL OR to_participant IS NULL OR to_participant = ${participantId}
          OR from_participant = ${participantId})
      ORDER BY sequence LIMIT ${limit}`
  })

/** Replaces the state that was seen; undefined when the state is of another version by now (MISSION-3). */
export const replaceState = (key: MissionKey, version: number, state: unknown): Sql<number | undefined> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ state_version: number }>`
      UPDATE missions SET state = ${json(state)}::jsonb, state_version = state_version + 1,
        updated_at = clock_timestamp()
      WHERE organization_id = ${key.organizationId} AND id = ${key.missionId} AND state_version = ${version}::int8
      RETURNING state_version`
    return rows[0]?.state_version
  })

/** How far a participant has read. */
export const cursorOf = (key: MissionKey, participantId: string): Sql<number> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ cursor: number }>`
      SELECT cursor FROM mission_participants
      WHERE organization_id = ${key.organizationId} AND mission_id = ${key.missionId}
        AND participant_id = ${participantId}`
    return rows[0]?.cursor ?? 0
  })
