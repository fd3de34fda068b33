/** The ledger of a permission: every amount that was used, reserved, settled or given back. */
import type { Ledger, LedgerEntry } from "@agion/domain"
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { page } from "../sql/page.ts"

interface LedgerRow {
  readonly id: number
  readonly permission_id: string
  readonly kind: LedgerEntry["kind"]
  readonly event_id: string | null
  readonly reservation_id: string | null
  readonly requests: number
  readonly tokens: number
  readonly cost_micro: number
  readonly occurred_at: Date
  readonly recorded_at: Date
}

const columns = `
  id, permission_id, kind, event_id, reservation_id, requests, tokens, cost_micro, occurred_at,
  recorded_at`

/** A page of it, oldest first. */
export const list = (
  sql: SqlClient.SqlClient,
  permissionId: string,
  limit: number,
  offset: number
): Effect.Effect<typeof Ledger.Type, SqlError.SqlError> =>
  Effect.map(
    page<LedgerRow>(sql, {
      columns: sql.literal(columns),
      from: sql.literal("usage_ledger"),
      where: sql`permission_id = ${permissionId}`,
      order: sql.literal("id"),
      limit,
      offset
    }),
    ({ rows, total }) => ({ entries: rows.map(toEntry), total, limit, offset })
  )

const toEntry = (row: LedgerRow): LedgerEntry => ({
  id: String(row.id),
  permissionId: row.permission_id,
  kind: row.kind,
  eventId: row.event_id,
  reservationId: row.reservation_id,
  requests: row.requests,
  tokens: row.tokens,
  costUsd: row.cost_micro / 1e6,
  occurredAt: row.occurred_at.toISOString(),
  recordedAt: row.recorded_at.toISOString()
})
