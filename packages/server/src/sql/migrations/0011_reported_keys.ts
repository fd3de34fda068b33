/**
 * A report that names a reservation by its key and comes before it leaves a row in its place, of status `unmade`:
 * the request that is still on its way finds the key used and takes nothing (LIMIT-3).
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** What is no longer waited for is deleted by age. */
const index = `CREATE INDEX reservations_unmade ON reservations (closed_at) WHERE status = 'unmade'`

/**
 * Settles the reservation that was made by a key, or gives it back where no request is reported. Where none was made
 * the report is charged. Either once: what is told of a key again changes nothing.
 */
const report = `CREATE FUNCTION agion_report(
  permission uuid, key text, event text, requests bigint, tokens bigint, cost bigint, occurred timestamptz,
  organization text, actor text
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  u permission_usage;
  held reservations;
BEGIN
  u := agion_lock_usage(permission);
  IF u.permission_id IS NULL OR NOT agion_may_use(u, organization, actor) THEN
    RETURN jsonb_build_object('outcome', 'missing');
  END IF;
  SELECT * INTO held FROM reservations r WHERE r.permission_id = permission AND r.idempotency_key = key;
  IF held.status = 'open' AND requests = 0 THEN RETURN agion_release(held.id, organization, actor); END IF;
  IF held.status = 'open' THEN RETURN agion_settle(held.id, tokens, cost, organization, actor); END IF;
  IF held.id IS NOT NULL THEN RETURN jsonb_build_object('outcome', held.status); END IF;
  INSERT INTO reservations (id, organization_id, permission_id, status, requests, tokens, cost_micro, day, second,
    expires_at, idempotency_key, closed_at)
  VALUES (gen_random_uuid(), u.organization_id, permission, 'unmade', 0, 0, 0, u.day, agion_second(),
    clock_timestamp(), key, clock_timestamp());
  IF requests = 0 THEN RETURN jsonb_build_object('outcome', 'unmade'); END IF;
  RETURN agion_charge(permission, event, requests, tokens, cost, occurred, organization, actor);
END $$`

export const reportedKeys = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of [index, report]) yield* sql.unsafe(statement)
})
