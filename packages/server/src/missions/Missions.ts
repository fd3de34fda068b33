/**
 * Several agents at one piece of work, for agents without Redis, and what the platform knows of the missions of
 * those with it (MISSION-1 to MISSION-3).
 *
 * Joining creates what is not there. A participant silent for longer than its lease is shown as lost. Messages
 * are numbered by their mission; a participant's cursor is the last number that it asked for.
 */
import { type Participant, Streams, Wire } from "@agion/domain"
import { Clock, Context, Duration, Effect, Layer } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { Changes, type Outgoing } from "../changes/Changes.ts"
import { Names, uuidv7 } from "../changes/Governance.ts"
import type { Of } from "../events/Effects.ts"
import * as Processed from "../events/Processed.ts"
import type {
  MessageRow,
  MissionKey,
  MissionRow,
  NewMessage,
  ParticipantRow,
  Standing
} from "./MissionsSql.ts"
import * as MissionsSql from "./MissionsSql.ts"

type Sql<A> = Effect.Effect<A, SqlError.SqlError>

/** A mission with those who take part. */
export interface MissionView {
  readonly mission: MissionRow
  readonly participants: ReadonlyArray<Participant>
}

/** Who takes no part in a mission any more, or never has. */
export type Outsider = Exclude<Standing, "member">

export class Missions extends Context.Service<
  Missions,
  {
    /** False when there is a mission of that id. */
    readonly create: (key: MissionKey, name: string, metadata: unknown) => Sql<boolean>
    readonly find: (id: string, organizationId: string | null) => Sql<MissionRow | undefined>
    readonly view: (mission: MissionRow) => Sql<MissionView>
    readonly join: (key: MissionKey, participantId: string, role: string | null) => Sql<void>
    /** False when nobody of that name takes part. */
    readonly heartbeat: (key: MissionKey, participantId: string) => Sql<boolean>
    readonly leave: (key: MissionKey, participantId: string) => Sql<boolean>
    /**
     * Appends a member's message and passes it on to agents with Redis; a sender's same event id appends once, and
     * is a conflict when the messages differ. Undefined when there is no such mission.
     */
    readonly send: (message: NewMessage) => Sql<MessageRow | Outsider | "conflict" | undefined>
    /**
     * Messages after a number, or after the participant's cursor; moves the cursor to the number asked from. A
     * reader sees what is for everyone, to it or from it, and moves no cursor.
     */
    readonly messages: (
      key: MissionKey,
      query: {
        readonly after: number | undefined
        readonly participantId: string | undefined
        readonly readerId: string | null
        readonly limit: number
      }
    ) => Sql<ReadonlyArray<MessageRow>>
    /** The new version; undefined when the state is of another version than the one seen. Null: an operator's act. */
    readonly putState: (
      key: MissionKey,
      version: number,
      state: unknown,
      participantId: string | null
    ) => Sql<number | Outsider | undefined>
    /** What participants with Redis did, in the caller's transaction. */
    readonly follow: (events: ReadonlyArray<Of<"missions">>) => Sql<void>
    /** Messages that came as events, in the caller's transaction. */
    readonly receive: (events: ReadonlyArray<Of<"missionMessages">>) => Sql<void>
  }
>()("@agion/server/Missions") {
  static readonly layer = (
    options?: MissionsOptions
  ): Layer.Layer<Missions, never, SqlClient.SqlClient | Changes> =>
    Layer.effect(Missions, make(options ?? {}))
}

export interface MissionsOptions {
  /** How long a silent participant counts as active. Default: 30 seconds. */
  readonly lease?: Duration.Input
}

const make = Effect.fnUntraced(function* (options: MissionsOptions) {
  const sql = yield* SqlClient.SqlClient
  const changes = yield* Changes
  const names = yield* Names
  const leaseMillis = Duration.toMillis(options.lease ?? "30 seconds")
  const withSql = Effect.provideService(SqlClient.SqlClient, sql)
  const within = <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient>) =>
    withSql(sql.withTransaction(effect))

  /** Tells agents with Redis what one without did. */
  const tell = Effect.fnUntraced(function* (
    key: MissionKey,
    participantId: string,
    eventType: string,
    data: unknown
  ) {
    const now = yield* Clock.currentTimeMillis
    const eventId = uuidv7(now)
    // Known already when it comes back over the stream.
    yield* Processed.claim([
      { organizationId: key.organizationId, agentId: participantId, eventId, stream: names.missions }
    ])
    const fields = Streams.toFields({
      event_id: eventId,
      organization_id: key.organizationId,
      mission_id: key.missionId,
      event_type: eventType,
      participant_id: participantId,
      data,
      timestamp: Wire.timestamp(now)
    })
    yield* changes.publish(key.organizationId, [{ _tag: "Stream", name: names.missions, fields }])
  })

  const send = Effect.fnUntraced(function* (message: NewMessage) {
    const appended = yield* MissionsSql.appendMessage(message)
    if (appended === "conflict") return appended
    if (appended?.fresh === true)
      yield* changes.publish(message.organizationId, [messageEntry(names, message, appended.row)])
    return appended?.row
  })

  const putState = (key: MissionKey, version: number, state: unknown, by: string) =>
    Effect.tap(MissionsSql.replaceState(key, version, state), (next) =>
      next === undefined ? Effect.void : tell(key, by, "state_updated", { version: next })
    )

  return Missions.of({
    create: (key, name, metadata) => withSql(MissionsSql.insertMission(key, name, metadata)),
    find: (id, organizationId) => withSql(MissionsSql.findMission(id, organizationId)),
    view: (mission) => withSql(view(mission, leaseMillis)),
    join: (key, participantId, role) =>
      within(
        Effect.andThen(
          MissionsSql.joinMission(key, participantId, role),
          tell(key, participantId, "joined", role === null ? {} : { role })
        )
      ),
    heartbeat: (key, participantId) =>
      withSql(MissionsSql.seeParticipant(key, participantId, { hasLeft: false })),
    leave: (key, participantId) =>
      within(
        Effect.tap(MissionsSql.seeParticipant(key, participantId, { hasLeft: true }), (there) =>
          there ? tell(key, participantId, "left", {}) : Effect.void
        )
      ),
    send: (message) => within(byMember(message, message.fromParticipant, send(message))),
    messages: (key, query) => within(messages(key, query)),
    putState: (key, version, state, participantId) =>
      within(byMember(key, participantId, putState(key, version, state, participantId ?? "platform"))),
    follow: (events) => withSql(Effect.forEach(latest(events), followOne, { discard: true })),
    receive: (events) =>
      withSql(
        Effect.forEach(
          events,
          ({ event, organizationId }) => {
            const key = { organizationId, missionId: event.value.missionId }
            return Effect.andThen(
              MissionsSql.insertMission(key, event.value.missionId, {}),
              send({
                ...key,
                eventId: event.eventId,
                fromParticipant: event.value.fromParticipant,
                toParticipant: event.value.toParticipant ?? null,
                messageType: event.value.messageType,
                content: event.value.content ?? {}
              })
            )
          },
          { discard: true }
        )
      )
  })
})

/** Does what only members may. Null acts for nobody and may. */
const byMember = <A, E, R>(key: MissionKey, participantId: string | null, act: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const standing = participantId === null ? "member" : yield* MissionsSql.standingOf(key, participantId)
    return standing === "member" ? yield* act : standing
  })

const messageEntry = (names: Streams.StreamNames, message: NewMessage, row: MessageRow): Outgoing => ({
  _tag: "Stream",
  name: names.missionMessages(message.missionId),
  fields: Streams.toFields({
    event_id: message.eventId,
    organization_id: message.organizationId,
    mission_id: message.missionId,
    from_participant: row.from_participant,
    to_participant: row.to_participant,
    message_type: row.message_type,
    content: row.content,
    timestamp: Wire.timestamp(row.created_at.getTime())
  })
})

const view = Effect.fnUntraced(function* (mission: MissionRow, leaseMillis: number) {
  const key = { organizationId: mission.organization_id, missionId: mission.id }
  const rows = yield* MissionsSql.participantsOf(key, leaseMillis)
  return { mission, participants: rows.map(toParticipant) }
})

const toParticipant = (row: ParticipantRow): Participant => ({
  participantId: row.participant_id,
  role: row.role,
  status: row.has_left ? "left" : row.is_lost ? "lost" : "active",
  joinedAt: Wire.timestamp(row.joined_at.getTime()),
  lastSeenAt: Wire.timestamp(row.last_seen_at.getTime())
})

const messages = Effect.fnUntraced(function* (
  key: MissionKey,
  query: {
    readonly after: number | undefined
    readonly participantId: string | undefined
    readonly readerId: string | null
    readonly limit: number
  }
) {
  const { participantId } = query
  if (participantId === undefined)
    return yield* MissionsSql.messagesAfter(key, query.after ?? 0, query.readerId, query.limit)
  yield* MissionsSql.seeParticipant(key, participantId, { hasLeft: false, cursor: query.after ?? 0 })
  const after = query.after ?? (yield* MissionsSql.cursorOf(key, participantId))
  return yield* MissionsSql.messagesAfter(key, after, participantId, query.limit)
})

/** What each participant did last, and whether it joined meanwhile: a batch costs a statement for each. */
const latest = (events: ReadonlyArray<Of<"missions">>) => {
  const byName = new Map<
    string,
    { readonly last: Of<"missions">; readonly joined: Of<"missions"> | undefined }
  >()
  for (const one of events) {
    const { missionId, participantId, eventType } = one.event.value
    const name = `${one.organizationId}\0${missionId}\0${participantId}`
    byName.set(name, { last: one, joined: eventType === "joined" ? one : byName.get(name)?.joined })
  }
  return byName.values()
}

const followOne = Effect.fnUntraced(function* ({
  last,
  joined
}: {
  readonly last: Of<"missions">
  readonly joined: Of<"missions"> | undefined
}) {
  const { missionId, participantId, eventType } = last.event.value
  const key = { organizationId: last.organizationId, missionId }
  if (joined !== undefined) {
    const role = joined.event.value.data?.["role"]
    yield* MissionsSql.joinMission(key, participantId, typeof role === "string" ? role : null)
  }
  if (eventType !== "joined")
    yield* MissionsSql.seeParticipant(key, participantId, { hasLeft: eventType === "left" })
})
