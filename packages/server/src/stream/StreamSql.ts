/** What `GET /stream` reads from SQL: approvals, and messages of missions that came since. */
import { Wire } from "@agion/domain"
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

type Sql<A> = Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>

/** What became of permissions, by their ids. */
export const approvalsOf = (
  permissionIds: ReadonlyArray<string>
): Sql<ReadonlyMap<string, { readonly permission_id: string; readonly status: string }>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{
      id: string
      actor_id: string
      resource_id: string
      permission_type: string
      status: string
    }>`
      SELECT id, actor_id, resource_id, permission_type, status FROM permissions
      WHERE id = ANY(${permissionIds}::uuid[])`
    return new Map(rows.map(({ id, ...rest }) => [id, { permission_id: id, ...rest }]))
  })

/** Those of some keys of the API that are not in use any more. */
export const removedKeys = (keyIds: ReadonlyArray<string>): Sql<ReadonlySet<string>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ id: string }>`
      SELECT t.id FROM unnest(${keyIds}::text[]) AS t(id)
      WHERE NOT EXISTS (SELECT FROM api_keys WHERE api_keys.id = t.id AND revoked_at IS NULL)`
    return new Set(rows.map(({ id }) => id))
  })

/** A message and who is to hear of it. */
export interface MissionNews {
  readonly seq: number
  readonly organizationId: string
  readonly recipients: ReadonlyArray<string>
  /** JSON of the message. */
  readonly data: string
}

/** How many numbers a slow transaction may lie behind. */
const overlap = 500

/**
 * Messages after a number of their own, and the highest there is. Numbers are given before their transaction
 * commits, so some before the last are read again; whoever reads knows which it has seen.
 */
export const missionNews = (
  last: number | undefined
): Sql<{ readonly last: number; readonly news: ReadonlyArray<MissionNews> }> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{
      highest: number
      seq: number | null
      organization_id: string
      mission_id: string
      sequence: number
      from_participant: string
      to_participant: string | null
      message_type: string
      content: unknown
      created_at: Date
      recipients: ReadonlyArray<string> | null
    }>`
      SELECT h.highest, m.seq, m.organization_id, m.mission_id, m.sequence, m.from_participant, m.to_participant,
        m.message_type, m.content, m.created_at, (
          SELECT array_agg(p.participant_id) FROM mission_participants p
          WHERE p.organization_id = m.organization_id AND p.mission_id = m.mission_id AND NOT p.has_left
            AND p.participant_id <> m.from_participant
            AND (m.to_participant IS NULL OR m.to_participant = p.participant_id)) AS recipients
      FROM (SELECT coalesce(max(seq), 0) AS highest FROM mission_messages) h
      LEFT JOIN mission_messages m ON m.seq > coalesce(${last ?? null}::int8, h.highest) - ${overlap}::int8
      ORDER BY m.seq`
    const news = rows.flatMap((row) => {
      if (row.seq === null) return []
      const data = JSON.stringify({
        sequence: row.sequence,
        mission_id: row.mission_id,
        from_participant: row.from_participant,
        to_participant: row.to_participant,
        message_type: row.message_type,
        content: row.content,
        timestamp: Wire.timestamp(row.created_at.getTime())
      })
      return [{ seq: row.seq, organizationId: row.organization_id, recipients: row.recipients ?? [], data }]
    })
    return { last: rows[0]?.highest ?? 0, news }
  })
