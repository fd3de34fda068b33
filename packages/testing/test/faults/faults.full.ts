/**
 * The table of faults: each is played with real processes, and what the agents decided and told meanwhile is judged
 * by a rule book of the test's own. `AGION_WRITE_DOCS=1` writes docs/reliability.md from the run.
 */
import { PostgresServer, RedisServer } from "@agion/testing"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { agentFaults } from "./AgentFaults.ts"
import * as Page from "./Page.ts"
import { redisFaults } from "./RedisFaults.ts"
import { play } from "./Scene.ts"
import { serverFaults } from "./ServerFaults.ts"
import { World } from "./World.ts"

const faults = [...serverFaults, ...redisFaults, ...agentFaults]

const played: Array<Page.Played> = []

describe.skipIf(!PostgresServer.isThere() || !RedisServer.isThere())("faults", () => {
  layer(World.layer, { timeout: "90 seconds", excludeTestServices: true })((it) => {
    for (const { body, name, shows, what } of faults)
      it.effect(`${shows} ${name}: no decision wrong, no event lost or counted twice`, () =>
        Effect.scoped(
          Effect.gen(function* () {
            const outcome = yield* play(body)
            played.push({ fault: name, what, ...outcome })
          })
        )
      )

    it.effect("each fault has a row in docs/reliability.md", () =>
      Effect.sync(() => {
        if (process.env["AGION_WRITE_DOCS"] === "1") Page.write(played)
        assert.deepStrictEqual(
          [...Page.read()],
          faults.map(({ name }) => [name, ["0", "0", "0"]])
        )
      })
    )
  })
})
