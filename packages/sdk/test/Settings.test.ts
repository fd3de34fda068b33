import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Settings, type SettingsOptions } from "../src/index.ts"

const options: SettingsOptions = { agentId: "agent", gatewayUrl: "http://127.0.0.1:8080" }
const signingKey = { keyId: "key", publicKey: "A".repeat(43) }

/** As a program without types, or an environment, may give them. */
const made = (more: object) => Effect.exit(Settings.make({ ...options, ...more }))
const refused = (more: object) => Effect.flip(Settings.make({ ...options, ...more }))

describe("settings", () => {
  it.effect("OUTAGE-5 a key that is none is refused, in production and elsewhere", () =>
    Effect.gen(function* () {
      const wrong = [{}, { keyId: "a", publicKey: "zz" }, { keyId: "", publicKey: signingKey.publicKey }]
      for (const environment of ["production", "development"])
        for (const key of wrong)
          assert.strictEqual((yield* refused({ environment, signingKey: key })).setting, "signingKey")
      for (const key of [null, undefined])
        assert.include((yield* refused({ environment: "production", signingKey: key })).problem, "required")
      assert.deepStrictEqual((yield* Settings.make({ ...options, signingKey })).signingKey, signingKey)
    })
  )

  it.effect("GOVERN-5 production is production however it is written", () =>
    Effect.gen(function* () {
      for (const environment of ["production", "Production", "production ", "PROD"]) {
        assert.strictEqual(
          (yield* refused({ environment, signingKey, governance: false })).setting,
          "governance"
        )
        assert.isTrue((yield* Settings.make({ ...options, environment, signingKey })).production)
      }
      for (const environment of ["development", "staging", "product-tests"])
        assert.isFalse((yield* Settings.make({ ...options, environment })).production)
    })
  )

  it.effect("what types would have refused is refused by name, and quotes no secret", () =>
    Effect.gen(function* () {
      const wrong: ReadonlyArray<readonly [setting: string, more: object]> = [
        ["apiKey", { apiKey: 7 }],
        ["apiKey", { apiKey: "agion_x\nsecret" }],
        ["apiKey", { apiKey: Redacted.make("ключ-secret") }],
        ["enforcement", { enforcement: "Observe" }],
        ["governance", { governance: "false" }],
        ["actorType", { actorType: "robot" }]
      ]
      for (const [setting, more] of wrong) {
        const error = yield* refused(more)
        assert.strictEqual(error.setting, setting)
        assert.notInclude(error.message, "secret")
      }
      assert.strictEqual(
        (yield* made({ apiKey: "agion_0_x", enforcement: "observe", actorType: "user" }))._tag,
        "Success"
      )
      assert.strictEqual(
        (yield* Effect.exit(Layer.build(Settings.layer(options)).pipe(Effect.scoped)))._tag,
        "Success"
      )
    })
  )
})
