/** A platform that is ready for an agent's calls, and what it was told of them. */
import type { Policy } from "@agion/domain"
import { Cause, Effect, Logger } from "effect"
import { EventBuffer, PolicySync } from "../src/index.ts"
import { AgionTest, TestPlatform, testUuid } from "../src/testing/index.ts"

export const model = testUuid(1)
export const agent = "agent-1"

/** Notes what is logged. */
export const noting = (lines: Array<string>) =>
  Logger.layer([
    Logger.make(({ cause, message }) => {
      lines.push(`${String(message)} ${Cause.pretty(cause)}`)
    })
  ])

/** A platform with one resource that the agent may use. */
export const ready = (constraints = {}) =>
  Effect.gen(function* () {
    const platform = yield* TestPlatform
    platform.resource({ id: model, resourceData: { cost_per_1k_tokens: 0.5 } })
    platform.grant(agent, model, "use", constraints)
    return platform
  })

export const withPolicies = (...policies: ReadonlyArray<Policy>) =>
  Effect.gen(function* () {
    const platform = yield* ready()
    platform.setPolicies(policies)
    yield* (yield* PolicySync).sync
    return platform
  })

export const flush = Effect.gen(function* () {
  yield* (yield* EventBuffer).flush()
})

/** What the platform was told, as `event_type` or decision. */
export const told = Effect.gen(function* () {
  yield* flush
  return (yield* TestPlatform).events.map((event) => event["event_type"] ?? event["decision"])
})

export const score = Effect.map(TestPlatform, (platform) => platform.actor(agent).score)

export const fresh = () => Effect.provide(AgionTest.layer())

// A key in the shape of a provider's; put together so that no file holds one.
export const email = "ada.lovelace@example.com"
export const secret = ["sk", "proj", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"].join("-")
