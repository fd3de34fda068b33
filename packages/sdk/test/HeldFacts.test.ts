import { ActorId, Resource, ResourceId } from "@agion/domain"
import { PolicyFacts } from "@agion/policy"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { resourceView, SharedFacts } from "../src/internal/HeldFacts.ts"
import { AgionTest, TestPlatform, testUuid } from "../src/testing/index.ts"

const model = testUuid(1)
const agent = "agent-1"

describe("what an entry keeps of facts", () => {
  it.prop("CACHE-2 a held resource is what policies see of it anywhere", [Resource], ([resource]) => {
    assert.deepStrictEqual(resourceView(resource), PolicyFacts.viewOf(resource))
  })

  it.effect("equal facts of an actor and a resource are held once, changed ones are not those before", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      const shared = new SharedFacts()
      const answer = () =>
        platform.check({
          actorId: ActorId.make(agent),
          actorType: "agent",
          resourceId: ResourceId.make(model),
          permissionType: "use",
          fields: "entry"
        })
      platform.resource({ id: model, tags: ["sends_outside"] })
      platform.grant(agent, model)
      const first = shared.of(agent, answer(), undefined)
      assert(first !== null && first.resource !== null)
      const same = shared.of(agent, answer(), first.resource)
      assert(same !== null)
      assert.strictEqual(same.resource, first.resource)
      assert.strictEqual(same.actor, first.actor)
      platform.resource({ id: model, riskLevel: "critical" })
      platform.suspend(agent)
      const changed = shared.of(agent, answer(), first.resource)
      assert.deepInclude(changed?.resource, { riskLevel: "critical", tags: [] })
      assert.deepInclude(changed?.actor, { isSuspended: true })
      assert.deepInclude(first.actor, { isSuspended: false })
    }).pipe(Effect.provide(AgionTest.connections()))
  )
})
