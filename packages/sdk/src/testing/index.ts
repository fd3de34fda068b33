/**
 * The SDK without a platform, for tests of agents.
 *
 * ```ts
 * it.effect("asks the model", () =>
 *   Effect.gen(function* () {
 *     const platform = yield* TestPlatform
 *     platform.resource({ id: modelId })
 *     platform.grant("agent-1", modelId)
 *     // … governed calls …
 *     assert.lengthOf(platform.events, 1)
 *   }).pipe(Effect.provide(AgionTest.layer({ agentId: "agent-1" }))))
 * ```
 */
import { Clock, Effect, Layer } from "effect"
import type { HttpClient } from "effect/http"
import { layerOver, type PartsOptions, type Services } from "../AgionSdk.ts"
import { EventTransport } from "../events/EventTransport.ts"
import { ReportTransport } from "../events/ReportTransport.ts"
import { makeHub, Pushes } from "../Pushes.ts"
import type { SettingsInvalid } from "../Settings.ts"
import { Platform, TestPlatform } from "./TestPlatform.ts"
import { layerHttpClient } from "./TestWire.ts"

export { EventRecorder } from "../EventBuffer.ts"
export {
  type Arrived,
  type Fault,
  Platform,
  type Reserved,
  type ResourceSeed,
  TestPlatform,
  testUuid
} from "./TestPlatform.ts"

const url = "http://platform.test"

/** Connections to a platform in memory, for programs that put the parts together themselves. */
export const connections = (
  organizationId = "default"
): Layer.Layer<TestPlatform | Pushes | HttpClient.HttpClient | EventTransport | ReportTransport> =>
  Layer.unwrap(
    Effect.map(Clock.Clock, (clock) => {
      const hub = makeHub("up")
      const platform = new Platform(hub, organizationId, () => clock.currentTimeMillisUnsafe())
      const http = layerHttpClient(platform)
      const transports = Layer.mergeAll(EventTransport.layerHttp({ url }), ReportTransport.layerHttp({ url }))
      return Layer.mergeAll(
        Layer.succeed(TestPlatform, platform),
        Layer.succeed(Pushes, Pushes.of(hub)),
        transports.pipe(Layer.provideMerge(http))
      )
    })
  )

/** The whole SDK over a platform in memory; nothing touches a network or a disk. */
export const layerTest = (
  options: Partial<PartsOptions> = {}
): Layer.Layer<Services | TestPlatform, SettingsInvalid> =>
  layerOver({
    agentId: "agent-1",
    gatewayUrl: url,
    directory: false,
    ...options,
    // A test's clock stands still when its scope closes: what was not flushed by then is nobody's.
    events: { shutdownDeadline: 0, ...options.events }
  }).pipe(Layer.provideMerge(connections(options.organizationId ?? "default")))

/** The layers of this module under one name. */
export const AgionTest = { layer: layerTest, connections } as const
