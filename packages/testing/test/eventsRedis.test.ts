import { RedisServer } from "@agion/testing"
import { describe } from "@effect/vitest"
import { eventsContract } from "./EventsContract.ts"
import * as EventTargets from "./EventTargets.ts"

if (RedisServer.isThere()) eventsContract("Redis", EventTargets.redisServer)
else describe.skip("events over Redis: there is no `redis-server`", () => {})
