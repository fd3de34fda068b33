import { Platform, PostgresServer } from "@agion/testing"
import { describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { checks } from "./suites/checks.ts"
import { permissions } from "./suites/permissions.ts"
import { policies } from "./suites/policies.ts"
import { resources } from "./suites/resources.ts"
import { routes } from "./suites/routes.ts"

const platform = Layer.effect(
  Platform.Platform,
  Effect.gen(function* () {
    const server = yield* PostgresServer.make()
    const url = yield* server.database
    return yield* Platform.make({ database: { _tag: "Postgres", url } })
  })
)

describe.skipIf(!PostgresServer.isThere())("with a real server", () => {
  layer(platform, { timeout: "60 seconds", excludeTestServices: true })("on PostgreSQL", (it) => {
    resources(it)
    permissions(it)
    checks(it)
    policies(it)
    routes(it)
  })
})
