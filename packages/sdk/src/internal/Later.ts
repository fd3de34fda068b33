/** What layers do is loaded as the first is built, so that importing the SDK brings its names alone. */
import { Effect } from "effect"

/** The work of all layers. */
export const live = Effect.promise(() => import("../live/index.ts"))

/** Streams, and what feeds them. */
export const streams = Effect.promise(() => import("./Streams.ts"))
