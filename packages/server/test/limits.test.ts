import type { Constraints } from "@agion/domain"
import { PermissionCheck } from "@agion/policy"
import { Template } from "@agion/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import * as Limits from "../src/permissions/Limits.ts"
import { type Counted, countedAt } from "../src/permissions/UsageState.ts"
import { Database } from "../src/sql/Database.ts"
import { migrate } from "../src/sql/Migrations.ts"

const database = Layer.provideMerge(
  Layer.effectDiscard(Effect.orDie(migrate)),
  Layer.unwrap(Effect.map(Template.memory, (options) => Layer.orDie(Database.layer(options))))
)

const anybody = { organizationId: null, agentId: null }
let count = 0

/** A permission of its own, and what counts for it. */
const permission = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const organization = `org-${count++}`
  yield* sql`INSERT INTO organizations (id) VALUES (${organization})`
  const [row] = yield* sql<{ id: string }>`
    WITH r AS (INSERT INTO resources (organization_id, resource_type, name, resource_data)
      VALUES (${organization}, 'api', 'r', '{}') RETURNING id),
    p AS (INSERT INTO permissions (organization_id, actor_id, actor_type, resource_id, permission_type, purpose)
      SELECT ${organization}, 'a', 'agent', id, 'use', 'test' FROM r RETURNING id)
    INSERT INTO permission_usage (permission_id, organization_id, actor_id)
    SELECT id, ${organization}, 'a' FROM p RETURNING permission_id AS id`
  return { organization, id: row?.id ?? "" }
})

const Small = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 }))
const Maybe = Schema.NullOr(Small)
const Call = Schema.Struct({
  requests: Small,
  tokens: Maybe,
  cost: Maybe,
  rateLimit: Maybe,
  tokenLimit: Maybe,
  costLimit: Maybe
})

const callOf = (id: string, call: typeof Call.Type, enforce = true): Limits.ReserveCall => ({
  permissionId: id,
  reservationId: crypto.randomUUID(),
  idempotencyKey: null,
  requests: call.requests,
  tokens: call.tokens,
  costMicroUsd: call.cost,
  rateLimit: call.rateLimit,
  tokenLimit: call.tokenLimit,
  costLimitMicroUsd: call.costLimit,
  ttlMs: 60_000,
  enforce
})

/** As if everything had happened a day earlier. */
const ageOneDay = Effect.fnUntraced(function* (id: string) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`UPDATE permission_usage SET day = day - 1, last_used_at = last_used_at - interval '1 day'
    WHERE permission_id = ${id}`
  yield* sql`UPDATE reservations SET day = day - 1, created_at = created_at - interval '1 day'
    WHERE permission_id = ${id}`
  yield* sql`UPDATE usage_ledger SET recorded_at = recorded_at - interval '1 day' WHERE permission_id = ${id}`
})

const reserveOne = (limits: Limits.Limits, call: Limits.ReserveCall) =>
  Effect.map(limits.reserve([call]), ([outcome]) => outcome ?? assert.fail("an answer for each call"))

/** What `PermissionCheck` says of the same call with the same usage. */
const twin = (id: string, call: typeof Call.Type, counted: Counted): string | undefined => {
  const constraints: Constraints = {
    rateLimitRpm: call.rateLimit,
    tokenLimitPerDay: call.tokenLimit,
    costLimitPerDayUsd: call.costLimit === null ? null : call.costLimit / 1e6
  }
  const decision = PermissionCheck.decide(
    {
      now: 0,
      timeZone: "UTC",
      enforcement: "enforce",
      actor: { id: "a", type: "agent", suspended: false, trustScore: 40, view: {} },
      resource: {
        id,
        name: "r",
        resourceType: "api",
        status: "active",
        healthStatus: "unknown",
        ancestorStatus: null,
        trustRequired: 0,
        riskLevel: "low",
        tags: [],
        view: {}
      },
      permission: { id, status: "approved", constraints },
      usage: { ...PermissionCheck.noUsage, ...counted },
      call: {
        permissionType: "use",
        requests: call.requests,
        tokens: call.tokens,
        costMicroUsd: call.cost,
        context: {}
      }
    },
    { policies: null, content: null }
  )
  return decision.denial?.step
}

layer(database, { timeout: "60 seconds", excludeTestServices: true })("limits in SQL", (it) => {
  it.effect.prop(
    "LIMIT-3 the database refuses what PermissionCheck refuses, and counts what it lets through",
    [Schema.Array(Call).check(Schema.isMaxLength(12))],
    ([calls]) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const limits = Limits.make(sql)
        const { id, organization } = yield* permission
        const books = { windowRequests: 0, dayRequests: 0, dayTokens: 0, dayCostMicroUsd: 0 }
        let version = 0
        for (const call of calls) {
          const expected = twin(id, call, books)
          const outcome = yield* reserveOne(limits, callOf(id, call))
          if (outcome._tag === "Missing" || outcome._tag === "KeyUsed")
            return assert.fail("the permission is there, and no key was used")
          assert.deepStrictEqual(outcome.before, books)
          assert.strictEqual(outcome._tag === "Refused" ? outcome.limit : undefined, expected)
          if (outcome._tag !== "Reserved") continue
          version += 1
          books.windowRequests += call.requests
          books.dayRequests += call.requests
          books.dayTokens += call.tokens ?? 0
          books.dayCostMicroUsd += call.cost ?? 0
        }
        const read = (yield* limits.read([id])).get(id) ?? assert.fail("the permission is there")
        assert.deepStrictEqual(read.counted, books)
        assert.deepStrictEqual(countedAt(read.state, read.state.now), books)
        assert.strictEqual(read.state.version, version)
        const [spend] = yield* limits.spends([{ organizationId: organization, actorId: "a" }])
        assert.strictEqual(spend?.sum.requests, books.dayRequests)
      }),
    { arbitrary: { runs: 20 } }
  )

  it.effect.prop(
    "LIMIT-3 calls that arrive together are decided in their order, each as if alone",
    [Schema.Array(Schema.Struct({ ...Call.fields, of: Schema.Literals([0, 1, 2]) }))],
    ([calls]) =>
      Effect.gen(function* () {
        const limits = Limits.make(yield* SqlClient.SqlClient)
        const together = yield* Effect.all([permission, permission])
        const alone = yield* Effect.all([permission, permission])
        // One of the three is not there.
        const idsOf = (granted: typeof together) => [...granted.map(({ id }) => id), crypto.randomUUID()]
        const [ids, others] = [idsOf(together), idsOf(alone)]
        const asked = (of: ReadonlyArray<string>) => calls.map((call) => callOf(of[call.of] ?? "", call))
        const all = yield* limits.reserve(asked(ids))
        const each = yield* Effect.forEach(asked(others), (call) => reserveOne(limits, call))
        const outcome = (one: Limits.Reserved) =>
          one._tag === "Reserved" ? { before: one.before, tokens: one.held.tokens } : one
        assert.deepStrictEqual(all.map(outcome), each.map(outcome))
        const [read, expected] = [yield* limits.read(ids), yield* limits.read(others)]
        for (const [n, id] of ids.entries())
          assert.deepStrictEqual(read.get(id)?.counted, expected.get(others[n] ?? "")?.counted)
        // What is answered with the last of them is what is read afterwards.
        for (const [n, one] of all.entries())
          if (one._tag === "Reserved")
            assert.strictEqual(one.state.version, read.get(asked(ids)[n]?.permissionId ?? "")?.state.version)
      }),
    { arbitrary: { runs: 20 } }
  )

  it.effect("LIMIT-3 a key that comes twice at once is one reservation, with one line in the ledger", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const limits = Limits.make(sql)
      const { id } = yield* permission
      const asked = { requests: 1, tokens: 3, cost: 1, rateLimit: null, tokenLimit: 3, costLimit: null }
      const keyed = () => ({ ...callOf(id, asked), idempotencyKey: "once" })
      const first = keyed()
      const [one, two, three] = yield* limits.reserve([first, keyed(), callOf(id, asked)])
      assert.strictEqual(one?._tag, "Reserved")
      if (two?._tag !== "Existing") return assert.fail("the key was used before")
      assert.deepInclude(two.held, { id: first.reservationId, tokens: 3 })
      assert.strictEqual(three?._tag, "Refused")
      const lines = yield* sql`SELECT reservation_id FROM usage_ledger WHERE permission_id = ${id}`
      assert.deepStrictEqual(lines, [{ reservation_id: first.reservationId }])
    })
  )

  it.effect("LIMIT-3 of calls that arrive together those whose key was reported before take nothing", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const limits = Limits.make(sql)
      const { id } = yield* permission
      const asked = { requests: 1, tokens: 3, cost: 1, rateLimit: 2, tokenLimit: 3, costLimit: null }
      const keyed = (idempotencyKey: string, enforce = true) => ({
        ...callOf(id, asked, enforce),
        idempotencyKey
      })
      const nothing = { eventId: null, requests: 0, tokens: 0, costMicroUsd: 0, occurredAt: null }
      const giveBack = (reservationKey: string) =>
        Effect.map(limits.charge(id, { ...nothing, reservationKey }, anybody), ({ _tag }) => _tag)
      assert.strictEqual(yield* giveBack("over"), "Duplicate")
      const outcomes = yield* limits.reserve([keyed("over"), keyed("goes on"), keyed("over", false)])
      assert.deepStrictEqual(
        outcomes.map(({ _tag }) => _tag),
        ["KeyUsed", "Reserved", "KeyUsed"]
      )
      const counted = Effect.map(limits.read([id]), (read) => read.get(id)?.counted)
      assert.deepInclude(yield* counted, { windowRequests: 1, dayRequests: 1, dayTokens: 3 })
      assert.strictEqual(yield* giveBack("goes on"), "Charged")
      assert.deepInclude(yield* counted, { windowRequests: 0, dayRequests: 0, dayTokens: 0 })
      assert.strictEqual(yield* giveBack("goes on"), "Duplicate")
      const stranger = { organizationId: "another", agentId: null }
      const foreign = yield* limits.charge(id, { ...nothing, reservationKey: "theirs" }, stranger)
      assert.strictEqual(foreign._tag, "Missing")
      assert.strictEqual((yield* reserveOne(limits, keyed("theirs")))._tag, "Reserved")
    })
  )

  it.effect("LIMIT-4 the day begins anew at midnight of the organization's time zone; totals stay", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const limits = Limits.make(sql)
      const { id, organization } = yield* permission
      yield* limits.charge(
        id,
        { reservationKey: null, eventId: null, requests: 1, tokens: 5, costMicroUsd: 7, occurredAt: null },
        anybody
      )
      yield* reserveOne(limits, {
        ...callOf(id, { requests: 1, tokens: 3, cost: 1, rateLimit: null, tokenLimit: null, costLimit: null })
      })
      assert.deepInclude((yield* limits.read([id])).get(id)?.counted, { dayTokens: 8, dayCostMicroUsd: 8 })
      yield* ageOneDay(id)
      const read = (yield* limits.read([id])).get(id)
      assert.deepInclude(read?.counted, { dayTokens: 0, dayCostMicroUsd: 0, dayRequests: 0 })
      assert.deepInclude(read?.state, { totalTokens: 5, dayTokens: 0 })
      // Where the date is another one, the day is another one: 14 hours ahead and 11 behind.
      const dates = new Set<string>()
      for (const zone of ["Pacific/Kiritimati", "Pacific/Niue"]) {
        yield* sql`UPDATE organizations SET time_zone = ${zone} WHERE id = ${organization}`
        const [row] = yield* sql<{ d: string }>`SELECT agion_today(${organization})::text AS d`
        dates.add(row?.d ?? "")
      }
      assert.strictEqual(dates.size, 2)
    })
  )

  it.effect("LIMIT-4 another date by another time zone loses nothing that was used since its midnight", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const limits = Limits.make(sql)
      const { id, organization } = yield* permission
      const hold = (tokens: number) => ({
        ...callOf(id, { requests: 1, tokens, cost: 1, rateLimit: null, tokenLimit: 100, costLimit: null })
      })
      const used = {
        reservationKey: null,
        requests: 1,
        tokens: 5,
        costMicroUsd: 7,
        eventId: null,
        occurredAt: null
      }
      yield* limits.charge(id, used, anybody)
      const [open, settled, released] = [
        yield* reserveOne(limits, hold(10)),
        yield* reserveOne(limits, hold(20)),
        yield* reserveOne(limits, hold(40))
      ]
      if (open._tag !== "Reserved" || settled._tag !== "Reserved" || released._tag !== "Reserved")
        return assert.fail("there is room for all")
      yield* limits.settle(settled.held.id, { tokens: 21, costMicroUsd: null }, anybody)
      yield* limits.release(released.held.id, anybody)
      const books = { dayRequests: 3, dayTokens: 36, dayCostMicroUsd: 9 }
      const seen = Effect.map(limits.read([id]), (read) => read.get(id)?.counted)
      assert.deepInclude(yield* seen, books)
      // Where it was midnight less than a minute ago the calls may have been before it.
      const zones = yield* sql<{ zone: string }>`
        SELECT zone FROM unnest(ARRAY['Pacific/Kiritimati', 'Pacific/Niue', 'UTC', 'Asia/Tokyo', 'Pacific/Niue'])
          WITH ORDINALITY AS z(zone, n)
        WHERE (clock_timestamp() AT TIME ZONE zone)::time > '00:01' ORDER BY n`
      for (const { zone } of zones) {
        yield* sql`UPDATE organizations SET time_zone = ${zone} WHERE id = ${organization}`
        // Read as it is, then as it is written: nothing is counted by a call that is refused.
        assert.deepInclude(yield* seen, books, zone)
        const [spend] = yield* limits.spends([{ organizationId: organization, actorId: "a" }])
        assert.deepInclude(spend?.sum, { requests: 3 }, zone)
        assert.strictEqual((yield* reserveOne(limits, hold(65)))._tag, "Refused", zone)
        yield* limits.charge(id, { ...used, requests: 0, tokens: 0, costMicroUsd: 0 }, anybody)
        assert.deepInclude(yield* seen, books, zone)
      }
      // What is open still counts on the day, and is replaced there.
      yield* limits.settle(open.held.id, { tokens: 11, costMicroUsd: null }, anybody)
      assert.deepInclude(yield* seen, { ...books, dayTokens: 37 })
    })
  )

  it.effect("LIMIT-3 a key with other amounts or of an expired reservation is told apart", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const limits = Limits.make(sql)
      const { id } = yield* permission
      const keyed = (tokens: number) => ({
        ...callOf(id, {
          requests: 1,
          tokens,
          cost: null,
          rateLimit: null,
          tokenLimit: 1000,
          costLimit: null
        }),
        idempotencyKey: "K"
      })
      const first = yield* reserveOne(limits, keyed(1))
      assert.strictEqual(first._tag, "Reserved")
      assert.deepInclude(yield* reserveOne(limits, keyed(900)), { _tag: "KeyUsed", why: "other" })
      assert.strictEqual((yield* reserveOne(limits, keyed(1)))._tag, "Existing")
      yield* sql`UPDATE reservations SET expires_at = now() - interval '1 second' WHERE permission_id = ${id}`
      assert.deepInclude(yield* reserveOne(limits, keyed(1)), { _tag: "KeyUsed", why: "expired" })
      if (first._tag === "Reserved") yield* limits.release(first.held.id, anybody)
      assert.deepInclude(yield* reserveOne(limits, keyed(1)), { _tag: "KeyUsed", why: "closed" })
    })
  )

  it.effect("LIMIT-3 a late settlement is charged to the totals, not to the new day", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const limits = Limits.make(sql)
      const { id } = yield* permission
      const call = { requests: 1, tokens: 10, cost: 10, rateLimit: null, tokenLimit: null, costLimit: null }
      const outcome = yield* reserveOne(limits, callOf(id, call))
      if (outcome._tag !== "Reserved") return assert.fail(outcome._tag)
      // Expired, and still charged as estimated.
      yield* sql`UPDATE reservations SET expires_at = now() - interval '1 hour' WHERE id = ${outcome.held.id}`
      assert.strictEqual((yield* limits.read([id])).get(id)?.counted.dayTokens, 10)
      yield* ageOneDay(id)
      yield* limits.settle(outcome.held.id, { tokens: 30, costMicroUsd: null }, anybody)
      const read = (yield* limits.read([id])).get(id)
      assert.deepInclude(read?.state, { totalTokens: 30, totalCostMicroUsd: 10, dayTokens: 0 })
    })
  )

  it.effect("LIMIT-1 a request leaves the window after 60 seconds, a release at once", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const limits = Limits.make(sql)
      const { id } = yield* permission
      const call = { requests: 2, tokens: null, cost: null, rateLimit: 4, tokenLimit: null, costLimit: null }
      const window = Effect.map(limits.read([id]), (read) => {
        const { counted, state } = read.get(id) ?? assert.fail("the permission is there")
        // A copy says the same as the database.
        assert.strictEqual(countedAt(state, state.now).windowRequests, counted.windowRequests)
        return counted.windowRequests
      })
      const first = yield* reserveOne(limits, callOf(id, call))
      const second = yield* reserveOne(limits, callOf(id, call))
      assert.strictEqual((yield* reserveOne(limits, callOf(id, call)))._tag, "Refused")
      if (second._tag === "Reserved") yield* limits.release(second.held.id, anybody)
      assert.strictEqual(yield* window, 2)
      const age = (seconds: number) => sql`
        UPDATE permission_usage SET rate_window = (SELECT array_agg(b - ${seconds * 1_000_000}::int8)
          FROM unnest(rate_window) b) WHERE permission_id = ${id}`
      yield* age(58)
      assert.strictEqual(yield* window, 2)
      yield* age(5)
      assert.strictEqual(yield* window, 0)
      assert.strictEqual(first._tag, "Reserved")
      assert.strictEqual((yield* reserveOne(limits, callOf(id, call)))._tag, "Reserved")
    })
  )
})
