import { RedisServer } from "@agion/testing"
import { describe } from "@effect/vitest"
import { property } from "./differential.ts"

describe.skipIf(!RedisServer.isThere())("at length", () => {
  property(5000, 120)
})
