/**
 * The schema's history: each migration runs once, in order, in one transaction with the note that it ran.
 * Replicas that start together wait for each other.
 */
import { Effect } from "effect"
import { Migrator, SqlClient, type SqlError } from "effect/sql"
import { core } from "./migrations/0001_core.ts"
import { trustRegistry } from "./migrations/0002_trust_registry.ts"
import { usageVersions } from "./migrations/0003_usage_versions.ts"
import { signingVoucher } from "./migrations/0004_signing_voucher.ts"
import { eventAge } from "./migrations/0005_event_age.ts"
import { usedTogether } from "./migrations/0006_used_together.ts"
import { eventOwners } from "./migrations/0007_event_owners.ts"

const loader = Migrator.fromRecord({
  "0001_core": core,
  "0002_trust_registry": trustRegistry,
  "0003_usage_versions": usageVersions,
  "0004_signing_voucher": signingVoucher,
  "0005_event_age": eventAge,
  "0006_used_together": usedTogether,
  "0007_event_owners": eventOwners
})

/** Brings the database to the present schema; answers with the migrations that were missing. */
export const migrate: Effect.Effect<
  ReadonlyArray<readonly [id: number, name: string]>,
  SqlError.SqlError | Migrator.MigrationError,
  SqlClient.SqlClient
> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return yield* sql.withTransaction(
    Effect.andThen(
      sql`SELECT pg_advisory_xact_lock(hashtext('agion.migrations'))`,
      Migrator.make({})({ loader, table: "schema_migrations" })
    )
  )
})
