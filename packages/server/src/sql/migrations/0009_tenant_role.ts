/**
 * Requests that speak for one organization run as the role `agion_tenant`: every table with rows of organizations is
 * under row-level security, what all of them share can be read, and whoever runs the server may take the role.
 *
 * Not `FORCE`: the owner serves what belongs to no single organization (consumers, the relay, retention, checks of
 * many organizations at once) and is what foreign keys cascade as. A policy that let it through would protect nothing.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { tenantRole, tenantTable } from "../rowSecurity.ts"

/** A superuser may take any role. Others made the role and may grant it, or were granted it by who made it. */
const membership = `DO $$ BEGIN
  IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    GRANT ${tenantRole} TO CURRENT_USER;
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  IF NOT pg_has_role(current_user, '${tenantRole}', 'MEMBER') THEN
    RAISE EXCEPTION 'the user % may not take the role ${tenantRole}; let a superuser run: GRANT ${tenantRole} TO %',
      current_user, quote_ident(current_user);
  END IF;
END $$`

const schema = `DO $$ BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO ${tenantRole}', current_schema());
EXCEPTION WHEN insufficient_privilege THEN
  -- Another's schema: it lets everybody use it, or its owner has to say so.
  NULL;
END $$`

export const tenantRoleTaken = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.unsafe(membership)
  yield* sql.unsafe(schema)
  // A record that holds in every organization is no tenant's to read or change.
  yield* tenantTable("agents", { column: "scope" })
  // What waits for its organization is nobody's.
  yield* tenantTable("pending_feedback")
  yield* sql`CREATE POLICY shared ON policy_counters FOR SELECT TO ${sql(tenantRole)} USING (scope = '*')`
})
