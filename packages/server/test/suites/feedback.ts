import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { assertRefused, type It, unique } from "./words.ts"

const given = (agent: string, org: string, more: object) => ({
  response_id: unique("response"),
  agent_id: agent,
  user_id: "user-1",
  organization_id: org,
  ...more
})

export const feedback = (it: It) => {
  it.effect("TRUST-3 feedback is worth what the table says, applied with the feedback itself", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      const worth: Array<number> = []
      for (const more of [
        { star_rating: 5 },
        { star_rating: 4 },
        { star_rating: 3 },
        { is_helpful: true },
        { is_helpful: false, star_rating: 5 }
      ]) {
        const answer = yield* platform.post("/feedback/submit", given(agent, org, more))
        assert.strictEqual(answer.status, 200, answer.text)
        assert.isNotNull(answer.body.feedback.applied_at)
        worth.push(answer.body.feedback.trust_impact_calculated)
      }
      assert.deepStrictEqual(worth, [2, 0.5, 0, 0, -2])
      const score = yield* platform.get(`/trust/score/${agent}?entity_type=agent&organization_id=${org}`)
      assert.strictEqual(score.body.data.score, 40.5)
    })
  )

  it.effect("a second one by the same user on the same response is 400 and changes nothing", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      const first = given(agent, org, { star_rating: 5 })
      yield* platform.post("/feedback/submit", first)
      assertRefused(yield* platform.post("/feedback/submit", { ...first, is_helpful: false }), 400)
      assertRefused(yield* platform.post("/feedback/submit", given(agent, org, {})), 400)
      assertRefused(yield* platform.post("/feedback/submit", given(agent, org, { star_rating: 6 })), 400)
      assert.strictEqual(
        (yield* platform.post("/feedback/submit", { ...first, user_id: "user-2" })).status,
        200
      )
      const score = yield* platform.get(`/trust/score/${agent}?entity_type=agent&organization_id=${org}`)
      assert.strictEqual(score.body.data.score, 44)
    })
  )

  it.effect("feedback is found by id and in lists, and summed for its agent", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, agent] = [unique("org"), unique("agent")]
      const one = yield* platform.post(
        "/feedback/submit",
        given(agent, org, { star_rating: 5, is_helpful: true })
      )
      yield* platform.post(
        "/feedback/submit",
        given(agent, org, { star_rating: 2, feedback_category: "speed" })
      )
      yield* platform.post("/feedback/submit", given(agent, org, { is_helpful: false }))
      const found = yield* platform.get(`/feedback/${one.body.feedback.id}`)
      assert.deepStrictEqual(found.body.feedback, one.body.feedback)
      assertRefused(yield* platform.get("/feedback/none"), 404)
      const { stats } = (yield* platform.get(`/feedback/agent/${agent}/stats`)).body
      assert.deepStrictEqual(stats, {
        agent_id: agent,
        total_feedback: 3,
        helpful_count: 1,
        not_helpful_count: 1,
        helpful_percent: 50,
        avg_star_rating: 3.5,
        rating_count: 2,
        total_trust_impact: 0,
        pending_reviews: 3,
        flagged_reviews: 0
      })
      const listed = yield* platform.get(`/feedback?agent_id=${agent}&min_star_rating=3&limit=1`)
      assert.strictEqual(listed.body.total, 1)
      assert.strictEqual(listed.body.feedback[0].star_rating, 5)
      const beyond = yield* platform.get(`/feedback?agent_id=${agent}&offset=1000`)
      assert.strictEqual(beyond.body.total, 3)
      assert.strictEqual(beyond.body.feedback.length, 0)
      assertRefused(yield* platform.get("/feedback?limit=101"), 400)
    })
  )
}
