import { Platform, PostgresServer, RedisServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule, type Scope } from "effect"
import { decided, grant, question, resource, unique } from "./suites/words.ts"

/** So many replicas over one database and one Redis. */
const replicas = (
  count: number
): Effect.Effect<
  {
    readonly postgres: PostgresServer.PostgresServer["Service"]
    readonly all: ReadonlyArray<Platform.Platform["Service"]>
  },
  never,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const postgres = yield* PostgresServer.make()
    const redis = yield* RedisServer.make()
    const url = yield* postgres.database
    const all = yield* Effect.forEach(Array.from({ length: count }), () =>
      Platform.make({ database: { _tag: "Postgres", url }, redisUrl: redis.url })
    )
    return { postgres, all }
  })

/** A second, by a clock of whole milliseconds: whoever asks later is not answered by what was before (FRESH-1). */
const withinMs = 1001

const setting = Effect.fnUntraced(function* (constraints: object) {
  const organization = unique("org")
  const agent = unique("agent")
  const model = yield* resource(organization)
  const permission = yield* grant(agent, model.id, { constraints })
  return { organization, agent, id: model.id as string, permission: permission.id as string }
})

describe.skipIf(!PostgresServer.isThere() || !RedisServer.isThere())("replicas over one database", () => {
  it.live("FRESH-1 a change at one holds at the other within a second, or the other refuses to decide", () =>
    Effect.gen(function* () {
      const { all } = yield* replicas(2)
      const [one, two] = all
      if (one === undefined || two === undefined) return assert.fail("two replicas")
      const s = yield* Effect.provideService(setting({}), Platform.Platform, one)
      const ask = (of: Platform.Platform["Service"]) =>
        of.post("/permissions/check", question(s.organization, s.agent, s.id))
      for (let round = 0; round < 10; round++) {
        assert.isTrue((yield* decided(ask(two))).body.allowed)
        yield* one.put(`/permissions/${s.permission}`, { status: "suspended" })
        const changed = performance.now()
        for (;;) {
          const asked = performance.now()
          const answer = yield* ask(two)
          if (answer.status === 503 || answer.body.allowed === false) break
          assert.isAtMost(asked - changed, withinMs, "it decided by what was revoked")
        }
        yield* one.post(`/permissions/${s.permission}/approve`, { approved_by: "boss" })
        yield* decided(ask(two)).pipe(
          Effect.repeat({
            until: ({ body }) => body.allowed === true,
            schedule: Schedule.spaced("20 millis")
          }),
          Effect.timeout("30 seconds")
        )
      }
    }).pipe(Effect.scoped)
  )

  it.live("POLICY-7 a bundle has one ETag at every replica, whichever signed it", () =>
    Effect.gen(function* () {
      const { all } = yield* replicas(2)
      const [one, two] = all
      if (one === undefined || two === undefined) return assert.fail("two replicas")
      const path = `/policies/bundle?organization_id=${unique("org")}`
      const [here, there] = [yield* one.get(path), yield* two.get(path)]
      assert.strictEqual(there.body.digest, here.body.digest)
      const etag = here.headers.get("etag") ?? ""
      assert.strictEqual(there.headers.get("etag"), etag)
      const known = { "if-none-match": etag }
      assert.strictEqual((yield* two.request("GET", path, undefined, known)).status, 304)
    }).pipe(Effect.scoped)
  )

  it.live(
    "FRESH-1 what was used at one counts in checks there at once, and at the other within a second",
    () =>
      Effect.gen(function* () {
        const { all } = yield* replicas(2)
        const [one, two] = all
        if (one === undefined || two === undefined) return assert.fail("two replicas")
        const s = yield* Effect.provideService(setting({ token_limit_per_day: 1000 }), Platform.Platform, one)
        const left = (of: Platform.Platform["Service"]) =>
          Effect.map(
            of.post("/permissions/check", question(s.organization, s.agent, s.id)),
            ({ status, body }) => (status === 503 ? "refuses" : body.constraints.remaining_tokens_today)
          )
        for (let round = 1; round <= 10; round++) {
          yield* left(two)
          yield* one.post(`/permissions/${s.permission}/usage`, { token_count: 10 })
          const used = performance.now()
          assert.strictEqual(yield* left(one), 1000 - 10 * round)
          for (;;) {
            const seen = yield* left(two)
            if (seen === "refuses" || seen === 1000 - 10 * round) break
            assert.strictEqual(seen, 1000 - 10 * (round - 1))
            assert.isBelow(performance.now() - used, 1000 + 500, "it decided by what was used before")
          }
        }
      }).pipe(Effect.scoped)
  )

  it.live("LIMIT-3 64 concurrent reservers at two replicas never get past a limit", () =>
    Effect.gen(function* () {
      const { all } = yield* replicas(2)
      const [one, two] = all
      if (one === undefined || two === undefined) return assert.fail("two replicas")
      const s = yield* Effect.provideService(
        setting({ token_limit_per_day: 5000, rate_limit_rpm: 700 }),
        Platform.Platform,
        one
      )
      const answers = yield* Effect.forEach(
        Array.from({ length: 2000 }, (_, n) => n),
        Effect.fnUntraced(function* (n) {
          return yield* decided(
            (n % 2 === 0 ? one : two).post("/permissions/reserve", {
              ...question(s.organization, s.agent, s.id),
              amounts: { tokens: 1 + (n % 13) }
            })
          )
        }),
        { concurrency: 64 }
      )
      const granted = answers.filter(({ body }) => body.allowed)
      const tokens = granted.reduce((sum, { body }) => sum + body.reservation.amounts.tokens, 0)
      assert.isAtMost(tokens, 5000)
      assert.isAtMost(granted.length, 700)
      assert.isTrue(tokens > 5000 - 13 || granted.length === 700)
      const { usage_tracking } = (yield* one.get(`/permissions/${s.permission}`)).body
      assert.strictEqual(usage_tracking.total_requests, granted.length)
    }).pipe(Effect.scoped)
  )

  it.live("LIMIT-3 a reservation at one and its give-back by key at the other leave nothing charged", () =>
    Effect.gen(function* () {
      const { all } = yield* replicas(2)
      const [one, two] = all
      if (one === undefined || two === undefined) return assert.fail("two replicas")
      const s = yield* Effect.provideService(setting({ token_limit_per_day: 1000 }), Platform.Platform, one)
      const answers = yield* Effect.forEach(
        Array.from({ length: 300 }, (_, n) => ({ idempotency_key: `key ${n}`, amounts: { tokens: 3 } })),
        (more, n) => {
          const [here, there] = n % 2 === 0 ? [one, two] : [two, one]
          const body = { ...question(s.organization, s.agent, s.id), ...more }
          const used = { reservation_key: more.idempotency_key, request_count: 0 }
          const reserve = Effect.map(decided(here.post("/permissions/reserve", body)), ({ status }) => status)
          const giveBack = there.post(`/permissions/${s.permission}/usage`, used)
          // A third in one order, a third in the other, and a third at once, in either.
          if (n % 3 === 0) return Effect.tap(reserve, () => giveBack)
          if (n % 3 === 1) return Effect.andThen(giveBack, reserve)
          return Effect.map(Effect.all([reserve, giveBack], { concurrency: 2 }), ([status]) => status)
        },
        { concurrency: 8 }
      )
      for (const [n, status] of answers.entries())
        assert.include(n % 3 === 0 ? [200] : n % 3 === 1 ? [409] : [200, 409], status, `pair ${n}`)
      const { usage_tracking } = (yield* one.get(`/permissions/${s.permission}`)).body
      assert.deepInclude(usage_tracking, { total_requests: 0, current_day_requests: 0, total_tokens: 0 })
    }).pipe(Effect.scoped)
  )

  it.live("a replica whose database is gone decides for a second at most, and again when it is back", () =>
    Effect.gen(function* () {
      const { all, postgres } = yield* replicas(1)
      const [one] = all
      if (one === undefined) return assert.fail("a replica")
      const s = yield* Effect.provideService(setting({}), Platform.Platform, one)
      const ask = one.post("/permissions/check", question(s.organization, s.agent, s.id))
      assert.isTrue((yield* decided(ask)).body.allowed)
      yield* postgres.kill
      const killed = performance.now()
      for (;;) {
        const asked = performance.now()
        const answer = yield* ask
        if (answer.status === 503) break
        assert.isAtMost(asked - killed, withinMs)
      }
      assert.strictEqual((yield* one.request("GET", "/../../ready")).status, 503)
      yield* postgres.restart
      let allowed = false
      for (let round = 0; round < 600 && !allowed; round++) {
        allowed = (yield* ask).body?.allowed === true
        if (!allowed) yield* Effect.sleep("50 millis")
      }
      assert.isTrue(allowed)
    }).pipe(Effect.scoped)
  )
})
