/**
 * What the platform tells an agent unasked: changes with the organization's epoch, heartbeats, new policies.
 *
 * `layerRedis` listens on the organization's channels, `layerHttp` on `GET /stream` (server-sent events), and
 * `layerNone` hears nothing: then a cached allow is asked again after three seconds. Whoever listens is told
 * `Lost` when the line goes down and `Up` when it is there (again): between the two, something was missed
 * (FRESH-4). A silent line counts as lost, and one that is late confirms as much less: a push speaks for the moment of
 * its `timestamp`, by the platform's clock. Where that is no time, it speaks for the moment at which it is heard.
 *
 * **Gotchas**: listeners are plain functions that are called in order and must not throw or wait. The lines
 * themselves are imported when their layer is built, not with this module.
 */
import type { EpochMessage } from "@agion/domain"
import type { RedisPubSub } from "@agion/redis"
import { Context, Effect, Layer, type Scope } from "effect"
import type { HttpClient } from "effect/http"
import { type PlatformClock, unknownClock } from "./internal/PlatformClock.ts"
import type { Settings } from "./Settings.ts"

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
    /** By what the platform's clock tells how late pushes are. */
    readonly clock: PlatformClock
  }
>()("@agion/sdk/Pushes") {
  /** Over Redis: the channel of the organization's epoch and those of policy updates. */
  static readonly layerRedis: Layer.Layer<Pushes, never, Settings | RedisPubSub> = Layer.suspend(() =>
    Layer.effect(
      Pushes,
      Effect.flatMap(
        Effect.promise(() => import("./internal/PushesRedis.ts")),
        ({ make }) => make
      )
    )
  )
  /** Over `GET /stream`. */
  static readonly layerHttp: Layer.Layer<Pushes, never, Settings | HttpClient.HttpClient> = Layer.suspend(
    () =>
      Layer.effect(
        Pushes,
        Effect.flatMap(
          Effect.promise(() => import("./internal/PushesHttp.ts")),
          ({ make }) => make
        )
      )
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
  readonly clock: PlatformClock
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
    clock: unknownClock(),
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
