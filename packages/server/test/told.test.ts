import { Platform } from "@agion/testing"
import { layer } from "@effect/vitest"
import { agents } from "./suites/agents.ts"
import { feedback } from "./suites/feedback.ts"
import { missions } from "./suites/missions.ts"
import { registry } from "./suites/registry.ts"
import { told } from "./suites/told.ts"
import { trust } from "./suites/trust.ts"

layer(Platform.layer(), { timeout: "60 seconds", excludeTestServices: true })("on PGlite", (it) => {
  trust(it)
  feedback(it)
  agents(it)
  registry(it)
  missions(it)
  told(it)
})
