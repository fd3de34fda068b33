import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Context, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Changes } from "../../src/changes/Changes.ts"
import { Secrets } from "../../src/keys/Secrets.ts"
import { assertRefused, type It, unique } from "./words.ts"

/** A credential that no row, list or log may show. */
const hidden = ["s3cret", "value"].join("-")

export const registry = (it: It) => {
  it.effect("a prompt is found by its location, and each change is a new version", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const [org, location] = [unique("org"), unique("place")]
      const body = {
        name: "greet",
        location,
        content: "Hello {who}",
        variables: ["who"],
        organization_id: org
      }
      const made = yield* platform.post("/prompts", body)
      assert.strictEqual(made.status, 201, made.text)
      assertRefused(yield* platform.post("/prompts", body), 409)
      const found = yield* platform.get(`/prompts/by-location/${location}`)
      assert.strictEqual(found.body.content, "Hello {who}")
      assert.strictEqual(found.body.version, 1)
      const changed = yield* platform.put(`/prompts/${made.body.id}`, { content: "Hi {who}" })
      assert.strictEqual(changed.body.version, 2)
      assert.strictEqual((yield* platform.get(`/prompts?organization_id=${org}`)).body.total, 1)
      assert.strictEqual((yield* platform.delete(`/prompts/${made.body.id}`)).status, 204)
      assertRefused(yield* platform.get(`/prompts/by-location/${location}`), 404)
      assertRefused(yield* platform.put(`/prompts/${made.body.id}`, { content: "x" }), 404)
    })
  )

  it.effect("FRESH-2 a change of what agents look up raises the epoch and is told by kind and name", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const changes = Context.get(platform.services, Changes)
      const org = unique("org")
      const told: Array<{ readonly epoch: number; readonly ids: ReadonlyArray<string> }> = []
      yield* changes.listen(({ organizationId, message }) => {
        if (organizationId === org && message.kind === "config")
          told.push({ epoch: message.epoch, ids: message.ids })
      })
      const [first, second] = [unique("place"), unique("place")]
      const prompt = yield* platform.post("/prompts", {
        name: "greet",
        location: first,
        content: "Hello",
        organization_id: org
      })
      yield* platform.put(`/prompts/${prompt.body.id}`, { location: second })
      const config = yield* platform.post("/resource-configs", {
        name: "db",
        resource_type: "database",
        organization_id: org
      })
      yield* platform.put(`/resource-configs/${config.body.id}`, { credentials: { password: hidden } })
      yield* platform.delete(`/resource-configs/${config.body.id}`)
      assertRefused(yield* platform.delete(`/resource-configs/${config.body.id}`), 404)
      assert.deepStrictEqual(told, [
        { epoch: 1, ids: ["prompt", first] },
        { epoch: 2, ids: ["prompt", first, "prompt", second] },
        { epoch: 3, ids: ["resource", "db"] },
        { epoch: 4, ids: ["resource", "db"] },
        { epoch: 5, ids: ["resource", "db"] }
      ])
    })
  )

  it.effect(
    "credentials leave with the look-up of one row, are encrypted at rest, and are never listed",
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const [org, purpose, name] = [unique("org"), unique("purpose"), unique("db")]
        const model = yield* platform.post("/models", {
          name: "m",
          purpose,
          provider: "p",
          model_name: "m-1",
          credentials: { token: hidden },
          organization_id: org
        })
        const config = yield* platform.post("/resource-configs", {
          name,
          resource_type: "database",
          connection_string: `db://user:${hidden}@host/db`,
          credentials: { password: hidden },
          organization_id: org
        })
        assert.strictEqual(model.status, 201, model.text)
        assert.strictEqual(config.status, 201, config.text)
        const lists = [
          yield* platform.get(`/models?organization_id=${org}`),
          yield* platform.get(`/resource-configs?organization_id=${org}`),
          yield* platform.put(`/models/${model.body.id}`, { provider: "q" })
        ]
        for (const answer of [model, config, ...lists]) assert.notInclude(answer.text, hidden)
        const rows = yield* Context.get(platform.services, SqlClient.SqlClient)`
        SELECT secrets FROM models WHERE id = ${model.body.id}
        UNION ALL SELECT secrets FROM resource_configs WHERE id = ${config.body.id}`
        for (const row of rows) {
          assert.instanceOf(row["secrets"], Uint8Array)
          assert.notInclude(Buffer.from(row["secrets"] as Uint8Array).toString("latin1"), hidden)
        }
        const found = yield* platform.get(`/models/by-purpose/${purpose}`)
        assert.deepStrictEqual(found.body.credentials, { token: hidden })
        assert.strictEqual(found.body.provider, "q")
        const byName = yield* platform.get(`/resources/by-name/${name}`)
        assert.deepStrictEqual(byName.body.credentials, { password: hidden })
        assert.include(byName.body.connection_string, hidden)
        yield* platform.put(`/resource-configs/${config.body.id}`, { credentials: { password: "new" } })
        const after = yield* platform.get(`/resources/by-name/${name}`)
        assert.deepStrictEqual(after.body.credentials, { password: "new" })
        assert.include(after.body.connection_string, hidden)
      })
  )

  it.effect("rotating encrypts every secret by a new key, and all of them can still be read", () =>
    Effect.gen(function* () {
      const platform = yield* Platform.Platform
      const secrets = Context.get(platform.services, Secrets)
      const purpose = unique("purpose")
      yield* platform.post("/models", {
        name: "m",
        purpose,
        provider: "p",
        model_name: "m-1",
        credentials: { token: hidden },
        organization_id: unique("org")
      })
      const before = yield* secrets.keyId
      assert.isAtLeast(yield* secrets.rotate, 2)
      assert.notStrictEqual(yield* secrets.keyId, before)
      const found = yield* platform.get(`/models/by-purpose/${purpose}`)
      assert.deepStrictEqual(found.body.credentials, { token: hidden })
    })
  )
}
