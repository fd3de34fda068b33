import { eventsContract } from "./EventsContract.ts"
import * as EventTargets from "./EventTargets.ts"

eventsContract("HTTP", EventTargets.http)
