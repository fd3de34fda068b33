import { Platform, PostgresServer } from "@agion/testing"
import { describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { agents } from "./suites/agents.ts"
import { feedback } from "./suites/feedback.ts"
import { missions } from "./suites/missions.ts"
import { noting, prepared } from "./suites/prepared.ts"
import { registry } from "./suites/registry.ts"
import { retention } from "./suites/retention.ts"
import { stream } from "./suites/stream.ts"
import { told } from "./suites/told.ts"
import { trust } from "./suites/trust.ts"
import type { It } from "./suites/words.ts"

const suites = (it: It) => {
  trust(it)
  feedback(it)
  agents(it)
  registry(it)
  retention(it)
  missions(it)
  told(it)
  stream(it)
}

const options = { timeout: "60 seconds", excludeTestServices: true } as const

layer(noting(Platform.layer()), options)("what agents tell, on PGlite", (it) => {
  suites(it)
  prepared(it)
})

const onPostgres = Layer.effect(
  Platform.Platform,
  Effect.gen(function* () {
    const server = yield* PostgresServer.make()
    const url = yield* server.database
    return yield* Platform.make({ database: { _tag: "Postgres", url } })
  })
)

describe.skipIf(!PostgresServer.isThere())("with a real server", () => {
  layer(onPostgres, options)("what agents tell, on PostgreSQL", suites)
})
