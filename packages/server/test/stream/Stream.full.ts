/** A thousand agents listen at once, and each is told of its own revocation. */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Platform, PostgresServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { unique } from "../suites/words.ts"

const listeners = 1000

/** Listeners in a process of their own; `told` holds when each permission was told of, in epoch milliseconds. */
const listen = Effect.fnUntraced(function* (url: string, organization: string) {
  const told = new Map<string, number>()
  const ready = yield* Deferred.make<void>()
  const all = yield* Deferred.make<void>()
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const file = fileURLToPath(new URL("./listeners.ts", import.meta.url))
      const child = spawn(process.execPath, [file, url, organization, String(listeners)], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (line === "ready") return Effect.runFork(Deferred.succeed(ready, undefined))
        const { permission, at } = JSON.parse(line)
        told.set(permission, at)
        if (told.size === listeners) Effect.runFork(Deferred.succeed(all, undefined))
        return
      })
      return child
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  yield* Deferred.await(ready)
  return { told, all: Deferred.await(all) }
})

const percentile = (sorted: ReadonlyArray<number>, p: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))]

describe.skipIf(!PostgresServer.isThere())("1,000 listeners", () => {
  it.live("FRESH-3 each agent is told of its own revocation by push", () =>
    Effect.gen(function* () {
      const postgres = yield* PostgresServer.make()
      const platform = yield* Platform.make({ database: { _tag: "Postgres", url: yield* postgres.database } })
      const sql = Context.get(platform.services, SqlClient.SqlClient)
      const org = unique("org")
      const { body: resource } = yield* platform.post("/resources", {
        organization_id: org,
        resource_type: "ai_model",
        name: "m",
        resource_data: {},
        created_by: "test"
      })
      const agents = Array.from({ length: listeners }, (_, i) => `agent-${i}`)
      const rows = yield* sql<{ id: string; actor_id: string }>`
        INSERT INTO permissions (organization_id, actor_id, actor_type, resource_id, permission_type, purpose, status,
          approved_by, approved_at)
        SELECT ${org}, a, 'agent', ${resource.id}::uuid, 'use', 'to work', 'approved', 'boss', now()
        FROM unnest(${agents}::text[]) AS a RETURNING id, actor_id`
      yield* sql`
        INSERT INTO permission_usage (permission_id, organization_id, actor_id)
        SELECT id, organization_id, actor_id FROM permissions WHERE organization_id = ${org}`
      const line = yield* listen(platform.url, org)
      const asked = new Map<string, number>()
      yield* Effect.forEach(
        rows,
        ({ id }) => {
          asked.set(id, Date.now())
          const revoked = platform.post(`/permissions/${id}/revoke`, { revoked_by: "boss", reason: "over" })
          return Effect.map(revoked, ({ status, text }) => assert.strictEqual(status, 200, text))
        },
        { concurrency: 4 }
      )
      yield* Effect.timeout(line.all, "60 seconds")
      const times = rows
        .map(({ id }) => (line.told.get(id) ?? Number.NaN) - (asked.get(id) ?? 0))
        .sort((a, b) => a - b)
      assert.isTrue(times.every((time) => Number.isFinite(time)))
      yield* Effect.log(
        `revocation to push, ${listeners} listeners: p50 ${percentile(times, 50)} ms, ` +
          `p99 ${percentile(times, 99)} ms, max ${times.at(-1)} ms`
      )
    }).pipe(Effect.scoped)
  )
})
