import { eventsContract } from "./EventsContract.ts"
import * as EventTargets from "./EventTargets.ts"

eventsContract("redis-memory", EventTargets.redisMemory)
