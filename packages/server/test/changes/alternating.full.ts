/** Two replicas that write by turns: agents at either hear of every change, in order. */
import { Platform, PostgresServer, RedisServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect } from "effect"
import { ApiKeys } from "../../src/keys/ApiKeys.ts"
import { listen } from "../suites/stream.ts"
import { decided, grant, question, resource, unique } from "../suites/words.ts"

const twoReplicas = Effect.fnUntraced(function* (authentication: "off" | "keys") {
  const postgres = yield* PostgresServer.make()
  const redis = yield* RedisServer.make()
  const url = yield* postgres.database
  const make = Platform.make({ database: { _tag: "Postgres", url }, redisUrl: redis.url, authentication })
  return [yield* make, yield* make] as const
})

const at = (platform: Platform.Platform["Service"]) => Effect.provideService(Platform.Platform, platform)

describe.skipIf(!PostgresServer.isThere() || !RedisServer.isThere())(
  "two replicas that write by turns",
  () => {
    it.live("FRESH-2 no answer and no push names an epoch before what led to it was applied", () =>
      Effect.gen(function* () {
        const [one, two] = yield* twoReplicas("off")
        const [organization, agent, other] = [unique("org"), unique("agent"), unique("other")]
        const rounds = 15
        const models = yield* at(one)(
          Effect.forEach(Array.from({ length: rounds }), () => resource(organization))
        )
        const granted = yield* at(one)(Effect.forEach(models, ({ id }) => grant(agent, id)))
        const beside = yield* at(one)(grant(other, models[0]?.id ?? ""))
        const lines = [
          yield* at(one)(listen(agent, organization)),
          yield* at(two)(listen(agent, organization))
        ]
        for (const [round, permission] of granted.entries()) {
          const body = question(organization, agent, models[round]?.id ?? "")
          const ask = decided(one.post("/permissions/check", body))
          assert.isTrue((yield* ask).body.allowed)
          const revoked = yield* two.post(`/permissions/${permission.id}/revoke`, {
            revoked_by: "boss",
            reason: "over"
          })
          const epoch = Number(revoked.headers.get("agion-epoch"))
          const written = yield* one.put(`/permissions/${beside.id}`, {
            constraints: { rate_limit_rpm: round + 1 }
          })
          assert.isAbove(Number(written.headers.get("agion-epoch")), epoch)
          const answer = yield* ask
          assert.isAtLeast(answer.body.metadata.epoch, epoch)
          assert.isFalse(answer.body.allowed)
          assert.isFalse((yield* decided(two.post("/permissions/check", body))).body.allowed)
        }
        yield* Effect.forEach(
          Array.from({ length: 60 }, (_, n) => n),
          (n) =>
            (n % 2 === 0 ? one : two).put(`/resources/${models[n % rounds]?.id}`, { name: `model-${n}` }),
          { concurrency: 8 }
        )
        const end = yield* two.post(`/permissions/${beside.id}/revoke`, {
          revoked_by: "boss",
          reason: "over"
        })
        const last = Number(end.headers.get("agion-epoch"))
        for (const line of lines) {
          while ((yield* line.next("invalidation")).data.epoch < last);
          let epoch = line.all[0]?.data.epoch
          for (const { data, event, id } of line.all) {
            if (data.epoch === undefined) continue
            assert.strictEqual(data.previous, epoch, `after epoch ${epoch}`)
            assert.strictEqual(id, String(data.epoch))
            // Nobody was told to drop everything.
            assert.isTrue(event === "heartbeat" || data.ids.length > 0)
            epoch = data.epoch
          }
        }
      }).pipe(Effect.scoped)
    )

    it.live("a key that is removed at one ends its streams at the other within a second", () =>
      Effect.gen(function* () {
        const [one, two] = yield* twoReplicas("keys")
        const organizationId = unique("org")
        const keys = Context.get(two.services, ApiKeys)
        const key = yield* Effect.orDie(keys.create({ organizationId, name: "test", agentId: null }))
        const line = yield* at(one)(listen("a", organizationId, undefined, key.key))
        yield* line.next("heartbeat")
        const removed = yield* two.request("DELETE", `/api-keys/${key.id}`, undefined, {
          authorization: `Bearer ${key.key}`
        })
        assert.strictEqual(removed.status, 204)
        const heard = line.all.length
        yield* line.end
        // At most one heartbeat of a second, and one that was on its way.
        assert.isAtMost(line.all.length - heard, 2)
      }).pipe(Effect.scoped)
    )
  }
)
