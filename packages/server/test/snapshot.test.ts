import { RedisMemory } from "@agion/redis-memory"
import { Server } from "@agion/server"
import { Template } from "@agion/testing"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Exit, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Changes } from "../src/changes/Changes.ts"
import { Feed } from "../src/changes/Feed.ts"
import { type Question, Snapshot } from "../src/permissions/Snapshot.ts"

const server = Layer.unwrap(
  Effect.map(Template.memory, (database) => Server.layer({ port: 0, database, authentication: "off" }))
).pipe(Layer.provide(RedisMemory.layer))

/** A snapshot of its own beside the server's, with another bound. */
const smallSnapshot = (maxEntries: number) =>
  Effect.map(Layer.build(Snapshot.layer({ maxEntries })), (built) => Context.get(built, Snapshot))

const seed = Effect.fnUntraced(function* (organization: string) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`INSERT INTO organizations (id) VALUES (${organization}) ON CONFLICT DO NOTHING`
  const [row] = yield* sql<{ id: string }>`
    WITH r AS (INSERT INTO resources (organization_id, resource_type, name, resource_data)
      VALUES (${organization}, 'api', 'r', '{}') RETURNING id),
    p AS (INSERT INTO permissions (organization_id, actor_id, actor_type, resource_id, permission_type, purpose, status)
      SELECT ${organization}, 'a', 'agent', id, 'use', 'test', 'approved' FROM r RETURNING id, resource_id),
    u AS (INSERT INTO permission_usage (permission_id, organization_id, actor_id)
      SELECT id, ${organization}, 'a' FROM p)
    SELECT resource_id AS id FROM p`
  return { actorId: "a", actorType: "agent", resourceId: row?.id ?? "", permissionType: "use" } as Question
})

layer(server, { timeout: "60 seconds", excludeTestServices: true })("the snapshot", (it) => {
  it.effect("stays within its bound while ten times as many organizations pass through", () =>
    Effect.gen(function* () {
      const snapshot = yield* smallSnapshot(20)
      const questions = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, n) => `bound-${n}`),
        (organization) => Effect.map(seed(organization), (question) => ({ organization, question }))
      )
      for (const { organization, question } of [...questions, ...questions]) {
        const [known] = yield* snapshot.know(organization, [question])
        assert.strictEqual(known?.permission?.status, "approved")
        assert.isAtMost(snapshot.size().entries, 20)
        assert.isAtMost(snapshot.size().organizations, 10)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("an answer needs no query until a change names what it is about", () =>
    Effect.gen(function* () {
      const snapshot = yield* Snapshot
      const changes = yield* Changes
      const [one, other] = [yield* seed("named"), yield* seed("unnamed")]
      yield* snapshot.know("named", [one])
      yield* snapshot.know("unnamed", [other])
      assert.isDefined(snapshot.peek("named", one))
      yield* changes.record({ organizationId: "named", kind: "permission", ids: ["p", "somebody else", "r"] })
      assert.isDefined(snapshot.peek("named", one))
      for (const change of [
        { kind: "permission", ids: ["p", "a", one.resourceId] },
        { kind: "resource", ids: [one.resourceId] },
        { kind: "trust", ids: ["a"] },
        { kind: "agent", ids: ["a"] },
        { kind: "policy", ids: ["1"] },
        { kind: "organization", ids: [] },
        { kind: "agent", ids: [] }
      ] as const) {
        yield* changes.record({ organizationId: "named", ...change })
        assert.isUndefined(snapshot.peek("named", one), `${change.kind} ${change.ids}`)
        assert.isDefined(snapshot.peek("unnamed", other))
        const epoch = changes.epoch("named")
        assert.strictEqual((yield* snapshot.know("named", [one]))[0]?.epoch, epoch)
      }
    })
  )

  it.effect("what changed while it was being read is read again (FRESH-1)", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const snapshot = yield* Snapshot
      const changes = yield* Changes
      const question = yield* seed("racing")
      // Readers and writers at once: whoever asks after a write was answered sees it.
      yield* Effect.forEach(
        Array.from({ length: 30 }, (_, n) => (n % 2 === 0 ? "revoked" : "approved")),
        (status) =>
          Effect.gen(function* () {
            const reading = yield* Effect.forkChild(snapshot.know("racing", [question]))
            yield* sql.withTransaction(
              Effect.gen(function* () {
                yield* sql`UPDATE permissions SET status = ${status} WHERE organization_id = 'racing'`
                yield* changes.record({
                  organizationId: "racing",
                  kind: "permission",
                  ids: ["p", "a", question.resourceId]
                })
              })
            )
            const [known] = yield* snapshot.know("racing", [question])
            assert.strictEqual(known?.permission?.status, status)
            reading.interruptUnsafe()
          })
      )
    })
  )

  it.effect("a reading that fails leaves nothing behind, and the next one reads", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      let failures = 1
      const failing = new Proxy(sql, {
        apply: (target, self, given) =>
          failures-- > 0 ? Effect.die(new Error("away")) : Reflect.apply(target, self, given)
      })
      const built = yield* Layer.build(
        Snapshot.layer().pipe(Layer.provide(Layer.succeed(SqlClient.SqlClient, failing)))
      )
      const snapshot = Context.get(built, Snapshot)
      const question = yield* seed("failing")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(snapshot.know("failing", [question]))))
      assert.deepStrictEqual(snapshot.size(), { organizations: 0, entries: 0, readings: 0 })
      const [known] = yield* snapshot.know("failing", [question])
      assert.strictEqual(known?.permission?.status, "approved")
    }).pipe(Effect.scoped)
  )

  it.effect("an organization that is not there yet is not kept", () =>
    Effect.gen(function* () {
      const snapshot = yield* Snapshot
      const question = {
        actorId: "x",
        actorType: "agent",
        resourceId: crypto.randomUUID(),
        permissionType: "use"
      }
      const before = snapshot.size()
      const [known] = yield* snapshot.know("nowhere", [question as Question])
      assert.deepStrictEqual([known?.resource, known?.permission, known?.trustScore], [null, null, 40])
      assert.deepStrictEqual(snapshot.size(), before)
      assert.isTrue((yield* Feed).isFresh())
    })
  )
})
