/**
 * What the platform tells an agent unasked: changes with the organization's epoch, heartbeats, new policies.
 *
 * `layerRedis` listens on the organization's channels, `layerHttp` on `GET /stream` (server-sent events), and
 * `layerNone` hears nothing: then a cached allow is asked again after three seconds. Whoever listens is told
 * `Lost` when the line goes down and `Up` when it is there (again): between the two, something was missed
 * (FRESH-4). A silent line counts as lost.
 *
 * **Gotchas**: listeners are plain functions that are called in order and must not throw or wait.
 */
import { type EpochMessage, EpochText, Streams } from "@agion/domain"
import { RedisPubSub } from "@agion/redis"
import { Context, Effect, Layer, Option, Queue, Random, Redacted, Schema, type Scope, Stream } from "effect"
import { Sse } from "effect/encoding"
import { HttpClient, HttpClientRequest } from "effect/http"
import { Settings, type SettingsShape } from "./Settings.ts"
import { quiet } from "./telemetry/QuietClient.ts"

/** What a listener is told. */
export type Push =
  | { readonly _tag: "Up" }
  | { readonly _tag: "Lost" }
  /** A change or a heartbeat of the agent's organization. */
  | { readonly _tag: "Epoch"; readonly organizationId: string; readonly message: EpochMessage }
  /** Policies have changed; the version is null when it was not said. */
  | { readonly _tag: "Policies"; readonly version: number | null }

/** Whether the line is there; `off`: there is none. */
export type PushLine = "up" | "lost" | "off"

/** What the platform says unasked. */
export class Pushes extends Context.Service<
  Pushes,
  {
    /** Calls the listener with the line's present state, then with everything, as long as the scope is open. */
    readonly listen: (listener: (push: Push) => void) => Effect.Effect<void, never, Scope.Scope>
    /** Whether the line is there now. */
    readonly lineUnsafe: () => PushLine
    /** Messages that could not be understood, since the start. */
    readonly refusedUnsafe: () => number
  }
>()("@agion/sdk/Pushes") {
  /** Over Redis: the channel of the organization's epoch and those of policy updates. */
  static readonly layerRedis: Layer.Layer<Pushes, never, Settings | RedisPubSub> = Layer.suspend(() =>
    Layer.effect(Pushes, makeRedis)
  )
  /** Over `GET /stream`. */
  static readonly layerHttp: Layer.Layer<Pushes, never, Settings | HttpClient.HttpClient> = Layer.suspend(
    () => Layer.effect(Pushes, makeHttp)
  )
  /** Nothing is heard. */
  static readonly layerNone: Layer.Layer<Pushes> = Layer.suspend(() =>
    Layer.succeed(Pushes, Pushes.of(makeHub("off")))
  )
}

/** Listeners and the state of the line; `tell` hands a push to all of them. */
export interface Hub {
  readonly listen: Pushes["Service"]["listen"]
  readonly lineUnsafe: () => PushLine
  readonly refusedUnsafe: () => number
  readonly tell: (push: Push) => void
  readonly refuse: () => void
}

/** A hub; programs that bring a transport of their own make their `Pushes` of it. */
export const makeHub = (initial: PushLine): Hub => {
  const listeners = new Set<(push: Push) => void>()
  let line = initial
  let refused = 0
  return {
    listen: (listener) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          listeners.add(listener)
          if (line === "up") listener({ _tag: "Up" })
          if (line === "lost") listener({ _tag: "Lost" })
        }),
        () => Effect.sync(() => listeners.delete(listener))
      ),
    lineUnsafe: () => line,
    refusedUnsafe: () => refused,
    tell: (push) => {
      if (push._tag === "Up") line = "up"
      if (push._tag === "Lost") line = "lost"
      for (const listener of listeners) listener(push)
    },
    refuse: () => {
      refused++
    }
  }
}

const decodeEpoch = Schema.decodeUnknownOption(EpochText)
const decodePolicies = Schema.decodeUnknownOption(Streams.PolicyUpdated)

/** A message of the channel of epochs. */
const epochPush = (hub: Hub, organizationId: string, text: string): void => {
  const message = decodeEpoch(text)
  if (Option.isNone(message)) hub.refuse()
  else hub.tell({ _tag: "Epoch", organizationId, message: message.value })
}

/** Whoever listens to policy updates asks for the set whatever the text says (contract, section 7). */
const policiesPush = (hub: Hub, settings: SettingsShape, text: string): void => {
  const message = Option.getOrUndefined(decodePolicies(text))
  const organization = message?.organizationId
  if (organization != null && organization !== settings.organizationId) return
  hub.tell({ _tag: "Policies", version: message?.version ?? null })
}

const makeRedis = Effect.gen(function* () {
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

const makeHttp = Effect.gen(function* () {
  const settings = yield* Settings
  const client = HttpClient.filterStatusOk(quiet(yield* HttpClient.HttpClient))
  const hub = makeHub("lost")
  let lastEventId: string | undefined
  const once = Stream.unwrap(
    Effect.suspend(() =>
      Effect.map(client.execute(streamRequest(settings, lastEventId)), (response) => response.stream)
    )
  ).pipe(
    Stream.decodeText(),
    Stream.pipeThroughChannel(Sse.decode()),
    Stream.timeout(silence),
    Stream.runForEach((event) =>
      Effect.sync(() => {
        if (event.id !== undefined) lastEventId = event.id
        onEvent(event, hub, settings)
      })
    ),
    Effect.ignore,
    Effect.andThen(Effect.sync(() => hub.lineUnsafe() === "up" && hub.tell({ _tag: "Lost" }))),
    // Agents that lost one platform do not come back all at once.
    Effect.andThen(Effect.flatMap(Random.next, (spread) => Effect.sleep(200 + 600 * spread)))
  )
  yield* Effect.forkScoped(Effect.forever(once))
  return Pushes.of(hub)
})
