import type { FaultProxy } from "@agion/testing"
import { Effect, type Scope } from "effect"
import type { Asked } from "./Lines.ts"
import type { Scene } from "./Scene.ts"
import type { World } from "./World.ts"

/** Something that goes wrong, and how it is made to. */
export interface Fault {
  readonly name: string
  /** What happens, for docs/reliability.md. */
  readonly what: string
  /** The sentences of docs/semantics.md that it shows. */
  readonly shows: string
  readonly body: (scene: Scene) => Effect.Effect<void, never, Scope.Scope | World>
}

/** Puts one fault on both ways, to the platform and to Redis. */
export const onBoth = (scene: Scene, fault: FaultProxy.Fault): Effect.Effect<void> =>
  Effect.andThen(scene.http.apply(fault), scene.wire.apply(fault))

export const none: FaultProxy.Fault = { _tag: "None" }

/** A warm approval was used. */
export const isStale = ({ mode }: Asked): boolean => mode === "stale"
