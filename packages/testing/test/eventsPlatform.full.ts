import { Redis } from "@agion/redis"
import { EventBuffer, EventTransport, ReportTransport } from "@agion/sdk"
import { FaultProxy, Platform } from "@agion/testing"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schedule } from "effect"
import * as EventTargets from "./EventTargets.ts"

const portOf = (url: string): number => Number(new URL(url).port)

/** Waits for what the platform does by and by. */
const until = <A>(effect: Effect.Effect<A>, enough: (value: A) => boolean) =>
  effect.pipe(
    Effect.flatMap((value) => (enough(value) ? Effect.succeed(value) : Effect.fail(value))),
    Effect.retry(Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(200)])),
    Effect.catch((value) => Effect.succeed(value))
  )

/** A buffer on the platform, its link through a proxy that makes faults. */
const start = Effect.fnUntraced(function* (over: "redis" | "http") {
  const platform = yield* Platform.Platform
  const proxy = yield* FaultProxy.make({ port: portOf(over === "redis" ? platform.redisUrl : platform.url) })
  const url = `http://127.0.0.1:${over === "http" ? proxy.port : portOf(platform.url)}`
  const events =
    over === "redis"
      ? EventTransport.layerRedis().pipe(
          Layer.provide(Redis.layer({ url: `redis://127.0.0.1:${proxy.port}` }))
        )
      : EventTransport.layerHttp({ url, timeout: "500 millis" })
  const transports = Layer.merge(events, ReportTransport.layerHttp({ url })).pipe(
    Layer.provide(NodeHttpClient.layerUndici)
  )
  const directory = yield* EventTargets.folder
  const context = yield* Layer.build(Layer.provide(EventBuffer.layer({ directory }), transports))
  return { platform, proxy, events: Context.get(context, EventBuffer) }
})

const score = (platform: Platform.Platform["Service"], agent: string) =>
  Effect.map(platform.get(`/trust/score/${agent}?entity_type=agent`), ({ body }): number => body?.data?.score)

layer(Platform.layer(), { timeout: "60 seconds", excludeTestServices: true })(
  "events at a platform",
  (it) => {
    for (const over of ["redis", "http"] as const) {
      it.effect(
        `TRUST-4 EVENT-5 over ${over}, with answers that get lost, ten successes take an agent from 40 to exactly 60`,
        () =>
          Effect.gen(function* () {
            const { platform, proxy, events } = yield* start(over)
            const agentId = `agent-${over}`
            yield* proxy.apply({ _tag: "DropReplies", every: 2 })
            for (let n = 0; n < 10; n++) {
              events.publishUnsafe("trust", { agentId, eventType: "task_completed", context: { n } })
              yield* events.flush({ deadline: "150 millis" })
            }
            yield* proxy.apply({ _tag: "None" })
            yield* events.flush({ deadline: "10 seconds" })
            assert.deepInclude(yield* events.statistics, { pending: 0, dropped: 0, refused: 0 })
            assert.strictEqual(yield* until(score(platform, agentId), (now) => now === 60), 60)
            const { body } = yield* platform.get(`/trust/history/${agentId}?entity_type=agent`)
            assert.strictEqual(body.data.count, 10)
          }),
        60_000
      )
    }

    it.effect("usage and settlements arrive, once each", () =>
      Effect.gen(function* () {
        const { platform, events } = yield* start("http")
        const resource = yield* platform.post("/resources", {
          organization_id: "org-1",
          resource_type: "ai_model",
          name: "m",
          resource_data: {},
          created_by: "admin"
        })
        const requested = yield* platform.post("/permissions", {
          actor_id: "agent-9",
          actor_type: "agent",
          resource_id: resource.body.id,
          permission_type: "use",
          purpose: "test",
          requested_by: "agent-9",
          constraints: { token_limit_per_day: 1000 }
        })
        const permissionId: string = requested.body.id
        yield* platform.post(`/permissions/${permissionId}/approve`, { approved_by: "admin" })
        const reserved = yield* platform.post("/permissions/reserve", {
          organization_id: "org-1",
          actor_id: "agent-9",
          actor_type: "agent",
          resource_id: resource.body.id,
          permission_type: "use",
          amounts: { requests: 1, tokens: 100 },
          ttl_ms: 60_000,
          idempotency_key: "once"
        })
        const reservationId: string = reserved.body.reservation.id
        const usage = { permissionId, eventId: "0198c0de-0000-7000-8000-000000000001", tokenCount: 7 }
        events.publishAllUnsafe([
          { kind: "usage", event: usage },
          { kind: "usage", event: usage },
          { kind: "settlement", event: { reservationId, requests: 1, tokens: 42 } },
          { kind: "settlement", event: { reservationId, requests: 1, tokens: 42 } },
          { kind: "usage", event: { permissionId: "00000000-0000-7000-8000-000000000000" } }
        ])
        yield* events.flush()
        assert.deepInclude(yield* events.statistics, { pending: 0, refused: 1 })
        const { body } = yield* platform.get(`/permissions/${permissionId}`)
        assert.deepInclude(body.usage_tracking, { current_day_tokens: 49, current_day_requests: 2 })
      })
    )
  }
)
