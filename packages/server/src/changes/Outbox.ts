/** The epochs of organizations and the outbox in SQL; what is written is written in the caller's transaction. */
import { type EpochMessage, EpochText } from "@agion/domain"
import { Effect, Schema } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import type { Outgoing } from "./Changes.ts"
import type { Announced } from "./Order.ts"

type Query<A> = Effect.Effect<A, SqlError.SqlError>

/** The statements. */
export interface Outbox {
  /** Raises the epoch of an organization, which is made where there is none, and answers it. */
  readonly raise: (organizationId: string) => Query<number>
  /** Raises the epochs of all organizations; whoever else does so waits. */
  readonly raiseAll: Query<ReadonlyArray<{ readonly id: string; readonly epoch: number }>>
  /** Writes what is to be published; `message` is an epoch's. */
  readonly write: (
    organizationId: string,
    epoch: number,
    message: EpochMessage | undefined,
    entries: ReadonlyArray<Outgoing>
  ) => Query<void>
  /** Writes an epoch of each of several organizations. */
  readonly writeAll: (announced: ReadonlyArray<Announced>) => Query<void>
  /** What organizations announced after an epoch, in order; at most so many of each. */
  readonly after: (
    organizations: ReadonlyArray<{ readonly id: string; readonly epoch: number }>,
    limit: number
  ) => Query<ReadonlyArray<Announced>>
}

const decodeMessage = Schema.decodeUnknownSync(EpochText)

/** `origin` tells the replica that writes. */
export const make = (sql: SqlClient.SqlClient, origin: string): Outbox => ({
  raise: (organizationId) =>
    Effect.map(
      sql<{ epoch: number }>`
        INSERT INTO organizations (id, epoch) VALUES (${organizationId}, 1)
        ON CONFLICT (id) DO UPDATE SET epoch = organizations.epoch + 1
        RETURNING epoch`,
      ([row]) => row?.epoch ?? 0
    ),
  raiseAll: Effect.gen(function* () {
    // One UPDATE locks the rows in no order; two such changes wait for each other here.
    yield* sql`SELECT pg_advisory_xact_lock(hashtext('agion.all'))`
    yield* sql`SELECT id FROM organizations ORDER BY id FOR UPDATE`
    return yield* sql<{ id: string; epoch: number }>`
      UPDATE organizations SET epoch = epoch + 1 RETURNING id, epoch`
  }),
  write: (organizationId, epoch, message, entries) => {
    const rows: Array<OutboxRow> = message === undefined ? [] : [["epoch", "", encodeMessage(message)]]
    for (const entry of entries) rows.push(outboxRow(entry))
    if (rows.length === 0) return Effect.void
    return Effect.asVoid(sql`
      INSERT INTO outbox (organization_id, epoch, target, name, payload, origin)
      SELECT ${organizationId}, ${epoch}::int8, t.target, t.name, t.payload, ${origin}
      FROM unnest(${rows.map((row) => row[0])}::text[], ${rows.map((row) => row[1])}::text[],
        ${rows.map((row) => row[2])}::text[]) WITH ORDINALITY AS t(target, name, payload, n)
      ORDER BY t.n`)
  },
  writeAll: (announced) =>
    Effect.asVoid(sql`
      INSERT INTO outbox (organization_id, epoch, target, name, payload, origin)
      SELECT t.id, t.epoch, 'epoch', '', t.payload, ${origin}
      FROM unnest(${announced.map((one) => one.organizationId)}::text[],
        ${announced.map((one) => one.message.epoch)}::int8[],
        ${announced.map((one) => encodeMessage(one.message))}::text[]) AS t(id, epoch, payload)`),
  after: (organizations, limit) =>
    Effect.map(
      sql<{ id: string; payload: string }>`
        SELECT t.id, o.payload
        FROM unnest(${organizations.map((one) => one.id)}::text[],
          ${organizations.map((one) => one.epoch)}::int8[]) AS t(id, after)
        CROSS JOIN LATERAL (
          SELECT epoch, payload FROM outbox
          WHERE organization_id = t.id AND target = 'epoch' AND outbox.epoch > t.after
          ORDER BY outbox.epoch LIMIT ${limit}) o
        ORDER BY t.id, o.epoch`,
      (rows) => rows.map(({ id, payload }) => ({ organizationId: id, message: decodeMessage(payload) }))
    )
})

type OutboxRow = readonly [target: string, name: string, payload: string]

const outboxRow = (entry: Outgoing): OutboxRow =>
  entry._tag === "Stream"
    ? ["stream", entry.name, JSON.stringify(entry.fields)]
    : ["channel", entry.name, entry.message]

/** An epoch message as JSON; the schema's encoding, by hand since it is on the way of every change. */
export const encodeMessage = (message: EpochMessage): string =>
  JSON.stringify({
    previous: message.previous,
    epoch: message.epoch,
    kind: message.kind,
    ids: message.ids,
    timestamp: message.timestamp,
    trust: message.trust?.map((one) => ({
      actor_id: one.actorId,
      actor_type: one.actorType,
      score: one.score,
      tier_changed: one.tierChanged,
      signed:
        one.signed === undefined
          ? undefined
          : { payload: one.signed.payload, key_id: one.signed.keyId, signature: one.signed.signature }
    }))
  })
