import { Platform } from "@agion/testing"
import { layer } from "@effect/vitest"
import { fuzz } from "./suites/fuzz.ts"

layer(Platform.layer(), { timeout: "60 seconds", excludeTestServices: true })("a long fuzz", (it) => {
  fuzz(it, 20_000)
})
