import { AgionSdk, EventBuffer, governed, PermissionCache, TrustTracker } from "@agion/sdk"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
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
                yield* putAt(id, score)
                const live = AgionSdk.layer({
                  agentId: id,
                  gatewayUrl: `http://127.0.0.1:${http.port}`,
                  directory: false,
                  ...(redis ? { redisUrl: `redis://127.0.0.1:${wire.port}` } : {})
                })
                const services = yield* Layer.build(live)
                const inside = Effect.provideContext<Layer.Success<typeof live>>(services)
                yield* Effect.gen(function* () {
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
