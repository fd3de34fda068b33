import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { assertRefused, check, grant, type It, nowhere, resource, unique } from "./words.ts"

export const resources = (it: It) => {
  it.effect("a resource is answered as it was created, with the contract's defaults", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization = unique("org")
      const made = yield* resource(organization, {
        tags: ["a", "b"],
        resource_data: { deep: [1, { x: null }] }
      })
      assert.deepInclude(made, {
        organization_id: organization,
        trust_tier_required: 0,
        risk_level: "low",
        status: "active",
        health_status: "unknown",
        tags: ["a", "b"],
        compliance_labels: [],
        metadata: {},
        resource_data: { deep: [1, { x: null }] }
      })
      const read = yield* platform.get(`/resources/${made.id}`)
      assert.deepStrictEqual(read.body, made)
      assert.strictEqual(read.headers.get("agion-epoch"), "1")
    })
  )

  it.effect("a name is unique by organization and type", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization = unique("org")
      const body = {
        organization_id: organization,
        resource_type: "api",
        name: "n",
        resource_data: {},
        created_by: "o"
      }
      assert.strictEqual((yield* platform.post("/resources", body)).status, 201)
      assertRefused(yield* platform.post("/resources", body), 409)
      assert.strictEqual((yield* platform.post("/resources", { ...body, resource_type: "tool" })).status, 201)
      assert.strictEqual(
        (yield* platform.post("/resources", { ...body, organization_id: unique("org") })).status,
        201
      )
    })
  )

  it.effect("a list is filtered, counted exactly and paged without gaps while others add", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization = unique("org")
      for (let n = 0; n < 5; n++)
        yield* resource(organization, {
          tags: n % 2 === 0 ? ["even", "x"] : ["odd"],
          risk_level: n === 0 ? "high" : "low"
        })
      const page = (query: string) => platform.get(`/resources?organization_id=${organization}${query}`)
      assert.strictEqual((yield* page("")).body.total, 5)
      assert.strictEqual((yield* page("&tags=even,x")).body.total, 3)
      assert.strictEqual((yield* page("&tags=even&tags=x")).body.total, 3)
      assert.strictEqual((yield* page("&risk_level=RiskLevel.HIGH")).body.total, 1)
      assert.strictEqual((yield* page("&resource_type=database")).body.total, 0)
      const first = (yield* page("&limit=2&offset=0")).body
      yield* resource(organization)
      const second = (yield* page("&limit=2&offset=2")).body
      const third = (yield* page("&limit=2&offset=4")).body
      const ids = [first, second, third].flatMap((one) => one.resources.map(({ id }: { id: string }) => id))
      assert.strictEqual(new Set(ids).size, 6)
      assert.deepStrictEqual([first.total, second.total], [5, 6])
      const beyond = (yield* page("&offset=1000")).body
      assert.deepStrictEqual([beyond.total, beyond.resources.length], [6, 0])
    })
  )

  it.effect("what hangs under a resource goes with it only by cascade, permissions too", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization = unique("org")
      const parent = yield* resource(organization)
      const child = yield* resource(organization, { parent_resource_id: parent.id })
      const grandchild = yield* resource(organization, { parent_resource_id: child.id })
      const permission = yield* grant(unique("agent"), grandchild.id)
      const children = yield* platform.get(`/resources/${parent.id}/children`)
      assert.deepStrictEqual([children.body.total, children.body.children[0].id], [1, child.id])
      assertRefused(yield* platform.delete(`/resources/${parent.id}`), 409)
      assert.strictEqual((yield* platform.delete(`/resources/${parent.id}?cascade=true`)).status, 204)
      assertRefused(yield* platform.get(`/resources/${grandchild.id}`), 404)
      assertRefused(yield* platform.get(`/permissions/${permission.id}`), 404)
      assertRefused(yield* platform.delete(`/resources/${parent.id}`), 404)
    })
  )

  it.effect("CHECK-1 a resource below one that is not active is not active either", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const organization = unique("org")
      const agent = unique("agent")
      const parent = yield* resource(organization)
      const child = yield* resource(organization, { parent_resource_id: parent.id })
      yield* grant(agent, child.id)
      assert.isTrue((yield* check(organization, agent, child.id)).allowed)
      yield* platform.put(`/resources/${parent.id}`, { status: "inactive" })
      const denied = yield* check(organization, agent, child.id)
      assert.deepInclude(denied, { allowed: false, reason: "Resource is inactive" })
      yield* platform.put(`/resources/${parent.id}`, { status: "active" })
      assert.isTrue((yield* check(organization, agent, child.id)).allowed)
    })
  )

  it.effect("a change changes what it names and nothing else", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const made = yield* resource(unique("org"), { description: "before", tags: ["t"] })
      const answer = yield* platform.put(`/resources/${made.id}`, {
        trust_tier_required: 60,
        health_status: "healthy",
        updated_by: "somebody"
      })
      assert.deepInclude(answer.body, {
        name: made.name,
        description: "before",
        tags: ["t"],
        trust_tier_required: 60,
        health_status: "healthy",
        updated_by: "somebody"
      })
      assert.isString(answer.body.health_check_at)
    })
  )

  it.effect("a parent of another organization is not there", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const foreign = yield* resource(unique("org"))
      for (const parent of [foreign.id, nowhere])
        assertRefused(
          yield* platform.post("/resources", {
            organization_id: unique("org"),
            resource_type: "api",
            name: "n",
            resource_data: {},
            created_by: "o",
            parent_resource_id: parent
          }),
          404
        )
    })
  )
}
