/** Answers that pushes overtake on their way, however often they do. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { AgionSdk, EventBuffer, governed, PermissionCache } from "../src/index.ts"
import { AgionTest, type Platform, TestPlatform, testUuid } from "../src/testing/index.ts"

const agent = "agent-1"
const model = testUuid(1)
const other = testUuid(2)

/** An agent to whose questions about permissions `onTheWay` happens between the platform and it. */
const overtaken = (
  onTheWay: (platform: Platform, question: number) => Effect.Effect<void>,
  options: { readonly named?: boolean } = {}
) => {
  let questions = 0
  const client = Effect.gen(function* () {
    const platform = yield* TestPlatform
    return HttpClient.transform(yield* HttpClient.HttpClient, (answer, request) =>
      /\/permissions\/(?:check|reserve)$/.test(new URL(request.url).pathname)
        ? Effect.flatMap(answer, (response) =>
            Effect.andThen(
              onTheWay(platform, ++questions),
              options.named === false ? withoutEpoch(response) : Effect.succeed(response)
            )
          )
        : answer
    )
  })
  return Effect.provide(
    AgionSdk.layerOver({
      agentId: agent,
      gatewayUrl: "http://platform.test",
      directory: false,
      events: { shutdownDeadline: 0 }
    }).pipe(
      Layer.provide(Layer.effect(HttpClient.HttpClient, client)),
      Layer.provideMerge(AgionTest.connections())
    )
  )
}

/** As a gateway answers that knows of no epochs. */
const withoutEpoch = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.map(Effect.orDie(response.text), (text) =>
    HttpClientResponse.fromWeb(
      response.request,
      new Response(text.replace(/"epoch":\d+,?/g, ""), { headers: { "content-type": "application/json" } })
    )
  )

const ready = (constraints = {}) =>
  Effect.gen(function* () {
    const platform = yield* TestPlatform
    platform.pushing = false
    for (const id of [model, other]) platform.resource({ id })
    platform.grant(agent, model, "use", constraints)
    platform.pushing = true
    platform.heartbeat()
    return platform
  })

/** How it ends within a minute. */
const ended = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(work, { startImmediately: true })
    for (let turn = 0; turn < 600 && fiber.pollUnsafe() === undefined; turn++) {
      yield* TestClock.adjust("100 millis")
      // A body arrives in turns of the event loop.
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    }
    assert.isDefined(fiber.pollUnsafe())
    return yield* Fiber.join(fiber)
  })

const check = Effect.flatMap(PermissionCache, (cache) => cache.check({ resourceId: model }))

const asked = (platform: Platform) =>
  platform.arrived.filter(({ path }) => /\/permissions\/(?:check|reserve)$/.test(path)).length

/** A change of the permission that takes nothing away. */
const touch = (platform: Platform) => platform.grant(agent, model)

describe("an answer that pushes overtake", () => {
  it.effect("FRESH-3 a revocation while it is asked for again holds, however slow the answer", () =>
    Effect.gen(function* () {
      const platform = yield* ready()
      assert.isFalse((yield* ended(check)).allowed)
      assert.strictEqual(asked(platform), 3)
    }).pipe(
      overtaken((platform, question) => {
        if (question === 1) return Effect.sync(() => touch(platform))
        if (question > 2) return Effect.void
        return Effect.gen(function* () {
          platform.revoke(agent, model)
          yield* Effect.sleep("1200 millis")
          platform.change("resource", [other])
        })
      })
    )
  )

  it.effect("FRESH-3 one that never comes to rest allows nothing, and ends", () => {
    let isRestless = true
    return Effect.gen(function* () {
      const platform = yield* ready()
      const decision = yield* ended(check)
      assert.deepInclude(decision, { allowed: false, source: "outage", rule: "changed" })
      assert.strictEqual(decision.denial?.remedy, "wait")
      assert.isAtMost(asked(platform), 6)
      isRestless = false
      assert.isTrue((yield* ended(check)).allowed)
    }).pipe(
      overtaken((platform) =>
        Effect.sync(() => {
          if (isRestless) touch(platform)
        })
      )
    )
  })

  it.effect(
    "POLICY-8 FRESH-3 where an organization only observes it goes on, and is told as one that had not",
    () =>
      Effect.gen(function* () {
        const platform = yield* ready()
        platform.enforcement = "observe"
        const decision = yield* ended(check)
        assert.deepInclude(decision, { allowed: true, mode: "observed", rule: "changed" })
        assert.deepInclude(decision.observed, { allowed: false })
        assert.isAtMost(asked(platform), 6)
      }).pipe(overtaken((platform) => Effect.sync(() => touch(platform))))
  )

  it.effect("FRESH-3 TRUST-9 neither does one whose score falls with each answer", () =>
    Effect.gen(function* () {
      const platform = yield* ready()
      platform.trust(agent, 59)
      assert.deepInclude(yield* ended(check), { allowed: false, rule: "changed" })
      assert.isAtMost(asked(platform), 6)
    }).pipe(
      overtaken((platform) => Effect.sync(() => platform.trust(agent, platform.actor(agent).score - 1)))
    )
  )

  it.effect("FRESH-3 a change that the answer knows of does not speak against it", () =>
    Effect.gen(function* () {
      const platform = yield* ready()
      assert.isTrue((yield* ended(check)).allowed)
      assert.strictEqual(asked(platform), 2)
    }).pipe(
      overtaken((platform, question) =>
        Effect.gen(function* () {
          if (question === 1) {
            touch(platform)
            // The second answer is made after this one, which is heard after it.
            platform.pushDelayMs = 1
            touch(platform)
          } else {
            yield* Effect.sleep("10 millis")
            platform.pushDelayMs = 0
            platform.heartbeat()
          }
        })
      )
    )
  )

  it.effect("FRESH-3 one without an epoch is none while pushes name it", () => {
    let isRevoked = false
    return Effect.gen(function* () {
      const platform = yield* ready()
      assert.isFalse((yield* ended(check)).allowed)
      assert.strictEqual(asked(platform), 3)
    }).pipe(
      overtaken(
        (platform, question) =>
          Effect.sync(() => {
            if (question === 1) touch(platform)
            if (isRevoked || question !== 2) return
            isRevoked = true
            platform.revoke(agent, model)
          }),
        { named: false }
      )
    )
  })
})

describe("a reservation that pushes overtake", () => {
  it.effect("FRESH-3 LIMIT-6 one that never comes to rest is given back, and nothing runs", () => {
    const limits = { tokenLimitPerDay: 1000 }
    let isRestless = false
    let hasRun = false
    return Effect.gen(function* () {
      const platform = yield* ready(limits)
      assert.isTrue((yield* ended(check)).allowed)
      isRestless = true
      const work = Effect.sync(() => {
        hasRun = true
      })
      const call = governed("chat", model, { estimate: { tokens: 10 } })(work)
      const error = yield* ended(Effect.flip(call))
      assert.deepInclude(error, { _tag: "GovernanceUnavailable", rule: "changed" })
      assert.isFalse(hasRun)
      yield* (yield* EventBuffer).flush()
      const reserved = [...platform.reservations.values()].map(({ state }) => state)
      assert.isAtLeast(reserved.length, 2)
      assert.deepStrictEqual(new Set(reserved), new Set(["released"]))
    }).pipe(
      overtaken((platform) =>
        Effect.sync(() => {
          if (isRestless) platform.grant(agent, model, "use", limits)
        })
      )
    )
  })

  it.effect(
    "POLICY-8 LIMIT-6 where an organization only observes, the work runs on its last reservation",
    () => {
      const limits = { tokenLimitPerDay: 1000 }
      let isRestless = false
      return Effect.gen(function* () {
        const platform = yield* ready(limits)
        platform.enforcement = "observe"
        assert.isTrue((yield* ended(check)).allowed)
        isRestless = true
        const call = governed("chat", model, { estimate: { tokens: 10 } })(Effect.succeed("ran"))
        assert.strictEqual(yield* ended(call), "ran")
        yield* (yield* EventBuffer).flush()
        const states = [...platform.reservations.values()].map(({ state }) => state)
        assert.strictEqual(states.filter((state) => state !== "released").length, 1)
      }).pipe(
        overtaken((platform) =>
          Effect.sync(() => {
            if (isRestless) platform.grant(agent, model, "use", limits)
          })
        )
      )
    }
  )
})
