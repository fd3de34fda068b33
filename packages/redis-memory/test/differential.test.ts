import { RedisServer } from "@agion/testing"
import { describe } from "@effect/vitest"
import { property } from "./differential.ts"

describe.skipIf(!RedisServer.isThere())("in short", () => {
  property(100, 60)
})
