/**
 * Redis between processes: the service of `effect/persistence` over ioredis,
 * with pipelines, publish and subscribe, and streams beside it.
 */
export * as AckedTrim from "./AckedTrim.ts"
export type { Appended, Guarded } from "./GuardedAppend.ts"
export * as GuardedAppend from "./GuardedAppend.ts"
export * as Redis from "./Redis.ts"
export {
  type Command,
  type Outcome,
  RedisClient,
  type RedisClientOptions,
  type RedisError,
  type Reply,
  type Status
} from "./RedisClient.ts"
export {
  type PubSubEvent,
  type PubSubHandlers,
  type PubSubLink,
  RedisPubSub,
  type SubscribeOptions
} from "./RedisPubSub.ts"
export {
  type ConsumeOptions,
  deadLetters,
  type Entry,
  type EntryRef,
  type Lag,
  RedisStream
} from "./RedisStream.ts"
