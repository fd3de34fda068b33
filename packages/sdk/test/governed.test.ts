import { assert, describe, it, layer } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Latch, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  denialsAsValues,
  type Governance,
  type GovernedCall,
  governed,
  PermissionCache,
  Prices,
  TrustTracker
} from "../src/index.ts"
import { governedStream } from "../src/stream.ts"
import { AgionTest, type Fault, TestPlatform, testUuid } from "../src/testing/index.ts"
import { policy } from "./policies.ts"
import { agent, flush, fresh, model, noting, ready, score, secret, told, withPolicies } from "./Ready.ts"

// @ts-expect-error: content under a name that there is none of would not be scanned.
const misspelt = governed("chat", "model", { contents: "a prompt", origin: "user" })

describe("the ends of a governed call", () => {
  it("DLP-1 an option that there is none of does not compile", () => assert.isFunction(misspelt))

  it.effect(
    "GOVERN-1 LIMIT-6 an id in capitals is reserved, told of and judged as the resource that it names",
    () =>
      Effect.gen(function* () {
        const platform = yield* TestPlatform
        const id = "abcdef00-0000-4000-8000-00000000000a"
        platform.resource({ id })
        platform.grant(agent, id, "use", { tokenLimitPerDay: 100 })
        const call = (resource: string) =>
          Effect.succeed(1).pipe(governed("chat", resource, { content: secret }), Effect.flip)
        const first = yield* call(id.toUpperCase())
        assert.deepInclude(first, { _tag: "PolicyViolation", resource: id })
        yield* call(id)
        assert.deepStrictEqual(yield* told, ["policy_violation", "deny", "deny"])
        const work = governed("chat", id.toUpperCase(), { estimate: { tokens: 5 } })(Effect.succeed(1))
        assert.strictEqual(yield* work, 1)
        yield* flush
        assert.deepStrictEqual(
          [...platform.reservations.values()].map(({ state }) => state),
          ["settled"]
        )
        const resources = platform.events.flatMap((event) => event["resource_id"] ?? [])
        assert.isNotEmpty(resources)
        assert.isTrue(resources.every((resource) => resource === id))
      }).pipe(fresh())
  )

  it.effect("TRUST-5 a success earns trust and is told once with its decision", () =>
    Effect.gen(function* () {
      yield* ready()
      assert.strictEqual(yield* Effect.succeed(42).pipe(governed("chat", model)), 42)
      assert.deepStrictEqual(yield* told, ["task_completed", "allow"])
      assert.strictEqual(yield* score, 42)
    }).pipe(fresh())
  )

  it.effect("TRUST-5 a typed failure costs two and says why", () =>
    Effect.gen(function* () {
      const platform = yield* ready()
      const error = yield* Effect.fail("no answer" as const).pipe(governed("chat", model), Effect.flip)
      assert.strictEqual(error, "no answer")
      assert.deepStrictEqual(yield* told, ["task_failed", "allow"])
      assert.include(String(platform.events[0]?.["context"]), '"failure":"no answer"')
      assert.strictEqual(yield* score, 38)
    }).pipe(fresh())
  )

  it.effect(
    "TRUST-5 a call that fails because one within it is denied has failed; one that goes on has not",
    () =>
      Effect.gen(function* () {
        yield* ready()
        const denied = Effect.void.pipe(governed("chat", testUuid(7)))
        yield* denied.pipe(governed("plan", model), Effect.flip)
        assert.deepStrictEqual(yield* told, ["deny", "task_failed", "allow"])
        assert.strictEqual(yield* score, 38)
        yield* denialsAsValues(denied).pipe(governed("plan", model))
        assert.deepStrictEqual((yield* told).slice(3), ["deny", "task_completed", "allow"])
        assert.strictEqual(yield* score, 40)
      }).pipe(fresh())
  )

  it.effect("TRUST-5 a defect costs three", () =>
    Effect.gen(function* () {
      yield* ready()
      const exit = yield* Effect.die(new Error("boom")).pipe(governed("chat", model), Effect.exit)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.deepStrictEqual(yield* told, ["task_failed", "allow"])
      assert.strictEqual(yield* score, 37)
    }).pipe(fresh())
  )

  it.effect("what DLP and limits could not read is refused before it runs, at no cost in trust", () =>
    Effect.gen(function* () {
      const platform = yield* ready()
      yield* Effect.void.pipe(governed("chat", model))
      let ran = 0
      for (const context of [{ content: [secret] }, { content: secret }, { arguments: { key: secret } }]) {
        const exit = yield* Effect.exit(
          Effect.suspend(() => Effect.sync(() => ran++).pipe(governed("chat", model, { context })))
        )
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) assert.deepInclude(Cause.squash(exit.cause), { code: "input_invalid" })
      }
      for (const context of [{ request_tokens: "9" }]) {
        const refused = yield* Effect.sync(() => ran++).pipe(
          governed("chat", model, { context }),
          Effect.flip
        )
        assert.strictEqual(refused._tag, "PermissionDenied")
        assert.include(refused.message, Object.keys(context).join())
      }
      assert.strictEqual(ran, 0)
      yield* flush
      assert.strictEqual(platform.actor(agent).score, 42)
    }).pipe(fresh())
  )

  it.effect("TRUST-5 a time-out costs three and is an error of its own", () =>
    Effect.gen(function* () {
      yield* ready()
      const started = yield* Latch.make()
      const fiber = yield* Effect.andThen(started.open, Effect.never).pipe(
        governed("chat", model, { timeout: "1 minute" }),
        Effect.flip,
        Effect.forkChild
      )
      yield* started.whenOpen(Effect.void)
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "CallTimedOut")
      assert.deepStrictEqual(yield* told, ["timeout_exceeded", "allow"])
      assert.strictEqual(yield* score, 37)
    }).pipe(fresh())
  )

  it.effect("TRUST-5 an interruption costs nothing and is told as such", () =>
    Effect.gen(function* () {
      const platform = yield* ready()
      const started = yield* Latch.make()
      const fiber = yield* Effect.andThen(started.open, Effect.never).pipe(
        governed("chat", model),
        Effect.forkChild
      )
      yield* started.whenOpen(Effect.void)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* told, ["allow"])
      assert.include(String(platform.events[0]?.["context"]), '"outcome":"interrupted"')
      assert.strictEqual(yield* score, 40)
    }).pipe(fresh())
  )

  it.effect("TRUST-5 a call without a permission does not run, costs nothing and is told", () =>
    Effect.gen(function* () {
      const platform = yield* TestPlatform
      platform.resource({ id: model })
      let ran = false
      const error = yield* Effect.sync(() => {
        ran = true
      }).pipe(governed("chat", model), Effect.flip)
      assert.strictEqual(error._tag, "PermissionDenied")
      assert.include(error.message, "No approved permission found")
      assert.include(error.message, "ask for a permission")
      assert.isFalse(ran)
      assert.deepStrictEqual(yield* told, ["deny"])
      assert.strictEqual(yield* score, 40)
    }).pipe(fresh())
  )
})

describe("limits", () => {
  it.effect("LIMIT-6 GOVERN-2 a call on a limited permission reserves and settles what it used", () =>
    Effect.gen(function* () {
      const platform = yield* ready({ tokenLimitPerDay: 1000 })
      const call = governed<string>("chat", model, {
        estimate: { tokens: 500 },
        usage: (answer: string) => ({ tokens: answer.length })
      })
      yield* call(Effect.succeed("four"))
      yield* flush
      const [reserved] = [...platform.reservations.values()]
      assert.deepInclude(reserved, { state: "settled", tokens: 4, costUsd: 0.002 })
      assert.strictEqual(platform.grantOf(agent, model, "use")?.usageTracking.currentDayTokens, 4)
    }).pipe(fresh())
  )

  it.effect("GOVERN-2 a typed failure that reported nothing gives tokens back", () =>
    Effect.gen(function* () {
      const platform = yield* ready({ tokenLimitPerDay: 1000 })
      const failing = governed("chat", model, { estimate: { tokens: 500 } })
      yield* failing(Effect.fail("no")).pipe(Effect.flip)
      yield* failing((call) => {
        call.report({ tokens: 7 })
        return Effect.fail("no")
      }).pipe(Effect.flip)
      yield* flush
      assert.deepStrictEqual(
        [...platform.reservations.values()].map(({ tokens }) => tokens),
        [0, 7]
      )
    }).pipe(fresh())
  )

  it.effect("GOVERN-2 an interruption after the start is charged by the estimate", () =>
    Effect.gen(function* () {
      const platform = yield* ready({ tokenLimitPerDay: 1000 })
      const started = yield* Latch.make()
      const fiber = yield* Effect.andThen(started.open, Effect.never).pipe(
        governed("chat", model, { estimate: { tokens: 500 } }),
        Effect.forkChild
      )
      yield* started.whenOpen(Effect.void)
      yield* Fiber.interrupt(fiber)
      yield* flush
      assert.deepInclude([...platform.reservations.values()][0], { state: "settled", tokens: 500 })
    }).pipe(fresh())
  )

  it.effect("LIMIT-3 a request beyond the limit is denied and says what is left", () =>
    Effect.gen(function* () {
      yield* ready({ tokenLimitPerDay: 1000 })
      const error = yield* Effect.void.pipe(
        governed("chat", model, { estimate: { tokens: 5000 } }),
        Effect.flip
      )
      assert.strictEqual(error._tag, "PermissionDenied")
      assert.include(error.message, "Token limit would be exceeded")
      assert.include(error.message, "ask for less")
    }).pipe(fresh())
  )

  describe("a reservation whose answer was lost", () => {
    /** An agent whose platform is lost to it as it reserves, and what the platform holds once it is back. */
    const lostAt = (fault: Fault, call: Effect.Effect<unknown, unknown, Governance>) =>
      Effect.gen(function* () {
        const platform = yield* ready({ tokenLimitPerDay: 1000 })
        platform.grant(agent, model, "write", { tokenLimitPerDay: 1000 })
        const cache = yield* PermissionCache
        yield* cache.preload([{ resourceId: model }, { resourceId: model, permissionType: "write" }])
        platform.fault = fault
        const fiber = yield* Effect.forkChild(Effect.exit(call), { startImmediately: true })
        for (let i = 0; i < 40 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust("250 millis")
        const exit = yield* Fiber.join(fiber)
        platform.fault = { _tag: "None" }
        yield* TestClock.adjust("1 minute")
        yield* flush
        const reserved = [...platform.reservations.values()].map(({ state, tokens }) => [state, tokens])
        const used = (type: "use" | "write") => {
          const { currentDayRequests, currentDayTokens } =
            platform.grantOf(agent, model, type)?.usageTracking ?? {}
          return [currentDayRequests, currentDayTokens]
        }
        return { exit, reserved, used }
      })
    const options = { estimate: { tokens: 500 }, usage: () => ({ tokens: 4 }) }

    it.effect("LIMIT-3 OUTAGE-2 of a call that went on stale is settled, and not charged a second time", () =>
      Effect.gen(function* () {
        const { exit, reserved, used } = yield* lostAt(
          { _tag: "Lose" },
          Effect.void.pipe(governed("chat", model, options))
        )
        assert.isTrue(Exit.isSuccess(exit))
        assert.deepStrictEqual(reserved, [["settled", 4]])
        assert.deepStrictEqual(used("use"), [1, 4])
      }).pipe(fresh())
    )

    it.effect("LIMIT-3 OUTAGE-2 and that never arrived: what the call used is charged", () =>
      Effect.gen(function* () {
        const { exit, reserved, used } = yield* lostAt(
          { _tag: "Refuse" },
          Effect.void.pipe(governed("chat", model, options))
        )
        assert.isTrue(Exit.isSuccess(exit))
        assert.deepStrictEqual(reserved, [])
        assert.deepStrictEqual(used("use"), [1, 4])
      }).pipe(fresh())
    )

    it.effect("GOVERN-2 OUTAGE-3 of a call that was refused is given back", () =>
      Effect.gen(function* () {
        const { exit, reserved, used } = yield* lostAt(
          { _tag: "Lose" },
          Effect.void.pipe(governed("chat", model, { ...options, permission: "write" }))
        )
        assert.isTrue(Exit.isFailure(exit))
        assert.deepStrictEqual(reserved, [["released", 500]])
        assert.deepStrictEqual(used("write")[1], 0)
      }).pipe(fresh())
    )

    it.effect("GOVERN-2 of a caller that went away is given back", () =>
      Effect.gen(function* () {
        const { reserved, used } = yield* lostAt(
          { _tag: "Lose" },
          Effect.void.pipe(governed("chat", model, options), Effect.timeoutOption("10 millis"))
        )
        assert.deepStrictEqual(reserved, [["released", 500]])
        assert.deepStrictEqual(used("use")[1], 0)
      }).pipe(fresh())
    )
  })

  it.effect("LIMIT-6 calls that wait for each other's first check reserve each for itself", () =>
    Effect.gen(function* () {
      const platform = yield* ready({ rateLimitRpm: 2 })
      let ran = 0
      const call = Effect.sync(() => ran++).pipe(governed("chat", model), Effect.exit)
      const exits = yield* Effect.all([call, call, call], { concurrency: "unbounded" })
      assert.lengthOf(exits.filter(Exit.isSuccess), 2)
      assert.deepStrictEqual([ran, platform.reservations.size], [2, 2])
    }).pipe(fresh())
  )

  it.effect("LIMIT-6 calls of one execution reserve and are charged each for itself", () =>
    Effect.gen(function* () {
      const platform = yield* ready({ rateLimitRpm: 2, tokenLimitPerDay: 1000 })
      yield* (yield* PermissionCache).check({ resourceId: model })
      const latch = yield* Latch.make()
      let ran = 0
      const call = Effect.andThen(
        Effect.sync(() => ran++),
        latch.await
      ).pipe(governed("chat", model, { estimate: { tokens: 100 }, executionId: "execution-1" }))
      const parallel = yield* Effect.forkChild(Effect.all([call, call], { concurrency: 2 }))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([ran, platform.reservations.size], [2, 2])
      const third = yield* Effect.flip(call)
      assert.deepInclude(third, { _tag: "PermissionDenied", reason: "Rate limit exceeded: 2 RPM" })
      yield* latch.open
      yield* Fiber.join(parallel)
      yield* flush
      assert.deepStrictEqual(
        [...platform.reservations.values()].map(({ state, tokens }) => [state, tokens]),
        [
          ["settled", 100],
          ["settled", 100]
        ]
      )
      const executions = platform.events.flatMap((event) => event["execution_id"] ?? [])
      assert.deepStrictEqual(executions, ["execution-1", "execution-1", "execution-1"])
      yield* TestClock.adjust("1 minute")
      yield* call
      assert.strictEqual(platform.reservations.size, 3)
    }).pipe(fresh())
  )

  it.effect("GOVERN-7 tokens become cost by the program's table", () =>
    Effect.gen(function* () {
      const platform = yield* ready({ costLimitPerDayUsd: 10 })
      yield* Effect.void.pipe(
        governed("chat", model, {
          model: "large",
          estimate: { tokens: 1000 },
          usage: () => ({ tokens: 2000 })
        })
      )
      yield* flush
      assert.deepInclude([...platform.reservations.values()][0], { costUsd: 6 })
    }).pipe(Effect.provide(AgionTest.layer().pipe(Layer.provide(Prices.layerTable({ large: 3 })))))
  )
})

describe("functions of the program's that throw", () => {
  const thrown = new Error("no such model")
  const throwing = () => {
    throw thrown
  }
  const limited = { tokenLimitPerDay: 1000, costLimitPerDayUsd: 10 }
  const estimate = { tokens: 500, costUsd: 2 }
  const logged = (lines: Array<string>, prices = Prices.layer(throwing)) => Layer.merge(noting(lines), prices)

  it.effect("GOVERN-2 a typed failure outlives prices that throw, is settled once and leaves a line", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const platform = yield* ready(limited)
      const error = yield* governed("chat", model, { estimate })((call) => {
        call.report({ tokens: 7 })
        return Effect.fail("no answer" as const)
      }).pipe(Effect.flip)
      assert.strictEqual(error, "no answer")
      assert.deepStrictEqual(yield* told, ["task_failed", "allow"])
      assert.deepStrictEqual(
        [...platform.reservations.values()].map(({ costUsd, state, tokens }) => [state, tokens, costUsd]),
        [["settled", 7, 2]]
      )
      assert.lengthOf(lines, 1)
      assert.match(lines[0] ?? "", /charged by its estimate.*no such model/s)
    }).pipe(Effect.provide(AgionTest.layer().pipe(Layer.provide(logged(lines)))))
  })

  it.effect.each([Number.NaN, -1, Number.POSITIVE_INFINITY])(
    "GOVERN-7 a price of %s is none: calls are charged by their estimates, with one line for all of them",
    (usd) => {
      const lines: Array<string> = []
      const usage = () => ({ tokens: 7 })
      const call = Effect.void.pipe(governed("chat", model, { estimate, usage }))
      return Effect.gen(function* () {
        const platform = yield* ready(limited)
        yield* Effect.andThen(call, call)
        yield* flush
        assert.deepStrictEqual(
          [...platform.reservations.values()].map(({ costUsd, state, tokens }) => [state, tokens, costUsd]),
          [
            ["settled", 7, 2],
            ["settled", 7, 2]
          ]
        )
        assert.lengthOf(lines, 1)
        assert.match(lines[0] ?? "", /`Prices` answered .* charged by its estimate/)
      }).pipe(
        Effect.provide(
          AgionTest.layer().pipe(
            Layer.provide(
              logged(
                lines,
                Prices.layer(() => usd)
              )
            )
          )
        )
      )
    }
  )

  it.effect(
    "GOVERN-7 a call runs whose estimate has no price because prices throw, and leaves a line",
    () => {
      const lines: Array<string> = []
      const asked = { estimate: { tokens: 300 } }
      return Effect.gen(function* () {
        const platform = yield* ready(limited)
        // Judged without an entry, by what is reserved, and by what memory holds.
        for (const answer of [1, 2])
          assert.strictEqual(yield* Effect.succeed(answer).pipe(governed("chat", model, asked)), answer)
        const opened = yield* Stream.make("a").pipe(governedStream("chat", model, asked), Stream.runCollect)
        assert.deepStrictEqual(opened, ["a"])
        assert.deepStrictEqual((yield* told).filter((one) => one !== "allow").length, 3)
        assert.deepStrictEqual(
          [...platform.reservations.values()].map(({ costUsd, state, tokens }) => [state, tokens, costUsd]),
          Array.from({ length: 3 }, () => ["settled", 300, 0])
        )
        assert.lengthOf(lines, 1)
        assert.match(lines[0] ?? "", /`Prices` threw for 300 tokens.*no such model/s)
      }).pipe(Effect.provide(AgionTest.layer().pipe(Layer.provide(logged(lines)))))
    }
  )

  it.effect("GOVERN-2 a success outlives a `usage` that throws, and is charged by its estimate", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const platform = yield* ready(limited)
      const answer = yield* Effect.succeed(42).pipe(governed("chat", model, { estimate, usage: throwing }))
      assert.strictEqual(answer, 42)
      assert.deepStrictEqual(yield* told, ["task_completed", "allow"])
      assert.deepInclude([...platform.reservations.values()][0], {
        state: "settled",
        tokens: 500,
        costUsd: 2
      })
      assert.lengthOf(lines, 1)
    }).pipe(Effect.provide(AgionTest.layer().pipe(Layer.provide(logged(lines)))))
  })
})

describe("what a program says of a call in a wrong shape", () => {
  const limited = { tokenLimitPerDay: 1000, costLimitPerDayUsd: 10 }
  const estimate = { tokens: 500, costUsd: 2 }
  const shapes: ReadonlyArray<readonly [string, unknown]> = [
    ["another field", { prompt_tokens: 50 }],
    ["a number", 5],
    ["a promise", Promise.resolve({ tokens: 5 })],
    ["a negative amount", { tokens: -1e6, costUsd: -1 }],
    ["a text", { tokens: "5" }],
    ["no number", { tokens: Number.NaN }],
    ["null", null]
  ]
  for (const [shape, said] of shapes) {
    // As a program without types says it.
    const wrong = said as { readonly tokens?: number }
    it.effect(`GOVERN-2 ${shape} leaves the estimate, by \`usage\` and by \`report\``, () =>
      Effect.gen(function* () {
        const platform = yield* ready(limited)
        yield* Effect.void.pipe(
          governed("chat", model, { estimate: { tokens: 400, costUsd: 1 }, usage: () => wrong })
        )
        yield* governed("chat", model, { estimate })((call) => Effect.sync(() => call.report(wrong)))
        yield* flush
        assert.deepStrictEqual(
          [...platform.reservations.values()].map(({ state, tokens, costUsd }) => ({
            state,
            tokens,
            costUsd
          })),
          [
            { state: "settled", tokens: 400, costUsd: 1 },
            { state: "settled", tokens: 500, costUsd: 2 }
          ]
        )
      }).pipe(fresh())
    )
  }

  const halves: ReadonlyArray<readonly [unknown, tokens: number, costUsd: number, named: string]> = [
    [{ costUsd: 1, tokens: "5" }, 500, 1, "tokens"],
    [{ costUsd: 1, tokens: 5n }, 500, 1, "tokens"],
    [{ costUsd: 1, inputTokens: 5, outputTokens: Number.NaN }, 500, 1, "outputTokens"],
    [{ costUsd: "1", tokens: 5 }, 5, 2, "costUsd"],
    [{ costUsd: 1e10, tokens: 5 }, 5, 2, "costUsd"],
    [{ prompt_tokens: 5 }, 500, 2, "prompt_tokens"],
    [Promise.resolve(), 500, 2, "usage"]
  ]
  it.effect.each(halves)(
    "GOVERN-2 an amount that is none is charged by the estimate and named, and the result is given: %o",
    ([said, tokens, costUsd, named]) => {
      const wrong = said as { readonly tokens?: number }
      const lines: Array<string> = []
      return Effect.gen(function* () {
        const platform = yield* ready(limited)
        const usage = () => wrong
        assert.strictEqual(yield* Effect.succeed(42).pipe(governed("chat", model, { estimate, usage })), 42)
        yield* governed("chat", model, { estimate })((call) => Effect.sync(() => call.report(wrong)))
        yield* flush
        for (const reservation of platform.reservations.values())
          assert.deepInclude({ ...reservation }, { state: "settled", tokens, costUsd })
        assert.lengthOf(lines, 2)
        for (const line of lines) assert.include(line, `\`${named}\``)
        assert.strictEqual(yield* score, 44)
      }).pipe(Effect.provide(AgionTest.layer().pipe(Layer.provide(noting(lines)))))
    }
  )

  it.effect("GOVERN-2 what failed without a word of what it used in numbers is charged by its estimate", () =>
    Effect.gen(function* () {
      const platform = yield* ready(limited)
      const wrong: { readonly tokens?: number } = JSON.parse('{ "tokens": "5" }')
      yield* governed("chat", model, { estimate })((call) => {
        call.report(wrong)
        return Effect.fail("no answer")
      }).pipe(Effect.flip)
      yield* flush
      assert.deepInclude([...platform.reservations.values()][0], {
        state: "settled",
        tokens: 500,
        costUsd: 2
      })
    }).pipe(fresh())
  )

  it.effect("LIMIT-6 an estimate of input and output is reserved as their sum", () =>
    Effect.gen(function* () {
      const platform = yield* ready(limited)
      const estimate = { inputTokens: 300, outputTokens: 200 }
      yield* Effect.void.pipe(governed("chat", model, { estimate }))
      const tooMuch = { inputTokens: 600, outputTokens: 600 }
      const refused = yield* Effect.void.pipe(governed("chat", model, { estimate: tooMuch }), Effect.flip)
      assert.strictEqual(refused._tag, "PermissionDenied")
      yield* flush
      assert.deepInclude([...platform.reservations.values()][0], { state: "settled", tokens: 500 })
    }).pipe(fresh())
  )

  for (const constraints of [{}, limited])
    it.effect(
      `GOVERN-1 text that was cut in the middle of a character is permitted as any other, ${JSON.stringify(constraints)}`,
      () =>
        Effect.gen(function* () {
          const platform = yield* ready(constraints)
          const half = "well \u{1f600}".slice(0, 6)
          const options = {
            content: half,
            arguments: { list: [half, "\u0000", { text: "whole" }] },
            tool: half
          }
          const seen: Array<unknown> = []
          for (let n = 0; n < 2; n++)
            yield* governed(
              "chat",
              model,
              options
            )((call) => Effect.sync(() => seen.push(call.content, call.arguments["list"])))
          assert.deepStrictEqual(seen, [half, options.arguments.list, half, options.arguments.list])
          const sent = JSON.stringify(platform.arrived.map(({ body }) => body))
          assert.include(sent, `"content":"well \ufffd"`)
          assert.include(sent, `"list":["well \ufffd","\ufffd",{"text":"whole"}]`)
        }).pipe(fresh())
    )

  it.effect("LIMIT-6 of an estimate in parts of a token the next whole one is reserved", () =>
    Effect.gen(function* () {
      const platform = yield* ready(limited)
      yield* Effect.void.pipe(governed("chat", model, { estimate: { tokens: "a question".length / 4 } }))
      yield* flush
      assert.deepInclude([...platform.reservations.values()][0], { state: "settled", tokens: 3 })
    }).pipe(fresh())
  )

  it.effect("GOVERN-2 a negative report takes nothing off what was reported before", () =>
    Effect.gen(function* () {
      const platform = yield* ready(limited)
      yield* governed("chat", model, { estimate })((call) =>
        Effect.sync(() => {
          call.report({ tokens: 70 })
          call.report({ inputTokens: 5, outputTokens: -60 })
        })
      )
      yield* flush
      assert.deepInclude([...platform.reservations.values()][0], { state: "settled", tokens: 75 })
    }).pipe(fresh())
  )

  for (const executionId of ["", "x".repeat(1001)])
    it.effect(
      `GOVERN-1 an execution id of ${executionId.length} characters is refused before the call runs`,
      () =>
        Effect.gen(function* () {
          const platform = yield* ready()
          let ran = false
          const call = Effect.sync(() => {
            ran = true
          }).pipe(governed("chat", model, { executionId }), Effect.flip)
          for (const error of [yield* call, yield* call]) {
            assert.strictEqual(error._tag, "PermissionDenied")
            assert.include(error.message, "`executionId` must be text of 1 to 1,000 characters")
          }
          assert.isFalse(ran)
          yield* Effect.void.pipe(governed("chat", model, { executionId: "x".repeat(1000) }))
          assert.deepStrictEqual(yield* told, ["deny", "deny", "task_completed", "allow"])
          assert.strictEqual(platform.actor(agent).score, 42)
        }).pipe(fresh())
    )

  it.effect("GOVERN-1 an execution id that no record bears is refused also where is only observed", () =>
    Effect.gen(function* () {
      yield* ready()
      const call = Effect.void.pipe(governed("chat", model, { executionId: "" }), Effect.flip)
      for (const error of [yield* call, yield* call]) assert.strictEqual(error._tag, "PermissionDenied")
    }).pipe(Effect.provide(AgionTest.layer({ enforcement: "observe" })))
  )
})

describe("content", () => {
  it.effect("DLP-2 a secret is blocked here; from a user it costs no trust", () =>
    Effect.gen(function* () {
      const platform = yield* ready()
      yield* Effect.void.pipe(governed("chat", model))
      yield* flush
      platform.events.length = 0
      const asked = platform.arrived.length
      const error = yield* Effect.void.pipe(
        governed("chat", model, { content: `my key is ${secret}`, origin: "user" }),
        Effect.flip
      )
      assert.strictEqual(error._tag, "PolicyViolation")
      assert.notInclude(error.message, secret)
      assert.strictEqual(platform.arrived.length, asked)
      assert.deepStrictEqual(yield* told, ["deny"])
      assert.notInclude(JSON.stringify(platform.arrived), secret)
    }).pipe(fresh())
  )

  it.effect(
    "TRUST-5 a violation of the agent's own costs five, once a minute for each policy and resource",
    () =>
      Effect.gen(function* () {
        yield* ready()
        const attempt = Effect.void.pipe(governed("chat", model, { content: secret }), Effect.flip)
        yield* attempt
        yield* attempt
        assert.deepStrictEqual(yield* told, ["policy_violation", "deny", "deny"])
        assert.strictEqual(yield* score, 35)
        yield* TestClock.adjust("61 seconds")
        yield* attempt
        yield* flush
        assert.strictEqual(yield* score, 30)
      }).pipe(fresh())
  )

  it.effect("DLP-2 an e-mail address is redacted and the call goes on", () =>
    Effect.gen(function* () {
      yield* ready()
      const seen = yield* governed<string>("chat", model, { content: "write to ada@example.org today" })(
        (call) => Effect.succeed(call.content)
      )
      assert.notInclude(seen, "ada@example.org")
      assert.include(seen, "today")
    }).pipe(fresh())
  )
})

describe("policies", () => {
  it.effect("what a policy wants redacted is redacted in content, arguments and streams", () =>
    Effect.gen(function* () {
      const platform = yield* withPolicies(
        policy({
          name: "Mail",
          expr: 'action != "mail"',
          level: "advisory",
          redact: ["phone", "email", "ssn"]
        })
      )
      const content = "call ada on +44 20 7946 0958 or ada@example.com"
      const options = { content, arguments: { to: "+44 20 7946 0958" } }
      const sent = yield* governed<GovernedCall>("mail", model, options)((call) => Effect.succeed(call))
      assert.match(sent.content, /^call ada on \[phone:\w{8}\] or \[email:\w{8}\]$/)
      assert.match(String(sent.arguments["to"]), /^\[phone:\w{8}\]$/)
      assert.deepStrictEqual(
        sent.obligations.map(({ policy, redact }) => [policy.name, redact]),
        [["Mail", ["phone", "email", "ssn"]]]
      )
      const chunks = yield* Stream.make("ring +44 20", " 7946 0958 today").pipe(
        governedStream("mail", model),
        Stream.runCollect
      )
      assert.match(chunks.join(""), /^ring \[phone:\w{8}\] today$/)
      yield* flush
      assert.notInclude(JSON.stringify(platform.events), "7946")
      const chat = yield* governed<GovernedCall>("chat", model, { content })((call) => Effect.succeed(call))
      assert.include(chat.content, "+44 20 7946 0958")
      assert.deepStrictEqual(chat.obligations, [])
    }).pipe(fresh())
  )

  it.effect("DLP-1 a policy that wants a kind redacted does not stop it from blocking", () =>
    Effect.gen(function* () {
      yield* withPolicies(
        policy({ name: "Keys", expr: "true", enforcement: "allow", redact: ["api_key", "phone"] })
      )
      const blocked = yield* Effect.void.pipe(governed("chat", model, { content: secret }), Effect.flip)
      assert.deepInclude(blocked, { _tag: "PolicyViolation", reason: "Content blocked: api_key" })
    }).pipe(fresh())
  )

  it.effect("GOVERN-1 a local policy denies before the platform is asked", () =>
    Effect.gen(function* () {
      const platform = yield* withPolicies(policy({ name: "No refunds", expr: 'action != "refund"' }))
      yield* Effect.void.pipe(governed("chat", model))
      const asked = platform.arrived.length
      const error = yield* Effect.void.pipe(governed("refund", model), Effect.flip)
      assert.strictEqual(error._tag, "PolicyViolation")
      assert.strictEqual(error.reason, "Policy violation: No refunds")
      assert.notInclude(error.message, "ask for less", "it would not help")
      assert.strictEqual(platform.arrived.length, asked)
    }).pipe(fresh())
  )

  it.effect("GOVERN-3 an approval that is wanted is an error of its own", () =>
    Effect.gen(function* () {
      yield* withPolicies(
        policy({ name: "Ask first", expr: 'action == "refund"', enforcement: "require_approval" })
      )
      const error = yield* Effect.void.pipe(governed("refund", model), Effect.flip)
      assert.strictEqual(error._tag, "ApprovalRequired")
      assert.deepStrictEqual(yield* told, ["require_approval"])
    }).pipe(fresh())
  )

  it.effect("GOVERN-8 a policy on a fact that only the platform holds is left to its check", () =>
    Effect.gen(function* () {
      const platform = yield* withPolicies(policy({ name: "Rich only", expr: "actor.budget_limit > 100.0" }))
      const error = yield* Effect.void.pipe(governed("chat", model), Effect.flip)
      assert.include(["PolicyViolation", "PermissionDenied"], error._tag)
      assert.isTrue(platform.arrived.some(({ path }) => path === "/permissions/check"))
    }).pipe(fresh())
  )

  it.effect(
    "GOVERN-8 OUTAGE-3 a policy on a resource's facts asks for no platform where the record is held",
    () =>
      Effect.gen(function* () {
        const platform = yield* withPolicies(
          policy({ name: "Models only", expr: 'resource.resource_type == "ai_model"' })
        )
        const cache = yield* PermissionCache
        platform.trust(agent, 72)
        const unasked = testUuid(7)
        platform.resource({ id: unasked })
        yield* cache.check({ resourceId: testUuid(8) })
        yield* cache.holdResources([unasked])
        platform.fault = { _tag: "Refuse" }
        platform.line(false)
        const calling = yield* Effect.forkChild(
          governed("chat", unasked)(({ decision }) => Effect.succeed(decision.mode))
        )
        for (let i = 0; i < 40 && calling.pollUnsafe() === undefined; i++)
          yield* TestClock.adjust("250 millis")
        assert.strictEqual(yield* Fiber.join(calling), "degraded")
      }).pipe(fresh())
  )

  /** A platform that sends no facts with its answers. */
  const withoutFacts = Effect.map(
    withPolicies(policy({ name: "Rich only", expr: 'action != "refund" || actor.budget_limit > 100.0' })),
    (platform) => {
      const answer = platform.check.bind(platform)
      platform.check = (request) => {
        const { entry: _, ...result } = answer(request)
        return result
      }
      return platform
    }
  )

  it.effect("GOVERN-8 a warm cache answers no call whose policies read a fact that is not held", () =>
    Effect.gen(function* () {
      const platform = yield* withoutFacts
      yield* Effect.void.pipe(governed("chat", model))
      const error = yield* Effect.void.pipe(governed("refund", model), Effect.flip)
      assert.include(error.message, "Rich only")
      const asked = platform.arrived.length
      yield* Effect.void.pipe(governed("chat", model))
      assert.isAbove(platform.arrived.length, asked)
    }).pipe(fresh())
  )

  it.effect("GOVERN-8 nor does an answer that another call waits for", () =>
    Effect.gen(function* () {
      yield* withoutFacts
      const [chat, refund] = yield* Effect.all(
        [governed("chat", model), governed("refund", model)].map((run) => Effect.exit(run(Effect.void))),
        { concurrency: "unbounded" }
      )
      assert.isTrue(chat !== undefined && Exit.isSuccess(chat))
      assert.isTrue(refund !== undefined && Exit.isFailure(refund))
    }).pipe(fresh())
  )

  it.effect("GOVERN-8 with the platform away such a call is denied as unavailable, at no cost in trust", () =>
    Effect.gen(function* () {
      const platform = yield* withoutFacts
      yield* Effect.void.pipe(governed("chat", model))
      yield* flush
      const before = platform.actor(agent).score
      platform.fault = { _tag: "Refuse" }
      const calling = yield* Effect.forkChild(Effect.void.pipe(governed("chat", model), Effect.flip))
      // Retries pause: time moves on while the platform is asked.
      for (let i = 0; i < 40 && calling.pollUnsafe() === undefined; i++) yield* TestClock.adjust("250 millis")
      const error = yield* Fiber.join(calling)
      assert.deepInclude(error, { _tag: "GovernanceUnavailable", rule: "platform_facts" })
      platform.fault = { _tag: "None" }
      yield* flush
      assert.strictEqual(platform.actor(agent).score, before)
    }).pipe(fresh())
  )

  it.effect("GOVERN-3 denials can be had as values that a model can read", () =>
    Effect.gen(function* () {
      yield* TestPlatform
      const value = yield* denialsAsValues(Effect.succeed("answer").pipe(governed("chat", model)))
      assert.deepInclude(value, { denied: true, code: "permission_denied" })
    }).pipe(fresh())
  )

  it.effect("POLICY-8 where the agent only observes nothing is blocked and everything is told", () =>
    Effect.gen(function* () {
      const platform = yield* withPolicies(policy({ name: "No refunds", expr: 'action != "refund"' }))
      platform.revoke(agent, model)
      const seen = yield* governed<string>("refund", model, { content: `key ${secret}` })((call) =>
        Effect.succeed(call.content)
      )
      assert.notInclude(seen, secret)
      assert.deepStrictEqual(yield* told, ["task_completed", "allow"])
      assert.strictEqual(platform.events[1]?.["mode"], "observed")
    }).pipe(Effect.provide(AgionTest.layer({ enforcement: "observe" })))
  )

  it.effect("POLICY-8 a suspended agent is denied also where is only observed", () =>
    Effect.gen(function* () {
      const platform = yield* ready()
      platform.suspend(agent)
      const error = yield* Effect.void.pipe(governed("chat", model), Effect.flip)
      assert.include(error.message, "Agent is suspended")
    }).pipe(Effect.provide(AgionTest.layer({ enforcement: "observe" })))
  )
})

layer(AgionTest.layer({ governance: false }))("governance switched off", (it) => {
  it.effect("GOVERN-5 the permission layer allows and marks, policies and DLP stay", () =>
    Effect.gen(function* () {
      const cache = yield* PermissionCache
      const decision = yield* cache.check({ resourceId: model })
      assert.deepInclude(decision, { allowed: true, mode: "ungoverned" })
      yield* Effect.void.pipe(governed("chat", model))
      const error = yield* Effect.void.pipe(governed("chat", model, { content: secret }), Effect.flip)
      assert.strictEqual(error._tag, "PolicyViolation")
    })
  )
})

it.effect("TRUST-2 the agent sees its own graduation and what it is to expect", () =>
  Effect.gen(function* () {
    const platform = yield* ready()
    platform.trust(agent, 58)
    const trust = yield* TrustTracker
    const graduated = yield* trust.changes.pipe(
      Stream.filter((change) => change.graduated),
      Stream.runHead,
      Effect.forkChild({ startImmediately: true })
    )
    yield* Effect.yieldNow
    yield* Effect.void.pipe(governed("chat", model))
    assert.strictEqual(yield* trust.expected, 60)
    yield* flush
    const change = yield* Fiber.join(graduated)
    assert.deepInclude(change._tag === "Some" ? change.value : {}, {
      score: 60,
      tier: "trusted",
      previous: 58
    })
    assert.deepInclude(yield* trust.score, { score: 60, tier: "trusted", known: true })
  }).pipe(fresh())
)
