/** Trust, feedback, the registry, missions, audit, keys. */
import { Effect } from "effect"

export const trustRegistry = Effect.void
