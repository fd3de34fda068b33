/**
 * The schema's history: each migration runs once, in order, in one transaction with the note that it ran.
 * Replicas that start together wait for each other.
 */
import { Effect, identity, Option, Schema } from "effect"
import { Migrator, SqlClient, type SqlError } from "effect/sql"
import * as TimeZones from "../organizations/TimeZones.ts"
import { Database } from "./Database.ts"
import { core } from "./migrations/0001_core.ts"
import { trustRegistry } from "./migrations/0002_trust_registry.ts"
import { usageVersions } from "./migrations/0003_usage_versions.ts"
import { signingVoucher } from "./migrations/0004_signing_voucher.ts"
import { eventAge } from "./migrations/0005_event_age.ts"
import { usedTogether } from "./migrations/0006_used_together.ts"
import { eventOwners } from "./migrations/0007_event_owners.ts"
import { daysKept } from "./migrations/0008_days_kept.ts"
import { tenantRoleTaken } from "./migrations/0009_tenant_role.ts"
import { feedbackCounts } from "./migrations/0010_feedback_counts.ts"
import { reportedKeys } from "./migrations/0011_reported_keys.ts"
import { eventKeys } from "./migrations/0012_event_keys.ts"
import { closedReservations } from "./migrations/0013_closed_reservations.ts"
import { eventKeyRotations } from "./migrations/0014_event_key_rotations.ts"

const migrations = {
  "0001_core": core,
  "0002_trust_registry": trustRegistry,
  "0003_usage_versions": usageVersions,
  "0004_signing_voucher": signingVoucher,
  "0005_event_age": eventAge,
  "0006_used_together": usedTogether,
  "0007_event_owners": eventOwners,
  "0008_days_kept": daysKept,
  "0009_tenant_role": tenantRoleTaken,
  "0010_feedback_counts": feedbackCounts,
  "0011_reported_keys": reportedKeys,
  "0012_event_keys": eventKeys,
  "0013_closed_reservations": closedReservations,
  "0014_event_key_rotations": eventKeyRotations
}

/** The database has been brought further than this version can follow. */
export class DatabaseTooNew extends Schema.TaggedError<DatabaseTooNew>()("DatabaseTooNew", {
  /** The first migration that is not known. */
  unknown: Schema.String,
  newestKnown: Schema.String
}) {
  override get message() {
    return (
      `the database has migration \`${this.unknown}\`, and this version knows none after \`${this.newestKnown}\`: ` +
      "a newer version has used it; start that version or a later one, or restore a backup from before"
    )
  }
}

/** Brings the database to the present schema; answers with the migrations that were missing. */
export const migrate: Effect.Effect<
  ReadonlyArray<readonly [id: number, name: string]>,
  SqlError.SqlError | Migrator.MigrationError | DatabaseTooNew,
  SqlClient.SqlClient
> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const database = yield* Effect.serviceOption(Database)
  // Nobody watches a client that is not the server's own.
  const patiently = Option.isSome(database) ? database.value.patiently : identity
  return yield* patiently(
    sql.withTransaction(
      Effect.gen(function* () {
        yield* sql`SELECT pg_advisory_xact_lock(hashtext('agion.migrations'))`
        yield* refuseNewer
        const done = yield* Migrator.make({})({ loader: Migrator.fromRecord(migrations), table })
        yield* TimeZones.mend
        return done
      })
    )
  )
})

const table = "schema_migrations"

const nameOf = (id: number, name: string) => `${String(id).padStart(4, "0")}_${name}`

const refuseNewer = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [there] = yield* sql<{ known: boolean }>`SELECT to_regclass(${table}) IS NOT NULL AS known`
  if (there?.known !== true) return
  const newestKnown = Object.keys(migrations).sort().at(-1) ?? ""
  const [newer] = yield* sql<{ migration_id: number; name: string }>`
    SELECT migration_id, name FROM ${sql(table)}
    WHERE migration_id > ${Number.parseInt(newestKnown, 10)} ORDER BY migration_id LIMIT 1`
  if (newer === undefined) return
  return yield* new DatabaseTooNew({ unknown: nameOf(newer.migration_id, newer.name), newestKnown })
})
