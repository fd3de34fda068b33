/** Pushes over Redis: the channel of the organization's epoch and those of policy updates. */
import { RedisPubSub } from "@agion/redis"
import { Effect, Queue, Stream } from "effect"
import { makeHub, Pushes } from "../Pushes.ts"
import { Settings } from "../Settings.ts"
import { epochPush, policiesPush } from "./PushTexts.ts"

/** Listens as long as the scope is open. */
export const make = Effect.gen(function* () {
  const settings = yield* Settings
  const pubsub = yield* RedisPubSub
  const hub = makeHub("lost")
  const epochs = settings.names.epoch(settings.organizationId)
  const channels = [epochs, ...settings.names.policyUpdates]
  const queue = yield* pubsub.subscribe({ channels })
  // With Redis away a marker is there at once; without one the subscription is in force.
  if ((yield* Queue.size(queue)) === 0) hub.tell({ _tag: "Up" })
  yield* Stream.fromQueue(queue).pipe(
    Stream.runForEach((event) =>
      Effect.sync(() => {
        if (event._tag === "Lost") hub.tell({ _tag: "Lost" })
        else if (event._tag === "Gap" || hub.lineUnsafe() !== "up") hub.tell({ _tag: "Up" })
        if (event._tag !== "Message") return
        if (event.channel === epochs) epochPush(hub, settings.organizationId, event.message)
        else policiesPush(hub, settings, event.message)
      })
    ),
    Effect.forkScoped
  )
  return Pushes.of(hub)
})
