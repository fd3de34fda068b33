/**
 * Each state of a permission's usage has a version, one higher than the state before it, and is answered whole:
 * whoever keeps a copy can tell which of two answers is the newer, and can let it age by himself.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const column = `ALTER TABLE permission_usage ADD COLUMN version bigint NOT NULL DEFAULT 0`

/**
 * Locks the usage row of a permission and lets its day begin anew when the organization's date has changed. What
 * is answered is the next version, for `agion_store_usage` to write.
 */
const lock = `CREATE OR REPLACE FUNCTION agion_lock_usage(permission uuid) RETURNS permission_usage
  LANGUAGE plpgsql AS $$
DECLARE
  u permission_usage;
  d date;
BEGIN
  SELECT * INTO u FROM permission_usage WHERE permission_id = permission FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  u.version := u.version + 1;
  d := agion_today(u.organization_id);
  IF u.day IS DISTINCT FROM d THEN
    u.day := d;
    u.day_requests := 0;
    u.day_tokens := 0;
    u.day_cost_micro := 0;
    u.reserved_tokens := 0;
    u.reserved_cost_micro := 0;
  END IF;
  RETURN u;
END $$`

const store = `CREATE OR REPLACE FUNCTION agion_store_usage(u permission_usage) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE permission_usage SET
    version = u.version,
    total_requests = least(u.total_requests, 9007199254740991),
    total_tokens = least(u.total_tokens, 9007199254740991),
    total_cost_micro = least(u.total_cost_micro, 9000000000000000),
    day = u.day,
    day_requests = least(u.day_requests, 9007199254740991),
    day_tokens = least(u.day_tokens, 9007199254740991),
    day_cost_micro = least(u.day_cost_micro, 9000000000000000),
    reserved_tokens = least(u.reserved_tokens, 9007199254740991),
    reserved_cost_micro = least(u.reserved_cost_micro, 9000000000000000),
    rate_window = u.rate_window,
    last_used_at = u.last_used_at
  WHERE permission_id = u.permission_id;
END $$`

/** The usage of a permission today: what it shows, and what its copies need to age. Times are epoch milliseconds. */
const shown = `CREATE OR REPLACE FUNCTION agion_usage_shown(u permission_usage) RETURNS jsonb
  LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  zone text;
BEGIN
  SELECT time_zone INTO zone FROM organizations WHERE id = u.organization_id;
  zone := coalesce(zone, 'UTC');
  RETURN jsonb_build_object(
    'totalRequests', u.total_requests, 'totalTokens', u.total_tokens, 'totalCostMicroUsd', u.total_cost_micro,
    'dayRequests', u.day_requests, 'dayTokens', u.day_tokens, 'dayCostMicroUsd', u.day_cost_micro,
    'reservedTokens', u.reserved_tokens, 'reservedCostMicroUsd', u.reserved_cost_micro,
    'dayStart', extract(epoch FROM u.day::timestamp AT TIME ZONE zone) * 1000,
    'dayEnds', extract(epoch FROM (u.day + 1)::timestamp AT TIME ZONE zone) * 1000,
    'lastUsedAt', extract(epoch FROM u.last_used_at) * 1000,
    'window', u.rate_window, 'version', u.version,
    'now', floor(extract(epoch FROM clock_timestamp()) * 1000));
END $$`

/** What actors used today, permission by permission, in the order asked. */
const spends = `CREATE FUNCTION agion_read_spends(organizations text[], actors text[]) RETURNS TABLE (
    spent jsonb, day_ends float8, now float8) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  zone text;
  d date;
BEGIN
  FOR i IN 1 .. coalesce(array_length(organizations, 1), 0) LOOP
    SELECT coalesce((SELECT o.time_zone FROM organizations o WHERE o.id = organizations[i]), 'UTC') INTO zone;
    d := (clock_timestamp() AT TIME ZONE zone)::date;
    SELECT coalesce(jsonb_agg(jsonb_build_object('permissionId', u.permission_id, 'version', u.version,
        'dayRequests', u.day_requests, 'dayTokens', u.day_tokens, 'dayCostMicroUsd', u.day_cost_micro)), '[]')
      INTO spent FROM permission_usage u
      WHERE u.organization_id = organizations[i] AND u.actor_id = actors[i] AND u.day = d;
    day_ends := extract(epoch FROM (d + 1)::timestamp AT TIME ZONE zone) * 1000;
    now := floor(extract(epoch FROM clock_timestamp()) * 1000);
    RETURN NEXT;
  END LOOP;
END $$`

export const usageVersions = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of [column, lock, store, shown, spends]) yield* sql.unsafe(statement)
})
