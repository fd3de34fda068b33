import { ActorId, type CheckRequest, OrganizationId, ResourceId } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { GovernanceHttp, PlatformRefused, PlatformUnavailable, Settings } from "../src/index.ts"
import { makeBatcher } from "../src/internal/CheckBatcher.ts"
import { AgionTest, TestPlatform, testUuid } from "../src/testing/index.ts"
import { atEachStep, interruptedAt } from "./Interrupting.ts"

const fresh = (options = {}) => Effect.provide(AgionTest.layer(options))
const parts = Effect.all({ platform: TestPlatform, http: GovernanceHttp })

const request = (resource: string): CheckRequest => ({
  actorId: ActorId.make("agent-1"),
  actorType: "agent",
  resourceId: ResourceId.make(resource),
  permissionType: "use"
})

const paths = (platform: TestPlatform["Service"]) =>
  platform.arrived.map(({ path }) => path).filter((path) => path.startsWith("/permissions"))

const checksOf = (body: unknown): ReadonlyArray<unknown> =>
  typeof body === "object" && body !== null && "checks" in body && Array.isArray(body.checks)
    ? body.checks
    : []

const errorOf = <A, E>(exit: Exit.Exit<A, E>): unknown =>
  Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined

/** Lets time pass until an effect has ended, and says how long it took. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(Effect.exit(effect), { startImmediately: true })
    let waited = 0
    for (; waited < 20_000 && fiber.pollUnsafe() === undefined; waited += 50)
      yield* TestClock.adjust("50 millis")
    return { exit: yield* Fiber.join(fiber), waited }
  })

describe("the platform over HTTP", () => {
  it.effect("checks of one turn are one call, and duplicates are asked once", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      const asked = [1, 2, 1, 3, 2].map((n) => http.check(request(testUuid(n))))
      const answers = yield* Effect.all(asked, { concurrency: "unbounded" })
      assert.lengthOf(answers, 5)
      assert.strictEqual(answers[0], answers[2])
      assert.deepStrictEqual(paths(platform), ["/permissions/check/batch"])
      const [batch] = platform.arrived.filter(({ path }) => path.endsWith("/batch"))
      assert.lengthOf(checksOf(batch?.body), 3)
    }).pipe(fresh())
  )

  it.effect("OUTAGE-1 what cannot be sent is refused alone, and is no outage of the others", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      const contexts = [{ note: "\u0000" }, { note: "\ud800" }, { n: Number.NaN }, { request_tokens: -1 }]
      const bad = contexts.map((context) => ({ ...request(testUuid(2)), context }))
      const ends = yield* Effect.all(
        [request(testUuid(1)), ...bad].map((one) => Effect.exit(http.check(one))),
        { concurrency: "unbounded" }
      )
      const [good, ...refused] = ends.map(errorOf)
      assert.isUndefined(good)
      for (const one of bad)
        refused.push(errorOf(yield* Effect.exit(http.reserve({ ...one, amounts: {}, idempotencyKey: "k" }))))
      assert.lengthOf(refused, 8)
      for (const error of refused) {
        assert.instanceOf(error, PlatformRefused)
        assert.propertyVal(error, "status", 400)
      }
      assert.deepStrictEqual(paths(platform), ["/permissions/check"])
    }).pipe(fresh())
  )

  it.effect("LIMIT-3 a reservation that arrives after its report takes nothing", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      const one = request(testUuid(1))
      platform.resource({ id: testUuid(1) })
      platform.grant("agent-1", testUuid(1), "use")
      const id = platform.grantOf("agent-1", testUuid(1), "use")?.id ?? assert.fail("granted")
      const report = { reservationKey: "late", requestCount: 0 }
      yield* http.act((api) => api.permissions.usage({ params: { id }, payload: report }))
      const reserve = (idempotencyKey: string) =>
        Effect.exit(http.reserve({ ...one, amounts: { tokens: 5 }, idempotencyKey }))
      assert.propertyVal(errorOf(yield* reserve("late")), "status", 409)
      assert.strictEqual(platform.reservations.size, 0)
      assert.isTrue(Exit.isSuccess(yield* reserve("another")))
    }).pipe(fresh())
  )

  it.effect("each check of a batch has an end of its own", () =>
    Effect.gen(function* () {
      const refused = "one of the batch"
      const check = yield* makeBatcher(
        (requests: ReadonlyArray<CheckRequest>) =>
          Effect.succeed(
            requests.map(({ resourceId }) =>
              resourceId === testUuid(2) ? Exit.fail(refused) : Exit.succeed(`answer ${resourceId}`)
            )
          ),
        "closed"
      )
      const ends = yield* Effect.all(
        [1, 2, 3].map((n) => Effect.exit(check(request(testUuid(n))))),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(ends, [
        Exit.succeed(`answer ${testUuid(1)}`),
        Exit.fail(refused),
        Exit.succeed(`answer ${testUuid(3)}`)
      ])
    }).pipe(Effect.scoped)
  )

  it.effect("a caller that goes away at whatever step leaves no other waiting", () =>
    Effect.gen(function* () {
      const steps = yield* atEachStep((step) =>
        Effect.gen(function* () {
          const check = yield* makeBatcher(
            (requests: ReadonlyArray<CheckRequest>) =>
              Effect.succeed(requests.map(({ resourceId }) => Exit.succeed(resourceId))),
            "closed"
          )
          const isReached = yield* interruptedAt(check(request(testUuid(1))), step)
          const other = yield* Effect.forkChild(check(request(testUuid(2))), { startImmediately: true })
          for (let turn = 0; turn < 20; turn++) yield* Effect.yieldNow
          assert.deepStrictEqual(
            other.pollUnsafe(),
            Exit.succeed(ResourceId.make(testUuid(2))),
            `step ${step}`
          )
          return isReached
        }).pipe(Effect.scoped)
      )
      assert.isAbove(steps, 3)
    })
  )

  it.effect("who still waits when the agent is closed is told so, and so is who comes after", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const ends = yield* Effect.gen(function* () {
        const check = yield* makeBatcher(
          () => Effect.andThen(Deferred.succeed(asked, undefined), Effect.never),
          "closed"
        )
        const sent = yield* Effect.forkDetach(check(request(testUuid(1))), { startImmediately: true })
        yield* Deferred.await(asked)
        const unsent = yield* Effect.forkDetach(check(request(testUuid(2))), { startImmediately: true })
        return [Fiber.join(sent), Fiber.join(unsent), check(request(testUuid(3)))]
      }).pipe(Effect.scoped)
      for (const end of ends) assert.strictEqual(yield* Effect.flip(end), "closed")
    })
  )

  it.effect("OUTAGE-1 a batch that is answered with fewer checks is an outage, and no defect", () =>
    Effect.gen(function* () {
      const client = HttpClient.make((asked) =>
        Effect.succeed(HttpClientResponse.fromWeb(asked, Response.json({ results: [] })))
      )
      const layer = GovernanceHttp.layer().pipe(
        Layer.provide(Settings.layer({ agentId: "agent-1", gatewayUrl: "http://platform.test" })),
        Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
      )
      const ends = yield* Effect.flatMap(GovernanceHttp, ({ check }) =>
        Effect.forEach([1, 2], (n) => Effect.exit(check(request(testUuid(n)))), { concurrency: "unbounded" })
      ).pipe(Effect.provide(layer))
      for (const error of ends.map(errorOf)) {
        assert.instanceOf(error, PlatformUnavailable)
        assert.propertyVal(error, "kind", "garbled")
      }
    })
  )

  it.effect("a single check goes by itself", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      yield* http.check(request(testUuid(1)))
      assert.deepStrictEqual(paths(platform), ["/permissions/check"])
    }).pipe(fresh())
  )

  it.effect("FRESH-2 tells those who listen of the epochs of answers, in our organization alone", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      const heard: Array<number> = []
      const check = (n: number, organizationId = "default") => {
        platform.epoch = n
        return http.check({ ...request(testUuid(1)), organizationId: OrganizationId.make(organizationId) })
      }
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* http.onEpoch((epoch) => heard.push(epoch))
          yield* check(71)
          yield* check(72, "another")
          yield* check(73)
        })
      )
      yield* check(74)
      assert.deepStrictEqual(heard, [71, 73])
    }).pipe(fresh())
  )

  it.effect("an answer names the organization's epoch", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      platform.epoch = 77
      assert.strictEqual((yield* http.check(request(testUuid(1)))).epoch, 77)
    }).pipe(fresh())
  )

  it.effect("what may be repeated is repeated, what may not is sent once", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      platform.fault = { _tag: "Status", status: 503 }
      platform.arrived.length = 0
      const score = (api: Parameters<Parameters<typeof http.ask>[0]>[0]) =>
        api.trust.score({ params: { entityId: ActorId.make("agent-1") }, query: {} })
      const asks = () => platform.arrived.filter(({ path }) => path.startsWith("/trust")).length
      yield* timed(http.ask(score))
      assert.strictEqual(asks(), 3)
      yield* timed(http.act(score))
      assert.strictEqual(asks(), 4)
    }).pipe(fresh())
  )

  it.effect("what answers and is no platform is named, whatever the route", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      platform.fault = { _tag: "Status", status: 404 }
      const id = ResourceId.make(testUuid(1))
      const errors = [
        errorOf(yield* Effect.exit(http.check(request(id)))),
        errorOf(yield* Effect.exit(http.ask((api) => api.resources.get({ params: { id } }))))
      ]
      for (const error of errors) {
        assert.instanceOf(error, PlatformRefused)
        assert.include(error.message, "look at the path of `gatewayUrl`")
      }
    }).pipe(fresh())
  )

  it.effect.prop(
    "Retry-After is waited for before each repetition, whatever the jitter",
    [Schema.Literals(["1", "0.5"])],
    ([retryAfter]) =>
      Effect.gen(function* () {
        const { http, platform } = yield* parts
        platform.fault = { _tag: "Status", status: 503, retryAfter }
        platform.arrived.length = 0
        const fiber = yield* Effect.forkChild(Effect.exit(http.check(request(testUuid(1)))))
        const tries: Array<number> = []
        for (let at = 0; fiber.pollUnsafe() === undefined; at += 50) {
          yield* TestClock.adjust("50 millis")
          while (tries.length < paths(platform).length) tries.push(at)
        }
        assert.lengthOf(tries, 3)
        for (const [n, at] of tries.entries())
          if (n > 0) assert.isAtLeast(at - (tries[n - 1] ?? 0), Number(retryAfter) * 1000)
        const error = errorOf(yield* Fiber.join(fiber))
        assert.instanceOf(error, PlatformUnavailable)
        assert.propertyVal(error, "kind", "status")
      }).pipe(fresh()),
    { arbitrary: { runs: 20 } }
  )

  it.effect("a platform that wants to be asked again at once is given a moment all the same", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      platform.fault = { _tag: "Status", status: 503, retryAfter: "0" }
      platform.arrived.length = 0
      const fiber = yield* Effect.forkChild(Effect.exit(http.check(request(testUuid(1)))))
      for (let turn = 0; turn < 200; turn++) yield* Effect.yieldNow
      assert.lengthOf(paths(platform), 1)
      yield* TestClock.adjust("1 second")
      assert.lengthOf(paths(platform), 3)
      yield* Fiber.join(fiber)
    }).pipe(fresh())
  )

  it.effect("a refusal that says nothing says what to look at, and a way elsewhere is not gone", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const said = (status: number) => {
        const client = HttpClient.make((request, { host }) => {
          asked.push(host)
          const response = new Response(null, { status, headers: { location: "http://elsewhere.test/" } })
          return Effect.succeed(HttpClientResponse.fromWeb(request, response))
        })
        const layer = GovernanceHttp.layer().pipe(
          Layer.provide(Settings.layer({ agentId: "a", gatewayUrl: "http://platform.test", apiKey: "k" })),
          Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
        )
        return Effect.flatMap(GovernanceHttp, ({ act }) =>
          act((api) => api.organizations.signingKeys({}))
        ).pipe(
          Effect.flip,
          Effect.map(({ message }) => message),
          Effect.provide(layer)
        )
      }
      assert.include(yield* said(401), "does not take `apiKey`")
      for (const status of [301, 302, 307, 308])
        assert.include(yield* said(status), `leads elsewhere with ${status}, which is not followed`)
      assert.deepStrictEqual(new Set(asked), new Set(["platform.test"]))
    })
  )

  it.effect("OUTAGE-1 to be told to come back too late is that refusal at once, and no outage", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      platform.fault = { _tag: "Status", status: 429, retryAfter: "20" }
      const { exit, waited } = yield* timed(Effect.flip(http.check(request(testUuid(1)))))
      assert.isTrue(exit._tag === "Success" && exit.value instanceof PlatformRefused)
      assert.deepInclude(exit._tag === "Success" ? exit.value : {}, { status: 429, retryAfterMs: 20_000 })
      assert.isAtMost(waited, 200)
    }).pipe(fresh())
  )

  it.effect("repetitions are a tenth of all calls in the long run", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      platform.fault = { _tag: "Status", status: 503 }
      platform.arrived.length = 0
      const calls = 200
      for (let n = 0; n < calls; n++) yield* timed(http.check(request(testUuid(1))))
      const repeated = paths(platform).length - calls
      // Ten were saved up.
      assert.isAtLeast(repeated, calls / 10)
      assert.isAtMost(repeated, calls / 10 + 10)
    }).pipe(fresh())
  )

  it.effect("of any route what reads is repeated, what writes only when it was turned away", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      const score = http.call((api) =>
        api.trust.score({ params: { entityId: ActorId.make("agent-1") }, query: {} })
      )
      const evaluate = http.call((api) =>
        api.trust.evaluate({
          payload: {
            entityId: ActorId.make("agent-1"),
            entityType: "agent",
            eventType: "negative",
            impact: -5,
            description: "left a door open"
          }
        })
      )
      const tries = function* (call: Effect.Effect<unknown, unknown>, status: number) {
        platform.fault = { _tag: "Status", status }
        platform.arrived.length = 0
        yield* timed(call)
        return platform.arrived.filter(({ path }) => path.startsWith("/trust")).length
      }
      assert.strictEqual(yield* tries(score, 503), 3)
      assert.strictEqual(yield* tries(evaluate, 503), 1)
      assert.isAbove(yield* tries(evaluate, 429), 1)
    }).pipe(fresh())
  )

  it.effect("OUTAGE-1 silence ends at the deadline", () =>
    Effect.gen(function* () {
      const { http, platform } = yield* parts
      platform.fault = { _tag: "Hang" }
      const { exit, waited } = yield* timed(Effect.flip(http.check(request(testUuid(1)))))
      assert.isTrue(exit._tag === "Success" && exit.value instanceof PlatformUnavailable)
      assert.isAtMost(waited, 5050)
      const said = exit._tag === "Success" ? String(exit.value.message) : ""
      assert.include(said, "the platform at `http://platform.test` does not answer (")
    }).pipe(fresh())
  )
})
