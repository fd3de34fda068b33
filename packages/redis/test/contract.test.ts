import { RedisContract, RedisServer } from "@agion/testing"
import { describe } from "@effect/vitest"

describe.skipIf(!RedisServer.isThere())("on a real server", () => {
  RedisContract.suite("redis-server", RedisContract.realServer())
})
