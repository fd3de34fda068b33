import { Platform } from "@agion/testing"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { clientIp } from "../../src/http/ClientIp.ts"
import { grant, policy, question, resource, unique } from "../suites/words.ts"

/** What the caller would have policies believe. */
const claims = { client_ip: "1.2.3.4", environment: "dev", ticket: "T-1" }

/** Asks for a resource under a policy, in every way there is; answers what each way decided. */
const asked = Effect.fnUntraced(function* (platform: Platform.Platform["Service"], expr: string) {
  const [organization, agent] = [unique("org"), unique("agent")]
  const { id } = yield* resource(organization)
  yield* grant(agent, id)
  const made = yield* platform.post("/policies", policy(expr, { organization_id: organization }))
  assert.strictEqual(made.status, 201, made.text)
  const body = question(organization, agent, id, claims)
  const { organization_id: _, ...unplaced } = body
  const check = (more: object = body, headers = {}) =>
    platform.request("POST", "/permissions/check", more, headers)
  const traced = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }
  const batch = (checks: ReadonlyArray<object>) =>
    Effect.map(platform.post("/permissions/check/batch", { checks }), (answer) => ({
      ...answer,
      body: answer.body.results[0]
    }))
  const answers = {
    unplaced: yield* check(unplaced),
    first: yield* check(),
    early: yield* check(),
    traced: yield* check(body, traced),
    batch: yield* batch([body]),
    unplacedBatch: yield* batch([unplaced]),
    reserve: yield* platform.post("/permissions/reserve", { ...body, amounts: {} })
  }
  return Object.fromEntries(
    Object.entries(answers).map(([way, answer]) => [way, answer.body.allowed ?? answer.text])
  )
})

const everyWay = (allowed: boolean) => ({
  unplaced: allowed,
  first: allowed,
  early: allowed,
  traced: allowed,
  batch: allowed,
  unplacedBatch: allowed,
  reserve: allowed
})

it.live(
  "in a check `client_ip` is the peer's and `environment` the server's, whatever the call brought (contract 2.1)",
  () =>
    Effect.gen(function* () {
      const platform = yield* Platform.make({ server: { environment: "prod" } })
      const expr =
        'context.client_ip == "127.0.0.1" && context.environment == "prod" && context.ticket == "T-1"'
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* asked(platform, expr), everyWay(true))
        assert.deepStrictEqual(yield* asked(platform, `!(${expr})`), everyWay(false))
      }).pipe(Effect.provideService(Platform.Platform, platform))
    }).pipe(Effect.scoped),
  60_000
)

it.live(
  "without an environment of the server's there is none, whatever the call brought (contract 2.1)",
  () =>
    Effect.gen(function* () {
      const platform = yield* Platform.make()
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* asked(platform, "!has(context.environment)"), everyWay(true))
        assert.deepStrictEqual(yield* asked(platform, 'context.environment == "dev"'), everyWay(false))
      }).pipe(Effect.provideService(Platform.Platform, platform))
    }).pipe(Effect.scoped),
  60_000
)

it("an address is IPv4 where it came over IPv6, and has no zone", () => {
  assert.deepStrictEqual(
    ["127.0.0.1", "::ffff:10.1.2.3", "::1", "fe80::1%eth0", "::ffff:0:1", undefined].map(clientIp),
    ["127.0.0.1", "10.1.2.3", "::1", "fe80::1", "::ffff:0:1", undefined]
  )
})
