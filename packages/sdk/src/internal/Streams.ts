/**
 * effect's streams and what feeds them: a sixth of what importing effect's core takes, and so loaded by the layers
 * that answer with one.
 */
export { PubSub, Queue, Stream, SubscriptionRef } from "effect"
