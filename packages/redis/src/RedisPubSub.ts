/**
 * Publish and subscribe, with any number of channels and patterns over one
 * connection, for subscribers that must know when they may have missed
 * something.
 *
 * Redis delivers a message at most once: what is published while a link is down
 * is gone. A subscriber therefore gets markers between its messages: `Lost` when
 * the link goes down, `Gap` when it listens again, or when it was so slow that
 * its queue overflowed. After a `Gap` the truth must be read anew (FRESH-4).
 *
 * **Gotchas**: a message that matches a channel and a pattern of the same
 * subscriber arrives twice, as it does in Redis.
 */
import { Context, Effect, Queue, type Scope, Semaphore, Stream } from "effect"
import type { RedisError } from "./RedisClient.ts"

/** What a subscriber sees, in the order in which it happened. */
export type PubSubEvent =
  | {
      readonly _tag: "Message"
      readonly channel: string
      /** The pattern that matched; `undefined` for a plain subscription. */
      readonly pattern: string | undefined
      readonly message: string
    }
  /** From here on nothing is heard. */
  | { readonly _tag: "Lost" }
  /** Listening from here on; something was missed before. */
  | { readonly _tag: "Gap"; readonly reason: "reconnected" | "overflow" }

/** What to listen to; at least one name makes sense. */
export interface SubscribeOptions {
  /** Names to listen to. Default: none. */
  readonly channels?: ReadonlyArray<string>
  /** Glob patterns as Redis reads them: `agion:epoch:*`. */
  readonly patterns?: ReadonlyArray<string>
  /** Messages held for a slow subscriber before a `Gap` replaces the rest. Default: 4096. */
  readonly capacity?: number
}

/** What happens on a link. */
export interface PubSubHandlers {
  readonly onMessage: (channel: string, pattern: string | undefined, message: string) => void
  /** The link can be used (again). */
  readonly onUp: () => void
  readonly onDown: () => void
}

/** The one connection below the service: what an implementation hands in. */
export interface PubSubLink {
  /** Connects when first used; returns once that worked or failed. */
  readonly open: (handlers: PubSubHandlers) => Effect.Effect<void>
  /** Counts the connections there were; 0 while there is none. */
  readonly generation: () => number
  /** Settles when Redis has confirmed. */
  readonly subscribe: (
    kind: "channel" | "pattern",
    names: ReadonlyArray<string>
  ) => Effect.Effect<void, RedisError>
  readonly unsubscribe: (
    kind: "channel" | "pattern",
    names: ReadonlyArray<string>
  ) => Effect.Effect<void, RedisError>
  /** Gives the connection up, so that a new one is made. */
  readonly reset: Effect.Effect<void>
  readonly publish: (channel: string, message: string) => Effect.Effect<number, RedisError>
}

/** Publish and subscribe over one shared connection. */
export class RedisPubSub extends Context.Service<
  RedisPubSub,
  {
    /**
     * Listens as long as the scope is open. Returns once Redis has confirmed;
     * with Redis away it returns at once, and the first event is `Lost`.
     */
    readonly subscribe: (
      options: SubscribeOptions
    ) => Effect.Effect<Queue.Dequeue<PubSubEvent>, never, Scope.Scope>
    /** The same as a stream; it neither fails nor ends. */
    readonly stream: (options: SubscribeOptions) => Stream.Stream<PubSubEvent>
    /** Sends `message` to whoever listens now and tells how many did. */
    readonly publish: (channel: string, message: string) => Effect.Effect<number, RedisError>
  }
>()("@agion/redis/RedisPubSub") {
  /** Makes the service over a link; it lives as long as the scope. */
  static make = Effect.fnUntraced(function* (link: PubSubLink) {
    const state: State = { link, channels: new Map(), patterns: new Map(), listeners: new Set() }
    const lock = yield* Semaphore.make(1)
    const changes = yield* Queue.unbounded<"up" | "down">()
    yield* Queue.take(changes).pipe(
      Effect.flatMap((change) =>
        change === "down" ? Effect.sync(() => lost(state)) : lock.withPermits(1)(resume(state))
      ),
      Effect.forever,
      Effect.forkScoped
    )
    const open = yield* Effect.cached(
      link.open({
        onMessage: (channel, pattern, message) => dispatch(state, channel, pattern, message),
        onUp: () => Queue.offerUnsafe(changes, "up"),
        onDown: () => Queue.offerUnsafe(changes, "down")
      })
    )
    const subscribe = (options: SubscribeOptions) =>
      Effect.gen(function* () {
        yield* open
        const queue = yield* Effect.acquireRelease(Queue.unbounded<PubSubEvent>(), Queue.shutdown)
        const listener = makeListener(queue, options)
        yield* Effect.acquireRelease(lock.withPermits(1)(enter(state, listener)), () =>
          lock.withPermits(1)(leave(state, listener))
        )
        return Queue.asDequeue(queue)
      })
    return RedisPubSub.of({
      subscribe,
      stream: (options) => Stream.unwrap(Effect.map(subscribe(options), (queue) => Stream.fromQueue(queue))),
      publish: link.publish
    })
  })
}

interface Listener {
  readonly queue: Queue.Queue<PubSubEvent>
  readonly channels: ReadonlyArray<string>
  readonly patterns: ReadonlyArray<string>
  readonly capacity: number
  overflowed: boolean
  /** The connection on which Redis confirmed this listener's names; 0 while it hears nothing. */
  generation: number
}

interface State {
  readonly link: PubSubLink
  readonly channels: Map<string, Set<Listener>>
  readonly patterns: Map<string, Set<Listener>>
  readonly listeners: Set<Listener>
}

const makeListener = (queue: Queue.Queue<PubSubEvent>, options: SubscribeOptions): Listener => ({
  queue,
  channels: [...new Set(options.channels ?? [])],
  patterns: [...new Set(options.patterns ?? [])],
  capacity: options.capacity ?? 4096,
  overflowed: false,
  generation: -1
})

const dispatch = (state: State, channel: string, pattern: string | undefined, message: string) => {
  const listeners = pattern === undefined ? state.channels.get(channel) : state.patterns.get(pattern)
  if (listeners === undefined) return
  const event: PubSubEvent = { _tag: "Message", channel, pattern, message }
  for (const listener of listeners) deliver(listener, event)
}

/** A full queue gets one `Gap` where the first message was dropped. */
const deliver = (listener: Listener, event: PubSubEvent) => {
  if (Queue.sizeUnsafe(listener.queue) < listener.capacity) {
    listener.overflowed = false
    Queue.offerUnsafe(listener.queue, event)
  } else if (!listener.overflowed) {
    listener.overflowed = true
    Queue.offerUnsafe(listener.queue, { _tag: "Gap", reason: "overflow" })
  }
}

/** Changes are heard of a moment later: who already listens on a newer connection has lost nothing. */
const lost = (state: State) => {
  const generation = state.link.generation()
  for (const listener of state.listeners) {
    if (generation === 0 || listener.generation !== generation) loseOne(listener)
  }
}

const loseOne = (listener: Listener) => {
  if (listener.generation === 0) return
  listener.generation = 0
  Queue.offerUnsafe(listener.queue, { _tag: "Lost" })
}

/** Subscribes everything on a new connection and tells the listeners of the gap. */
const resume = (state: State) =>
  Effect.gen(function* () {
    const generation = state.link.generation()
    if (generation === 0) return
    yield* subscribeAll(state.link, [...state.channels.keys()], [...state.patterns.keys()])
    for (const listener of state.listeners) {
      if (listener.generation === generation) continue
      loseOne(listener)
      listener.generation = generation
      Queue.offerUnsafe(listener.queue, { _tag: "Gap", reason: "reconnected" })
    }
  }).pipe(Effect.catch(() => state.link.reset))

const subscribeAll = (link: PubSubLink, channels: ReadonlyArray<string>, patterns: ReadonlyArray<string>) =>
  Effect.andThen(
    channels.length > 0 ? link.subscribe("channel", channels) : Effect.void,
    patterns.length > 0 ? link.subscribe("pattern", patterns) : Effect.void
  )

const add = (names: Map<string, Set<Listener>>, name: string, listener: Listener) => {
  const listeners = names.get(name)
  if (listeners === undefined) names.set(name, new Set([listener]))
  else listeners.add(listener)
}

/** The names that nobody listens to any more. */
const remove = (names: Map<string, Set<Listener>>, mine: ReadonlyArray<string>, listener: Listener) =>
  mine.filter((name) => {
    const listeners = names.get(name)
    listeners?.delete(listener)
    return listeners !== undefined && listeners.size === 0 && names.delete(name)
  })

const enter = (state: State, listener: Listener) =>
  Effect.gen(function* () {
    for (const channel of listener.channels) add(state.channels, channel, listener)
    for (const pattern of listener.patterns) add(state.patterns, pattern, listener)
    state.listeners.add(listener)
    const generation = state.link.generation()
    if (generation === 0) return loseOne(listener)
    yield* subscribeAll(state.link, listener.channels, listener.patterns)
    // The link may have gone down, even come back, while Redis was asked.
    if (state.link.generation() === generation) listener.generation = generation
    else loseOne(listener)
  }).pipe(
    Effect.catch(() => {
      loseOne(listener)
      return state.link.reset
    })
  )

const leave = (state: State, listener: Listener) =>
  Effect.suspend(() => {
    state.listeners.delete(listener)
    const channels = remove(state.channels, listener.channels, listener)
    const patterns = remove(state.patterns, listener.patterns, listener)
    if (state.link.generation() === 0) return Effect.void
    return Effect.ignore(
      Effect.andThen(
        channels.length > 0 ? state.link.unsubscribe("channel", channels) : Effect.void,
        patterns.length > 0 ? state.link.unsubscribe("pattern", patterns) : Effect.void
      )
    )
  })
