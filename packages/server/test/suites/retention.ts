import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Context, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Retention } from "../../src/retention/Retention.ts"
import { closedReservations } from "../../src/sql/migrations/0013_closed_reservations.ts"
import { assertRefused, grant, type It, question, resource, unique } from "./words.ts"

export const retention = (it: It) => {
  it.effect("an organization says for how many days each kind is kept; another kind or number is 400", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization = `/organizations/${unique("org")}`
      const put = (kept: unknown) => platform.put(organization, { retention: kept })
      const wrong = [
        [{ llm_interaction: 30 }, "llm_interaction"],
        [{ audit_events: 0 }, "audit_events"],
        [{ audit_events: 1.5 }, "audit_events"],
        [{ trust_history: "30" }, "trust_history"],
        [[], "retention"]
      ] as const
      for (const [kept, name] of wrong) {
        const refused = yield* put(kept)
        assertRefused(refused, 400)
        assert.include(refused.text, name)
      }
      yield* platform.put(organization, {})
      const answer = yield* put({ llm_interactions: 30 })
      assert.deepStrictEqual(answer.body.retention, { llm_interactions: 30 }, answer.text)
    })
  )

  it.effect("EVENT-5 what is too old is deleted by the holder of the lease, and nothing else", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const sql = Context.get(platform.services, SqlClient.SqlClient)
      const { prune } = Context.get(platform.services, Retention)
      const org = unique("org")
      const talk = (event_id: string) => ({
        stream: "agion:events:llm_interactions",
        event_id,
        organization_id: org,
        execution_id: "e",
        agent_id: unique("agent"),
        interaction_id: event_id,
        model: "m",
        provider: "p"
      })
      const ids = [unique("event"), unique("event"), unique("event")]
      yield* platform.post("/events", { events: ids.map(talk) })
      yield* platform.put(`/organizations/${org}`, { retention: { llm_interactions: 30 } })
      yield* sql`UPDATE processed_events SET processed_at = clock_timestamp() - interval '91 days'
        WHERE organization_id = ${org} AND event_id = ${ids[0] ?? ""}`
      yield* sql`UPDATE processed_events SET processed_at = clock_timestamp() - interval '89 days'
        WHERE organization_id = ${org} AND event_id = ${ids[1] ?? ""}`
      yield* sql`UPDATE llm_interactions SET created_at = clock_timestamp() - interval '31 days'
        WHERE organization_id = ${org} AND event_id = ${ids[2] ?? ""}`
      yield* sql`
        INSERT INTO leases (name, holder, fence, expires_at)
        VALUES ('retention', 'another', 1, clock_timestamp() + interval '1 hour')
        ON CONFLICT (name) DO UPDATE SET holder = 'another', expires_at = excluded.expires_at`
      assert.isUndefined(yield* prune)
      yield* sql`UPDATE leases SET expires_at = '-infinity' WHERE name = 'retention'`
      assert.deepInclude(yield* prune, { event_ids: 1, llm_interactions: 1, audit_events: 0 })
      assert.deepInclude(yield* prune, { event_ids: 0, llm_interactions: 0 })
      const left = yield* sql<{ event_id: string }>`
        SELECT event_id FROM processed_events WHERE organization_id = ${org} ORDER BY event_id`
      assert.deepStrictEqual(
        left.map(({ event_id }) => event_id),
        ids.slice(1).sort()
      )
    })
  )

  it.effect(
    "LIMIT-3 closed reservations go after 90 days: until then they are known, and what was used stays",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const sql = Context.get(platform.services, SqlClient.SqlClient)
        const { prune } = Context.get(platform.services, Retention)
        yield* sql`UPDATE leases SET expires_at = '-infinity' WHERE name = 'retention'`
        const [org, agent] = [unique("org"), unique("agent")]
        const { id: resourceId } = yield* resource(org)
        const { id } = yield* grant(agent, resourceId, { constraints: { token_limit_per_day: 10_000 } })
        const reserve = Effect.fnUntraced(function* (idempotency_key: string) {
          const { body, text } = yield* platform.post("/permissions/reserve", {
            ...question(org, agent, resourceId),
            amounts: { requests: 1, tokens: 100, cost_usd: 0.01 },
            ttl_ms: 60_000,
            idempotency_key
          })
          assert.isTrue(body.allowed, text)
          return `/permissions/reservations/${body.reservation.id}`
        })
        const [settled, released, overnight] = [
          yield* reserve("settled"),
          yield* reserve("released"),
          yield* reserve("overnight")
        ]
        yield* reserve("open")
        // Made yesterday, and closed today.
        yield* sql`UPDATE reservations SET day = day - 1, created_at = created_at - interval '1 day'
          WHERE permission_id = ${id} AND idempotency_key = 'overnight'`
        yield* sql`UPDATE usage_ledger l SET occurred_at = occurred_at - interval '1 day'
          FROM reservations r WHERE r.id = l.reservation_id AND r.permission_id = ${id} AND r.idempotency_key = 'overnight'`
        const settle = (path: string) => platform.post(`${path}/settle`, { tokens: 70, cost_usd: 0.007 })
        for (const path of [settled, overnight]) assert.strictEqual((yield* settle(path)).status, 204)
        assert.strictEqual((yield* platform.post(`${released}/release`, {})).status, 204)
        const used = Effect.map(
          platform.get(`/usage/summary?organization_id=${org}&by=agent,day`),
          ({ body }) => body.rows
        )
        const aged = (days: number) =>
          sql`UPDATE reservations SET closed_at = clock_timestamp() - ${days} * interval '1 day'
          WHERE permission_id = ${id} AND closed_at IS NOT NULL`
        const before = yield* used
        assert.deepStrictEqual(
          before.map(({ tokens }: { readonly tokens: number }) => tokens),
          [70, 170]
        )
        yield* aged(89)
        assert.deepInclude(yield* prune, { reservations: 0 })
        assert.strictEqual((yield* settle(settled)).status, 204)
        yield* aged(91)
        assert.deepInclude(yield* prune, { reservations: 3, reservation_keys: 0 })
        assert.deepStrictEqual(yield* used, before)
        assertRefused(yield* settle(settled), 404)
        const left = yield* sql<{ key: string }>`
        SELECT idempotency_key AS key FROM reservations WHERE permission_id = ${id}`
        assert.deepStrictEqual(left, [{ key: "open" }])
      })
  )

  it.effect("LIMIT-3 the ledger is given the days of what was closed before it kept them", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const sql = Context.get(platform.services, SqlClient.SqlClient)
      const agent = unique("agent")
      const { id } = yield* grant(agent, (yield* resource(unique("org"))).id)
      const lines = sql<{ kind: string; day: string | null }>`
        SELECT kind, day::text FROM usage_ledger WHERE permission_id = ${id} ORDER BY id`
      const asBefore = Effect.gen(function* () {
        for (const [key, from] of [
          ["overnight", "2026-02-28T23:59:00Z"],
          ["same day", "2026-03-01T08:00:00Z"]
        ] as const) {
          const [held] = yield* sql<{ id: string }>`
            INSERT INTO reservations (id, organization_id, permission_id, status, requests, tokens, cost_micro, day,
              second, expires_at, idempotency_key, closed_at)
            SELECT gen_random_uuid(), organization_id, id, 'settled', 1, 5, 0, (${from}::timestamptz AT TIME ZONE 'UTC')::date,
              0, clock_timestamp(), ${key}, clock_timestamp() FROM permissions WHERE id = ${id} RETURNING id`
          for (const [kind, at] of [
            ["reservation", from],
            ["settlement", "2026-03-01T09:00:00Z"]
          ] as const)
            yield* sql`
              INSERT INTO usage_ledger (organization_id, permission_id, kind, reservation_id, requests, tokens, cost_micro,
                occurred_at)
              SELECT organization_id, id, ${kind}, ${held?.id ?? ""}::uuid, 0, 5, 0, ${at}::timestamptz
              FROM permissions WHERE id = ${id}`
        }
        yield* sql`ALTER TABLE usage_ledger DROP COLUMN day`
        yield* sql`DROP INDEX reservations_closed`
        yield* closedReservations
        return yield* lines
      }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
      assert.deepStrictEqual(yield* sql.withTransaction(asBefore), [
        { kind: "reservation", day: null },
        { kind: "settlement", day: "2026-02-28" },
        { kind: "reservation", day: null },
        { kind: "settlement", day: null }
      ])
    })
  )

  it.effect("LIMIT-3 a key that was reported before its reservation is remembered for an hour", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const sql = Context.get(platform.services, SqlClient.SqlClient)
      const { prune } = Context.get(platform.services, Retention)
      yield* sql`UPDATE leases SET expires_at = '-infinity' WHERE name = 'retention'`
      const agent = unique("agent")
      const { id } = yield* grant(agent, (yield* resource(unique("org"))).id)
      const keys = ["young", "old", "made"]
      for (const reservation_key of keys.slice(0, 2))
        yield* platform.post(`/permissions/${id}/usage`, { reservation_key, request_count: 0 })
      yield* sql`
        INSERT INTO reservations (id, organization_id, permission_id, status, requests, tokens, cost_micro, day, second,
          expires_at, idempotency_key, closed_at)
        SELECT gen_random_uuid(), organization_id, permission_id, 'released', 1, 0, 0, day, second, expires_at, 'made',
          closed_at FROM reservations WHERE permission_id = ${id} AND idempotency_key = 'old'`
      yield* sql`UPDATE reservations SET closed_at = closed_at - interval '59 minutes' WHERE permission_id = ${id}`
      assert.deepInclude(yield* prune, { reservation_keys: 0 })
      yield* sql`UPDATE reservations SET closed_at = closed_at - interval '2 minutes'
        WHERE permission_id = ${id} AND idempotency_key <> 'young'`
      assert.deepInclude(yield* prune, { reservation_keys: 1 })
      const left = yield* sql<{ key: string }>`
        SELECT idempotency_key AS key FROM reservations WHERE permission_id = ${id} ORDER BY 1`
      assert.deepStrictEqual(
        left.map(({ key }) => key),
        ["made", "young"]
      )
    })
  )
}
