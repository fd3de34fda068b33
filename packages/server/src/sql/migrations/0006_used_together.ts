/**
 * Reservations that arrive together are decided by one statement: each as if alone, in order, under the lock of
 * its permission's usage row and on the database's clock (LIMIT-1 to LIMIT-4). Permissions are locked in order of
 * their ids, so that two such statements wait for each other instead of locking up. A permission's usage is read
 * and written once, however often it is asked for, and its organization's time zone looked up once.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** What of the statement a later migration says anew. */
interface ReserveParts {
  readonly create: "CREATE" | "CREATE OR REPLACE"
  /** Brings the usage `u` to the date `today` of its `zone`. */
  readonly begin: string
  /** The outcomes of a key whose open reservation is `held`. */
  readonly existing: string
}

const beginEmpty = `IF u.day IS DISTINCT FROM today THEN
          u.day := today;
          u.day_requests := 0;
          u.day_tokens := 0;
          u.day_cost_micro := 0;
          u.reserved_tokens := 0;
          u.reserved_cost_micro := 0;
        END IF;`

/** Locks the usage row of the call \`c\` as \`u\`: on today's date, with the window's requests in \`windowed\`. */
const open = (begin: string) => `
      SELECT * INTO u FROM permission_usage p WHERE p.permission_id = c.permission FOR UPDATE;
      there := FOUND;
      IF there THEN
        moment := clock_timestamp();
        second := floor(extract(epoch FROM moment))::bigint;
        IF u.organization_id IS DISTINCT FROM organization THEN
          organization := u.organization_id;
          zone := coalesce((SELECT o.time_zone FROM organizations o WHERE o.id = organization), 'UTC');
        END IF;
        today := (moment AT TIME ZONE zone)::date;
        ${begin}
        SELECT coalesce(sum(b % 1000000), 0), coalesce(array_agg(b), '{}') INTO windowed, u.rate_window
          FROM unnest(u.rate_window) AS b WHERE b >= (second - 60) * 1000000;
        added := 0;
        version := u.version;
      END IF;`

/** Writes \`u\` back, where it changed, and answers it in \`state\`. Amounts stop at what a double holds exactly. */
const close = `
      buckets := coalesce(array_length(u.rate_window, 1), 0);
      IF added > 0 AND (buckets = 0 OR u.rate_window[buckets] / 1000000 < second) THEN
        u.rate_window := u.rate_window || (second * 1000000 + least(added, 999999));
      ELSIF added > 0 THEN
        u.rate_window := agion_window_add(u.rate_window, second, added, second);
      END IF;
      UPDATE permission_usage p SET
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
        last_used_at = moment
      WHERE p.permission_id = u.permission_id;
      state := jsonb_build_object(
        'totalRequests', u.total_requests, 'totalTokens', u.total_tokens, 'totalCostMicroUsd', u.total_cost_micro,
        'dayRequests', u.day_requests, 'dayTokens', u.day_tokens, 'dayCostMicroUsd', u.day_cost_micro,
        'reservedTokens', u.reserved_tokens, 'reservedCostMicroUsd', u.reserved_cost_micro,
        'dayStart', extract(epoch FROM u.day::timestamp AT TIME ZONE zone) * 1000,
        'dayEnds', extract(epoch FROM (u.day + 1)::timestamp AT TIME ZONE zone) * 1000,
        'lastUsedAt', extract(epoch FROM moment) * 1000,
        'window', u.rate_window, 'version', u.version,
        'now', floor(extract(epoch FROM moment) * 1000));`

/**
 * Takes what calls will use, where it fits. A null limit is none; null tokens or cost were not said: then at least
 * something must be left. The same key answers with the same reservation while it is open.
 *
 * A line for each call, numbered from 1; \`state\` stands in the last line of a permission that changed.
 */
export const reserveAll = (parts: ReserveParts): string => `${parts.create} FUNCTION agion_reserve_all(
  permissions uuid[], ids uuid[], keys text[], all_requests bigint[], all_tokens bigint[], all_costs bigint[],
  rate_limits bigint[], token_limits bigint[], cost_limits bigint[], ttls_ms bigint[], enforced boolean[]
) RETURNS TABLE (
  call bigint, outcome text, used_window bigint, used_requests bigint, used_tokens bigint, used_cost bigint,
  held_id uuid, held_requests bigint, held_tokens bigint, held_cost bigint, held_until double precision, state jsonb
) LANGUAGE plpgsql AS $$
DECLARE
  c record;
  u permission_usage;
  held reservations;
  there boolean;
  moment timestamptz;
  second bigint;
  organization text;
  zone text;
  today date;
  windowed bigint;
  added bigint;
  version bigint;
  buckets int;
  made uuid[] := '{}';
BEGIN
  FOR c IN
    SELECT t.*, lag(t.permission) OVER w IS DISTINCT FROM t.permission AS is_first,
      lead(t.permission) OVER w IS DISTINCT FROM t.permission AS is_last
    FROM unnest(permissions, ids, keys, all_requests, all_tokens, all_costs, rate_limits, token_limits, cost_limits,
      ttls_ms, enforced) WITH ORDINALITY AS t(permission, id, key, requests, tokens, cost, rate_limit, token_limit,
      cost_limit, ttl_ms, enforce, n)
    WINDOW w AS (ORDER BY t.permission, t.n) ORDER BY t.permission, t.n
  LOOP
    call := c.n;
    state := NULL;
    held := NULL;
    IF c.is_first THEN${open(parts.begin)}
    END IF;
    IF NOT there THEN
      outcome := 'missing';
    ELSE
      used_window := windowed;
      used_requests := u.day_requests;
      used_tokens := u.day_tokens + u.reserved_tokens;
      used_cost := u.day_cost_micro + u.reserved_cost_micro;
      IF c.key IS NOT NULL THEN
        SELECT * INTO held FROM reservations r WHERE r.permission_id = c.permission AND r.idempotency_key = c.key;
      END IF;
      outcome := CASE
        WHEN held.status <> 'open' THEN 'closed'
        ${parts.existing}
        WHEN NOT c.enforce THEN 'reserved'
        WHEN windowed + c.requests > c.rate_limit THEN 'rate'
        WHEN CASE WHEN c.tokens IS NULL THEN used_tokens >= c.token_limit
          ELSE used_tokens + c.tokens > c.token_limit END THEN 'tokens'
        WHEN CASE WHEN c.cost IS NULL THEN used_cost >= c.cost_limit
          ELSE used_cost + c.cost > c.cost_limit END THEN 'cost'
        ELSE 'reserved'
      END;
      IF outcome = 'reserved' THEN
        held.id := c.id;
        held.requests := c.requests;
        held.tokens := coalesce(c.tokens, 0);
        held.cost_micro := coalesce(c.cost, 0);
        held.expires_at := moment + c.ttl_ms * interval '1 millisecond';
        INSERT INTO reservations (id, organization_id, permission_id, requests, tokens, cost_micro, day, second,
          expires_at, idempotency_key)
        VALUES (held.id, organization, c.permission, held.requests, held.tokens, held.cost_micro, today, second,
          held.expires_at, c.key);
        made := made || held.id;
        u.version := u.version + 1;
        u.total_requests := u.total_requests + held.requests;
        u.day_requests := u.day_requests + held.requests;
        u.reserved_tokens := u.reserved_tokens + held.tokens;
        u.reserved_cost_micro := u.reserved_cost_micro + held.cost_micro;
        windowed := windowed + held.requests;
        added := added + held.requests;
      END IF;
    END IF;
    held_id := held.id;
    held_requests := held.requests;
    held_tokens := held.tokens;
    held_cost := held.cost_micro;
    held_until := extract(epoch FROM held.expires_at) * 1000;
    IF c.is_last AND there AND u.version > version THEN${close}
    END IF;
    RETURN NEXT;
  END LOOP;
  INSERT INTO usage_ledger (organization_id, permission_id, kind, reservation_id, requests, tokens, cost_micro)
  SELECT r.organization_id, r.permission_id, 'reservation', r.id, r.requests, r.tokens, r.cost_micro
  FROM reservations r WHERE r.id = ANY(made) ORDER BY r.id;
END $$`

export const usedTogether = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.unsafe(
    reserveAll({ create: "CREATE", begin: beginEmpty, existing: "WHEN held.id IS NOT NULL THEN 'existing'" })
  )
})
