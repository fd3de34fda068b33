/**
 * Row-level security: the role `agion_tenant` sees and writes the rows of one organization, the one that the
 * setting `agion.organization` names, so that a forgotten WHERE cannot cross a tenant.
 *
 * A session takes the role with `SET LOCAL ROLE agion_tenant` and names the organization with
 * `set_config('agion.organization', $1, true)`. Without the setting the role sees nothing.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** The role that policies hold for. */
export const tenantRole = "agion_tenant"

/** Puts a table that has the column `organization_id` under row-level security. For migrations. */
export const tenantTable = (
  table: string,
  options?: {
    /** The column that names the organization. */
    readonly column?: string
    /** Rows without an organization are everyone's to read. */
    readonly sharedReads?: boolean
  }
): Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const column = sql(options?.column ?? "organization_id")
    const own = sql`${column} = current_setting('agion.organization', true)`
    yield* sql`ALTER TABLE ${sql(table)} ENABLE ROW LEVEL SECURITY`
    yield* sql`CREATE POLICY tenant ON ${sql(table)} TO ${sql(tenantRole)} USING (${own}) WITH CHECK (${own})`
    if (options?.sharedReads === true)
      yield* sql`CREATE POLICY shared ON ${sql(table)} FOR SELECT TO ${sql(tenantRole)} USING (${column} IS NULL)`
    yield* sql`GRANT SELECT, INSERT, UPDATE, DELETE ON ${sql(table)} TO ${sql(tenantRole)}`
  })
