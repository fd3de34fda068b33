/**
 * effect's streams and what feeds them, for a breaker, which programs make without a layer: they take a sixth of what
 * importing effect's core takes.
 */
export { PubSub, Stream } from "effect"
