import { Platform } from "@agion/testing"
import { layer } from "@effect/vitest"
import { badInput } from "./suites/badInput.ts"
import { checks } from "./suites/checks.ts"
import { fuzz } from "./suites/fuzz.ts"
import { permissions } from "./suites/permissions.ts"
import { policies } from "./suites/policies.ts"
import { noting, prepared } from "./suites/prepared.ts"
import { resources } from "./suites/resources.ts"
import { routes } from "./suites/routes.ts"

layer(noting(Platform.layer()), { timeout: "60 seconds", excludeTestServices: true })("on PGlite", (it) => {
  resources(it)
  permissions(it)
  checks(it)
  policies(it)
  badInput(it)
  routes(it)
  fuzz(it, 100)
  prepared(it)
})
