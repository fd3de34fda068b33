import { FaultProxy, PostgresServer, RedisServer } from "@agion/testing"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as EventTargets from "../EventTargets.ts"
import * as Children from "./Children.ts"
import { World } from "./World.ts"

interface Held {
  readonly before: Readonly<Record<string, number>>
  readonly after: Readonly<Record<string, number>>
}

/** What a program that opens and closes the SDK says, once it has ended by itself. */
const closing = (fixture: string, turns: number, args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const directory = yield* EventTargets.folder
    const child = yield* Children.start(fixture, [String(turns), directory, ...args], (line) =>
      lines.push(line)
    )
    const code = yield* Effect.timeoutOrElse(child.ended, {
      duration: "60 seconds",
      orElse: () =>
        Effect.die(new Error(`something keeps the process alive: ${lines.join()} ${child.complaints()}`))
    })
    assert.strictEqual(code, 0, child.complaints())
    return JSON.parse(lines[0] ?? "{}")
  })

/** What a process held before and after it opened and closed the SDK. */
const closer = (
  turns: number,
  ...connections: ReadonlyArray<string>
): Effect.Effect<Held, never, Scope.Scope> => closing("faultCloser.ts", turns, connections)

const assertNothingLeft = ({ after, before }: Held) => {
  for (const [kind, n] of Object.entries(after)) assert.isAtMost(n, before[kind] ?? 0, kind)
}

describe.skipIf(!PostgresServer.isThere() || !RedisServer.isThere())(
  "a scope of the SDK that closes at any moment",
  () => {
    layer(World.layer, { timeout: "90 seconds", excludeTestServices: true })((it) => {
      it.effect("EVENT-4 leaves no fiber, timer, socket or file behind while everything is there", () =>
        Effect.gen(function* () {
          const { platform, redis } = yield* World
          assertNothingLeft(yield* closer(20, platform.url, redis.url))
          assertNothingLeft(yield* closer(20, platform.url))
        }).pipe(Effect.scoped)
      )

      it.effect("EVENT-4 leaves none behind while the links are half-open or refused", () =>
        Effect.gen(function* () {
          const { platform, redis } = yield* World
          const http = yield* FaultProxy.make({ port: platform.port })
          const wire = yield* FaultProxy.make({ port: redis.port })
          const gatewayUrl = `http://127.0.0.1:${http.port}`
          const redisUrl = `redis://127.0.0.1:${wire.port}`
          for (const fault of [{ _tag: "BlackHole" }, { _tag: "Reset" }] as const) {
            yield* http.apply(fault)
            yield* wire.apply(fault)
            assertNothingLeft(yield* closer(12, gatewayUrl, redisUrl))
          }
        }).pipe(Effect.scoped)
      )
    })
  }
)

interface Closed extends Held {
  readonly ends: Readonly<Record<string, number>>
  /** Milliseconds that the slowest `close` took. */
  readonly longest: number
}

/** A model that `closer-1` to `closer-3` may use. */
const model = (post: World["Service"]["post"]) =>
  Effect.gen(function* () {
    const made = yield* post("/resources", {
      organization_id: "default",
      resource_type: "ai_model",
      name: `closed-${process.hrtime.bigint()}`,
      resource_data: {},
      created_by: "tester"
    })
    for (const actor_id of ["closer-1", "closer-2", "closer-3"]) {
      const asked = yield* post("/permissions", {
        actor_id,
        actor_type: "agent",
        resource_id: made.id,
        permission_type: "use",
        purpose: "test"
      })
      yield* post(`/permissions/${asked.id}/approve`, { approved_by: "boss" })
    }
    return String(made.id)
  })

describe.skipIf(!PostgresServer.isThere() || !RedisServer.isThere())(
  "an agent of the promise front that closes",
  () => {
    layer(World.layer, { timeout: "90 seconds", excludeTestServices: true })((it) => {
      for (const over of ["Redis", "HTTP alone"])
        it.effect(`ends what is under way, runs nothing after, and leaves nothing behind, over ${over}`, () =>
          Effect.gen(function* () {
            const { platform, post, redis } = yield* World
            const turns = 5
            const args = [platform.url, yield* model(post), ...(over === "Redis" ? [redis.url] : [])]
            const held: Closed = yield* closing("faultPromiseCloser.ts", turns, args)
            assertNothingLeft(held)
            // One agent alone and two of a host in each turn; all but the host's `connect` end by the same code.
            const agents = 3 * turns
            const everyEnd = ["call", "stream", "paused", "trust", "policies", "call while it closes"]
              .concat(["call after", "check after", "stream after"])
              .map((what) => [`${what}: closed`, agents])
            assert.deepStrictEqual(held.ends, {
              ...Object.fromEntries(everyEnd),
              "work after: did not run": 2 * turns,
              "connect after: settings_invalid": turns
            })
            assert.isBelow(held.longest, 2000)
          }).pipe(Effect.scoped)
        )
    })
  }
)
