/**
 * Limits inside the database: each function counts or decides in one round trip, under the lock of the
 * permission's usage row and on the database's clock, so that any number of callers in any number of processes
 * never get past a limit (LIMIT-1 to LIMIT-4). What they compare is what `PermissionCheck` compares.
 *
 * The helpers are PL/pgSQL although SQL would say some of them shorter: their plans are kept, where a function
 * in SQL is planned anew with every call.
 *
 * Requests of the last minute stand in `rate_window`, one number a second; the oldest second counts whole.
 */

/** The organization's date now. */
const today = `CREATE FUNCTION agion_today(organization text) RETURNS date LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  zone text;
BEGIN
  SELECT time_zone INTO zone FROM organizations WHERE id = organization;
  RETURN (clock_timestamp() AT TIME ZONE coalesce(zone, 'UTC'))::date;
END $$`

/** The second that a request is counted in now. */
const second = `CREATE FUNCTION agion_second() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN floor(extract(epoch FROM clock_timestamp()))::bigint;
END $$`

/** Requests of a window in the 60 seconds before and in the second \`at\`. */
const windowSum = `CREATE FUNCTION agion_window_sum(buckets bigint[], at bigint) RETURNS bigint
  LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  b bigint;
  total bigint := 0;
BEGIN
  FOREACH b IN ARRAY buckets LOOP
    IF b / 1000000 >= at - 60 THEN total := total + b % 1000000; END IF;
  END LOOP;
  RETURN total;
END $$`

/** A window after so many requests in the second \`at\`; what is too old to count falls out. */
const windowAdd = `CREATE FUNCTION agion_window_add(buckets bigint[], at bigint, requests bigint, now_at bigint)
  RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  b bigint;
  counted bigint;
  placed boolean := at < now_at - 60;
  kept bigint[] := '{}';
BEGIN
  FOREACH b IN ARRAY buckets LOOP
    CONTINUE WHEN b / 1000000 < now_at - 60;
    counted := b % 1000000;
    IF b / 1000000 = at THEN
      counted := counted + requests;
      placed := true;
    END IF;
    IF counted > 0 THEN kept := kept || (b / 1000000 * 1000000 + least(counted, 999999)); END IF;
  END LOOP;
  IF NOT placed AND requests > 0 THEN kept := kept || (at * 1000000 + least(requests, 999999)); END IF;
  RETURN kept;
END $$`

/** Locks the usage row of a permission and lets its day begin anew when the organization's date has changed. */
const lock = `CREATE FUNCTION agion_lock_usage(permission uuid) RETURNS permission_usage LANGUAGE plpgsql AS $$
DECLARE
  u permission_usage;
  d date;
BEGIN
  SELECT * INTO u FROM permission_usage WHERE permission_id = permission FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
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

/** Writes a usage row back; amounts stop at what a double holds exactly. */
const store = `CREATE FUNCTION agion_store_usage(u permission_usage) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE permission_usage SET
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

/** What has been used and is reserved, as \`PermissionCheck\` wants it. */
const facts = `CREATE FUNCTION agion_usage_facts(u permission_usage, at bigint) RETURNS jsonb
  LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN jsonb_build_object(
    'windowRequests', agion_window_sum(u.rate_window, at),
    'dayRequests', u.day_requests,
    'dayTokens', u.day_tokens + u.reserved_tokens,
    'dayCostMicroUsd', u.day_cost_micro + u.reserved_cost_micro);
END $$`

/** The usage of a permission today, as a permission shows it. */
const shown = `CREATE FUNCTION agion_usage_shown(u permission_usage) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
  zone text;
BEGIN
  SELECT time_zone INTO zone FROM organizations WHERE id = u.organization_id;
  RETURN jsonb_build_object(
    'totalRequests', u.total_requests, 'totalTokens', u.total_tokens, 'totalCostMicroUsd', u.total_cost_micro,
    'day', u.day, 'dayRequests', u.day_requests, 'dayTokens', u.day_tokens, 'dayCostMicroUsd', u.day_cost_micro,
    'dayStart', extract(epoch FROM u.day::timestamp AT TIME ZONE coalesce(zone, 'UTC')) * 1000,
    'lastUsedAt', extract(epoch FROM u.last_used_at) * 1000);
END $$`

/** The usage of several permissions now, on the organization's day. */
const read = `CREATE FUNCTION agion_read_usage(permissions uuid[]) RETURNS TABLE (
    permission_id uuid, facts jsonb, shown jsonb) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  u permission_usage;
  d date;
  at bigint := agion_second();
BEGIN
  FOR u IN SELECT * FROM permission_usage p WHERE p.permission_id = ANY(permissions) LOOP
    d := agion_today(u.organization_id);
    IF u.day IS DISTINCT FROM d THEN
      u.day := d;
      u.day_requests := 0;
      u.day_tokens := 0;
      u.day_cost_micro := 0;
      u.reserved_tokens := 0;
      u.reserved_cost_micro := 0;
    END IF;
    permission_id := u.permission_id;
    facts := agion_usage_facts(u, at);
    shown := agion_usage_shown(u);
    RETURN NEXT;
  END LOOP;
END $$`

/** Whose permission it is and what limits it, for who must be told. */
const who = `CREATE FUNCTION agion_who(permission uuid) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
  p permissions;
BEGIN
  SELECT * INTO p FROM permissions WHERE id = permission;
  RETURN jsonb_build_object('permissionId', p.id, 'organizationId', p.organization_id, 'actorId', p.actor_id,
    'actorType', p.actor_type, 'resourceId', p.resource_id, 'permissionType', p.permission_type,
    'constraints', p.constraints);
END $$`

/** True when whoever speaks for an organization, or for an actor of it, may use a permission; null is anybody. */
const mayUse = `CREATE FUNCTION agion_may_use(u permission_usage, organization text, actor text) RETURNS boolean
  LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN (organization IS NULL OR u.organization_id = organization) AND (actor IS NULL OR u.actor_id = actor);
END $$`

/** Adds what a call used, once for each event id. Answers null when it was counted before. */
const charge = `CREATE FUNCTION agion_charge(
  permission uuid, event text, requests bigint, tokens bigint, cost bigint, occurred timestamptz,
  organization text, actor text
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  u permission_usage;
  at bigint;
  before jsonb;
BEGIN
  u := agion_lock_usage(permission);
  IF u.permission_id IS NULL OR NOT agion_may_use(u, organization, actor) THEN
    RETURN jsonb_build_object('outcome', 'missing');
  END IF;
  INSERT INTO usage_ledger (organization_id, permission_id, kind, event_id, requests, tokens, cost_micro, occurred_at)
  VALUES (u.organization_id, permission, 'usage', event, requests, tokens, cost, coalesce(occurred, clock_timestamp()))
  ON CONFLICT ON CONSTRAINT usage_ledger_event DO NOTHING;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'duplicate'); END IF;
  at := agion_second();
  before := agion_usage_facts(u, at);
  u.total_requests := u.total_requests + requests;
  u.total_tokens := u.total_tokens + tokens;
  u.total_cost_micro := u.total_cost_micro + cost;
  u.day_requests := u.day_requests + requests;
  u.day_tokens := u.day_tokens + tokens;
  u.day_cost_micro := u.day_cost_micro + cost;
  u.rate_window := agion_window_add(u.rate_window, at, requests, at);
  u.last_used_at := clock_timestamp();
  PERFORM agion_store_usage(u);
  RETURN jsonb_build_object('outcome', 'charged', 'before', before, 'after', agion_usage_facts(u, at),
    'shown', agion_usage_shown(u), 'who', agion_who(permission));
END $$`

/**
 * Takes what a call will use, if it fits. A null limit is none; null tokens or cost were not said: then at least
 * something must be left. The same key answers with the same reservation while it is open.
 */
const reserve = `CREATE FUNCTION agion_reserve(
  permission uuid, reservation uuid, key text, asked_requests bigint, asked_tokens bigint, asked_cost bigint,
  rate_limit bigint, token_limit bigint, cost_limit bigint, ttl_ms bigint, enforce boolean
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  u permission_usage;
  held reservations;
  at bigint;
  before jsonb;
  refused text;
  used_tokens bigint;
  used_cost bigint;
BEGIN
  u := agion_lock_usage(permission);
  IF u.permission_id IS NULL THEN RETURN jsonb_build_object('outcome', 'missing'); END IF;
  at := agion_second();
  before := agion_usage_facts(u, at);
  IF key IS NOT NULL THEN
    SELECT * INTO held FROM reservations r WHERE r.permission_id = permission AND r.idempotency_key = key;
    IF FOUND AND held.status <> 'open' THEN RETURN jsonb_build_object('outcome', 'closed'); END IF;
    IF FOUND THEN
      RETURN jsonb_build_object('outcome', 'existing', 'before', before, 'id', held.id, 'requests', held.requests,
        'tokens', held.tokens, 'costMicroUsd', held.cost_micro,
        'expiresAt', extract(epoch FROM held.expires_at) * 1000);
    END IF;
  END IF;
  used_tokens := u.day_tokens + u.reserved_tokens;
  used_cost := u.day_cost_micro + u.reserved_cost_micro;
  refused := CASE
    WHEN rate_limit IS NOT NULL AND agion_window_sum(u.rate_window, at) + asked_requests > rate_limit THEN 'rate'
    WHEN token_limit IS NOT NULL AND (CASE WHEN asked_tokens IS NULL THEN used_tokens >= token_limit
      ELSE used_tokens + asked_tokens > token_limit END) THEN 'tokens'
    WHEN cost_limit IS NOT NULL AND (CASE WHEN asked_cost IS NULL THEN used_cost >= cost_limit
      ELSE used_cost + asked_cost > cost_limit END) THEN 'cost'
  END;
  IF refused IS NOT NULL AND enforce THEN
    RETURN jsonb_build_object('outcome', refused, 'before', before);
  END IF;
  INSERT INTO reservations (id, organization_id, permission_id, requests, tokens, cost_micro, day, second,
    expires_at, idempotency_key)
  VALUES (reservation, u.organization_id, permission, asked_requests, coalesce(asked_tokens, 0),
    coalesce(asked_cost, 0), u.day, at, clock_timestamp() + ttl_ms * interval '1 millisecond', key)
  RETURNING * INTO held;
  INSERT INTO usage_ledger (organization_id, permission_id, kind, reservation_id, requests, tokens, cost_micro)
  VALUES (u.organization_id, permission, 'reservation', reservation, held.requests, held.tokens, held.cost_micro);
  u.total_requests := u.total_requests + held.requests;
  u.day_requests := u.day_requests + held.requests;
  u.reserved_tokens := u.reserved_tokens + held.tokens;
  u.reserved_cost_micro := u.reserved_cost_micro + held.cost_micro;
  u.rate_window := agion_window_add(u.rate_window, at, held.requests, at);
  u.last_used_at := clock_timestamp();
  PERFORM agion_store_usage(u);
  RETURN jsonb_build_object('outcome', 'reserved', 'before', before, 'after', agion_usage_facts(u, at),
    'shown', agion_usage_shown(u),
    'id', held.id, 'requests', held.requests, 'tokens', held.tokens, 'costMicroUsd', held.cost_micro,
    'expiresAt', extract(epoch FROM held.expires_at) * 1000);
END $$`

/** What of closing a reservation a later migration says anew. */
interface ClosingParts {
  readonly create: "CREATE" | "CREATE OR REPLACE"
  /** A column of the ledger and its value, after the others. */
  readonly column: "" | ", day"
  readonly value: "" | ", held.day"
}

const closing: ClosingParts = { create: "CREATE", column: "", value: "" }

/**
 * Replaces the estimate of a reservation by the truth; null amounts stay as estimated. Once: a second
 * settlement changes nothing. After midnight of the reservation's day only the totals change.
 */
export const settle = (parts: ClosingParts): string => `${parts.create} FUNCTION agion_settle(
  reservation uuid, actual_tokens bigint, actual_cost bigint, organization text, actor text
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  u permission_usage;
  held reservations;
  at bigint;
  before jsonb;
BEGIN
  SELECT * INTO held FROM reservations WHERE id = reservation;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'missing'); END IF;
  u := agion_lock_usage(held.permission_id);
  SELECT * INTO held FROM reservations WHERE id = reservation FOR UPDATE;
  IF NOT FOUND OR NOT agion_may_use(u, organization, actor) THEN RETURN jsonb_build_object('outcome', 'missing'); END IF;
  IF held.status <> 'open' THEN RETURN jsonb_build_object('outcome', held.status); END IF;
  at := agion_second();
  before := agion_usage_facts(u, at);
  actual_tokens := coalesce(actual_tokens, held.tokens);
  actual_cost := coalesce(actual_cost, held.cost_micro);
  UPDATE reservations SET status = 'settled', closed_at = clock_timestamp() WHERE id = reservation;
  INSERT INTO usage_ledger (organization_id, permission_id, kind, reservation_id, requests, tokens, cost_micro${parts.column})
  VALUES (u.organization_id, held.permission_id, 'settlement', reservation, 0, actual_tokens, actual_cost${parts.value});
  u.total_tokens := u.total_tokens + actual_tokens;
  u.total_cost_micro := u.total_cost_micro + actual_cost;
  IF held.day = u.day THEN
    u.reserved_tokens := greatest(0, u.reserved_tokens - held.tokens);
    u.reserved_cost_micro := greatest(0, u.reserved_cost_micro - held.cost_micro);
    u.day_tokens := u.day_tokens + actual_tokens;
    u.day_cost_micro := u.day_cost_micro + actual_cost;
  END IF;
  u.last_used_at := clock_timestamp();
  PERFORM agion_store_usage(u);
  RETURN jsonb_build_object('outcome', 'done', 'permission', held.permission_id, 'before', before,
    'after', agion_usage_facts(u, at), 'shown', agion_usage_shown(u), 'who', agion_who(held.permission_id));
END $$`

/** Gives back what a reservation holds, its request too. Once: a second release changes nothing. */
export const release = (
  parts: ClosingParts
): string => `${parts.create} FUNCTION agion_release(reservation uuid, organization text, actor text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  u permission_usage;
  held reservations;
  at bigint;
BEGIN
  SELECT * INTO held FROM reservations WHERE id = reservation;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'missing'); END IF;
  u := agion_lock_usage(held.permission_id);
  SELECT * INTO held FROM reservations WHERE id = reservation FOR UPDATE;
  IF NOT FOUND OR NOT agion_may_use(u, organization, actor) THEN RETURN jsonb_build_object('outcome', 'missing'); END IF;
  IF held.status <> 'open' THEN RETURN jsonb_build_object('outcome', held.status); END IF;
  at := agion_second();
  UPDATE reservations SET status = 'released', closed_at = clock_timestamp() WHERE id = reservation;
  INSERT INTO usage_ledger (organization_id, permission_id, kind, reservation_id, requests, tokens, cost_micro${parts.column})
  VALUES (u.organization_id, held.permission_id, 'release', reservation, -held.requests, 0, 0${parts.value});
  u.total_requests := greatest(0, u.total_requests - held.requests);
  IF held.day = u.day THEN
    u.day_requests := greatest(0, u.day_requests - held.requests);
    u.reserved_tokens := greatest(0, u.reserved_tokens - held.tokens);
    u.reserved_cost_micro := greatest(0, u.reserved_cost_micro - held.cost_micro);
  END IF;
  u.rate_window := agion_window_add(u.rate_window, held.second, -held.requests, at);
  PERFORM agion_store_usage(u);
  RETURN jsonb_build_object('outcome', 'done', 'permission', held.permission_id, 'shown', agion_usage_shown(u),
    'who', agion_who(held.permission_id));
END $$`

/** In the order in which they are made. */
export const limitFunctions: ReadonlyArray<string> = [
  today,
  second,
  windowSum,
  windowAdd,
  lock,
  store,
  facts,
  shown,
  read,
  who,
  mayUse,
  charge,
  reserve,
  settle(closing),
  release(closing)
]
