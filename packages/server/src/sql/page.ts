/** A page of a list and how many rows the list has, of one moment. */
import { Effect } from "effect"
import type { SqlClient, SqlError, Statement } from "effect/sql"

/** A part of a list. */
export interface Page<Row> {
  readonly rows: ReadonlyArray<Row>
  readonly total: number
}

/**
 * Reads a page in order of creation, so that rows which are added meanwhile come after the pages read so far.
 * The table has a column `order`, ascending and never null. `columns` are those of `Row`, named.
 */
export const page = <Row extends object>(
  sql: SqlClient.SqlClient,
  query: {
    readonly columns: Statement.Fragment
    readonly from: Statement.Fragment
    readonly where: Statement.Fragment
    readonly order: Statement.Fragment
    readonly limit: number
    readonly offset: number
  }
): Effect.Effect<Page<Row>, SqlError.SqlError> =>
  Effect.map(
    sql<Row & { total__: number; found__: boolean | null }>`
      SELECT total__, found__, ${query.columns}
      FROM (SELECT count(*) AS total__ FROM ${query.from} WHERE ${query.where}) counted
      LEFT JOIN (
        SELECT *, true AS found__ FROM ${query.from} WHERE ${query.where}
        ORDER BY ${query.order} LIMIT ${query.limit} OFFSET ${query.offset}
      ) listed ON true`,
    (rows) => ({
      rows: rows.filter((row) => row.found__ === true),
      total: rows[0]?.total__ ?? 0
    })
  )

/** All of several conditions; true when there are none. */
export const all = (
  sql: SqlClient.SqlClient,
  conditions: ReadonlyArray<Statement.Fragment | undefined | false>
): Statement.Fragment => {
  const present = conditions.filter((condition) => condition !== undefined && condition !== false)
  return present.length === 0 ? sql.literal("true") : sql.and(present)
}
