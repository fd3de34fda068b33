/**
 * A day that begins anew begins with what the ledger holds since its midnight: an organization whose time zone
 * changes to another date loses nothing of the day (LIMIT-4). At a midnight that simply comes there is nothing to
 * read: the last use was before it.
 *
 * An idempotency key that comes again with other amounts is told apart, and so is one whose reservation has expired
 * (LIMIT-3).
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { reserveAll } from "./0006_used_together.ts"

/** The organization's time zone. */
const zone = `CREATE FUNCTION agion_zone(organization text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN coalesce((SELECT o.time_zone FROM organizations o WHERE o.id = organization), 'UTC');
END $$`

/**
 * A usage on the date `today`. Lines of the ledger are read from the last one back; each bears the start of its
 * transaction, which may have waited for the lock.
 */
const onDay = `CREATE FUNCTION agion_usage_on(u permission_usage, today date, zone text) RETURNS permission_usage
  LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  starts timestamptz := today::timestamp AT TIME ZONE zone;
  line usage_ledger;
  held reservations;
BEGIN
  IF u.day IS NOT DISTINCT FROM today THEN RETURN u; END IF;
  u.day := today;
  u.day_requests := 0;
  u.day_tokens := 0;
  u.day_cost_micro := 0;
  u.reserved_tokens := 0;
  u.reserved_cost_micro := 0;
  IF u.last_used_at IS NULL OR u.last_used_at < starts THEN RETURN u; END IF;
  FOR line IN SELECT * FROM usage_ledger l WHERE l.permission_id = u.permission_id ORDER BY l.id DESC LOOP
    EXIT WHEN line.recorded_at < starts - interval '1 hour';
    held := NULL;
    IF line.reservation_id IS NOT NULL THEN
      SELECT * INTO held FROM reservations r WHERE r.id = line.reservation_id;
    END IF;
    -- A reservation counts on the day on which it was made, whenever it is closed.
    CONTINUE WHEN coalesce(held.created_at, line.recorded_at) < starts;
    u.day_requests := u.day_requests + line.requests;
    IF line.kind = 'reservation' AND held.status = 'open' THEN
      u.reserved_tokens := u.reserved_tokens + line.tokens;
      u.reserved_cost_micro := u.reserved_cost_micro + line.cost_micro;
    ELSIF line.kind IN ('usage', 'settlement') THEN
      u.day_tokens := u.day_tokens + line.tokens;
      u.day_cost_micro := u.day_cost_micro + line.cost_micro;
    END IF;
  END LOOP;
  u.day_requests := greatest(0, u.day_requests);
  RETURN u;
END $$`

/** The same for a row that is locked: its open reservations belong to the new day, or no longer do. */
const begin = `CREATE FUNCTION agion_begin_day(u permission_usage, today date, zone text) RETURNS permission_usage
  LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  starts timestamptz := today::timestamp AT TIME ZONE zone;
BEGIN
  IF u.day IS NOT DISTINCT FROM today THEN RETURN u; END IF;
  IF u.last_used_at >= starts THEN
    UPDATE reservations r SET day = CASE WHEN r.created_at >= starts THEN today ELSE today - 1 END
    WHERE r.permission_id = u.permission_id AND r.status = 'open'
      AND (r.created_at >= starts) IS DISTINCT FROM (r.day = today);
  END IF;
  RETURN agion_usage_on(u, today, zone);
END $$`

const lock = `CREATE OR REPLACE FUNCTION agion_lock_usage(permission uuid) RETURNS permission_usage
  LANGUAGE plpgsql AS $$
DECLARE
  u permission_usage;
BEGIN
  SELECT * INTO u FROM permission_usage WHERE permission_id = permission FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  u.version := u.version + 1;
  RETURN agion_begin_day(u, agion_today(u.organization_id), agion_zone(u.organization_id));
END $$`

const read = `CREATE OR REPLACE FUNCTION agion_read_usage(permissions uuid[]) RETURNS TABLE (
    permission_id uuid, facts jsonb, shown jsonb) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  u permission_usage;
  at bigint := agion_second();
BEGIN
  FOR u IN SELECT * FROM permission_usage p WHERE p.permission_id = ANY(permissions) LOOP
    u := agion_usage_on(u, agion_today(u.organization_id), agion_zone(u.organization_id));
    permission_id := u.permission_id;
    facts := agion_usage_facts(u, at);
    shown := agion_usage_shown(u);
    RETURN NEXT;
  END LOOP;
END $$`

/** A permission's usage today, for lists. */
const today = `CREATE FUNCTION agion_usage_today(u permission_usage) RETURNS permission_usage
  LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN agion_usage_on(u, agion_today(u.organization_id), agion_zone(u.organization_id));
END $$`

/** What actors used today, permission by permission, in the order asked. */
const spends = `CREATE OR REPLACE FUNCTION agion_read_spends(organizations text[], actors text[]) RETURNS TABLE (
    spent jsonb, day_ends float8, now float8) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  zone text;
  d date;
BEGIN
  FOR i IN 1 .. coalesce(array_length(organizations, 1), 0) LOOP
    zone := agion_zone(organizations[i]);
    d := (clock_timestamp() AT TIME ZONE zone)::date;
    SELECT coalesce(jsonb_agg(jsonb_build_object('permissionId', t.permission_id, 'version', t.version,
        'dayRequests', t.day_requests, 'dayTokens', t.day_tokens, 'dayCostMicroUsd', t.day_cost_micro)), '[]')
      INTO spent FROM permission_usage u, LATERAL agion_usage_on(u, d, zone) t
      WHERE u.organization_id = organizations[i] AND u.actor_id = actors[i]
        AND (u.day = d OR u.last_used_at >= d::timestamp AT TIME ZONE zone);
    day_ends := extract(epoch FROM (d + 1)::timestamp AT TIME ZONE zone) * 1000;
    now := floor(extract(epoch FROM clock_timestamp()) * 1000);
    RETURN NEXT;
  END LOOP;
END $$`

/** The same key with other amounts, or after its reservation has expired, is no repetition. */
const reserve = reserveAll({
  create: "CREATE OR REPLACE",
  begin: "u := agion_begin_day(u, today, zone);",
  existing: `WHEN held.requests <> c.requests OR held.tokens <> coalesce(c.tokens, 0)
          OR held.cost_micro <> coalesce(c.cost, 0) THEN 'other'
        WHEN held.expires_at <= moment THEN 'expired'
        WHEN held.id IS NOT NULL THEN 'existing'`
})

export const daysKept = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of [zone, onDay, begin, lock, read, today, spends, reserve])
    yield* sql.unsafe(statement)
})
