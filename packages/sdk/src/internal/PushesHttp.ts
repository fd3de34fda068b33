/** Pushes over `GET /stream`, server-sent events. */
import { Effect, Option, Random, Redacted, Stream } from "effect"
import { Sse } from "effect/encoding"
import { HttpClient, HttpClientRequest } from "effect/http"
import { type Hub, makeHub, Pushes } from "../Pushes.ts"
import { Settings, type SettingsShape } from "../Settings.ts"
import { quiet } from "../telemetry/QuietClient.ts"
import { eventCharacters } from "./AnswerLimit.ts"
import { outliving } from "./Outliving.ts"
import { decodeEpoch, policiesPush } from "./PushTexts.ts"

/** A line without a heartbeat for so long is lost. */
const silence = "3 seconds"

/** An event of the stream; any of them shows that the line works. */
const onEvent = (event: Sse.Event, hub: Hub, settings: SettingsShape): void => {
  if (hub.lineUnsafe() !== "up") hub.tell({ _tag: "Up" })
  if (event.event === "policy") policiesPush(hub, settings, event.data)
  const message = decodeEpoch(event.data)
  if (Option.isSome(message))
    hub.tell({ _tag: "Epoch", organizationId: settings.organizationId, message: message.value })
}

const streamRequest = (settings: SettingsShape, lastEventId: string | undefined) => {
  const url = new URL(`${settings.gatewayUrl}/api/v1/stream`)
  url.searchParams.set("agent_id", settings.agentId)
  url.searchParams.set("organization_id", settings.organizationId)
  const request = HttpClientRequest.get(url, {
    headers: {
      accept: "text/event-stream",
      ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId })
    }
  })
  return settings.apiKey === null
    ? request
    : HttpClientRequest.bearerToken(request, Redacted.value(settings.apiKey))
}

/** Listens as long as the scope is open. */
export const make = Effect.gen(function* () {
  const settings = yield* Settings
  const client = HttpClient.filterStatusOk(quiet(yield* HttpClient.HttpClient))
  const hub = makeHub("lost")
  let lastEventId: string | undefined
  let isHeard = false
  const once = Stream.unwrap(
    Effect.suspend(() => {
      isHeard = false
      return Effect.map(client.execute(streamRequest(settings, lastEventId)), (response) => response.stream)
    })
  ).pipe(
    Stream.decodeText(),
    Stream.pipeThroughChannel(Sse.decode({ maxEventSize: eventCharacters })),
    Stream.timeout(silence),
    Stream.runForEach((event) =>
      Effect.sync(() => {
        isHeard = true
        if (event.id !== undefined) lastEventId = event.id
        onEvent(event, hub, settings)
      })
    ),
    Effect.catchTag("SseError", () =>
      // An event too large to be read was missed; who asked for what came after the last one would get it again.
      Effect.sync(() => {
        lastEventId = undefined
      })
    ),
    Effect.ignore,
    outliving("listening to pushes"),
    Effect.andThen(
      Effect.sync(() => {
        // What cannot be sent, or is not taken, must not keep the line down.
        if (!isHeard) lastEventId = undefined
        if (hub.lineUnsafe() === "up") hub.tell({ _tag: "Lost" })
      })
    ),
    // Agents that lost one platform do not come back all at once.
    Effect.andThen(Effect.flatMap(Random.next, (spread) => Effect.sleep(200 + 600 * spread)))
  )
  yield* Effect.forkScoped(Effect.forever(once))
  return Pushes.of(hub)
})
