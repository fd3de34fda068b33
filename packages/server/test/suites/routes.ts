import { Api } from "@agion/domain/api"
import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { assertRefused, check, grant, type It, resource, unique } from "./words.ts"

/** Every endpoint of the contract: method and path under the prefix. */
const endpoints = Object.values(Api.groups).flatMap((group) =>
  Object.values(group.endpoints).map(({ method, path }) => ({ method, path: path.replace("/api/v1", "") }))
)

export const routes = (it: It) => {
  it.effect("every route of the contract is served, and an empty request never breaks it", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      assert.isAbove(endpoints.length, 70)
      for (const { method, path } of endpoints) {
        const answer = yield* platform.request(
          method,
          path.replace(/:[a-zA-Z]+/g, "none"),
          method === "POST" || method === "PUT" ? {} : undefined
        )
        assert.isBelow(answer.status, 500, `${method} ${path}: ${answer.text}`)
        assert.notMatch(answer.text, /there is no such route/, `${method} ${path}`)
        if (answer.status >= 400) assertRefused(answer, answer.status)
      }
    })
  )

  it.effect("settings of an organization are read, changed and decide", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization = unique("org")
      assertRefused(yield* platform.get(`/organizations/${organization}`), 404)
      const model = yield* resource(organization, { trust_tier_required: 90 })
      const agent = unique("agent")
      yield* grant(agent, model.id)
      const read = (yield* platform.get(`/organizations/${organization}`)).body
      assert.deepInclude(read, {
        id: organization,
        time_zone: "UTC",
        enforcement: "enforce",
        budget_limit: null
      })
      assert.isFalse((yield* check(organization, agent, model.id)).allowed)
      const changed = yield* platform.put(`/organizations/${organization}`, {
        enforcement: "observe",
        time_zone: "Asia/Tokyo",
        budget_limit: 12.5
      })
      assert.deepInclude(changed.body, {
        enforcement: "observe",
        time_zone: "Asia/Tokyo",
        budget_limit: 12.5
      })
      const observed = yield* check(organization, agent, model.id)
      assert.isTrue(observed.allowed)
      assert.deepInclude(observed.metadata.observed, {
        allowed: false,
        reason: "Trust score too low: 40 < 90"
      })
      for (const budget_limit of [-1, 9_000_000_001, 1e300])
        assertRefused(yield* platform.put(`/organizations/${organization}`, { budget_limit }), 400)
      const renamed = yield* platform.put(`/organizations/${organization}`, { name: "n", time_zone: null })
      assert.deepInclude(renamed.body, { time_zone: "Asia/Tokyo", budget_limit: 12.5 })
      const unlimited = yield* platform.put(`/organizations/${organization}`, { budget_limit: null })
      assert.deepInclude(unlimited.body, { name: "n", budget_limit: null })
    })
  )

  it.effect(
    "LIMIT-4 a time zone is one that the database knows by the same name; else 400 says which was meant",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const organization = unique("org")
        yield* resource(organization)
        const set = (time_zone: string) => platform.put(`/organizations/${organization}`, { time_zone })
        for (const zone of ["UTC", "Asia/Kolkata", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
          assert.strictEqual((yield* set(zone)).body.time_zone, zone)
        for (const zone of [
          "Mars/Olympus",
          "+05:30",
          "US/Pacific-New",
          "EST5EDT",
          "Europe/BERLIN",
          "Asia/Tokio"
        ])
          assertRefused(yield* set(zone), 400)
        assert.include((yield* set("Asia/Tokio")).text, "did you mean `Asia/Tokyo`?")
        assert.include((yield* set("Europe/BERLIN")).text, "did you mean `Europe/Berlin`?")
        assert.strictEqual(
          (yield* platform.get(`/organizations/${organization}`)).body.time_zone,
          "Etc/GMT+5"
        )
      })
  )

  it.effect("TRUST-3 a model with a name that there is not is refused by it, and nothing is changed", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization = unique("org")
      yield* resource(organization)
      const set = (trust_model: unknown) => platform.put(`/organizations/${organization}`, { trust_model })
      const model = { task_completed: 5, revoke_after: { violations: 2, within_minutes: 10 } }
      assert.deepStrictEqual((yield* set(model)).body.trust_model, model)
      for (const [wrong, name] of [
        [{ task_completed: 1, bogus: 1 }, "bogus"],
        [{ taskCompleted: 1 }, "taskCompleted"],
        [{ revoke_after: { ...model.revoke_after, within: 3 } }, "revoke_after.within"],
        [{ task_completed: 0.05 }, "task_completed"],
        ["none", "trust_model"]
      ] as const) {
        const refused = yield* set(wrong)
        assertRefused(refused, 400)
        assert.include(refused.text, name)
      }
      assert.deepStrictEqual((yield* set(null)).body.trust_model, model)
      assert.deepStrictEqual((yield* set({})).body.trust_model, {})
    })
  )

  it.effect("no organization is called `*`, which stands for all of them", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const named = { organization_id: "*" }
      const agent = unique("agent")
      for (const [method, path, body] of [
        [
          "POST",
          "/resources",
          { ...named, resource_type: "tool", name: "x", resource_data: {}, created_by: "x" }
        ],
        ["POST", "/api-keys", { ...named, name: "k" }],
        ["POST", "/agents/register", { ...named, agent_id: agent }],
        ["POST", "/missions", named],
        ["POST", "/events", { ...named, events: [] }],
        ["POST", "/audit/events", { ...named, event_type: "x" }],
        ["PUT", "/organizations/*", { name: "all" }],
        ["GET", "/resources?organization_id=*", undefined]
      ] as const)
        assertRefused(yield* platform.request(method, path, body), 400)
      const event = { stream: "agion:events:trust", agent_id: agent, event_type: "task_completed", ...named }
      const { results } = (yield* platform.post("/events", { events: [event] })).body
      assert.strictEqual(results[0].status, "refused")
    })
  )

  it.effect("the kill switch denies every check of an agent at once, in every organization", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const agent = unique("agent")
      const places = yield* Effect.forEach([unique("org"), unique("org")], (organization) =>
        Effect.gen(function* () {
          const model = yield* resource(organization)
          yield* grant(agent, model.id)
          return { organization, id: model.id as string }
        })
      )
      yield* platform.post("/agents/register", { agent_id: agent, version: "1", status: "active" })
      for (const { organization, id } of places)
        assert.isTrue((yield* check(organization, agent, id)).allowed)
      yield* platform.put(`/agents/${agent}`, { status: "suspended" })
      for (const { organization, id } of places)
        assert.strictEqual((yield* check(organization, agent, id)).reason, "Agent is suspended")
      yield* platform.post("/agents/register", { agent_id: agent, version: "2", status: "active" })
      for (const { organization, id } of places)
        assert.isFalse((yield* check(organization, agent, id)).allowed)
      yield* platform.put(`/agents/${agent}`, { status: "active" })
      for (const { organization, id } of places)
        assert.isTrue((yield* check(organization, agent, id)).allowed)
    })
  )

  it.effect("FRESH-1 a change of score decides the check that follows", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization = unique("org")
      const agent = unique("agent")
      const model = yield* resource(organization, { trust_tier_required: 60 })
      yield* grant(agent, model.id)
      assert.isFalse((yield* check(organization, agent, model.id)).allowed)
      const change = (impact: number) =>
        platform.post("/trust/evaluate", {
          entity_id: agent,
          entity_type: "agent",
          event_type: "positive",
          impact,
          description: "a test",
          organization_id: organization
        })
      assert.strictEqual((yield* change(20)).status, 200)
      const allowed = yield* check(organization, agent, model.id)
      assert.deepStrictEqual([allowed.allowed, allowed.metadata.trust_score], [true, 60])
      yield* change(-0.1)
      assert.strictEqual(
        (yield* check(organization, agent, model.id)).reason,
        "Trust score too low: 59.9 < 60"
      )
    })
  )
}
