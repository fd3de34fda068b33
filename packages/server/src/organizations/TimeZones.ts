/**
 * Time zones as the database knows them: days and hours are counted there and in this process, so both must know a
 * zone by the same name.
 */
import { ApiError, isTimeZone, timeZoneFault } from "@agion/domain"
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Fails for a zone that the database does not know by exactly that name. */
export const ensureKnown = (
  zone: string
): Effect.Effect<void, ApiError.BadRequest | SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`SELECT FROM pg_timezone_names WHERE name = ${zone}`
    if (rows.length > 0) return
    return yield* new ApiError.BadRequest({
      message: `the database knows no time zone \`${zone}\`: expected ${timeZoneFault(zone)}`
    })
  })

/**
 * Sets organizations whose zone the database or this runtime does not know to UTC, and says so: nothing could be
 * counted for them. Zones come and go with the versions of both.
 */
export const mend: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ id: string; time_zone: string; known: boolean }>`
    SELECT id, time_zone, lower(time_zone) IN (SELECT lower(name) FROM pg_timezone_names) AS known
    FROM organizations WHERE time_zone <> 'UTC'`
  for (const { id, time_zone: zone, known } of rows) {
    if (known && isTimeZone(zone)) continue
    yield* sql`UPDATE organizations SET time_zone = 'UTC' WHERE id = ${id}`
    yield* Effect.logWarning(
      `organization \`${id}\` is counted in UTC from now on: its time zone \`${zone}\` is not known; set another`
    )
  }
})
