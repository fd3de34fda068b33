import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { PolicyEngine, Settings } from "../src/index.ts"

const settings = (enforcement: "enforce" | "observe" = "enforce") =>
  Settings.layer({ agentId: "agent-1", gatewayUrl: "http://platform.test", enforcement })
const noRefunds = { id: 1, name: "No refunds", expr: 'action != "refund"' }

// A number of the kind that is never given out; put together so that no file holds one.
const card = ["4539", "1488", "0343", "6467"].join(" ")

describe("the policy engine's layers", () => {
  it.effect("layerStatic decides by the set that the program brings", () =>
    Effect.gen(function* () {
      const engine = yield* PolicyEngine
      assert.deepInclude(yield* engine.check({ action: "refund" }), {
        allowed: false,
        decision: "deny",
        reasons: ["No refunds"]
      })
      assert.isTrue((yield* engine.check({ action: "chat" })).allowed)
      assert.strictEqual(yield* engine.version, 0)
    }).pipe(Effect.provide(PolicyEngine.layerStatic([noRefunds]).pipe(Layer.provide(settings()))))
  )

  it.effect("POLICY-1 a resource whose id is in capitals is the one that a scope names", () => {
    const id = "abcdef00-0000-4000-8000-00000000000a"
    const closed = { id: 1, name: "Closed", expr: "false", scope: { resourceIds: [id] } }
    return Effect.gen(function* () {
      const engine = yield* PolicyEngine
      const judged = yield* engine.check({ action: "chat", resource: { id: id.toUpperCase() } })
      assert.isFalse(judged.allowed)
    }).pipe(Effect.provide(PolicyEngine.layerStatic([closed]).pipe(Layer.provide(settings()))))
  })

  it.effect("POLICY-7 layerStatic refuses a set that does not compile", () =>
    Effect.gen(function* () {
      const broken = PolicyEngine.layerStatic([
        noRefunds,
        { id: 2, name: "Broken", expr: "actor.trust_scor > 1" }
      ])
      const refused = yield* Layer.build(broken.pipe(Layer.provide(settings()))).pipe(
        Effect.scoped,
        Effect.flip
      )
      assert.strictEqual(refused._tag, "PolicyCompileErrors")
      assert.include(refused.message, "trust_score")
    })
  )

  for (const [name, live] of [
    ["layerObserve", PolicyEngine.layerObserve().pipe(Layer.provide(settings()))],
    ["layer where the settings observe", PolicyEngine.layer().pipe(Layer.provide(settings("observe")))]
  ] as const) {
    it.effect(`POLICY-8 ${name} allows and says what would have been, and redacts what would block`, () =>
      Effect.gen(function* () {
        const engine = yield* PolicyEngine
        const judged = yield* engine.check({ action: "chat", content: `pay with ${card}` })
        assert.deepInclude(judged, {
          allowed: true,
          observed: true,
          decision: "block",
          reasons: ["Content blocked: credit_card"]
        })
        assert.match(judged.content, /^pay with \[credit_card:\w{8}\]$/)
        assert.deepInclude(yield* engine.check({ action: "chat" }), { allowed: true, observed: false })
      }).pipe(Effect.provide(live))
    )
  }
})
