/** A thousand agents listen at once, and each is told of its own revocation. */

import { request as httpRequest } from "node:http"
import { Platform, PostgresServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { unique } from "../suites/words.ts"

const listeners = 1000

/** Opens a line and calls `onEvent` with every frame, as cheaply as may be. */
const open = (url: string, onEvent: (frame: string) => void) =>
  Effect.acquireRelease(
    Effect.callback<import("node:http").ClientRequest>((resume) => {
      const request = httpRequest(url, (response) => {
        response.setEncoding("utf8")
        let rest = ""
        response.on("data", (chunk: string) => {
          const frames = (rest + chunk).split("\n\n")
          rest = frames.pop() ?? ""
          for (const frame of frames) onEvent(frame)
        })
        resume(Effect.succeed(request))
      })
      request.on("error", () => {})
      request.end()
    }),
    (request) => Effect.sync(() => request.destroy())
  )

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
      const told = new Map<string, number>()
      yield* Effect.forEach(
        rows,
        ({ id, actor_id }) =>
          open(`${platform.url}/api/v1/stream?agent_id=${actor_id}&organization_id=${org}`, (frame) => {
            if (frame.includes(id) && !told.has(id)) told.set(id, performance.now())
          }),
        { concurrency: 50 }
      )
      const asked = new Map<string, number>()
      yield* Effect.forEach(
        rows,
        ({ id }) => {
          asked.set(id, performance.now())
          return platform.post(`/permissions/${id}/revoke`, { revoked_by: "boss", reason: "over" })
        },
        { concurrency: 4 }
      )
      const until = performance.now() + 30_000
      while (told.size < listeners && performance.now() < until)
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
      assert.strictEqual(told.size, listeners)
      const times = rows.map(({ id }) => (told.get(id) ?? 0) - (asked.get(id) ?? 0)).sort((a, b) => a - b)
      yield* Effect.log(
        `revocation to push, ${listeners} listeners: p50 ${percentile(times, 50)?.toFixed(1)} ms, ` +
          `p99 ${percentile(times, 99)?.toFixed(1)} ms, max ${times.at(-1)?.toFixed(1)} ms`
      )
    }).pipe(Effect.scoped)
  )
})
