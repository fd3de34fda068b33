import { AgionSdk, EventBuffer, governed, PermissionCache, Registrar, TrustTracker } from "@agion/sdk"
import { ApiKeys } from "@agion/server"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schedule } from "effect"
import { FaultProxy, Platform } from "../src/index.ts"

/** Waits for a condition, with a bound; what was seen last is told. */
const until = <A, E, R>(effect: Effect.Effect<A, E, R>, holds: (value: A) => boolean) => {
  let seen: unknown = "nothing"
  const looked = Effect.tap(effect, (value) =>
    Effect.sync(() => {
      seen = value
    })
  )
  return looked.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOrElse({
      duration: "15 seconds",
      orElse: () => Effect.die(new Error(`never came true; the last was ${JSON.stringify(seen)}`))
    })
  )
}

const resource = (name: string, more: object = {}) =>
  Effect.gen(function* () {
    const platform = yield* Platform.Platform
    const made = yield* platform.post("/resources", {
      organization_id: "default",
      resource_type: "database",
      name,
      resource_data: {},
      created_by: "tester",
      ...more
    })
    assert.strictEqual(made.status, 201, made.text)
    return String(made.body.id)
  })

const approve = (agent: string, resourceId: string) =>
  Effect.gen(function* () {
    const platform = yield* Platform.Platform
    const asked = yield* platform.post("/permissions", {
      actor_id: agent,
      actor_type: "agent",
      resource_id: resourceId,
      permission_type: "use",
      purpose: "test"
    })
    yield* platform.post(`/permissions/${asked.body.id}/approve`, { approved_by: "boss" })
  })

const putAt = (agent: string, score: number) =>
  Effect.gen(function* () {
    const platform = yield* Platform.Platform
    const known = yield* platform.get(`/trust/score/${agent}?entity_type=agent`)
    const changed = yield* platform.post("/trust/evaluate", {
      entity_id: agent,
      entity_type: "agent",
      event_type: "positive",
      impact: score - Number(known.body.data?.score ?? 40),
      description: "for the test"
    })
    assert.strictEqual(changed.body.data.score, score, changed.text)
  })

const portOf = (url: string) => Number(new URL(url).port)

layer(Platform.layer(), { timeout: "90 seconds", excludeTestServices: true })(
  "an outage of a real platform",
  (it) => {
    for (const redis of [true, false])
      it.effect(
        `OUTAGE-4 OUTAGE-6 a trusted agent goes on, and everything arrives afterwards, ${redis ? "over Redis" : "over HTTP alone"}`,
        () =>
          Effect.gen(function* () {
            const platform = yield* Platform.Platform
            const http = yield* FaultProxy.make({ port: portOf(platform.url) })
            const wire = yield* FaultProxy.make({ port: portOf(platform.redisUrl) })
            const suffix = redis ? "redis" : "http"
            const cold = yield* resource(`cold-${suffix}`)
            const warm = yield* resource(`warm-${suffix}`)
            const critical = yield* resource(`critical-${suffix}`, { risk_level: "critical" })

            const agent = (id: string, score: number) =>
              Effect.gen(function* () {
                yield* approve(id, warm)
                yield* approve(id, critical)
                const live = AgionSdk.layer({
                  agentId: id,
                  gatewayUrl: `http://127.0.0.1:${http.port}`,
                  directory: false,
                  ...(redis ? { redisUrl: `redis://127.0.0.1:${wire.port}` } : {})
                })
                const services = yield* Layer.build(live)
                const inside = Effect.provideContext<Layer.Success<typeof live>>(services)
                yield* Effect.gen(function* () {
                  // Who has heard of the score has heard of what was before it: the approvals and the registration.
                  yield* until((yield* Registrar).register, ({ registered }) => registered)
                  yield* putAt(id, score)
                  yield* until((yield* TrustTracker).score, (view) => view.score === score)
                  const cache = yield* PermissionCache
                  for (const resourceId of [warm, critical])
                    yield* until(cache.check({ resourceId }), (now) => now.allowed && now.source === "cache")
                  yield* cache.holdResources([cold])
                  yield* until((yield* TrustTracker).refresh, (view) => view.score === score)
                }).pipe(inside)
                return { id, inside }
              })
            const trusted = yield* agent(`trusted-${suffix}`, 72)
            const ordinary = yield* agent(`ordinary-${suffix}`, 64)

            yield* http.apply({ _tag: "Reset" })
            yield* wire.apply({ _tag: "Reset" })
            const check = (resourceId: string) =>
              Effect.flatMap(PermissionCache, (cache) => cache.check({ resourceId }))
            // What was confirmed within the last three seconds is no outage yet.
            yield* until(check(warm).pipe(trusted.inside), (decision) => decision.mode === "stale")
            assert.deepInclude(yield* check(cold).pipe(trusted.inside), { allowed: true, mode: "degraded" })
            assert.deepInclude(yield* check(cold).pipe(ordinary.inside), {
              allowed: false,
              rule: "low_trust"
            })
            yield* until(check(warm).pipe(ordinary.inside), (decision) => decision.mode === "stale")
            for (const { inside } of [trusted, ordinary])
              assert.deepInclude(
                yield* until(check(critical).pipe(inside), (now) => now.source === "outage"),
                {
                  allowed: false,
                  rule: "excluded"
                }
              )
            assert.strictEqual(
              yield* Effect.succeed("done").pipe(governed("read", cold), trusted.inside),
              "done"
            )

            yield* http.apply({ _tag: "None" })
            yield* wire.apply({ _tag: "None" })
            const flush = Effect.flatMap(EventBuffer, (events) => events.flush({ deadline: "10 seconds" }))
            yield* until(flush.pipe(trusted.inside), ({ pending }) => pending === 0)
            // The one governed call counts, degraded as it was.
            yield* until(
              platform.get(`/trust/score/${trusted.id}?entity_type=agent`),
              ({ body }) => body.data.score === 74
            )
            yield* until(check(warm).pipe(trusted.inside), (decision) => decision.mode === "normal")
          }).pipe(Effect.scoped),
        60_000
      )
  }
)

type Speak = Platform.Platform["Service"]["request"]

/** A platform whose organization demands signed events, and a resource that `subject` may use. */
const demanding = Effect.fnUntraced(function* (speak: Speak, organization_id: string) {
  yield* speak("PUT", `/organizations/${organization_id}`, { event_signature: "required" })
  const made = yield* speak("POST", "/resources", {
    organization_id,
    resource_type: "database",
    name: "shared",
    resource_data: {},
    created_by: "tester"
  })
  const asked = yield* speak("POST", "/permissions", {
    actor_id: "subject",
    actor_type: "agent",
    resource_id: made.body.id,
    permission_type: "use",
    purpose: "test"
  })
  yield* speak("POST", `/permissions/${asked.body.id}/approve`, { approved_by: "boss" })
  return String(made.body.id)
})

/** An agent that goes on for another actor in an outage, and what the platform knows of that afterwards. */
const goesOnForAnother = Effect.fnUntraced(function* (
  speak: Speak,
  options: { readonly organizationId: string; readonly apiKey?: string; readonly redis: boolean }
) {
  const { organizationId, redis, ...key } = options
  const platform = yield* Platform.Platform
  const resourceId = yield* demanding(speak, organizationId)
  const http = yield* FaultProxy.make({ port: portOf(platform.url) })
  const wire = yield* FaultProxy.make({ port: portOf(platform.redisUrl) })
  const live = AgionSdk.layer({
    ...key,
    agentId: "decider",
    organizationId,
    gatewayUrl: `http://127.0.0.1:${http.port}`,
    directory: false,
    ...(redis ? { redisUrl: `redis://127.0.0.1:${wire.port}` } : {})
  })
  const services = yield* Layer.build(live)
  const events = Context.get(services, EventBuffer)
  const check = Context.get(services, PermissionCache).check({ actorId: "subject", resourceId })
  yield* until(Context.get(services, Registrar).register, ({ registered }) => registered)
  yield* until(check, (now) => now.allowed && now.source === "cache")
  yield* http.apply({ _tag: "Reset" })
  yield* wire.apply({ _tag: "Reset" })
  yield* until(check, (decision) => decision.mode === "stale")
  yield* http.apply({ _tag: "None" })
  yield* wire.apply({ _tag: "None" })
  yield* until(events.flush({ deadline: "10 seconds" }), ({ pending }) => pending === 0)
  const path = `/audit/events?entity_id=subject&event_type=decision&organization_id=${organizationId}`
  const { body } = yield* until(speak("GET", path), (audit) => audit.body.total > 0)
  const modes = body.events.map((line: { readonly data: Record<string, unknown> }) => [
    line.data["mode"],
    line.data["reported_by"]
  ])
  assert.deepInclude(modes, ["stale", "decider"])
  assert.strictEqual((yield* events.statistics).refused, 0)
})

for (const redis of [true, false])
  layer(Platform.layer(), { timeout: "90 seconds", excludeTestServices: true })(
    "where signed events are demanded",
    (it) => {
      it.effect(
        `OUTAGE-6 what goes on for another actor arrives, ${redis ? "over Redis" : "over HTTP alone"}`,
        () =>
          Effect.gen(function* () {
            const { request } = yield* Platform.Platform
            yield* goesOnForAnother(request, { organizationId: "default", redis })
          }).pipe(Effect.scoped)
      )
    }
  )

layer(Platform.layer({ authentication: "keys" }), { timeout: "90 seconds", excludeTestServices: true })(
  "where a key belongs to an agent",
  (it) => {
    it.effect("OUTAGE-6 what goes on for another actor arrives", () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const keys = Context.get(platform.services, ApiKeys)
        const make = (agentId: string | null) =>
          Effect.map(
            Effect.orDie(keys.create({ organizationId: "acme", name: "test", agentId })),
            ({ key }) => key ?? ""
          )
        const operator = yield* make(null)
        const speak: Speak = (method, path, body) =>
          platform.request(method, path, body, { authorization: `Bearer ${operator}` })
        const apiKey = yield* make("decider")
        yield* goesOnForAnother(speak, { organizationId: "acme", apiKey, redis: false })
      }).pipe(Effect.scoped)
    )
  }
)
