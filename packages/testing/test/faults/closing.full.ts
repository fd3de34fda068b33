import { FaultProxy, PostgresServer, RedisServer } from "@agion/testing"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as EventTargets from "../EventTargets.ts"
import * as Children from "./Children.ts"
import { World } from "./World.ts"

interface Held {
  readonly before: Readonly<Record<string, number>>
  readonly after: Readonly<Record<string, number>>
}

/** What a process held before and after it opened and closed the SDK, once it has ended by itself. */
const closer = (turns: number, gatewayUrl: string, redisUrl?: string) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const directory = yield* EventTargets.folder
    const args = [String(turns), directory, gatewayUrl, ...(redisUrl === undefined ? [] : [redisUrl])]
    const child = yield* Children.start("faultCloser.ts", args, (line) => lines.push(line))
    const code = yield* Effect.timeoutOrElse(child.ended, {
      duration: "60 seconds",
      orElse: () =>
        Effect.die(new Error(`something keeps the process alive: ${lines.join()} ${child.complaints()}`))
    })
    assert.strictEqual(code, 0, child.complaints())
    const held: Held = JSON.parse(lines[0] ?? "{}")
    return held
  })

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
